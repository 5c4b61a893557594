package clearances

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestDomainClearances takes a clearance from one host of a domain to others,
// as a browser does that keeps the domain's cookies.
func TestDomainClearances(t *testing.T) {
	g := harness.NewGate(t)
	site := g.Captcha(harness.GeeTestV4, "clearance 30m {\ndomain Shop.Example\n}", "refusal problem") + g.Proxy()
	harness.Run(t, strings.Replace(g.Caddyfile(site), harness.Globals,
		harness.Globals+"servers {\ntrusted_proxies static 127.0.0.0/8\ntrusted_proxies_strict\n}\n", 1))
	g.URL = "http://" + harness.Address(t, "srv0")
	ask := func(scheme, host, method, path, body string, header ...string) harness.Answer {
		t.Helper()
		request := harness.NewRequest(t, method, g.URL+path, body, append(header, "X-Forwarded-Proto", scheme)...)
		request.Host = host
		return harness.Send(t, request)
	}
	clear := func(scheme, host string) (cookies []*http.Cookie) {
		t.Helper()
		a := ask(scheme, host, "POST", "/.captcha/default/verify", g.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType)
		if cookies = a.Cookies(); a.StatusCode != http.StatusNoContent || len(cookies) != 2 {
			t.Fatalf("verify answered %d with cookies %v: %s", a.StatusCode, cookies, a.Text)
		}
		return cookies
	}

	cookies := clear("https", "www.shop.example")
	for n, name := range []string{"__Secure-captcha-default", "captcha_until_default"} {
		if c := cookies[n]; c.Name != name || c.Domain != "shop.example" || !c.Secure || c.MaxAge != 1800 {
			t.Errorf("got the cookie %s, want %s of the domain", c.Raw, name)
		}
	}
	both := harness.Pair(cookies[0]) + "; theme=dark; " + harness.Pair(cookies[1])
	for _, host := range []string{"www.shop.example", "shop.example", "LOGIN.shop.example:8443"} {
		g.WantPassed(ask("https", host, "GET", "/login", "", "Cookie", both))
	}
	if got := g.Entries("a clearance is good for its host alone"); len(got) != 0 {
		t.Errorf("logged %v", got)
	}
	for host, scheme := range map[string]string{"www.shop.example": "http", "shop.example.evil.test": "https", "evilshop.example": "https"} {
		g.WantReason(ask(scheme, host, "GET", "/login", "", "Cookie", both), "none")
	}

	// A refusal about the clearance removes the domain's hint.
	a := ask("https", "shop.example", "GET", "/login", "", "Cookie", "__Secure-captcha-default=junk; captcha_until_default=1")
	g.WantReason(a, "invalid")
	if got := a.Header.Get("Set-Cookie"); got != "captcha_until_default=; Path=/; Domain=shop.example; Max-Age=0; Secure; SameSite=Lax" {
		t.Errorf("got the cookie %q", got)
	}

	// What is got elsewhere is good there alone, and the operator is told.
	for n, elsewhere := range []struct{ scheme, host, name, reason string }{
		{"http", "www.shop.example", harness.PlainName, "because it was got over http"},
		{"https", "evil.test", harness.SecureName, "because the host is not of the domain"},
	} {
		c := clear(elsewhere.scheme, elsewhere.host)[0]
		if c.Name != elsewhere.name || c.Domain != "" {
			t.Errorf("got the cookie %s, want %s of the host", c.Raw, elsewhere.name)
		}
		g.WantPassed(ask(elsewhere.scheme, elsewhere.host, "GET", "/login", "", "Cookie", harness.Pair(c)))
		g.WantReason(ask(elsewhere.scheme, "shop.example", "GET", "/login", "", "Cookie", harness.Pair(c)), map[bool]string{true: "none", false: "invalid"}[elsewhere.scheme == "https"])
		clear(elsewhere.scheme, elsewhere.host) // warns no more
		harness.AwaitEntries(t, g, "a clearance is good for its host alone", n+1)
		if entry := g.Entries("a clearance is good for its host alone")[n]; !strings.Contains(entry["msg"].(string), elsewhere.reason) || entry["domain"] != "shop.example" || entry["host"] != elsewhere.host {
			t.Errorf("logged %v", entry)
		}
	}
	if got := len(g.Entries("a clearance is good for its host alone")); got != 2 {
		t.Errorf("%d warnings, want one of each kind", got)
	}
}
