package browser_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// noted is true when a note is in the corner of the page.
const noted = `[...document.documentElement.children].indexOf(document.elementFromPoint(innerWidth - 40, innerHeight - 40)) > 1 && !(` + shown + `)`

// background is a page that calls by itself, and when its field loses the focus.
const background = `<input id="user"><input id="password" type="password"><button id="call">Call</button><p id="text">text</p><script>
	const ask = (n) => fetch("/login", { method: "POST", body: "a" }).then(({ status }) => note(n, status));
	user.onblur = () => ask("blur");
	call.onclick = () => ask("click");
</script>`

// TestTheDialogInterruptsOnlyWhoWaits: a call that a page makes by itself, or
// while a person types, brings a note, which takes neither focus nor keys.
func TestTheDialogInterruptsOnlyWhoWaits(t *testing.T) {
	for name, act := range map[string]action{
		"by itself": js(`ask("timer"), 0`),
		"a field loses the focus to another": chromedp.Steps(
			chromedp.SendKeys(chromedp.CSS("#user"), "me"+kb.Tab), browsertest.Await(`document.activeElement.id === "password"`)),
	} {
		t.Run(name, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login"}, body: background}).start()
			ctx := g.open(t, act, browsertest.Await(noted), chromedp.Focus(chromedp.CSS("#password")), chromedp.SendKeys(chromedp.CSS("#password"), "secret"))
			do(t, ctx, browsertest.Await(`password.value === "secret" && document.activeElement === password`))
			if got := g.count(&g.ready); got != 0 {
				t.Errorf("%d captchas begun, want none before somebody asks for one", got)
			}
			// Who then waits for a call gets the dialog, which serves both.
			do(t, ctx, chromedp.Focus(chromedp.CSS("#call")), chromedp.KeyEvent(kb.Enter), g.solve(1), g.receives(2),
				browsertest.Await(`sessionStorage.notes?.split(" 200").length === 3`))
			expectNoProblems(t, ctx)
		})
	}
}

// TestADismissedNoteStaysAway: calls in the background then fail in silence, and
// one that a person waits for asks again.
func TestADismissedNoteStaysAway(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: background}).start()
	ctx := g.open(t, js(`ask("first"), 0`), browsertest.Await(noted), js(`call.focus(), 0`))
	// The note is behind everything in the order of focus: its second button.
	do(t, ctx, chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter), browsertest.Await("!("+noted+") && sessionStorage.notes"))
	do(t, ctx, js(`ask("second"), 0`), browsertest.Await(`sessionStorage.notes.includes("second")`))
	expectEqual(t, "seen by the page", notes(t, ctx), "first 403\nsecond 403\n")
	do(t, ctx, click("#call"), g.solve(1), g.receives(1))
	expectNoProblems(t, ctx)
}

// TestANoteOpensTheDialog for who presses its button.
func TestANoteOpensTheDialog(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: background}).start()
	ctx := g.open(t, js(`ask("first"), 0`), browsertest.Await(noted), js(`call.focus(), 0`), chromedp.KeyEvent(kb.Tab))
	if got := accessibleNames(t, ctx); !strings.Contains(got, "button Check now\n") || !strings.Contains(got, "button Close\n") {
		t.Errorf("got %s, want two buttons", got)
	}
	do(t, ctx, chromedp.KeyEvent(kb.Enter), g.solve(1), g.receives(1))
	expectNoProblems(t, ctx)
}

// TestWhoDidNotWaitIsToldSo: a call that the page has aborted meanwhile, by
// hand or by a limit of its own, is not made again when the captcha is solved.
func TestWhoDidNotWaitIsToldSo(t *testing.T) {
	for name, script := range map[string]string{
		"fetch": `const waiting = new AbortController(); window.give = () => waiting.abort(); fetch("/login", { method: "POST", signal: waiting.signal }).catch(({ name }) => note(name))`,
		"XHR":   `const x = new XMLHttpRequest(); window.give = () => x.abort(); x.onabort = () => note("AbortError"); x.open("POST", "/login"); x.send("a")`,
	} {
		t.Run(name, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login"}, body: `<button id="call">Call</button><script>call.onclick = () => { ` + script + ` }</script>`}).start()
			ctx := g.open(t, click("#call"), g.asked(1), js("give(), 0"), g.solve(1), g.hearsThatItIsLate(), browsertest.Await("document.activeElement === call"))
			if got := g.requests(); len(got) != 0 {
				t.Errorf("received %q, want nothing", got)
			}
			expectEqual(t, "seen by the page", notes(t, ctx), "AbortError\n")
			do(t, ctx, click("#call"), g.receives(1))
			expectNoProblems(t, ctx)
		})
	}
}

// hearsThatItIsLate waits until the dialog says that the page did not wait, and
// closes it.
func (g *gated) hearsThatItIsLate() action {
	return chromedp.Steps(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for !strings.Contains(accessibleNames(g.t, ctx), "StaticText Please send it again.\n") {
			if err := chromedp.Do(ctx, chromedp.Sleep(10*time.Millisecond)); err != nil {
				return err
			}
		}
		return nil
	}), chromedp.KeyEvent(kb.Enter), browsertest.Await("!("+shown+")"))
}

// TestACallWhileTheCaptchaIsThereInAdvance brings the note, or the dialog for
// who waits, as it does otherwise: one widget page serves all.
func TestACallWhileTheCaptchaIsThereInAdvance(t *testing.T) {
	for name, test := range map[string]struct{ call, then action }{
		"in the background":  {js(`ask("timer"), 0`), chromedp.Steps(browsertest.Await(noted), js(`call.focus(), 0`), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))},
		"that one waits for": {click("#call"), chromedp.Steps()},
	} {
		t.Run(name, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm + background}).start()
			ctx := g.open(t, chromedp.SendKeys(chromedp.CSS("input[name=a]"), "text"), until(func() bool { return g.count(&g.pages) == 1 }),
				test.call, test.then, g.solve(1), g.receives(1), browsertest.Await(`sessionStorage.notes?.includes(" 200")`))
			if got := g.count(&g.pages); got != 1 {
				t.Errorf("%d widget pages, want one", got)
			}
			expectNoProblems(t, ctx)
		})
	}
}
