package pages

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// foresight asks the endpoint `needed` about a method and a path of the site.
func foresight(g *harness.Gate, method, path string, header ...string) (needed string, cleared bool) {
	g.T.Helper()
	body, err := json.Marshal(map[string]string{"method": method, "url": g.URL + path})
	if err != nil {
		g.T.Fatal(err)
	}
	a := g.At("POST", "needed", string(body), append([]string{"Content-Type", "application/json"}, header...)...)
	if a.StatusCode != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" {
		g.T.Fatalf("needed answers %d, %v: %s", a.StatusCode, a.Header, a.Text)
	}
	var answer struct {
		Needed  string
		Cleared bool
	}
	if err := json.Unmarshal([]byte(a.Text), &answer); err != nil {
		g.T.Fatalf("%v in %s", err, a.Text)
	}
	return answer.Needed, answer.Cleared
}

// TestNeeded: "no" is what a request surely does not need a captcha for, with
// every reading of it. What is not sure is "unknown".
func TestNeeded(t *testing.T) {
	for _, test := range []struct {
		name, matcher, before string
		no, unknown           []string // method and path
	}{
		{
			name: "path", matcher: "path /login /wp-*",
			no:      []string{"post /", "GET /about?a=login", "post /loginx", "post /a/b;c"},
			unknown: []string{"post /login", "GET /login?a", "post /LOGIN", "post /x/../login", "post /login;a", "post /%6cogin", "post //a/login", "post /wp-admin", "PUT /", "DELETE /", " /"},
		},
		{name: "path and method", matcher: "path /login\nmethod POST", no: []string{"get /login", "post /"}, unknown: []string{"post /login", "get /login?_method=POST"}},
		{name: "not", matcher: "not path /public/*", no: []string{"post /public/a"}, unknown: []string{"post /", "post /public/../a", "post /public/..;/a"}},
		{name: "query", matcher: "query action=login", no: []string{"post /a", "post /?action=other"}, unknown: []string{"get /a", "post /?action=login", "post /?x=%zz&action=login"}},
		{name: "host", matcher: "host elsewhere.test", no: []string{"post /login"}},
		{name: "an expression", matcher: "expression path('/login')", unknown: []string{"post /", "post /login"}},
		{name: "a regular expression", matcher: "path_regexp (?i)^/login", unknown: []string{"post /"}},
		{name: "a header", matcher: "header X-Test 1", unknown: []string{"post /"}},
		{name: "a placeholder", matcher: "path {header.X-Test}", unknown: []string{"post /"}},
		{name: "behind a rewrite", matcher: "path /login", before: "rewrite /form /login", unknown: []string{"post /", "post /form"}},
		{name: "behind a host", matcher: "path /login", before: "request_header Host a.test", unknown: []string{"post /"}},
		{name: "before a rewrite", matcher: "path /login", before: "header X-Test 1", no: []string{"post /"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := harness.NewGate(t)
			captcha := strings.Replace(g.Captcha(harness.GeeTestV4, "clearance 30m"), "captcha /login*", "captcha @protected", 1)
			g.Run("@protected {\n" + test.matcher + "\n}\nroute {\n" + test.before + "\n" + captcha + g.Proxy() + "}\n")
			for want, requests := range map[string][]string{"no": test.no, "unknown": test.unknown} {
				for _, request := range requests {
					method, path, _ := strings.Cut(request, " ")
					if got, cleared := foresight(g, method, path); got != want || cleared {
						t.Errorf("%s: %s, cleared %t; want %s", request, got, cleared, want)
					}
				}
			}
		})
	}
}

// TestNeededSaysNoOnlyOfWhatPasses: what is "no" is forwarded without a proof,
// by every handler of the policy.
func TestNeededSaysNoOnlyOfWhatPasses(t *testing.T) {
	g := harness.NewGate(t)
	second := strings.Replace(g.Captcha(harness.GeeTestV4, "clearance 30m"), "captcha /login*", "captcha /signup", 1)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m") + second + g.Proxy())
	for _, path := range []string{"/", "/signup", "/login/x", "/SIGNUP", "/x;/signup", "/a%2Fb", "/signup/", "/%2e/signup", "/public"} {
		needed, _ := foresight(g, "post", path)
		request := harness.NewRequest(t, "POST", g.URL, "a=b", "Content-Type", harness.FormType)
		request.URL.Opaque = path
		a := harness.Send(t, request)
		if forwarded := len(g.Seen()) == 1; needed == "no" && !forwarded {
			t.Errorf("%s needs no captcha, and is answered with %d", path, a.StatusCode)
		}
	}
}

// TestNeededKnowsTheClearance, and takes no use of it.
func TestNeededKnowsTheClearance(t *testing.T) {
	for name, option := range map[string]string{"any number": "", "one use": "max_uses 1"} {
		t.Run(name, func(t *testing.T) {
			g := harness.BrowserGate(t, harness.GeeTestV4, option)
			cookie := harness.Pair(g.Clear(harness.GeeTestV4))
			for range 3 {
				if needed, cleared := foresight(g, "post", "/login", "Cookie", cookie); needed != "unknown" || !cleared {
					t.Errorf("%s, cleared %t", needed, cleared)
				}
			}
			g.WantPassed(g.GetCleared(cookie))
			if _, cleared := foresight(g, "post", "/login", "Cookie", cookie); cleared != (option == "") {
				t.Errorf("after one use: cleared %t", cleared)
			}
		})
	}
}

// TestNeededIsForThePagesOfItsOrigin, and bounded.
func TestNeededIsForThePagesOfItsOrigin(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	question := func(target string) string {
		body, err := json.Marshal(map[string]string{"method": "post", "url": target})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for name, test := range map[string]struct {
		method, body string
		header       []string
		status       int
	}{
		"another site":  {"POST", question(g.URL + "/"), []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"a GET":         {"GET", "", nil, http.StatusMethodNotAllowed},
		"no JSON":       {"POST", "method=post", nil, http.StatusBadRequest},
		"too much JSON": {"POST", question(g.URL + "/" + strings.Repeat("a", 16<<10)), nil, http.StatusBadRequest},
	} {
		if a := g.At(test.method, "needed", test.body, test.header...); a.StatusCode != test.status {
			t.Errorf("%s: %d, want %d: %s", name, a.StatusCode, test.status, a.Text)
		}
	}
	for _, target := range []string{"http://elsewhere.test/", "//" + strings.TrimPrefix(g.URL, "http://") + ".test/", "javascript:alert(1)", "http://%zz/", "mailto:a@b.test"} {
		a := g.At("POST", "needed", question(target))
		if a.StatusCode != http.StatusOK || !strings.Contains(a.Text, `"unknown"`) {
			t.Errorf("%s: %d %s", target, a.StatusCode, a.Text)
		}
	}
	if text := g.Log(); strings.Contains(text, "elsewhere.test") {
		t.Error("the log holds a URL that was asked about")
	}
}

// TestTheHint lies beside a clearance for scripts, as long as it lasts, goes
// with it, and never reaches the application.
func TestTheHint(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	a := g.At("POST", "verify", g.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType)
	cookies := a.Cookies()
	if len(cookies) != 2 || cookies[1].Name != "captcha_until_default" || cookies[1].HttpOnly || cookies[1].MaxAge != 30*60 || cookies[1].Path != "/" || cookies[1].SameSite != http.SameSiteLaxMode {
		t.Fatalf("verify sets %v", a.Header["Set-Cookie"])
	}
	both := harness.Pair(cookies[0]) + "; " + harness.Pair(cookies[1])
	request := harness.NewRequest(t, "GET", g.URL+"/login", "", "Cookie", "theme=dark; "+both)
	harness.Send(t, request)
	if seen := g.Seen(); len(seen) != 1 || g.LastHeader.Get("Cookie") != "theme=dark" {
		t.Errorf("the application saw %q with the cookies %q", seen, g.LastHeader["Cookie"])
	}
	// By itself it is worth nothing, and is removed.
	refused := g.GetCleared(harness.Pair(cookies[1]))
	g.Want(refused, http.StatusForbidden, "missing")
	if set := refused.Cookies(); len(set) != 1 || set[0].Name != "captcha_until_default" || set[0].MaxAge >= 0 {
		t.Errorf("the refusal sets %v", refused.Header["Set-Cookie"])
	}
	if refused := g.GetCleared("theme=dark"); len(refused.Cookies()) != 0 {
		t.Errorf("a refusal without the hint sets %v", refused.Header["Set-Cookie"])
	}
	if refused := g.Post(url.Values{"lot_number": {"x"}}); len(refused.Cookies()) != 0 {
		t.Errorf("a refusal sets %v", refused.Header["Set-Cookie"])
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}

	counted := harness.BrowserGate(t, harness.GeeTestV4, "max_uses 2")
	if a := counted.At("POST", "verify", counted.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType); len(a.Cookies()) != 1 {
		t.Errorf("a clearance for two uses sets %v", a.Header["Set-Cookie"])
	}
}
