package integration

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhoGetsThePage checks all refusals by who asks.
func TestWhoGetsThePage(t *testing.T) {
	const page, problem = "text/html; charset=utf-8", "application/problem+json"
	for _, c := range []struct {
		name, option, clearance string
		method                  string
		header                  []string
		want                    string
	}{
		{"a browser navigates", "auto", "30m", "GET", []string{"Sec-Fetch-Mode", "navigate"}, page},
		{"page says the same", "page", "30m", "GET", []string{"Sec-Fetch-Mode", "navigate"}, page},
		{"a form is posted", "auto", "30m", "POST", []string{"Sec-Fetch-Mode", "navigate"}, page},
		{"an older browser", "auto", "30m", "GET", []string{"Accept", "text/html,*/*;q=0.8"}, page},
		{"fetch that takes HTML", "auto", "30m", "GET", []string{"Sec-Fetch-Mode", "cors", "Accept", "text/html"}, problem},
		{"an API client", "page", "30m", "GET", []string{"Accept", "*/*"}, problem},
		{"problem is asked for", "problem", "30m", "GET", []string{"Sec-Fetch-Mode", "navigate"}, problem},
		{"no clearance", "auto", "", "GET", []string{"Sec-Fetch-Mode", "navigate"}, problem},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(t)
			clearance := ""
			if c.clearance != "" {
				clearance = "clearance " + c.clearance
			}
			g.run(g.captcha(geetestV4, clearance, "refusal "+c.option) + g.proxy())
			a := send(t, newRequest(t, c.method, g.url+"/login", "", c.header...))
			g.want(a, 403, "missing")
			if got := a.Header.Get("Content-Type"); got != c.want {
				t.Errorf("Content-Type %q, want %q", got, c.want)
			}
			if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Captcha-Policy") != "default" {
				t.Errorf("header %v", a.Header)
			}
			if c.want == problem {
				if got := a.problem(t)["challenge"]; got != "/.captcha/default/challenge" {
					t.Errorf("challenge %v", got)
				}
				return
			}
			if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'self'") {
				t.Errorf("Content-Security-Policy %q", csp)
			}
		})
	}
	t.Run("the provider is down", func(t *testing.T) {
		g := browserGate(t, geetestV4)
		g.Fail(respond(500, ""))
		a := send(t, newRequest(t, "POST", g.url+"/login", g.solve(geetestV4).Encode(), "Content-Type", formType, "Sec-Fetch-Mode", "navigate"))
		g.want(a, 503, "outage")
		if got := a.Header.Get("Content-Type"); got != problem {
			t.Errorf("Content-Type %q: another captcha does not help", got)
		}
	})
}

// TestNothingOfTheRequestIsInThePage asks for pages with payloads in whatever
// could be reflected.
func TestNothingOfTheRequestIsInThePage(t *testing.T) {
	g := browserGate(t, geetestV4)
	const payload = `zz"'><script>alert(1)</script>`
	for _, target := range []string{"/login?" + url.QueryEscape(payload), "/login/" + url.PathEscape(payload), "/login?zz=javascript:alert(1)"} {
		request := newRequest(t, "GET", g.url+target, "",
			"Sec-Fetch-Mode", "navigate", "Accept-Language", "zz,en", "Referer", "https://zz.example/"+payload,
			"User-Agent", payload, "X-Forwarded-Host", "zz.example", "Cookie", "captcha-default="+"zz", "Origin", "https://zz.example")
		request.Host = "zz.example"
		a := send(t, request)
		if a.StatusCode != 403 || !strings.Contains(a.body, "<html") {
			t.Fatalf("status %d: %.200s", a.StatusCode, a.body)
		}
		if strings.Contains(a.body, "zz") || strings.Contains(a.Header.Get("Content-Security-Policy"), "zz") {
			t.Errorf("%s: the page or its policy holds a part of the request", target)
		}
	}
}

// TestAPageThatCannotBeMadeForwardsNothing: a template that fails when it is
// needed must not end in an error route, which may lead to the application.
func TestAPageThatCannotBeMadeForwardsNothing(t *testing.T) {
	builtIn, err := os.ReadFile("internal/browser/page.html")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, append(builtIn, `{{if eq .Policy "default"}}{{index .Text 1}}{{end}}`...), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGate(t)
	g.run(g.captcha(geetestV4, "clearance 30m", "page_template "+file) + g.proxy() + "handle_errors {\n" + g.proxy() + "}\n")
	a := send(t, newRequest(t, "GET", g.url+"/login", "", "Sec-Fetch-Mode", "navigate"))
	g.want(a, 403, "missing")
	if !strings.Contains(a.body, "captcha-widget") {
		t.Errorf("no page came: %s", a.body)
	}
	if a := g.at("GET", "page", ""); a.StatusCode != 200 || len(g.seen()) != 0 {
		t.Errorf("status %d", a.StatusCode)
	}
	if len(g.entries("the page template fails")) == 0 {
		t.Error("the operator is not told")
	}
}

// TestTheCaptchasOwnPageIsNotInjected, also where captcha_inject stands around
// captcha.
func TestTheCaptchasOwnPageIsNotInjected(t *testing.T) {
	g := newGate(t)
	g.run("route {\ncaptcha_inject\n" + g.captcha(geetestV4, "clearance 30m") + g.proxy() + "}\n")
	for _, path := range []string{"/login", "/.captcha/default/page", "/.captcha/default//page"} {
		a := send(t, newRequest(t, "GET", g.url+path, "", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin"))
		if n := strings.Count(a.body, "captcha.js?v="); n != 1 || strings.Contains(a.body, `data-captcha="inject"`) {
			t.Errorf("%s: %d scripts, want our own alone: %d", path, n, a.StatusCode)
		}
	}
}
