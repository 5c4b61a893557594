package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

type action = chromedp.Action[chromedp.Void]

// A gated is an application, the gate in front of it and the script in its
// pages; with an empty policies it is the bare application. The policy login
// protects /login, pay protects /pay, and both protect /both. The application
// answers every other path but /app, its page, in the same way.
type gated struct {
	t        *testing.T
	server   *httptest.Server
	policies []string
	unknown  string // the policy that the page has no script for
	forms    string // the selector, form[method=post] unless set
	head     string // of the page, before the script
	body     string
	charset  string
	csp      string
	mode     string // of the challenge page; an HTTP error when it is "broken"
	outcome  string // of refusals, missing unless set
	uses     int    // of a clearance, unlimited unless set
	isolated bool   // the page has COEP

	mu       sync.Mutex
	received []string // by the application, as it came
	pages    int      // challenge pages
	ready    int      // challenge pages that can be clicked
	solved   int
	foreseen []string       // what the gate was asked about: method and path
	used     map[string]int // by clearance
}

var challengePage = template.Must(template.ParseFiles("testdata/inject/page.html"))

func serveApp(t *testing.T, g *gated) *gated {
	g.t = t
	g.used = map[string]int{}
	g.server = httptest.NewUnstartedServer(g)
	return g
}

func (g *gated) start() *gated {
	g.server.Start()
	g.t.Cleanup(g.server.Close)
	return g
}

// startTLS serves HTTP/2, over which browsers send streams.
func (g *gated) startTLS() *gated {
	g.server.EnableHTTP2 = true
	g.server.StartTLS()
	g.t.Cleanup(g.server.Close)
	return g
}

func (g *gated) port() string {
	return g.server.URL[strings.LastIndex(g.server.URL, ":")+1:]
}

func (g *gated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/app" { // which may go to the back/forward cache
		w.Header().Set("Cache-Control", "no-store")
	}
	if r.Header.Get("Origin") != "" && r.Header.Get("Origin") != origin(r) {
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Access-Control-Expose-Headers", "Captcha-Outcome, Captcha-Policy")
	}
	parts := strings.Split(r.URL.Path, "/") // /.captcha/login/page
	switch {
	case parts[1] == ".captcha" && len(parts) == 4:
		g.serveEndpoint(w, r, parts[2], parts[3])
	case r.URL.Path == "/app":
		g.servePage(w)
	case r.URL.Path == "/favicon.ico":
	default:
		g.serveRest(w, r, parts[1])
	}
}

func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (g *gated) serveEndpoint(w http.ResponseWriter, r *http.Request, policy, endpoint string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch endpoint {
	case browser.InjectedScript.Name:
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(browser.InjectedScript.Content)
	case "page":
		g.pages++
		if g.mode == "broken" {
			http.Error(w, "overloaded", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		data := map[string]any{"Policy": policy, "Mode": g.mode, "Cleared": g.clearance(r, policy) != ""}
		if err := challengePage.Execute(w, data); err != nil {
			g.t.Error(err)
		}
	case "verify":
		g.solved++
		http.SetCookie(w, &http.Cookie{Name: "captcha-" + policy, Value: fmt.Sprint(g.solved), Path: "/", HttpOnly: true})
		if g.uses == 0 {
			http.SetCookie(w, &http.Cookie{Name: "captcha_until_" + policy, Value: "1", Path: "/"})
		}
		w.WriteHeader(http.StatusNoContent)
	case "ready":
		g.ready++
	case "needed":
		g.serveNeeded(w, r, policy)
	}
}

// serveNeeded answers as a gate whose matchers can be foreseen, but for
// /nothing.
func (g *gated) serveNeeded(w http.ResponseWriter, r *http.Request, policy string) {
	var asked struct{ Method, URL string }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		g.t.Error(err)
	}
	u, err := url.Parse(asked.URL)
	if err != nil {
		g.t.Error(err)
		return
	}
	g.foreseen = append(g.foreseen, asked.Method+" "+u.Path)
	answer := map[string]any{"needed": "no", "cleared": g.clearance(r, policy) != ""}
	if first := strings.Split(u.Path, "/")[1]; first == policy || first == "both" || first == "nothing" {
		answer["needed"] = "unknown"
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		g.t.Error(err)
	}
}

// clearance returns the request's own, if it is good for one use more.
func (g *gated) clearance(r *http.Request, policy string) string {
	cookie, err := r.Cookie("captcha-" + policy)
	if err != nil || g.uses > 0 && g.used[policy+cookie.Value] >= g.uses {
		return ""
	}
	return policy + cookie.Value
}

func (g *gated) servePage(w http.ResponseWriter) {
	if g.charset == "" {
		g.charset = "utf-8"
	}
	w.Header().Set("Content-Type", "text/html; charset="+g.charset)
	if g.csp != "" {
		w.Header().Set("Content-Security-Policy", g.csp)
	}
	_, _ = io.WriteString(w, "<!doctype html><title>app</title>"+g.head)
	for _, policy := range g.policies {
		if policy == g.unknown {
			continue
		}
		forms := g.forms
		if forms == "" {
			forms = "form[method=post]"
		}
		_, _ = fmt.Fprintf(w, `<script src="/.captcha/%s/%s" integrity="%s" data-captcha="inject" data-policy="%[1]s" data-forms="%[4]s"%[5]s></script>`,
			policy, browser.InjectedScript.Name, browser.InjectedScript.Integrity, html.EscapeString(forms), map[bool]string{true: " data-isolated"}[g.isolated])
	}
	_, _ = io.WriteString(w, `<script nonce="app">
		const note = (...words) => { sessionStorage.notes = (sessionStorage.notes ?? "") + words.join(" ") + "\n" };
		const seen = (phase) => (event) => note(phase, event.type, event.target.id, event.submitter?.id ?? "", event.defaultPrevented);
		</script>`+g.body)
}

var boundary = regexp.MustCompile(`----WebKitFormBoundary\w+`)

func (g *gated) serveRest(w http.ResponseWriter, r *http.Request, path string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the page has aborted it
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, policy := range g.policies {
		if path != policy && path != "both" {
			continue
		}
		clearance := g.clearance(r, policy)
		if clearance == "" {
			g.refuse(w, policy)
			return
		}
		g.used[clearance]++
	}
	line := strings.TrimSpace(strings.Join([]string{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("X-App")}, " "))
	if r.ContentLength < 0 {
		line += " (of unknown length)"
	}
	g.received = append(g.received, boundary.ReplaceAllString(line+"\n"+string(body), "BOUNDARY"))
	switch path {
	case "forged":
		g.refuse(w, "login")
	case "served":
		w.Header().Set("Captcha-Outcome", "missing")
		w.Header().Set("Captcha-Policy", "login")
	case "there":
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusSeeOther)
	case "nothing":
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, "<title>received</title>%s %d", r.Method, len(body))
	}
}

func (g *gated) refuse(w http.ResponseWriter, policy string) {
	outcome := g.outcome
	if outcome == "" {
		outcome = "missing"
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Captcha-Outcome", outcome)
	w.Header().Set("Captcha-Policy", policy)
	w.WriteHeader(http.StatusForbidden)
	_, _ = fmt.Fprintf(w, `{"outcome": %q}`, outcome)
}

// count returns a number that the server counts.
func (g *gated) count(of *int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return *of
}

func (g *gated) requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.received...)
}

// until waits for a condition of the server.
func until(condition func() bool) action {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for !condition() {
			if err := chromedp.Do(ctx, chromedp.Sleep(10*time.Millisecond)); err != nil {
				return fmt.Errorf("waiting for the server: %w", err)
			}
		}
		return nil
	})
}

// The dialog covers the page, from which its content cannot be reached.
const shown = `[...document.documentElement.children].indexOf(document.elementFromPoint(100, 300)) > 1`

// asked waits until the n-th challenge page is shown.
func (g *gated) asked(n int) action {
	return chromedp.Steps(until(func() bool { return g.count(&g.ready) >= n }), browsertest.Await(shown))
}

func (g *gated) solve(n int) action {
	return chromedp.Steps(g.asked(n), chromedp.MouseClickXY(100, 300))
}

func (g *gated) giveUp(n int) action {
	return chromedp.Steps(g.asked(n), chromedp.MouseClickXY(700, 300), browsertest.Await("!("+shown+")"))
}

func (g *gated) receives(n int) action {
	return until(func() bool { return len(g.requests()) >= n })
}

func js(expression string) action { return chromedp.Evaluate[chromedp.Void](expression) }

func click(selector string) action { return chromedp.Click(chromedp.CSS(selector)) }

// open shows the application's page in a new tab.
func (g *gated) open(t *testing.T, steps ...action) context.Context {
	t.Helper()
	ctx := browsertest.New(t)
	do(t, ctx, browsertest.Open(g.server.URL+"/app"))
	do(t, ctx, steps...)
	return ctx
}

func do(t *testing.T, ctx context.Context, steps ...action) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("%v; the tab reported %q", err, browsertest.Problems(ctx))
	}
}

func notes(t *testing.T, ctx context.Context) string {
	t.Helper()
	notes, err := chromedp.Run(ctx, chromedp.Evaluate[string]("sessionStorage.notes ?? ''"))
	if err != nil {
		t.Fatal(err)
	}
	return notes
}

func expectNoProblems(t *testing.T, ctx context.Context) {
	t.Helper()
	if problems := browsertest.Problems(ctx); len(problems) != 0 {
		t.Errorf("the tab reported %q", problems)
	}
}

func expectEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}
