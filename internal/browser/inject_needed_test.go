package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// trusted notes whether the page gets the browser's own event, as it does of a
// submission that nothing has held.
const trusted = `<script>addEventListener("submit", (event) => note(event.isTrusted))</script>`

// foresees waits until the gate has answered n questions.
func (g *gated) foresees(n int) action {
	return chromedp.Steps(until(func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.foreseen) >= n
	}), browsertest.Await(`performance.getEntriesByType("resource").filter(({ name, responseEnd }) => name.endsWith("/needed") && responseEnd > 0).length >= 1`))
}

func (g *gated) questions() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.foreseen, ", ")
}

// What needs no captcha is not held, once the gate has said so.
func TestAFormThatNeedsNoCaptchaGoesAtOnce(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: `<form method="post" action="/open#x" id="f"><input name="a" id="a"><button id="go">Go</button></form>` + trusted}).start()
	ctx := g.open(t, chromedp.Focus(chromedp.CSS("#a")), g.foresees(1), click("#go"), browsertest.Await(answered))
	expectEqual(t, "seen by the page", notes(t, ctx), "true\n")
	expectEqual(t, "asked", g.questions(), "post /open")
	if got := g.count(&g.pages); got != 0 {
		t.Errorf("%d challenge pages, want none", got)
	}
	expectNoProblems(t, ctx)
}

// A page that nobody touches costs no request, and one that is touched again
// and again costs one.
func TestThePageAsksWhenAFormIsTouched(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm + `<p id="p">text</p><form action="/open"><input id="other"></form>`}).start()
	ctx := g.open(t, click("#p"), chromedp.Focus(chromedp.CSS("#other")), js("fetch('/last')"), g.receives(1))
	expectEqual(t, "asked", g.questions(), "")
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("input[name=a]"), "some text"), chromedp.Focus(chromedp.CSS("#other")), chromedp.Focus(chromedp.CSS("#go")), g.foresees(1), js("fetch('/last')"), g.receives(2))
	expectEqual(t, "asked", g.questions(), "post /login")
	expectNoProblems(t, ctx)
}

// A form that is submitted before anybody has touched it waits for the gate's
// word, and for nothing more if it needs no captcha.
func TestAnUntouchedFormWaitsForTheGateAlone(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: `<form method="post" action="/open" id="f" target="inner"><input name="a" value="b"></form><iframe name="inner"></iframe>`}).start()
	ctx := g.open(t, js("f.submit()"), g.receives(1))
	expectEqual(t, "received", g.requests(), []string{"POST /open application/x-www-form-urlencoded\na=b"})
	if got := g.count(&g.pages); got != 0 {
		t.Errorf("%d challenge pages, want none", got)
	}
	expectNoProblems(t, ctx)
}

// With a clearance nothing is held: not by the hint beside it, and not by the
// gate's word where a clearance is good for so many requests that no hint can
// lie beside it.
func TestWithAClearanceAFormGoesAtOnce(t *testing.T) {
	for name, uses := range map[string]int{"any number of uses": 0, "two uses": 2} {
		t.Run(name, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login"}, uses: uses, body: loginForm + trusted}).start()
			ctx := g.open(t, click("#go"), g.solve(1), browsertest.Await(answered), browsertest.Open(g.server.URL+"/app"))
			asked := strings.Count(g.questions(), "login")
			if uses > 0 {
				do(t, ctx, chromedp.Focus(chromedp.CSS("input[name=a]")), g.foresees(asked+1))
			}
			do(t, ctx, click("#go"), browsertest.Await(answered))
			expectEqual(t, "seen by the page", notes(t, ctx), "false\ntrue\n")
			if got := g.count(&g.pages); got != 1 {
				t.Errorf("%d challenge pages, want that of the first time", got)
			}
			expectNoProblems(t, ctx)
		})
	}
}

// A hint alone does not let files go: whoever chose them would have to again.
func TestFilesWaitForTheGatesWord(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: `<form method="post" action="/login" enctype="multipart/form-data" id="f"><input type="file" name="file" id="file"></form>` + trusted}).start()
	ctx := g.open(t, js(`document.cookie = "captcha_until_login=1; path=/"`), chromedp.SetUploadFiles(chromedp.CSS("#file"), uploads(t)[:1]), js("f.requestSubmit()"), g.solve(1), browsertest.Await(answered))
	expectEqual(t, "seen by the page", notes(t, ctx), "false\n")
	if got := g.requests(); len(got) != 1 || !strings.Contains(got[0], "line") {
		t.Errorf("received %q, want the file", got)
	}
	expectNoProblems(t, ctx)
}

// The captcha of a form that somebody fills in is there before it is needed: in
// the press on the button there is no more to load of ours. Until then nobody
// sees it, and it takes no key.
func TestTheCaptchaIsThereInAdvance(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm}).start()
	ctx := g.open(t, chromedp.SendKeys(chromedp.CSS("input[name=a]"), "some text"), until(func() bool { return g.count(&g.pages) == 1 }),
		chromedp.SendKeys(chromedp.CSS("input[name=a]"), ", and more"), js("fetch('/last')"), g.receives(1),
		js(`note(document.querySelector("input[name=a]").value + "/" + (`+shown+`))`),
		click("#go"), g.solve(1), browsertest.Await(answered))
	expectEqual(t, "the field, and whether there was a dialog", notes(t, ctx), "some text, and moreb/false\n")
	if got := g.count(&g.pages); got != 1 {
		t.Errorf("%d widget pages, want one", got)
	}
	expectNoProblems(t, ctx)
}

// Looking at a form brings nothing of a provider's.
func TestNothingIsThereInAdvanceOfALook(t *testing.T) {
	for name, test := range map[string]struct{ form, act string }{
		"the focus":               {loginForm, `document.querySelector("input[name=a]").focus()`},
		"what needs no captcha":   {`<form method="post" action="/open"><input name="a" id="a"><button id="go">Go</button></form>`, ""},
		"a form of another page":  {`<form method="post" action="http://example.com/"><input name="a"><button id="go">Go</button></form>`, ""},
		"a form that is not ours": {`<form action="/open"><input name="a"><button id="go">Go</button></form>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login"}, body: test.form}).start()
			act := chromedp.SendKeys(chromedp.CSS("input[name=a]"), "text")
			if test.act != "" {
				act = js(test.act)
			}
			ctx := g.open(t, act, js("fetch('/last')"), g.receives(1), js("fetch('/last')"), g.receives(2))
			if got := g.count(&g.pages); got != 0 {
				t.Errorf("%d widget pages, want none", got)
			}
			expectNoProblems(t, ctx)
		})
	}
}
