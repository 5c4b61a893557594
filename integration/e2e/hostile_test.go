package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// TestFramedByAnother site, the challenge page says that it cannot work there,
// and the widget page is not shown.
func TestFramedByAnother(t *testing.T) {
	w := newWorld(t, setup{})
	for _, path := range []string{"/members", "/.captcha/default/page"} {
		t.Run(path, func(t *testing.T) {
			p := newPerson(t)
			p.open(foreign(t, `<title>Foreign</title><script>window.got = []; addEventListener("message", (e) => got.push(e.data))</script>
				<iframe src="`+w.url+path+`" onload="window.loaded = true"></iframe>`))
			p.await("window.loaded && got.length === 0")
			if path == "/members" {
				meeting{p, "/members"}.says("framed", "window")
			} else {
				p.inDialog().await("document.body.innerText.includes('pages of its own origin only')")
			}
			if calls := w.simulator.Calls(); calls != 0 {
				t.Errorf("the provider was asked %d times", calls)
			}
		})
	}
}

// TestAnotherSiteVerifies: it can neither give a person a clearance with a
// proof of its own, nor spend the proof by trying.
func TestAnotherSiteVerifies(t *testing.T) {
	w := newWorld(t, setup{})
	proof, err := w.simulator.Solve("geetest_v4", simulator.SolveOptions{ID: captchaV4})
	if err != nil {
		t.Fatal(err)
	}
	verify := w.url + "/.captcha/default/verify"
	fields := ""
	for name := range proof {
		fields += `<input name="` + name + `" value="` + proof.Get(name) + `">`
	}
	p := newPerson(t)
	p.open(foreign(t, `<title>Foreign</title><form method="post" action="`+verify+`">`+fields+`</form>`))
	for _, mode := range []string{"cors", "no-cors"} {
		p.run(`fetch("` + verify + `", { method: "POST", mode: "` + mode + `", credentials: "include", body: new URLSearchParams(new FormData(document.forms[0])) })
			.then((r) => { document.title = "type " + r.type }, (e) => { document.title = "error " + e.name })`)
		p.arrives(map[string]string{"cors": "error TypeError", "no-cors": "type opaque"}[mode])
	}
	p.run("setTimeout(() => document.forms[0].submit())")
	p.await("location.pathname.endsWith('/verify') && document.body.innerText.includes('pages of its own origin only')")
	if got := p.clearances(w.url); len(got) != 0 {
		t.Errorf("the browser has the clearance %v", got)
	}
	if calls := w.simulator.Calls(simulator.V4ValidatePath); calls != 0 {
		t.Errorf("the provider verified %d proofs", calls)
	}
	answer, err := http.PostForm(verify, proof)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		t.Errorf("the proof is answered with %s afterwards", answer.Status)
	}
}

// TestAnotherSiteAsksForChallenges: it gets none, and none is registered.
func TestAnotherSiteAsksForChallenges(t *testing.T) {
	w := newWorld(t, setup{provider: "geetest_v3"})
	challenge := w.url + "/.captcha/default/challenge"
	p := newPerson(t)
	p.open(foreign(t, `<title>Foreign</title><script src="`+challenge+`" onerror="window.script = true"></script>
		<img src="`+challenge+`" onerror="window.image = true"><link rel="stylesheet" href="`+challenge+`"><iframe src="`+challenge+`"></iframe>
		<script>fetch("`+challenge+`", { credentials: "include" }).catch(() => { window.fetched = true })</script>`))
	p.await("window.script && window.image && window.fetched && document.readyState === 'complete'")
	if calls := w.simulator.Calls(simulator.V3RegisterPath); calls != 0 {
		t.Errorf("%d challenges were registered", calls)
	}
}

// TestAnswersThatLookLikeOurs: the application's own bring the dialog, but at
// most once; another origin's, another policy's and other statuses do not.
func TestAnswersThatLookLikeOurs(t *testing.T) {
	refuse := func(status int, policy string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Access-Control-Expose-Headers", "*")
			w.Header().Set("Captcha-Outcome", "missing")
			w.Header().Set("Captcha-Policy", policy)
			w.WriteHeader(status)
		}
	}
	w := newWorld(t, setup{})
	w.app.page("/like", refuse(403, "default"))
	w.app.page("/unknown", refuse(403, "__proto__"))
	w.app.page("/status", refuse(503, "default"))
	p := newPerson(t)
	p.open(w.url + "/login")
	p.arrives("Login")
	call := map[string]string{
		"fetch": `fetch(URL, { method: "POST" }).then((r) => { document.title = "NAME " + r.status })`,
		"xhr":   `const x = new XMLHttpRequest(); x.open("POST", URL); x.onload = () => { document.title = "NAME " + x.status }; x.send()`,
	}
	for name, script := range call {
		for _, url := range []string{w.app.URL + "/like", w.url + "/unknown", w.url + "/status"} {
			p.run(strings.NewReplacer("URL", `"`+url+`"`, "NAME", name+" "+url).Replace(script))
			status := " 403"
			if strings.HasSuffix(url, "/status") {
				status = " 503"
			}
			p.arrives(name + " " + url + status)
		}
	}
	sent := len(w.app.got())
	if sent != 6 {
		t.Errorf("the application got %d calls, want each once", sent)
	}
	p.does(strings.NewReplacer("URL", `"/like"`, "NAME", "like").Replace(call["fetch"]))
	p.inDialog().solve()
	p.arrives("like 403")
	if got := len(w.app.got()) - sent; got != 2 {
		t.Errorf("the application got %d calls, want the one and its repetition", got)
	}
	p.sound()
}

// TestAnIsolatedPage: the captcha works in a page that keeps other origins out,
// for providers that open no frame of their own.
func TestAnIsolatedPage(t *testing.T) {
	for _, policy := range []string{"require-corp", "credentialless"} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.app.page("/login", func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "text/html")
				rw.Header().Set("Cross-Origin-Embedder-Policy", policy)
				rw.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
				if r.Method == http.MethodPost {
					_, _ = rw.Write([]byte("<!doctype html><title>Welcome</title>"))
					return
				}
				_, _ = rw.Write([]byte(loginPage))
			})
			p := newPerson(t)
			p.open(w.url + "/login")
			p.submit()
			p.inDialog().solve()
			p.arrives("Welcome")
			p.sound()
		})
	}
}

// TestAPageWithErrors of its own: the captcha works all the same.
func TestAPageWithErrors(t *testing.T) {
	w := newWorld(t, setup{})
	w.app.html("/login", strings.Replace(loginPage, "<body>", `<body><script>
		window.onerror = () => true;
		addEventListener("submit", () => { throw new Error("theirs 1") }, true);
		addEventListener("message", () => { throw new Error("theirs 2") });
		Promise.reject(new Error("theirs 3"));
		Array.prototype.extra = Object.prototype.extra = "theirs";
		throw new Error("theirs 4");
		</script><script>syntax error</script>`, 1))
	p := newPerson(t)
	p.open(w.url + "/login")
	p.await(`(document.querySelector("[name=user]").value = "alice") && (document.querySelector("#send").click(), true)`)
	p.inDialog().solve()
	p.awaits(func() bool { return len(w.app.got()) == 1 })
	if got := w.app.got(); string(got[0].body) != submitted {
		t.Errorf("the application got %q", got)
	}
	p.reported("theirs", "SyntaxError", "Unexpected identifier")
}

// TestPolicies of the application's pages: the captcha works, the page's own
// script as well, and nothing is reported.
func TestPolicies(t *testing.T) {
	_, script, _ := strings.Cut(loginPage, "<script>")
	script, _, _ = strings.Cut(script, "</script>")
	digest := sha256.Sum256([]byte(script))
	hash := "'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"
	tests := map[string]struct{ header, meta, attribute string }{
		"nonce":          {"default-src 'none'; script-src 'nonce-abc'; form-action 'self'", "", "nonce=abc"},
		"strict-dynamic": {"script-src 'nonce-abc' 'strict-dynamic' 'unsafe-inline' https:; object-src 'none'; base-uri 'none'", "", "nonce=abc"},
		"hash":           {"default-src 'self'; script-src " + hash + "; style-src 'none'", "", ""},
		"hash, dynamic":  {"script-src " + hash + " 'strict-dynamic'", "", ""},
		"inline":         {"default-src 'self' 'unsafe-inline'; frame-src 'none'; connect-src 'none'", "", ""},
		"frames":         {"child-src 'none'; frame-ancestors 'none'; script-src 'self' 'nonce-abc'", "", "nonce=abc"},
		"meta":           {"", "default-src 'self'; script-src 'nonce-abc'; frame-src 'none'", "nonce=abc"},
		"both":           {"script-src 'nonce-abc'; default-src 'none'; form-action 'self'", "default-src 'self'; script-src 'nonce-abc'", "nonce=abc"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			html := strings.Replace(loginPage, "<script>", "<script "+test.attribute+">", 1)
			if test.meta != "" {
				html = strings.Replace(html, "<head>", `<head><meta http-equiv="Content-Security-Policy" content="`+test.meta+`">`, 1)
			}
			w.app.page("/login", func(rw http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					_, _ = rw.Write([]byte("<!DOCTYPE html><title>Welcome</title>"))
					return
				}
				if test.header != "" {
					rw.Header().Set("Content-Security-Policy", test.header)
				}
				_, _ = rw.Write([]byte(html))
			})
			p := newPerson(t)
			p.open(w.url + "/login")
			p.await("'persisted' in window")
			p.submit()
			p.inDialog().solve()
			p.arrives("Welcome")
			if got := w.app.got(); len(got) != 1 || string(got[0].body) != submitted {
				t.Errorf("the application got %q", got)
			}
			p.sound()
		})
	}
}

// TestHTTPS: nothing of a page over https goes in the clear, and the clearance
// has the name that no other host can set, over h2.
func TestHTTPS(t *testing.T) {
	for _, provider := range []string{"geetest_v4", "geetest_v3", "tencent"} {
		t.Run(provider, func(t *testing.T) { testHTTPS(t, provider) })
	}
}

func testHTTPS(t *testing.T, provider string) {
	w := newWorld(t, setup{provider: provider, address: "https://shop.example.test", site: "tls internal\n" + directives})
	p := newPerson(t)
	p.open(w.url + "/members")
	p.onPage().solve()
	p.arrives("Members")
	if protocol := p.text("performance.getEntriesByType('navigation')[0].nextHopProtocol"); protocol != "h2" {
		t.Errorf("the protocol is %s, want h2", protocol)
	}
	got := p.clearances(w.url)
	if len(got) != 1 || got[0].Name != "__Host-captcha-default" || !got[0].Secure || !got[0].HTTPOnly || got[0].Domain != "shop.example.test" {
		t.Errorf("the browser has %+v", got)
	}
	p.open(w.url + "/login")
	p.submit()
	p.arrives("Welcome")
	p.forgets()
	p.open(w.url + "/login/again")
	p.submit()
	m := p.inDialog()
	m.says("solve", "")
	m.solve()
	p.arrives("Welcome")
	if got := w.app.got(); len(got) != 2 || slices.ContainsFunc(got, func(s sending) bool { return strings.Contains(s.cookies, "captcha") }) {
		t.Errorf("the application got %q", got)
	}
	p.sound()
}
