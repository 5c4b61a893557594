package harness

import (
	"net/http"
	"strings"
	"testing"
)

// WithGlobals is a Caddyfile of a site with clearances, with more global
// options.
func (g *Gate) WithGlobals(more string) string {
	site := g.Captcha(GeeTestV4, "clearance 30m") + g.Proxy()
	return strings.Replace(g.Caddyfile(site), Globals, Globals+more+"\n", 1)
}

// Passes asks for /login of the host that a clearance was given for.
func (g *Gate) Passes(cookie string) bool {
	g.T.Helper()
	request := NewRequest(g.T, "GET", g.URL+"/login", "", "Cookie", cookie)
	request.Host = "example.com"
	return Send(g.T, request).StatusCode == 200
}

// Cookie gets a clearance for example.com, whatever the port.
func (g *Gate) Cookie() string {
	g.T.Helper()
	request := NewRequest(g.T, "POST", g.URL+"/.captcha/default/verify", g.Proof(GeeTestV4).Encode(), "Content-Type", FormType)
	request.Host = "example.com"
	a := Send(g.T, request)
	if len(a.Cookies()) == 0 {
		g.T.Fatalf("verify answered %d: %s", a.StatusCode, a.Text)
	}
	return Pair(a.Cookies()[0])
}

// Pair is a cookie as a browser sends it.
func Pair(c *http.Cookie) string { return c.Name + "=" + c.Value }

// WantReason checks that a request was refused for want of a clearance.
func (g *Gate) WantReason(a Answer, reason string) {
	g.T.Helper()
	g.Want(a, 403, "missing")
	if got := a.Problem(g.T)["reason"]; got != reason {
		g.T.Errorf("the reason is %v, want %s", got, reason)
	}
}

// BrowserGate is a gate whose /login* a browser can pass with a clearance.
func BrowserGate(t *testing.T, provider string, clearance ...string) *Gate {
	t.Helper()
	g := NewGate(t)
	g.Run(g.Captcha(provider, "clearance 30m {\n"+strings.Join(clearance, "\n")+"\n}") + g.Proxy())
	return g
}

// At is a request of an endpoint of the policy default.
func (g *Gate) At(method, endpoint, body string, header ...string) Answer {
	g.T.Helper()
	return Send(g.T, NewRequest(g.T, method, g.URL+"/.captcha/default/"+endpoint, body, header...))
}

// Clear gets a clearance for a fresh proof, which comes before the hint.
func (g *Gate) Clear(provider string, header ...string) *http.Cookie {
	g.T.Helper()
	a := g.At("POST", "verify", g.Proof(provider).Encode(), append(header, "Content-Type", FormType)...)
	if a.StatusCode != http.StatusNoContent || len(a.Cookies()) == 0 {
		g.T.Fatalf("verify answered %d with cookies %v: %s", a.StatusCode, a.Cookies(), a.Text)
	}
	return a.Cookies()[0]
}

// GetCleared gets /login with cookies.
func (g *Gate) GetCleared(cookies string, header ...string) Answer {
	g.T.Helper()
	return Send(g.T, NewRequest(g.T, "GET", g.URL+"/login", "", append(header, "Cookie", cookies)...))
}

// The names of the clearance cookie of the policy default, over https and over
// http.
const SecureName, PlainName = "__Host-captcha-default", "captcha-default"
