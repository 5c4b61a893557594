package pages

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
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
			g := harness.NewGate(t)
			clearance := ""
			if c.clearance != "" {
				clearance = "clearance " + c.clearance
			}
			g.Run(g.Captcha(harness.GeeTestV4, clearance, "refusal "+c.option) + g.Proxy())
			a := harness.Send(t, harness.NewRequest(t, c.method, g.URL+"/login", "", c.header...))
			g.Want(a, 403, "missing")
			if got := a.Header.Get("Content-Type"); got != c.want {
				t.Errorf("Content-Type %q, want %q", got, c.want)
			}
			if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Captcha-Policy") != "default" {
				t.Errorf("header %v", a.Header)
			}
			if c.want == problem {
				if got := a.Problem(t)["challenge"]; got != "/.captcha/default/challenge" {
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
		g := harness.BrowserGate(t, harness.GeeTestV4)
		g.Fail(harness.Respond(500, ""))
		a := harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/login", g.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType, "Sec-Fetch-Mode", "navigate"))
		g.Want(a, 503, "outage")
		if got := a.Header.Get("Content-Type"); got != problem {
			t.Errorf("Content-Type %q: another captcha does not help", got)
		}
	})
}

// TestNothingOfTheRequestIsInThePage asks for pages with payloads in whatever
// could be reflected.
func TestNothingOfTheRequestIsInThePage(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	const payload = `zz"'><script>alert(1)</script>`
	for _, target := range []string{"/login?" + url.QueryEscape(payload), "/login/" + url.PathEscape(payload), "/login?zz=javascript:alert(1)"} {
		request := harness.NewRequest(t, "GET", g.URL+target, "",
			"Sec-Fetch-Mode", "navigate", "Accept-Language", "zz,en", "Referer", "https://zz.example/"+payload,
			"User-Agent", payload, "X-Forwarded-Host", "zz.example", "Cookie", "captcha-default="+"zz", "Origin", "https://zz.example")
		request.Host = "zz.example"
		a := harness.Send(t, request)
		if a.StatusCode != 403 || !strings.Contains(a.Text, "<html") {
			t.Fatalf("status %d: %.200s", a.StatusCode, a.Text)
		}
		if strings.Contains(a.Text, "zz") || strings.Contains(a.Header.Get("Content-Security-Policy"), "zz") {
			t.Errorf("%s: the page or its policy holds a part of the request", target)
		}
	}
}

// TestAPageThatCannotBeMadeForwardsNothing: a template that fails when it is
// needed must not end in an error route, which may lead to the application.
func TestAPageThatCannotBeMadeForwardsNothing(t *testing.T) {
	builtIn, err := os.ReadFile(harness.Path(t, "internal", "browser", "challenge.html"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, append(builtIn, `{{if eq .Policy "default"}}{{index .Text 1}}{{end}}`...), 0o600); err != nil {
		t.Fatal(err)
	}
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m", "page_template "+file) + g.Proxy() + "handle_errors {\n" + g.Proxy() + "}\n")
	a := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/login", "", "Sec-Fetch-Mode", "navigate"))
	g.Want(a, 403, "missing")
	if !strings.Contains(a.Text, "captcha-fallback") {
		t.Errorf("no page came: %s", a.Text)
	}
	if a := g.At("GET", "page", ""); a.StatusCode != 200 || len(g.Seen()) != 0 {
		t.Errorf("status %d", a.StatusCode)
	}
	if len(g.Entries("the page template fails")) == 0 {
		t.Error("the operator is not told")
	}
}

// TestTheCaptchasOwnPageIsNotInjected, also where captcha_inject stands around
// captcha.
func TestTheCaptchasOwnPageIsNotInjected(t *testing.T) {
	g := harness.NewGate(t)
	g.Run("route {\ncaptcha_inject\n" + g.Captcha(harness.GeeTestV4, "clearance 30m") + g.Proxy() + "}\n")
	for _, path := range []string{"/login", "/.captcha/default/page", "/.captcha/default//page"} {
		a := harness.Send(t, harness.NewRequest(t, "GET", g.URL+path, "", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin"))
		if n := strings.Count(a.Text, "<script src="); n != 1 || strings.Contains(a.Text, `data-captcha="inject"`) {
			t.Errorf("%s: %d scripts, want our own alone: %d", path, n, a.StatusCode)
		}
	}
}

// TestCallsThatNobodyIsShownACaptchaFor: where pages do not have the script,
// their calls are refused and people see the application's error. The log says
// so, unless somebody opens the captcha in between.
func TestCallsThatNobodyIsShownACaptchaFor(t *testing.T) {
	const hint = "the pages' scripts make calls that are refused"
	call := []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "empty"}
	for name, test := range map[string]struct {
		header []string
		opens  int // the captcha, after so many calls
		hints  int
	}{
		"calls":                     {call, 0, 1},
		"calls, and a captcha":      {call, 9, 0},
		"calls from elsewhere":      {[]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "empty"}, 0, 0},
		"pictures":                  {[]string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "image"}, 0, 0},
		"what is not from a page":   {nil, 0, 0},
		"people who are shown ours": {[]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "document"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := harness.BrowserGate(t, harness.GeeTestV4)
			for n := range 12 {
				if n == test.opens && n > 0 {
					if a := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/.captcha/default/page", "", "Sec-Fetch-Dest", "iframe")); !strings.HasPrefix(a.Status, "200") {
						t.Fatalf("the page: %s", a.Status)
					}
				}
				g.Want(harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/login", "", test.header...)), 403, "missing")
			}
			entries := g.Entries(hint)
			if len(entries) != test.hints {
				t.Fatalf("the log says it %d times, want %d", len(entries), test.hints)
			}
			if test.hints > 0 && (entries[0]["level"] != "warn" || entries[0]["path"] != "/login" || entries[0]["policy"] != "default") {
				t.Errorf("the entry is %v", entries[0])
			}
		})
	}
}
