package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// In the dialog the page tells who framed it what happens, and nothing else.
func TestFramed(t *testing.T) {
	tests := []struct {
		name string
		do   func(tab)
		want string
	}{
		{"passed", func(b tab) { b.press("fake-solve") }, "hello show passed"},
		{"escape", func(b tab) {
			b.press("fake-close")
			b.says("closed", "open")
			b.await("document.activeElement.id === 'frame' || (document.getElementById('frame').focus(), false)")
			b.do(chromedp.KeyEvent(kb.Escape))
		}, "hello show closed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, b := newSite(t, "geetest_v3"), newTab(t)
			b.open(s.app.URL + "/frame")
			test.do(b)
			b.await("states.join(' ') === '" + test.want + "'")
			b.await("text.open === 'Check now' && text.title && text.close && text.note && text.late")
			b.sound()
		})
	}
}

// Nothing is asked of the provider before somebody waits.
func TestAFrameWaitsToBeTold(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	b.open(s.app.URL + "/frame?wait")
	b.await("states.join(' ') === 'hello'")
	b.says("loading", "")
	if s.asked != 0 || s.scripts != 0 {
		t.Errorf("got %d challenges and %d scripts, want none", s.asked, s.scripts)
	}
	b.eval("document.getElementById('frame').contentWindow.postMessage({ captcha: 'login', state: 'begin' }, location.origin)")
	b.press("fake-solve")
	b.await("states.join(' ') === 'hello show passed'")
	b.sound()
}

// In advance all is loaded and nothing is shown. What fails meanwhile is tried
// again when somebody comes.
func TestAFrameThatIsPrepared(t *testing.T) {
	const say = "document.getElementById('frame').contentWindow.postMessage({ captcha: 'login', state: '%s' }, location.origin)"
	for _, kind := range []string{"geetest_v3", "geetest_v4", "tencent"} {
		t.Run(kind, func(t *testing.T) {
			s, b := newSite(t, kind), newTab(t)
			b.open(s.app.URL + "/frame?wait")
			b.await("states.join(' ') === 'hello'")
			b.eval(fmt.Sprintf(say, "prepare"))
			b.eval(fmt.Sprintf(say, "prepare")) // once is enough
			for loaded := false; !loaded; {
				s.set(func() { loaded = s.asked == 1 && s.scripts > 0 })
				b.do(chromedp.Sleep(20 * time.Millisecond))
			}
			// Whatever wants the focus there, it is the page's until then.
			b.eval("(d => { const field = d.body.appendChild(d.createElement('input')); field.focus(); field.remove() })(document.getElementById('frame').contentDocument)")
			b.await("document.activeElement === document.body")
			b.eval(fmt.Sprintf(say, "begin"))
			b.press("fake-solve")
			b.await("states.join(' ') === 'hello show passed'")
			if s.asked != 1 {
				t.Errorf("got %d challenges, want the one that was there", s.asked)
			}
			b.sound()
		})
	}
	t.Run("in vain", func(t *testing.T) {
		s, b := newSite(t, "geetest_v4"), newTab(t)
		s.challenges = []refusal{{500, "misconfigured", "", ""}}
		b.open(s.app.URL + "/frame?wait")
		b.await("states.join(' ') === 'hello'")
		b.eval(fmt.Sprintf(say, "prepare"))
		b.says("misconfigured", "retry")
		b.await("document.activeElement === document.body")
		b.await("states.join(' ') === 'hello'")
		b.eval(fmt.Sprintf(say, "begin"))
		b.await("states.join(' ') === 'hello show again hello'")
		b.eval(fmt.Sprintf(say, "begin"))
		b.press("fake-solve")
		b.await("states.join(' ') === 'hello show again hello show passed'")
		b.sound()
	})
}

func TestFramedWithAClearance(t *testing.T) {
	s, b := newSite(t, "geetest_v3"), newTab(t)
	s.cleared = true
	b.open(s.app.URL + "/frame")
	b.await("states.join(' ') === 'hello cleared'")
	if s.asked != 0 {
		t.Errorf("got %d challenges, want none", s.asked)
	}
	b.sound()
}

// A protected page in a frame of the application is not the dialog: it must
// come back by itself.
func TestARefusedFrameOfTheApplicationReloads(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	b.open(s.app.URL + "/frame?app")
	b.press("fake-solve")
	b.await("document.getElementById('frame').contentDocument.getElementById('app') && states.length === 0")
	b.sound()
}

// In a window of its own the page says that one can go back.
func TestTheWidgetPageItself(t *testing.T) {
	for _, cleared := range []bool{true, false} {
		s, b := newSite(t, "geetest_v4"), newTab(t)
		s.cleared = cleared
		b.open(s.app.URL + base + "/page")
		if !cleared {
			b.solve("geetest_v4")
		}
		b.says("cleared", "")
		b.sound()
	}
}

// A clearance that does not hold ends in an explanation, never in a loop.
func TestAClearanceThatDoesNotHoldIsExplained(t *testing.T) {
	noStorage := before(`Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError') } })`)
	for _, storage := range []bool{true, false} {
		for _, reason := range []string{"none", "binding", "used_up", "expired", "invalid", "something_new"} {
			if !storage && reason != "none" {
				continue // one is enough
			}
			t.Run(fmt.Sprintf("%s storage=%t", reason, storage), func(t *testing.T) {
				s, b := newSite(t, "geetest_v4"), newTab(t)
				if !storage {
					b.do(noStorage)
				}
				s.reason = reason
				b.open(s.app.URL + "/login")
				b.solve("geetest_v4")
				text := "lost_" + reason
				if textIn(english)[text] == "" {
					text = "lost_invalid"
				}
				b.says(text, "retry")
				if s.pages != 2 || s.asked != 1 {
					t.Fatalf("got %d pages and %d challenges, want to stop after the second page", s.pages, s.asked)
				}
				// By hand one may go on: by the button, or by loading the page again.
				b.press("captcha-button")
				b.awaitIn(widget, "w.document.getElementById('fake-solve')")
				if storage {
					b.eval("setTimeout(() => location.reload())")
					b.says("solve", "")
				}
				s.set(func() { s.reason = "" })
				b.press("fake-solve")
				b.await("document.getElementById('app')")
				if want := map[bool]int{true: 3, false: 2}[storage]; s.pages != want || s.asked != want {
					t.Errorf("got %d pages and %d challenges, want %d each", s.pages, s.asked, want)
				}
				b.sound()
			})
		}
	}
}

func TestALostClearanceStopsTheDialogToo(t *testing.T) {
	for reason, stops := range map[string]bool{"binding": true, "none": true, "used_up": false} {
		t.Run(reason, func(t *testing.T) {
			s, b := newSite(t, "geetest_v4"), newTab(t)
			s.reason = reason
			b.open(s.app.URL + "/frame")
			b.press("fake-solve")
			b.await("states.join(' ') === 'hello show passed'")
			b.open(s.app.URL + "/frame")
			if stops {
				b.says("lost_"+reason, "retry")
			} else {
				b.says("solve", "") // and does not pass by itself
			}
			b.sound()
		})
	}
}

// Where the browser keeps no cookies, nobody solves in vain.
func TestBlockedCookiesAreExplainedAtOnce(t *testing.T) {
	s := newSite(t, "geetest_v4")
	b := tab{t: t, ctx: withoutCookies(t)}
	for _, path := range []string{"/login", "/frame"} {
		b.open(s.app.URL + path)
		b.says("lost_none", "retry")
		b.press("captcha-button")
		b.says("lost_none", "retry")
	}
	if s.asked != 0 {
		t.Errorf("got %d challenges, want none", s.asked)
	}
}

// withoutCookies returns a tab of a browser that blocks all cookies.
func withoutCookies(t *testing.T) context.Context {
	profile := t.TempDir()
	if err := os.Mkdir(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	preferences := `{"profile":{"default_content_setting_values":{"cookies":2}}}`
	if err := os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(preferences), 0o600); err != nil {
		t.Fatal(err)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WSURLReadTimeout(3*time.Minute), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	t.Cleanup(stop)
	ctx, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
	})
	return ctx
}

func TestTwentyAtOnce(t *testing.T) {
	s, b := newSite(t, "geetest_v3"), newTab(t)
	b.open(s.app.URL + "/many")
	const each = "[...document.querySelectorAll('iframe')].every((f) => { const inner = f.contentDocument.querySelector('iframe'); const d = inner && inner.contentDocument; return "
	b.await(each + "d.getElementById('fake-solve') })")
	b.await(each + "d.getElementById('fake-solve').click(), true })")
	b.await("[...document.querySelectorAll('iframe')].every((f) => f.contentDocument.getElementById('app'))")
	if len(s.proofs) > 20 || s.pages != 20 {
		t.Errorf("got %d proofs and %d pages, want at most 20 and 20", len(s.proofs), s.pages)
	}
	b.sound()
}

// One pass is one for all tabs and frames of the site, by each one's own
// question.
func TestOthersHearOfAPass(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	b.open(s.app.URL + "/many?3")
	const each = "[...document.querySelectorAll('iframe')].every((f) => { const inner = f.contentDocument.querySelector('iframe'); const d = inner && inner.contentDocument; return "
	b.await(each + "d.getElementById('fake-solve') })")
	b.eval("document.querySelector('iframe').contentDocument.querySelector('iframe').contentDocument.getElementById('fake-solve').click()")
	b.await("[...document.querySelectorAll('iframe')].every((f) => f.contentDocument.getElementById('app'))")
	if len(s.proofs) != 1 {
		t.Errorf("got %d proofs, want one for all three", len(s.proofs))
	}
	b.sound()
}

// A tab in the background asks for nothing. When it is looked at, another one
// may have passed for it.
func TestAHiddenTabWaits(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t, before(`if (!sessionStorage.seen) Object.defineProperty(document, 'hidden', { get: () => !sessionStorage.seen })`))
	b.open(s.app.URL + "/login")
	b.says("loading", "")
	b.await("document.readyState === 'complete'")
	if s.asked != 0 {
		t.Fatalf("got %d challenges, want none", s.asked)
	}
	b.eval("document.cookie = 'captcha-login=passed; path=/'; sessionStorage.seen = 1; document.dispatchEvent(new Event('visibilitychange'))")
	b.await("document.getElementById('app')")
	if s.asked != 0 {
		t.Errorf("got %d challenges, want none", s.asked)
	}
	b.sound()
}

func TestBackAndForward(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	b.open(s.app.URL + "/form")
	b.open(s.app.URL + "/login")
	b.solve("geetest_v4")
	b.await("document.getElementById('app')")
	b.eval("setTimeout(() => history.back())")
	b.await("document.title === 'form'")
	b.eval("setTimeout(() => history.forward())")
	b.await("document.getElementById('app')")
	b.sound()
}

// A page from the back-forward cache may have been passed since.
func TestAPageFromTheCacheStartsAnew(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	b.open(s.app.URL + "/login")
	b.says("solve", "")
	b.eval("document.cookie = 'captcha-login=passed; path=/'; window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
	b.await("document.getElementById('app')")

	b = newTab(t)
	b.open(s.app.URL + base + "/page")
	b.says("solve", "")
	b.eval("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
	b.solve("geetest_v4")
	b.says("cleared", "")
	if s.asked != 3 {
		t.Errorf("got %d challenges, want two of this page and one of the first", s.asked)
	}
	b.sound()
}

func TestKeyboardOnly(t *testing.T) {
	for _, kind := range providerKinds {
		t.Run(kind, func(t *testing.T) {
			s, b := newSite(t, kind), newTab(t)
			s.verifies = []refusal{{status: 403, outcome: "rejected", proof: "spent"}}
			b.open(s.app.URL + "/login")
			tab := func(id string) {
				b.awaitIn(shown, `(e => e && !e.hidden)(w.document.getElementById('`+id+`'))`)
				b.do(chromedp.KeyEvent(kb.Tab))
				b.awaitIn(shown, `w.document.activeElement.id === '`+id+`' && w.document.activeElement.matches(':focus-visible')`)
			}
			focused := func(id string) { b.awaitIn(shown, `w.document.activeElement.id === '`+id+`'`) }
			if kind == "intl" {
				b.awaitIn(shown, `w.document.getElementById('captcha-widget').contains(w.document.activeElement)`)
				tab("fake-tick")
				b.do(chromedp.KeyEvent(kb.Enter))
			}
			focused("fake-solve") // it opens by itself
			b.do(chromedp.KeyEvent(kb.Enter))
			b.says("rejected", "retry")
			focused("captcha-button") // goes on from there
			b.awaitIn(shown, `w.getComputedStyle(w.document.activeElement).outlineStyle === 'solid'`)
			b.do(chromedp.KeyEvent(kb.Enter))
			if kind == "intl" {
				b.awaitIn(shown, `w.document.getElementById('captcha-widget').contains(w.document.activeElement)`)
				tab("fake-tick")
				b.do(chromedp.KeyEvent(kb.Enter))
			}
			focused("fake-solve")
			b.do(chromedp.KeyEvent(kb.Enter))
			b.await("document.getElementById('app')")
			b.sound()
		})
	}
}

func TestForScreenReaders(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	b.open(s.app.URL + "/login")
	b.says("solve", "")
	for _, rule := range []string{
		`w.document.querySelectorAll('h1').length === 1`,
		`w.document.getElementById(w.document.querySelector('main').getAttribute('aria-labelledby')).localName === 'h1'`,
		`w.document.getElementById('captcha-status').getAttribute('role') === 'status'`,
		`w.document.title && w.document.documentElement.lang === 'en' && w.document.documentElement.dir === 'ltr'`,
		`[...w.document.querySelectorAll('main button')].every((b) => b.type === 'button' && (b.textContent.trim() || b.hidden))`,
		`w.document.getElementById('captcha-host').textContent === location.host`,
		`w.document.getElementById('captcha-provider').textContent === 'Checked by GeeTest'`,
		`w.document.getElementById('captcha-id').textContent === 'the-id'`,
		`w.frameElement.title === 'Security check'`,
		`[...document.body.children].every((e) => e === w.frameElement || getComputedStyle(e).visibility === 'hidden')`, // no card twice
	} {
		b.awaitIn(widget, rule)
	}
	b.press("fake-close")
	b.says("closed", "open")
	b.awaitIn(shown, `w.document.getElementById('captcha-button').getBoundingClientRect().height >= 44`)
	b.sound()
}

func TestReducedMotion(t *testing.T) {
	for _, reduced := range []bool{true, false} {
		s, b := newSite(t, "geetest_v4"), newTab(t, browsertest.Emulate(browsertest.View{ReducedMotion: reduced}))
		s.mode = "stalled"
		b.open(s.app.URL + "/login")
		b.says("loading", "")
		b.awaitIn(shown, fmt.Sprintf(`w.getComputedStyle(w.document.getElementById('captcha-status'), '::before').animationName === %q`, map[bool]string{true: "none", false: "captcha-turn"}[reduced]))
	}
}

func TestWithoutScripts(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.open(s.app.URL + "/login")
	b.await(`document.body.innerText.includes("This check needs JavaScript") && !document.body.innerText.includes("Loading")`)
	b.open(s.app.URL + base + "/page")
	b.await(`document.body.innerText.includes("This check needs JavaScript") && !document.body.innerText.includes("Loading")`)
	b.sound()
}

func TestNoOtherOriginCanFrameThePage(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><script>window.got = []; addEventListener('message', (e) => got.push(e.data))</script>
			<iframe id=frame src="%s/page" onload="window.loaded = true"></iframe>`, s.app.URL+base)
	}))
	t.Cleanup(other.Close)
	b.open(other.URL)
	b.await("window.loaded && got.length === 0")
	if got := strings.Join(browsertest.Problems(b.ctx), "\n"); !strings.Contains(got, "frame-ancestors 'self'") {
		t.Errorf("got %q, want the frame refused", got)
	}
	if s.asked != 0 {
		t.Errorf("got %d challenges, want none", s.asked)
	}
}
