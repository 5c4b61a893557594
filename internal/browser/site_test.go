package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
	"github.com/caddycaptcha/caddycaptcha/internal/form"
)

// A refusal is what a test has `verify` or `challenge` answer.
type refusal struct {
	status         int
	outcome, proof string
	retryAfter     string
}

// site is an application behind a gate, and a provider on another origin. The
// gate only counts and keeps a cookie: it verifies nothing.
type site struct {
	t             *testing.T
	app, provider *httptest.Server
	mux           *http.ServeMux // of app
	widget        *Widget

	mu             sync.Mutex
	kind           string // geetest_v3, geetest_v4, tencent, intl
	mode           string // of the provider's look-alike
	reason         string // of what is refused after the cookie was set; then the cookie does not count
	cleared        bool   // the page is told that it is cleared
	challenges     []refusal
	verifies       []refusal
	proofs         []url.Values
	asked          int            // challenges
	scripts        int            // of the provider
	pages          int            // challenge pages
	frames         int            // widget pages
	down           bool           // the challenge says that the provider is
	options        map[string]any // of the widget
	withoutScripts bool           // ours cannot be had
	shell          bool           // something answers for the widget page that is not it
	posted         []post         // what was sent to /login
	stall          chan struct{}
}

const base = "/.captcha/login"

// post is a request that was not a GET.
type post struct {
	contentType, body string
	passed            bool // to the application
}

func adapterOf(t *testing.T, kind string) string {
	t.Helper()
	if kind == "intl" {
		kind = "tencent"
	}
	adapter, err := os.ReadFile("../../verifier/" + kind + ".js")
	if err != nil {
		t.Fatal(err)
	}
	return string(adapter)
}

func newSite(t *testing.T, kind string) *site {
	s := &site{t: t, kind: kind, stall: make(chan struct{})}
	s.provider = httptest.NewServer(http.HandlerFunc(s.serveScript))
	s.widget = NewWidget(adapterOf(t, kind), s.sources(), nil)
	mux := http.NewServeMux()
	s.mux = mux
	mux.HandleFunc("/login", s.serveApp)
	mux.HandleFunc("GET "+base+"/page", s.servePage)
	mux.HandleFunc("GET "+base+"/challenge", s.serveChallenge)
	mux.HandleFunc("POST "+base+"/verify", s.serveVerify)
	mux.HandleFunc("GET "+base+"/{script}", func(w http.ResponseWriter, r *http.Request) {
		script, _, ok := s.widget.ScriptNamed(r.PathValue("script"))
		if !ok || s.withoutScripts {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		s.write(w, script.Content)
	})
	mux.HandleFunc("POST "+base+"/needed", func(w http.ResponseWriter, r *http.Request) {
		cleared, _ := s.clearance(r)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"needed":"unknown","cleared":%t}`, cleared)
	})
	mux.HandleFunc("GET /form", s.serveForm)
	mux.HandleFunc("GET /frame", s.serveFrame)
	mux.HandleFunc("GET /many", func(w http.ResponseWriter, r *http.Request) {
		n := 20
		if r.URL.RawQuery == "3" {
			n = 3
		}
		w.Header().Set("Content-Type", "text/html")
		s.write(w, []byte("<!doctype html><title>many</title>"+strings.Repeat(`<iframe src="/login"></iframe>`, n)))
	})
	s.app = httptest.NewServer(mux)
	t.Cleanup(func() {
		close(s.stall)
		s.app.Close()
		s.provider.Close()
	})
	return s
}

func (s *site) write(w http.ResponseWriter, body []byte) {
	// A reload or the end of a test may cut an answer short.
	_, _ = w.Write(body)
}

// set changes the site while the browser uses it.
func (s *site) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *site) serveScript(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.scripts++
	s.mu.Unlock()
	switch r.URL.RawQuery {
	case "missing":
		http.NotFound(w, r)
		return
	case "stalled":
		select {
		case <-s.stall:
		case <-r.Context().Done():
		}
		return
	}
	w.Header().Set("Content-Type", "text/javascript")
	for _, name := range []string{"common.js", r.URL.Path[1:]} {
		content, err := os.ReadFile("testdata/widgets/" + name)
		if err != nil {
			s.t.Error(err)
		}
		s.write(w, content)
	}
}

func (s *site) sources() map[string][]string {
	style := []string{s.provider.URL}
	if strings.HasPrefix(s.kind, "geetest") {
		style = append(style, "'unsafe-inline'")
	}
	return map[string][]string{
		"script-src": {s.provider.URL}, "style-src": style, "connect-src": {s.provider.URL},
		"img-src": {s.provider.URL, "data:"}, "frame-src": {s.provider.URL},
	}
}

// clearance tells whether the browser has one that counts, and else why not.
func (s *site) clearance(r *http.Request) (cleared bool, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cookie, err := r.Cookie("captcha-login"); err == nil && cookie.Value == "passed" {
		return s.reason == "", s.reason
	}
	return s.cleared, "none"
}

func (s *site) serveApp(w http.ResponseWriter, r *http.Request) {
	pass, reason := s.clearance(r)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	if r.Method != http.MethodGet {
		s.set(func() { s.posted = append(s.posted, post{r.Header.Get("Content-Type"), string(body), pass}) })
	}
	if !pass {
		s.refuseNavigation(w, r, body, reason)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	s.write(w, []byte("<!doctype html><title>app</title><h1 id=app>Welcome</h1>"))
}

func (s *site) refuseNavigation(w http.ResponseWriter, r *http.Request, body []byte, reason string) {
	s.set(func() { s.pages++ })
	data := Data{
		Lang: Language(r.Header.Get("Accept-Language")), Nonce: Nonce(), Base: base, Policy: "login", Provider: s.kind,
		Outcome: "missing", Reason: reason, ID: "the-id", Next: Reload, Framed: r.Header.Get("Sec-Fetch-Dest") == "iframe",
	}
	if r.Method != http.MethodGet {
		var ok bool
		data.Next = Back
		if data.Form, ok = form.Parse(r.Header.Get("Content-Type"), body); ok {
			data.Next = Resend
		}
		if r.Header.Get("Sec-Fetch-Site") != "same-origin" {
			data.Next, data.Form = Home, form.Form{}
		}
	}
	page, err := defaultPage(s.t).Render(data)
	if err != nil {
		s.t.Error(err)
	}
	SetHeader(w.Header(), data)
	w.WriteHeader(http.StatusForbidden)
	s.write(w, page)
}

func (s *site) servePage(w http.ResponseWriter, r *http.Request) {
	cleared, reason := s.clearance(r)
	shell := false
	s.set(func() { s.frames++; shell = s.shell })
	if shell { // of a service worker, say
		w.Header().Set("Content-Type", "text/html")
		s.write(w, []byte("<!doctype html><title>shell</title>The application"))
		return
	}
	data := WidgetData{Lang: Language(r.Header.Get("Accept-Language")), Nonce: Nonce(), Base: base, Policy: "login", Cleared: cleared, Reason: reason}
	page, err := s.widget.Render(data)
	if err != nil {
		s.t.Error(err)
	}
	s.widget.SetHeader(w.Header(), data.Nonce)
	s.write(w, page)
}

func (s *site) serveForm(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Cache-Control", "no-store")
	s.write(w, []byte("<!doctype html><title>form</title><form method=post action=/login><input name=user value=zoë><input type=password name=password value='a&b%~*'><button id=send>send</button></form>"))
}

// serveFrame is an application's page with the dialog's frame, which keeps the
// messages that it gets, and begins when the frame says hello.
func (s *site) serveFrame(w http.ResponseWriter, r *http.Request) {
	src := base + "/page"
	if r.URL.Query().Has("app") {
		src = "/login"
	}
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<!doctype html><title>frame</title><meta name=viewport content="width=device-width"><body style="background: linear-gradient(135deg, #24425f, #a04a2a)"><script>
		window.states = [];
		addEventListener('message', (e) => {
			if (e.origin !== location.origin || e.source !== document.getElementById('frame').contentWindow || e.data.captcha !== 'login') return;
			states.push(e.data.state);
			if (e.data.state === 'hello') { window.text = e.data.text; if (location.search !== '?wait') e.source.postMessage({ captcha: 'login', state: 'begin' }, location.origin); }
			if (e.data.state === 'again') document.getElementById('frame').contentWindow.location.reload();
		})</script><iframe id=frame src="%s" style="position:fixed;inset:0;width:100%%;height:100%%;border:0;color-scheme:light dark"></iframe>`, src)
}

func take(queue *[]refusal) (first refusal) {
	if len(*queue) > 0 {
		first, *queue = (*queue)[0], (*queue)[1:]
	}
	return first
}

func (s *site) refuse(w http.ResponseWriter, how refusal) {
	w.Header().Set("Content-Type", "application/problem+json")
	if how.retryAfter != "" {
		w.Header().Set("Retry-After", how.retryAfter)
	}
	w.WriteHeader(how.status)
	fmt.Fprintf(w, `{"status":%d,"detail":"…","outcome":%q,"proof":%q}`, how.status, how.outcome, how.proof)
}

func (s *site) serveChallenge(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if how := take(&s.challenges); how.status != 0 {
		s.refuse(w, how)
		return
	}
	challenge := map[string]any{}
	switch s.kind {
	case "geetest_v3":
		challenge = map[string]any{"script": s.provider.URL + "/geetest.js?" + s.mode, "success": 1, "gt": "gt", "challenge": fmt.Sprintf("challenge%d", s.asked), "new_captcha": true}
	case "geetest_v4":
		challenge = map[string]any{"script": s.provider.URL + "/geetest.js?" + s.mode, "captcha_id": "id"}
	case "tencent":
		challenge = map[string]any{"script": s.provider.URL + "/tencent.js?" + s.mode, "captcha_app_id": "123", "site": "cn", "aidEncrypted": "aid+/=", "aidEncryptedType": "gcm"}
	case "intl":
		challenge = map[string]any{"script": s.provider.URL + "/tencent.js?intl" + s.mode, "captcha_app_id": "123", "site": "intl"}
	}
	challenge["down"], challenge["widget"] = s.down, s.options
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(challenge); err != nil {
		s.t.Error(err)
	}
}

func (s *site) serveVerify(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "same-origin" {
		s.t.Errorf("got Sec-Fetch-Site %q", site)
	}
	if err := r.ParseForm(); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proofs = append(s.proofs, r.PostForm)
	how := take(&s.verifies)
	switch how.status {
	case 0:
		http.SetCookie(w, &http.Cookie{Name: "captcha-login", Value: "passed", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		w.WriteHeader(http.StatusNoContent)
	case -1: // the connection breaks in the middle of the answer, or Chromium would ask again
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusOK)
		s.write(w, []byte("{"))
		if err := http.NewResponseController(w).Flush(); err != nil {
			s.t.Error(err)
		}
		panic(http.ErrAbortHandler)
	default:
		s.refuse(w, how)
	}
}

// tab is a browser tab with what tests do in it.
type tab struct {
	t        *testing.T
	ctx      context.Context
	language string // in which the page speaks; English unless set
}

func newTab(t *testing.T, before ...chromedp.Action[chromedp.Void]) tab {
	tab := tab{t: t, ctx: browsertest.New(t)}
	tab.do(before...)
	return tab
}

func (b tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for _, action := range actions {
		if err := chromedp.Do(b.ctx, action); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b tab) open(url string)         { b.t.Helper(); b.do(browsertest.Open(url)) }
func (b tab) await(expression string) { b.t.Helper(); b.do(browsertest.Await(expression)) }

// clock keeps all timers of a second and more, until fire lets those of a delay
// (in ms) go off.
func clock() chromedp.Action[chromedp.Void] {
	return before(`(() => {
		const kept = new Map();
		const { setTimeout, clearTimeout } = window;
		window.setTimeout = (run, delay, ...args) => {
			if (!(delay >= 1000)) return setTimeout(run, delay, ...args);
			const id = {};
			kept.set(id, { run: () => run(...args), delay });
			return id;
		};
		window.clearTimeout = (id) => kept.delete(id) || clearTimeout(id);
		window.fire = (from, to) => {
			for (const [id, timer] of kept) {
				if (timer.delay < from || timer.delay > to) continue;
				kept.delete(id);
				timer.run();
				return true;
			}
			return false;
		};
	})()`)
}

// before runs a script in every document before its own.
func before(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	})
}

// eval runs a script whose value does not matter, at once.
func (b tab) eval(script string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("(() => {"+script+"; return true})()")); err != nil {
		b.t.Fatal(err)
	}
}

// shown is the window of the document that a person sees: the challenge page,
// or the widget page that it or the dialog frames.
const shown = `(() => {
	let w = document.getElementById('frame') ? document.getElementById('frame').contentWindow : window;
	const frame = w.document.querySelector('iframe[src$="/page"]');
	return frame && frame.style.visibility === 'visible' ? frame.contentWindow : w;
})()`

// widget is the window of the widget page, seen or not.
const widget = `(() => {
	let w = document.getElementById('frame') ? document.getElementById('frame').contentWindow : window;
	const frame = w.document.querySelector('iframe[src$="/page"]');
	return frame ? frame.contentWindow : w;
})()`

// awaitIn waits until an expression is true of w, which is one of those windows.
func (b tab) awaitIn(w, expression string) {
	b.t.Helper()
	b.await("((w) => " + expression + ")(" + w + ")")
}

// says waits until the page says a text, and offers one button or none.
func (b tab) says(text, button string) {
	b.t.Helper()
	want := fmt.Sprintf(`(d => d.getElementById('captcha-status').textContent.replace(/ \(.*\)$/, '') === %q`, textIn(b.language)[text])
	if button == "" {
		want += ` && d.getElementById('captcha-button').hidden`
	} else {
		want += fmt.Sprintf(` && !d.getElementById('captcha-button').hidden && d.getElementById('captcha-button').textContent === %q`, textIn(b.language)[button])
	}
	b.awaitIn(shown, want+`)(w.document)`)
}

// press clicks the button of that id when it shows.
func (b tab) press(id string) {
	b.t.Helper()
	b.awaitIn(shown, fmt.Sprintf(`(e => e && !e.hidden && (e.click(), true))(w.document.getElementById(%q))`, id))
}

// frameSays waits until a frame that the page cannot reach says a text, and
// offers a button.
func (b tab) frameSays(url, text, button string) {
	b.t.Helper()
	b.do(browsertest.AwaitInFrame(url, fmt.Sprintf("document.getElementById('captcha-status').textContent === %q && document.getElementById('captcha-button').textContent === %q",
		textIn(english)[text], textIn(english)[button])))
}

// fire lets a kept timer go off, of a delay between two in ms.
func (b tab) fire(from, to int) {
	b.t.Helper()
	b.awaitIn(widget, fmt.Sprintf("w.fire(%d, %d)", from, to))
}

// sound fails the test if the browser has complained.
func (b tab) sound(except ...string) {
	b.t.Helper()
	problems := slices.DeleteFunc(browsertest.Problems(b.ctx), func(problem string) bool {
		return slices.ContainsFunc(except, func(text string) bool { return strings.Contains(problem, text) })
	})
	if len(problems) > 0 {
		b.t.Errorf("the browser reports %q", problems)
	}
}
