// Package pages tests what is made for browsers: the endpoints, the page and the
// injected script.
package pages

import (
	"encoding/json"
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
	for language, lang := range map[string]string{"": "en", "de": "de", "nl": "en", "zh": "zh-CN", "zh-TW,en;q=0.5": "zh-TW", "en-GB,zh;q=0.9": "en"} {
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

// next returns what a challenge page does when the captcha is solved, and what
// it sends again.
func next(t *testing.T, page string) (next, entries string) {
	t.Helper()
	match := regexp.MustCompile(`data-settings="([^"]*)"`).FindStringSubmatch(page)
	if match == nil {
		t.Fatalf("the page has no settings: %s", page)
	}
	var settings struct {
		Next    string
		Entries json.RawMessage
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(match[1])), &settings); err != nil {
		t.Fatal(err)
	}
	return settings.Next, string(settings.Entries)
}

// TestOnlyAPageThatWasGotReloads: the page repeats a GET by itself. HEAD gets
// the header of the page alone.
func TestOnlyAPageThatWasGotReloads(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	for method, want := range map[string]string{"GET": "reload", "HEAD": "", "POST": "back", "PUT": "back", "OPTIONS": "back", "get": "back"} {
		a := harness.Send(t, harness.NewRequest(t, method, g.URL+"/login", "", harness.Navigate("en")...))
		g.Want(a, 403, "missing")
		if got := a.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", method, got)
		}
		if method == "HEAD" {
			if a.Text != "" || a.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("HEAD: body %q, header %v", a.Text, a.Header)
			}
		} else if got, _ := next(t, a.Text); got != want {
			t.Errorf("%s: the page does %s next, want %s", method, got, want)
		}
	}
}

// TestWhatAPageSendsAgain: a form of a page of the site's own, which a browser
// can encode to the same bytes, whether the policy looks into bodies or not.
func TestWhatAPageSendsAgain(t *testing.T) {
	const ordinary = "user=alice&password=s%26cret"
	const form = "application/x-www-form-urlencoded"
	own := []string{"Sec-Fetch-Site", "same-origin"}
	long := "a=" + strings.Repeat("x", 1<<20)
	tests := []struct {
		name, method, contentType, body string
		header                          []string
		next, entries                   string
	}{
		{"form", "POST", form, ordinary, own, "resend", `[["user","alice"],["password","s\u0026cret"]]`},
		{"markup", "POST", form, "a=%3C%2Fscript%3E%22%27", own, "resend", `[["a","\u003c/script\u003e\"'"]]`},
		{"nothing", "POST", form, "", own, "resend", "[]"},
		{"a browser without Fetch metadata", "POST", form, ordinary, []string{"Origin", "ORIGIN"}, "resend", `[["user","alice"],["password","s\u0026cret"]]`},
		{"of another scheme", "POST", form, ordinary, []string{"Origin", "https://HOST"}, "home", ""},
		{"of another site", "POST", form, ordinary, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, "home", ""},
		{"of another site, with a clumsy proxy", "POST", form, ordinary, []string{"Sec-Fetch-Site", "cross-site", "Origin", "ORIGIN"}, "home", ""},
		{"of another origin of the site", "POST", form, ordinary, []string{"Sec-Fetch-Site", "same-site"}, "home", ""},
		{"of an opaque origin", "POST", form, ordinary, []string{"Origin", "null"}, "home", ""},
		{"of a bookmark", "POST", form, ordinary, []string{"Sec-Fetch-Site", "none"}, "home", ""},
		{"of nobody knows whom", "POST", form, ordinary, nil, "back", ""},
		{"PUT", "PUT", form, ordinary, own, "back", ""},
		{"a charset", "POST", form + "; charset=utf-8", ordinary, own, "back", ""},
		{"not as a browser encodes it", "POST", form, "a=%c3", own, "back", ""},
		{"JSON", "POST", "application/json", "{}", own, "back", ""},
		{"too long", "POST", form, long, own, "back", ""},
	}
	for name, options := range map[string][]string{"forms are searched": nil, "the header is": {"from header"}} {
		g := harness.NewGate(t)
		g.Run(g.Captcha(harness.GeeTestV4, append(options, "clearance 30m", "body_limit 2MiB")...) + g.Proxy())
		for _, test := range tests {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				header := append(harness.Navigate("en"), "Content-Type", test.contentType)
				for _, field := range test.header {
					header = append(header, strings.NewReplacer("ORIGIN", g.URL, "HOST", strings.TrimPrefix(g.URL, "http://")).Replace(field))
				}
				a := harness.Send(t, harness.NewRequest(t, test.method, g.URL+"/login?a=b", test.body, header...))
				g.Want(a, 403, "missing")
				if next, entries := next(t, a.Text); next != test.next || entries != test.entries {
					t.Errorf("the page does %s with %.100s next, want %s with %s", next, entries, test.next, test.entries)
				}
				wantReferrer := "strict-origin"
				if test.next == "resend" {
					wantReferrer = "same-origin"
				}
				csp := a.Header.Get("Content-Security-Policy")
				if got := a.Header.Get("Referrer-Policy"); got != wantReferrer || strings.Contains(csp, "form-action") == (test.next == "resend") {
					t.Errorf("Referrer-Policy %s, Content-Security-Policy %s", got, csp)
				}
			})
		}
		if len(g.Seen()) != 0 {
			t.Errorf("%s: the application saw %d requests", name, len(g.Seen()))
		}
	}
}

// ownPage is an operator's page with a line of its own.
const ownPage = `<!DOCTYPE html>
<html lang="{{.Lang}}" dir="{{.Text.dir}}"><head><title>{{.Text.title}}</title>
<script src="{{.Script}}" integrity="{{.Integrity}}" nonce="{{.Nonce}}" data-captcha="page" data-settings="{{.Settings}}" defer></script>
</head><body><p id="captcha-status"></p><button id="captcha-button"></button>
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
	if a := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/login", "", harness.Navigate("en")...)); a.StatusCode != http.StatusForbidden || !strings.Contains(a.Text, "of the house default") {
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
