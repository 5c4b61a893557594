package outcomes

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestFieldsOfTheApplication: a field that is called like a part of a proof and
// cannot be one may be the application's own. With a clearance that is the way
// past it; without one it is malformed, as it is at verify.
func TestFieldsOfTheApplication(t *testing.T) {
	fields := "a=1" + strings.Repeat("&a=1", 1000)
	for _, c := range []struct{ name, provider, contentType, body, reason string }{
		{"an object", harness.Tencent, "application/json", `{"ticket":{"title":"x"}}`, "type"},
		{"null", harness.GeeTestV4, "application/json", `{"lot_number":null}`, "type"},
		{"NDJSON", harness.GeeTestV4, "application/json", "{\"a\":1}\n{\"b\":2}\n", "body"},
		{"many fields", harness.GeeTestV4, harness.FormType, fields, "body"},
		{"a number, and what is no proof", harness.Tencent, harness.FormType, "ticket=17&randstr=@abc", "ticket"},
		{"twice", harness.Tencent, harness.FormType, "ticket=1&ticket=2", "duplicate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := harness.NewGate(t)
			g.Run(g.Captcha(c.provider, "clearance 30m") + g.Proxy())
			send := func(path string, header ...string) harness.Answer {
				return harness.Send(t, harness.NewRequest(t, "POST", g.URL+path, c.body, append(header, "Content-Type", c.contentType)...))
			}
			call := send("/login")
			g.Want(call, 403, "missing")
			if got := call.Problem(t)["reason"]; got != c.reason {
				t.Errorf("the reason is %v, want %s", got, c.reason)
			}
			page := send("/login", "Sec-Fetch-Mode", "navigate")
			g.Want(page, 403, "missing")
			if got := page.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/html") {
				t.Errorf("a navigation gets %s, want the page", got)
			}
			g.Want(send("/.captcha/default/verify"), 400, "malformed")

			cookie := harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/.captcha/default/verify", g.Proof(c.provider).Encode(), "Content-Type", harness.FormType)).Cookies()
			if len(cookie) == 0 {
				t.Fatalf("verify gives %d cookies", len(cookie))
			}
			g.WantPassed(send("/login", "Cookie", cookie[0].Name+"="+cookie[0].Value))

			g.Run(g.Captcha(c.provider) + g.Proxy())
			g.Want(send("/login"), 400, "malformed")
		})
	}
}

// TestPrefetchTakesNoUse: what a browser asks for in advance is refused with
// the problem, and the use is there for the person.
func TestPrefetchTakesNoUse(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m {\nmax_uses 1\n}") + g.Proxy())
	cookie := harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/.captcha/default/verify", g.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType)).Cookies()[0]
	get := func(header ...string) harness.Answer {
		return harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/login", "", append(header, "Cookie", cookie.Name+"="+cookie.Value, "Sec-Fetch-Mode", "navigate")...))
	}
	for _, purpose := range []string{"prefetch", "prefetch;prerender"} {
		a := get("Sec-Purpose", purpose)
		g.Want(a, 403, "missing")
		if got := a.Problem(t)["reason"]; got != "prefetch" {
			t.Errorf("%s: the reason is %v", purpose, got)
		}
	}
	g.WantPassed(get())
	g.Want(get(), 403, "missing") // used up
}

// TestRefusalsHaveAnID: the answer, the page and the log have the same one.
func TestRefusalsHaveAnID(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m") + g.Proxy())
	id, _ := harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/login", "")).Problem(t)["id"].(string)
	page := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/login", "", "Sec-Fetch-Mode", "navigate"))
	entries := g.Entries("captcha refused")
	if len(entries) != 2 || len(id) != 36 || entries[0]["id"] != id {
		t.Fatalf("the problem's id is %q, logged was %v", id, entries)
	}
	if shown, _ := entries[1]["id"].(string); shown == id || !strings.Contains(page.Text, ">"+shown+"<") {
		t.Errorf("the page does not show the id %s", shown)
	}
}

// TestPlaceholdersReadAsEmpty: an application that gets one in a header gets no
// literal name for a request that is not matched.
func TestPlaceholdersReadAsEmpty(t *testing.T) {
	var got http.Header
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	t.Cleanup(upstream.Close)
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4) + "reverse_proxy " + upstream.Listener.Addr().String() + " {\n" +
		"header_up X-Outcome \"[{http.captcha.outcome}]\"\nheader_up X-Rest \"[{http.captcha.reason}{http.captcha.policy}{http.captcha.provider}{http.captcha.score}]\"\n}\n")
	harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/other", ""))
	if got.Get("X-Outcome") != "[]" || got.Get("X-Rest") != "[]" {
		t.Errorf("the application gets %q and %q", got.Get("X-Outcome"), got.Get("X-Rest"))
	}
	g.GetWith(g.Proof(harness.GeeTestV4))
	if got.Get("X-Outcome") != "[passed]" || got.Get("X-Rest") != "[defaultgeetest_v4]" {
		t.Errorf("a matched one gets %q and %q", got.Get("X-Outcome"), got.Get("X-Rest"))
	}
}

// TestOurCookiesStayHere: no request that goes on carries them, matched or not,
// and nothing else that begins so is lost.
func TestOurCookiesStayHere(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m") + g.Proxy())
	const cookies = "a=1; captcha-default=x; __Host-captcha-default=y; captcha-other=2; captcha=3; my-captcha-default=4"
	for _, path := range []string{"/other", "/login"} {
		request := harness.NewRequest(t, "GET", g.URL+path, "", "Cookie", cookies)
		harness.SetHeaders(request.Header, g.Proof(harness.GeeTestV4))
		if a := harness.Send(t, request); a.StatusCode != 200 {
			t.Fatalf("%s: %s", path, a.Status)
		}
		if got, want := g.App.LastHeader.Get("Cookie"), "a=1; captcha-other=2; captcha=3; my-captcha-default=4"; got != want {
			t.Errorf("%s: the application gets %q, want %q", path, got, want)
		}
	}
}

// TestBoostedLinks: htmx would put the answer into the page, so it is told to
// navigate to the request's own path, and never to another host.
func TestBoostedLinks(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m") + g.Proxy())
	for _, c := range []struct{ method, target, boosted, want string }{
		{"GET", "/login?a=b%20c", "true", "/login?a=b%20c"},
		{"GET", "//login", "true", "/login"},
		{"GET", `/%5c/login`, "true", ""},
		{"GET", "/login", "", ""},
		{"POST", "/login", "true", ""},
	} {
		request := harness.NewRequest(t, c.method, g.URL, "", "HX-Request", "true", "Accept", "text/html")
		request.URL.Opaque = "//" + request.URL.Host + c.target
		if c.boosted != "" {
			request.Header.Set("HX-Boosted", c.boosted)
		}
		a := harness.Send(t, request)
		got := a.Header.Get("HX-Redirect")
		if a.StatusCode == 403 && (c.want != "" && got != c.want || c.boosted == "" && got != "" || c.method == "POST" && got != "") {
			t.Errorf("%s %s: HX-Redirect %q, want %q", c.method, c.target, got, c.want)
		}
		if strings.HasPrefix(got, "//") || strings.HasPrefix(got, `/\`) || strings.HasPrefix(got, "/%5c") && a.StatusCode == 403 && got != "/%5c/login" {
			t.Errorf("%s: HX-Redirect %q leads elsewhere", c.target, got)
		}
	}
}
