package integration

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAClearanceLetsABrowserPassWithoutAnotherProof(t *testing.T) {
	for _, provider := range providers {
		t.Run(provider, func(t *testing.T) {
			g := browserGate(t, provider)
			cookie := g.clear(provider)
			if cookie.Name != "captcha-default" || cookie.Path != "/" || !cookie.HttpOnly || cookie.Secure ||
				cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 1800 || cookie.Domain != "" {
				t.Errorf("the cookie is %s", cookie.Raw)
			}
			if seen := g.seen(); len(seen) != 0 {
				t.Errorf("the app saw %q: verify forwards nothing", seen)
			}
			for range 3 {
				g.wantPassed(g.getCleared(cookie.Name + "=" + cookie.Value))
			}
			if g.calls() != 1 {
				t.Errorf("the provider was called %d times, want once", g.calls())
			}
			g.want(g.getCleared("captcha-default=x"), 403, "missing")
			g.want(g.getCleared(""), 403, "missing")
		})
	}
}

func TestTheAppDoesNotSeeClearances(t *testing.T) {
	g := newGate(t)
	g.run(g.captcha(geetestV4, "clearance 30m") +
		"captcha /admin* admin {\n" + g.verifier(geetestV4) + "clearance 30m\n}\n" + g.proxy())
	cookie := g.clear(geetestV4)
	sent := "a=1; " + cookie.Name + "=" + cookie.Value + "; __Host-captcha-admin=y; captcha-other=z;  b=\"2\""
	if a := g.getCleared(sent); a.StatusCode != 200 {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	if got, want := g.header.Get("Cookie"), "a=1; captcha-other=z;  b=\"2\""; got != want {
		t.Errorf("the app got the cookies %q, want %q", got, want)
	}
}

func TestAClearanceIsForOnePolicyAndHost(t *testing.T) {
	g := newGate(t)
	g.run(g.captcha(geetestV4, "clearance 30m") +
		"captcha /admin* admin {\n" + g.verifier(geetestV4) + "clearance 30m\n}\n" + g.proxy())
	cookie := g.clear(geetestV4)
	other := send(t, newRequest(t, "GET", g.url+"/admin", "", "Cookie", "captcha-admin="+cookie.Value+"; "+cookie.Name+"="+cookie.Value))
	g.want(other, 403, "missing")
	if reason := other.problem(t)["reason"]; reason != "invalid" {
		t.Errorf("the reason is %v, want invalid", reason)
	}
	elsewhere := newRequest(t, "GET", g.url+"/login", "", "Cookie", cookie.Name+"="+cookie.Value)
	elsewhere.Host = "another.example"
	g.want(send(t, elsewhere), 403, "missing")
	// Two policies on one request each want their own.
	g.run(g.captcha(geetestV4, "clearance 30m") +
		"captcha /login* admin {\n" + g.verifier(geetestV4) + "clearance 30m\n}\n" + g.proxy())
	cookie = g.clear(geetestV4)
	g.want(g.getCleared(cookie.Name+"="+cookie.Value), 403, "missing")
	both := cookie.Name + "=" + cookie.Value
	for _, c := range send(t, newRequest(t, "POST", g.url+"/.captcha/admin/verify", g.solve(geetestV4).Encode(), "Content-Type", formType)).Cookies() {
		both += "; " + c.Name + "=" + c.Value
	}
	g.wantPassed(g.getCleared(both))
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
			g := newGate(t)
			site := g.captcha(geetestV4, "clearance 30m {\n"+c.option+"\n}") + g.proxy()
			run(t, strings.Replace(g.caddyfile(site), globals, globals+"servers {\ntrusted_proxies static private_ranges\ntrusted_proxies_strict\n}\n", 1))
			g.url = "http://" + address(t, "srv0")
			first := c.same
			if c.header == "X-Forwarded-For" {
				first = "203.0.113.1" // the same /24
			}
			cookie := g.clear(geetestV4, c.header, first)
			g.wantPassed(g.getCleared(cookie.Name+"="+cookie.Value, c.header, c.same))
			a := g.getCleared(cookie.Name+"="+cookie.Value, c.header, c.other)
			if c.reason == "" {
				g.wantPassed(a)
				return
			}
			g.want(a, 403, "missing")
			if reason := a.problem(t)["reason"]; reason != c.reason {
				t.Errorf("the reason is %v, want %s", reason, c.reason)
			}
		})
	}
}

// TestUsesAreCountedExactly sends more requests at once than one clearance has
// uses, through two handlers of its policy, each of which would take one.
func TestUsesAreCountedExactly(t *testing.T) {
	const uses, requests = 7, 64
	g := newGate(t)
	gate := g.captcha(geetestV4, "clearance 30m {\nmax_uses 7\n}")
	g.run(gate + "route {\n" + gate + g.proxy() + "}\n")
	cookie := g.clear(geetestV4)
	var passed atomic.Int32
	var workers sync.WaitGroup
	for range requests {
		workers.Go(func() {
			if g.getCleared(cookie.Name+"="+cookie.Value).StatusCode == 200 {
				passed.Add(1)
			}
		})
	}
	workers.Wait()
	if passed.Load() != uses || len(g.seen()) != uses {
		t.Errorf("%d requests passed, want %d", passed.Load(), uses)
	}
	a := g.getCleared(cookie.Name + "=" + cookie.Value)
	if reason := a.problem(t)["reason"]; reason != "used_up" {
		t.Errorf("the reason is %v, want used_up", reason)
	}
}
