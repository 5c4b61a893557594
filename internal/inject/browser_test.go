package inject

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// browserScript stands for the injected script: it frames a page and waits for
// its message.
const browserScript = `(() => {
	const ran = document.documentElement.dataset;
	ran.ours = (ran.ours || "") + "ran " + document.currentScript.dataset.policy;
	addEventListener("message", (event) => { ran.frame = event.data });
	addEventListener("DOMContentLoaded", () => {
		fetch("/.captcha/login/needed", { method: "POST" }).then((answer) => { ran.called = answer.status });
		const frame = document.createElement("iframe");
		frame.src = "/.captcha/login/page";
		document.body.append(frame);
	});
})()`

// TestPoliciesInABrowser: under every kind of policy our script runs and its
// frame loads, and of the page's own scripts the same ones run as without us.
func TestPoliciesInABrowser(t *testing.T) {
	// A server of the site's that is allowed redirects to what somebody has
	// uploaded to the site itself.
	const inline = `document.documentElement.dataset.inline = "ran"`
	digest := sha256.Sum256([]byte(inline))
	inlineHash := "'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"
	// HOST is the page's host with its port, and PORT that port.
	for _, test := range []struct {
		name    string
		headers []string
		meta    string // before everything but the title
		late    string // in the head, after a script
		own     string // which of the page's scripts run: (i)nline, (n)onced, (f)oreign, (u)ploaded
	}{
		{name: "none", own: "infu"},
		{name: "self", headers: []string{"Content-Security-Policy", "default-src 'self'"}},
		{name: "nothing", headers: []string{"Content-Security-Policy", "default-src 'none'"}},
		{name: "hosts", headers: []string{"Content-Security-Policy", "default-src 'none'; script-src cdn.example:PORT; frame-src pay.example"}, own: "f"},
		{name: "a path of our host", headers: []string{"Content-Security-Policy", "script-src HOST/static/; frame-src HOST/static/"}},
		{name: "inline", headers: []string{"Content-Security-Policy", "script-src 'unsafe-inline'; child-src 'none'"}, own: "in"},
		{name: "nonce", headers: []string{"Content-Security-Policy", "default-src 'nonce-r4nd0m'"}, own: "n"},
		{name: "nonce and inline", headers: []string{"Content-Security-Policy", "script-src 'nonce-r4nd0m' 'unsafe-inline'; frame-src blob:"}, own: "n"},
		{name: "hash", headers: []string{"Content-Security-Policy", "script-src " + inlineHash + "; child-src pay.example"}, own: "i"},
		{name: "strict with a nonce", headers: []string{"Content-Security-Policy", "script-src 'nonce-r4nd0m' 'strict-dynamic' https: http: 'unsafe-inline'; object-src 'none'; base-uri 'none'; require-trusted-types-for 'script'"}, own: "n"},
		{name: "strict with a hash", headers: []string{"Content-Security-Policy", "script-src 'strict-dynamic' 'self' " + inlineHash}, own: "i"},
		{name: "strict by default", headers: []string{"Content-Security-Policy", "default-src 'nonce-r4nd0m' 'strict-dynamic'"}, own: "n"},
		{name: "elements", headers: []string{"Content-Security-Policy", "script-src 'self' 'unsafe-inline'; script-src-elem cdn.example:PORT; frame-src 'self'"}, own: "f"},
		{name: "two headers", headers: []string{"Content-Security-Policy", "script-src 'nonce-r4nd0m' 'strict-dynamic'", "Content-Security-Policy", "script-src 'nonce-other' 'strict-dynamic'; frame-src 'none'"}},
		{name: "a list", headers: []string{"Content-Security-Policy", "script-src 'unsafe-inline', frame-src 'none', default-src *  'unsafe-inline'"}, own: "in"},
		{name: "twice the same directive", headers: []string{"Content-Security-Policy", "script-src 'none'; script-src *"}},
		{name: "only reported", headers: []string{"Content-Security-Policy-Report-Only", "default-src 'none'"}, own: "infu"},
		{name: "sandbox", headers: []string{"Content-Security-Policy", "sandbox allow-scripts allow-same-origin; frame-src 'none'"}, own: "infu"},
		{name: "integrity", headers: []string{"Integrity-Policy", "blocked-destinations=(script)"}, own: "in"},
		{name: "meta", meta: `default-src 'none'; script-src &#39;nonce-r4nd0m&#39; 'strict-dynamic'`, own: "n"},
		{name: "late meta", late: `frame-src 'none'; script-src cdn.example:PORT`, own: "f"},
		{name: "meta and header", headers: []string{"Content-Security-Policy", "script-src 'strict-dynamic' 'nonce-r4nd0m' " + inlineHash}, meta: "script-src " + inlineHash + "; frame-src HOST/static/", own: "i"},
	} {
		t.Run(test.name, func(t *testing.T) {
			digest := sha256.Sum256([]byte(browserScript))
			options := testOptions
			options.Integrity = "sha256-" + base64.StdEncoding.EncodeToString(digest[:])
			options.Log = func(_ *http.Request, reason Reason) { t.Errorf("the page was left as it was: %s", reason) }
			injector := New(options)
			page := func(w http.ResponseWriter, r *http.Request) error {
				_, port, _ := strings.Cut(r.Host, ":")
				fill := strings.NewReplacer("HOST", r.Host, "PORT", port)
				w.Header().Set("Content-Type", "text/html")
				for n := 0; n < len(test.headers); n += 2 {
					w.Header().Add(test.headers[n], fill.Replace(test.headers[n+1]))
				}
				html := "<!doctype html><html><head><title>a</title>"
				if test.meta != "" {
					html += `<meta http-equiv="Content-Security-Policy" content="` + test.meta + `">`
				}
				if test.late != "" {
					html += `<script>"<meta>"</script><meta http-equiv="Content-Security-Policy" content="` + test.late + `">`
				}
				html += "<script>" + inline + `</script><script nonce=r4nd0m>document.documentElement.dataset.nonced = "ran"</script>` +
					`<script src="http://cdn.example:PORT/foreign.js"></script><script src="http://cdn.example:PORT/redirect.js"></script></head><body>`
				_, err := io.WriteString(w, fill.Replace(html))
				return err
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var err error
				switch r.URL.Path {
				case "/.captcha/login/inject-1a2b.js":
					w.Header().Set("Content-Type", "text/javascript")
					_, err = io.WriteString(w, browserScript)
				case "/foreign.js":
					w.Header().Set("Content-Type", "text/javascript")
					_, err = io.WriteString(w, `document.documentElement.dataset.foreign = "ran"`)
				case "/redirect.js":
					http.Redirect(w, r, strings.Replace("http://"+r.Host+"/upload.js", "cdn.example", "shop.example", 1), http.StatusFound)
				case "/upload.js":
					w.Header().Set("Content-Type", "text/javascript")
					_, err = io.WriteString(w, `document.documentElement.dataset.uploaded = "ran"`)
				case "/.captcha/login/needed":
					w.WriteHeader(http.StatusAccepted)
				case "/.captcha/login/page":
					w.Header().Set("Content-Type", "text/html")
					_, err = io.WriteString(w, `<script>parent.postMessage("loaded", location.origin)</script>`)
				case "/bare":
					err = page(w, r)
				case "/":
					err = injector.ServeHTTP(w, r, caddyhttp.HandlerFunc(page))
				default:
					w.WriteHeader(http.StatusNotFound)
				}
				if err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			origin := strings.Replace(server.URL, "127.0.0.1", "shop.example", 1)
			tab := browsertest.New(t)
			own := func(path, until string) string {
				ran := `['inline', 'nonced', 'foreign', 'uploaded'].map((name) => document.documentElement.dataset[name] ? name[0] : '').join('')`
				if err := chromedp.Do(tab, browsertest.Open(origin+path), browsertest.Await("document.readyState === 'complete' && "+until)); err != nil {
					state, _ := chromedp.Run(tab, chromedp.Evaluate[string]("JSON.stringify(document.documentElement.dataset)"))
					t.Fatalf("%s: %v: %s %q", path, err, state, browsertest.Problems(tab))
				}
				result, err := chromedp.Run(tab, chromedp.Evaluate[string](ran))
				if err != nil {
					t.Fatal(err)
				}
				return result
			}
			if got := own("/bare", "true"); got != test.own {
				t.Fatalf("without the injection the scripts %q run, and the test expects %q", got, test.own)
			}
			before := violations(tab)
			if got := own("/", "document.documentElement.dataset.ours === 'ran login' && document.documentElement.dataset.frame === 'loaded' && document.documentElement.dataset.called === '202'"); got != test.own {
				t.Errorf("with the injection the scripts %q run, want %q", got, test.own)
			}
			if got := violations(tab); len(got) != 2*len(before) {
				t.Errorf("with the injection the page reports %q, without it %q", got[len(before):], before)
			}
		})
	}
}

// violations returns what the tab reported that a policy did not allow.
func violations(tab context.Context) (found []string) {
	for _, problem := range browsertest.Problems(tab) {
		// The icon is loaded once for both pages, and where a redirect leads is
		// found out by another process, perhaps when the page is gone.
		if strings.Contains(problem, "violates") && !strings.Contains(problem, "favicon.ico") && !strings.Contains(problem, "upload.js") {
			found = append(found, problem)
		}
	}
	return found
}

// TestBaseOfThePage: our script comes from the page's own origin, wherever its
// base element points.
func TestBaseOfThePage(t *testing.T) {
	digest := sha256.Sum256([]byte(browserScript))
	options := testOptions
	options.Integrity = "sha256-" + base64.StdEncoding.EncodeToString(digest[:])
	injector := New(options)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".js") {
			if !strings.HasPrefix(r.Host, "shop.example:") {
				t.Errorf("the script is asked of %s", r.Host)
			}
			w.Header().Set("Content-Type", "text/javascript")
			io.WriteString(w, browserScript)
			return
		}
		_ = injector.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "text/html")
			_, err := io.WriteString(w, `<head><base href="http://elsewhere.example/a/"><title>a</title></head>`)
			return err
		}))
	}))
	defer server.Close()
	err := chromedp.Do(browsertest.New(t), browsertest.Open(strings.Replace(server.URL, "127.0.0.1", "shop.example", 1)),
		browsertest.Await("document.documentElement.dataset.ours === 'ran login'"))
	if err != nil {
		t.Error(err)
	}
}
