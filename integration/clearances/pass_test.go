package clearances

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

func TestAClearanceLetsABrowserPassWithoutAnotherProof(t *testing.T) {
	for _, provider := range harness.Providers {
		t.Run(provider, func(t *testing.T) {
			g := harness.BrowserGate(t, provider)
			cookie := g.Clear(provider)
			if cookie.Name != "captcha-default" || cookie.Path != "/" || !cookie.HttpOnly || cookie.Secure ||
				cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 1800 || cookie.Domain != "" {
				t.Errorf("the cookie is %s", cookie.Raw)
			}
			if seen := g.Seen(); len(seen) != 0 {
				t.Errorf("the app saw %q: verify forwards nothing", seen)
			}
			for range 3 {
				g.WantPassed(g.GetCleared(cookie.Name + "=" + cookie.Value))
			}
			if g.VerifyCalls() != 1 {
				t.Errorf("the provider was called %d times, want once", g.VerifyCalls())
			}
			g.Want(g.GetCleared("captcha-default=x"), 403, "missing")
			g.Want(g.GetCleared(""), 403, "missing")
		})
	}
}

func TestTheAppDoesNotSeeClearances(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m") +
		"captcha /admin* admin {\n" + g.Verifier(harness.GeeTestV4) + "clearance 30m\n}\n" + g.Proxy())
	cookie := g.Clear(harness.GeeTestV4)
	sent := "a=1; " + cookie.Name + "=" + cookie.Value + "; __Host-captcha-admin=y; captcha-other=z;  b=\"2\""
	if a := g.GetCleared(sent); a.StatusCode != 200 {
		t.Fatalf("status %d: %s", a.StatusCode, a.Text)
	}
	if got, want := g.LastHeader.Get("Cookie"), "a=1; captcha-other=z;  b=\"2\""; got != want {
		t.Errorf("the app got the cookies %q, want %q", got, want)
	}
}

func TestAClearanceIsForOnePolicyAndHost(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m") +
		"captcha /admin* admin {\n" + g.Verifier(harness.GeeTestV4) + "clearance 30m\n}\n" + g.Proxy())
	cookie := g.Clear(harness.GeeTestV4)
	other := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/admin", "", "Cookie", "captcha-admin="+cookie.Value+"; "+cookie.Name+"="+cookie.Value))
	g.Want(other, 403, "missing")
	if reason := other.Problem(t)["reason"]; reason != "invalid" {
		t.Errorf("the reason is %v, want invalid", reason)
	}
	elsewhere := harness.NewRequest(t, "GET", g.URL+"/login", "", "Cookie", cookie.Name+"="+cookie.Value)
	elsewhere.Host = "another.example"
	g.Want(harness.Send(t, elsewhere), 403, "missing")
	// Two policies on one request each want their own.
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m") +
		"captcha /login* admin {\n" + g.Verifier(harness.GeeTestV4) + "clearance 30m\n}\n" + g.Proxy())
	cookie = g.Clear(harness.GeeTestV4)
	g.Want(g.GetCleared(cookie.Name+"="+cookie.Value), 403, "missing")
	both := cookie.Name + "=" + cookie.Value
	for _, c := range harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/.captcha/admin/verify", g.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType)).Cookies() {
		both += "; " + c.Name + "=" + c.Value
	}
	g.WantPassed(g.GetCleared(both))
}

func TestAClearanceIsBoundToItsClient(t *testing.T) {
	for _, c := range []struct {
		name, option, header, same, other, reason string
	}{
		{"address", "bind_to client_ip", "X-Forwarded-For", "203.0.113.99", "198.51.100.7", "binding"},
		{"user agent", "bind_to user_agent", "User-Agent", "Mozilla/5.0", "Mozilla/6.0", "binding"},
		{"nothing", "bind_to none", "X-Forwarded-For", "203.0.113.99", "198.51.100.7", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := harness.NewGate(t)
			site := g.Captcha(harness.GeeTestV4, "clearance 30m {\n"+c.option+"\n}") + g.Proxy()
			harness.Run(t, strings.Replace(g.Caddyfile(site), harness.Globals, harness.Globals+"servers {\ntrusted_proxies static private_ranges\ntrusted_proxies_strict\n}\n", 1))
			g.URL = "http://" + harness.Address(t, "srv0")
			first := c.same
			if c.header == "X-Forwarded-For" {
				first = "203.0.113.1" // the same /24
			}
			cookie := g.Clear(harness.GeeTestV4, c.header, first)
			g.WantPassed(g.GetCleared(cookie.Name+"="+cookie.Value, c.header, c.same))
			a := g.GetCleared(cookie.Name+"="+cookie.Value, c.header, c.other)
			if c.reason == "" {
				g.WantPassed(a)
				return
			}
			g.Want(a, 403, "missing")
			if reason := a.Problem(t)["reason"]; reason != c.reason {
				t.Errorf("the reason is %v, want %s", reason, c.reason)
			}
		})
	}
}

// TestUsesAreCountedExactly sends more requests at once than one clearance has
// uses, through two handlers of its policy, each of which would take one.
func TestUsesAreCountedExactly(t *testing.T) {
	const uses, requests = 7, 64
	g := harness.NewGate(t)
	gate := g.Captcha(harness.GeeTestV4, "clearance 30m {\nmax_uses 7\n}")
	g.Run(gate + "route {\n" + gate + g.Proxy() + "}\n")
	cookie := g.Clear(harness.GeeTestV4)
	var passed atomic.Int32
	var workers sync.WaitGroup
	for range requests {
		workers.Go(func() {
			if g.GetCleared(cookie.Name+"="+cookie.Value).StatusCode == 200 {
				passed.Add(1)
			}
		})
	}
	workers.Wait()
	if passed.Load() != uses || len(g.Seen()) != uses {
		t.Errorf("%d requests passed, want %d", passed.Load(), uses)
	}
	a := g.GetCleared(cookie.Name + "=" + cookie.Value)
	if reason := a.Problem(t)["reason"]; reason != "used_up" {
		t.Errorf("the reason is %v, want used_up", reason)
	}
}
