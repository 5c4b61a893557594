// Package pages tests what is made for browsers: the endpoints, the page and the
// injected script.
package pages

import (
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

var nonceAttribute = regexp.MustCompile(`nonce="([^"]*)"`)

// TestThePageIsNeverStoredAndSpeaksTheLanguage checks the header of the page,
// both as a refusal and for the dialog.
func TestThePageIsNeverStoredAndSpeaksTheLanguage(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	nonces := make(map[string]bool)
	for language, lang := range map[string]string{"": "en", "de": "en", "zh": "zh-CN", "zh-TW,en;q=0.5": "zh-TW", "en-GB,zh;q=0.9": "en"} {
		for path, status := range map[string]int{"/login": 403, "/.captcha/default/page": 200} {
			a := harness.Send(t, harness.NewRequest(t, "GET", g.URL+path, "", harness.Navigate(language)...))
			if a.StatusCode != status {
				t.Fatalf("%s: status %d: %s", path, a.StatusCode, a.Text)
			}
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "Vary": "Accept-Language", "Content-Type": "text/html; charset=utf-8",
				"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "strict-origin",
				"ETag": "", "Last-Modified": "", "Expires": "", "Access-Control-Allow-Origin": "", "Location": "", "Refresh": "",
			} {
				if got := strings.Join(a.Header.Values(name), ", "); got != want {
					t.Errorf("%s in %q: %s %q, want %q", path, language, name, got, want)
				}
			}
			if !strings.Contains(a.Text, `<html lang="`+lang+`"`) {
				t.Errorf("%s in %q is not in %s: %.80s", path, language, lang, a.Text)
			}
			if len(a.Cookies()) != 0 {
				t.Errorf("%s sets the cookies %v", path, a.Cookies())
			}
			var nonce string
			for _, match := range nonceAttribute.FindAllStringSubmatch(a.Text, -1) {
				if nonce != "" && match[1] != nonce {
					t.Errorf("%s has two nonces", path)
				}
				nonce = match[1]
			}
			if nonce == "" || nonces[nonce] {
				t.Errorf("%s: the nonce %q is not a new one", path, nonce)
			}
			nonces[nonce] = true
			if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'nonce-"+nonce+"'") {
				t.Errorf("%s: the nonce %s is not in %s", path, nonce, csp)
			}
		}
	}
}

// TestOnlyAPageThatWasGotReloads: the page repeats a GET by itself, and nothing
// else. HEAD gets the header of the page alone.
func TestOnlyAPageThatWasGotReloads(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS", "get"} {
		a := harness.Send(t, harness.NewRequest(t, method, g.URL+"/login", "", harness.Navigate("en")...))
		g.Want(a, 403, "missing")
		if got := a.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", method, got)
		}
		if method == "HEAD" {
			if a.Text != "" || a.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("HEAD: body %q, header %v", a.Text, a.Header)
			}
			continue
		}
		reloads := strings.Contains(html.UnescapeString(a.Text), `"reload":true`)
		if !reloads && !strings.Contains(html.UnescapeString(a.Text), `"reload":false`) {
			t.Fatalf("%s: the page does not say whether it reloads", method)
		}
		if reloads != (method == "GET") {
			t.Errorf("%s: the page reloads: %t", method, reloads)
		}
	}
}

// ownPage is an operator's page with a line of its own.
const ownPage = `<!DOCTYPE html>
<html lang="{{.Lang}}" dir="{{.Dir}}"><head><title>{{.Text.title}}</title>
<script src="{{.Script}}" integrity="{{.Integrity}}" nonce="{{.Nonce}}" data-captcha="page" data-settings="{{.Settings}}" defer></script>
</head><body><p id="captcha-status"></p><div id="captcha-widget"></div><button id="captcha-button"></button>
<p>of the house {{.Policy}} {{.Provider}} {{.Outcome}} {{.Reason}}</p>
LINE
</body></html>
`

func TestThePageOfTheOperatorIsServed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.html"), []byte(ownPage), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CAPTCHA_TEST_PAGES", dir)
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m", "page_template {env.CAPTCHA_TEST_PAGES}/own.html") + g.Proxy())
	const payload = `zz"'><script>alert(1)</script>{{.Nonce}}`
	request := harness.NewRequest(t, "GET", g.URL+"/login?zz="+payload[:2], "", append(harness.Navigate("zh-TW,zz"), "Referer", "https://zz.example/"+payload, "User-Agent", payload,
		"Cookie", harness.PlainName+"=zz", "X-Forwarded-Host", "zz.example", "X-Request-Id", payload)...)
	request.Host = "zz.example"
	a := harness.Send(t, request)
	g.Want(a, 403, "missing")
	if !strings.Contains(a.Text, "of the house default geetest_v4 missing invalid") || !strings.Contains(a.Text, `lang="zh-TW"`) {
		t.Errorf("the page is %s", a.Text)
	}
	if strings.Contains(strings.ReplaceAll(a.Text, "zz-", ""), "zz") || strings.Contains(a.Header.Get("Content-Security-Policy"), "zz") {
		t.Errorf("the page holds a part of the request: %s", a.Text)
	}
	nonce := nonceAttribute.FindStringSubmatch(a.Text)
	if nonce == nil || !strings.Contains(a.Header.Get("Content-Security-Policy"), nonce[1]) || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v of %s", a.Header, a.Text)
	}
	// The file was read at load; what becomes of it since then shows at the
	// next load.
	if err := os.Remove(filepath.Join(dir, "own.html")); err != nil {
		t.Fatal(err)
	}
	if a := g.At("GET", "page", ""); a.StatusCode != http.StatusOK || !strings.Contains(a.Text, "of the house default") {
		t.Errorf("the page without its file: %d %s", a.StatusCode, a.Text)
	}
}

// TestABrokenPageDoesNotLoad: the error says where, and the config that was
// running goes on.
func TestABrokenPageDoesNotLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "own.html")
	t.Setenv("CAPTCHA_TEST_PAGES", dir)
	g := harness.BrowserGate(t, harness.GeeTestV4)
	for _, c := range []struct{ line, option, want string }{
		{"{{if}}", file, "own.html:6"},
		{"{{.Secret}}", "{env.CAPTCHA_TEST_PAGES}/own.html", file + ":6"},
		{"{{.Text.nonsense}}", file, file + ":6"},
		{"", file + "x", "page_template"},
		{"", "{env.CAPTCHA_TEST_UNSET}/own.html", "{env.CAPTCHA_TEST_UNSET}"},
		{"", "{http.request.host}/own.html", "{http.request.host}"},
		{"", dir, dir},
	} {
		if err := os.WriteFile(file, []byte(strings.Replace(ownPage, "LINE", c.line, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		config, err := harness.Adapt(g.Caddyfile(g.Captcha(harness.GeeTestV4, "clearance 30m", "page_template "+c.option) + g.Proxy()))
		if err != nil {
			t.Fatal(err)
		}
		err = caddy.Load([]byte(config), true)
		if err == nil {
			t.Fatalf("%q in %s loads", c.line, c.option)
		}
		for _, want := range []string{c.want, "page", `policy "default"`} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %q, want %q in it", err, want)
			}
		}
		if a := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/login", "", harness.Navigate("en")...)); a.StatusCode != 403 || !strings.Contains(a.Text, "captcha-widget") {
			t.Errorf("after %q the old config answers %d", err, a.StatusCode)
		}
	}
}
