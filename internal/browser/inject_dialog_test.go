package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// clickClose clicks the dialog's close button, in the corner.
var clickClose = chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
	width, err := chromedp.Run(ctx, chromedp.Evaluate[float64]("innerWidth"))
	if err != nil {
		return err
	}
	return chromedp.Do(ctx, chromedp.MouseClickXY(width-30, 30))
})

func TestDialogWithoutAWordCanBeClosed(t *testing.T) {
	for _, mode := range []string{"silent", "broken"} {
		t.Run(mode, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login"}, mode: mode, body: loginForm}).start()
			ctx := g.open(t)
			for _, key := range []string{"\r", "\x1b"} { // the focus is on the button
				do(t, ctx, click("#go"), browsertest.Await(shown), chromedp.KeyEvent(key), browsertest.Await("!("+shown+") && document.activeElement === go"))
			}
			do(t, ctx, click("#go"), browsertest.Await(shown))
			if got := accessibleNames(t, ctx); !strings.Contains(got, "button Close\n") {
				t.Errorf("got %s, want a button", got)
			}
			do(t, ctx, clickClose, browsertest.Await("!("+shown+")"))
			if got := g.requests(); len(got) != 0 {
				t.Errorf("received %q, want nothing", got)
			}
		})
	}
}

// The frame has no close button of its own, and is not to be trusted with one.
func TestDialogThatSpeaksCanBeClosed(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm}).start()
	ctx := g.open(t, click("#go"), g.asked(1))
	if got := accessibleNames(t, ctx); !strings.Contains(got, "button Close\n") {
		t.Errorf("got %s, want a button", got)
	}
	do(t, ctx, clickClose, browsertest.Await("!("+shown+")"))
	if got := g.requests(); len(got) != 0 {
		t.Errorf("received %q, want nothing", got)
	}
	do(t, ctx, click("#go"), g.solve(2), browsertest.Await("document.title === 'received'"))
}

func TestOnlyTheFrameIsHeard(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, mode: "confused", body: loginForm + `<iframe srcdoc="<script>
		setInterval(() => { for (const state of ['show', 'passed', 'closed']) parent.postMessage({ captcha: 'login', state }, '*') }, 5)</script>"></iframe>
		<script>addEventListener("message", ({ data }) => { window.heard = data });
		f.onsubmit = () => setInterval(() => postMessage({ captcha: "login", state: "passed" }, "*"), 5)</script>`}).start()
	ctx := g.open(t, click("#go"), g.asked(1), js("window.heard = null"), browsertest.Await("window.heard"))
	if got := g.requests(); len(got) != 0 {
		t.Errorf("received %q, want nothing before the captcha is solved", got)
	}
	do(t, ctx, g.solve(1), browsertest.Await("document.title === 'received'"))
}

func TestThePageDoesNotHearTheFrame(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: `<form method="post" action="/login" id="f" target="inner"><button id="go">Go</button></form><iframe name="inner"></iframe>
		<script>addEventListener("message", (event) => note(JSON.parse(event.data)), true)</script>`}).start()
	ctx := g.open(t, click("#go"), g.solve(1), g.receives(1))
	expectNoProblems(t, ctx)
	expectEqual(t, "heard by the page", notes(t, ctx), "")
}

// The policy lets in our script, by its hash, and our frame; nothing else.
const strictCSP = "default-src 'none'; script-src 'nonce-app' {script}; frame-src {origin}/.captcha/login/page; connect-src 'self'; form-action 'self'; require-trusted-types-for 'script'; trusted-types 'none'"

func TestStrictPageNeedsNoMoreThanScriptAndFrame(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm}).start()
	g.csp = strings.NewReplacer("{origin}", g.server.URL, "{script}", "'"+browser.InjectedScript.Integrity+"'").Replace(strictCSP)
	ctx := g.open(t, click("#go"), g.solve(1), browsertest.Await("document.title === 'received'"))
	expectNoProblems(t, ctx)
}

func TestHostilePage(t *testing.T) {
	g := serveApp(t, &gated{
		policies: []string{"login"}, head: `<style>
		* { all: unset !important; display: none !important; visibility: hidden !important; pointer-events: none !important; z-index: -1 !important }
		html, head ~ body, form, button { display: block !important; visibility: visible !important; pointer-events: auto !important } button { width: 40px; height: 20px } </style>`,
		body: loginForm + `<script>
		for (const name of ["localStorage", "indexedDB"]) Object.defineProperty(window, name, { get() { throw new Error(name) } });
		f.onsubmit = () => { document.body.replaceChildren(f); document.documentElement.style.transform = "scale(0.1)" };
		</script>`,
	}).start()
	ctx := g.open(t, js("go.click()"), g.asked(1), js("f.a.focus()"), g.solve(1), browsertest.Await("document.title === 'received'"))
	expectEqual(t, "received", g.requests(), []string{"POST /login application/x-www-form-urlencoded\na=b&n=v"})
	expectNoProblems(t, ctx)
}

func TestPageThatRemovesTheDialogIsNotStuck(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm}).start()
	ctx := g.open(t, click("#go"), g.asked(1), js("document.documentElement.lastChild.remove()"))
	do(t, ctx, click("#go"), g.solve(2), browsertest.Await("document.title === 'received'"))
	if got := g.requests(); len(got) != 1 {
		t.Errorf("received %q, want one form", got)
	}
}

func TestPageInADialogOfItsOwn(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: `<dialog id="d">` + loginForm + `</dialog><script>d.showModal()</script>`}).start()
	g.open(t, click("#go"), g.giveUp(1), browsertest.Await("d.open"), click("#go"), g.solve(2), browsertest.Await("document.title === 'received'"))
}

func TestOneGlobalThatNobodySees(t *testing.T) {
	names := func(policies ...string) []string {
		g := serveApp(t, &gated{policies: policies}).start()
		all, err := chromedp.Run(g.open(t), chromedp.Evaluate[[]string]("Object.getOwnPropertyNames(window)"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := strings.Join(names(), " ") + " "
	var added []string
	for _, name := range names("login", "pay") {
		if !strings.Contains(before, name+" ") {
			added = append(added, name)
		}
	}
	expectEqual(t, "new globals", added, []string{"__caddycaptcha"})
	g := serveApp(t, &gated{policies: []string{"login"}}).start()
	do(t, g.open(t), browsertest.Await(`!Object.keys(window).includes("__caddycaptcha") && fetch.name === "fetch" && fetch.length === 1
		&& ["open", "send", "abort", "setRequestHeader"].every((name) => Object.keys(Object.getOwnPropertyDescriptors(XMLHttpRequest.prototype)).includes(name))
		&& document.documentElement.children.length === 2`))
}

// The frame speaks the person's language, and tells the words for what is
// around it.
func TestLanguages(t *testing.T) {
	for _, test := range []struct{ language, dialog, button string }{
		{"de", "dialog Prüfung\n", "button Jetzt prüfen\n"},
		{"en", "dialog Security check\n", "button Check now\n"},
	} {
		g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm}).start()
		ctx := browsertest.New(t)
		do(t, ctx, browsertest.Emulate(browsertest.View{Language: test.language}), browsertest.Open(g.server.URL+"/app"), js("fetch('/login'), 0"), browsertest.Await(noted))
		if got := accessibleNames(t, ctx); !strings.Contains(got, test.button) {
			t.Errorf("%v: got %s", test, got)
		}
		do(t, ctx, click("#go"), g.asked(1))
		if got := accessibleNames(t, ctx); !strings.Contains(got, test.dialog) {
			t.Errorf("%v: got %s", test, got)
		}
	}
}

// A page that has not learned to wait for a word is shown all the same.
func TestAFrameThatShowsAtOnce(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, mode: "wordless", body: loginForm}).start()
	ctx := g.open(t, click("#go"), g.solve(1), browsertest.Await(answered))
	expectNoProblems(t, ctx)
}

// Trying again takes a fresh frame, in the same dialog.
func TestAFrameThatHasToStartAgain(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, mode: "failing", body: loginForm}).start()
	ctx := g.open(t, click("#go"), g.solve(1), g.solve(2), browsertest.Await(answered))
	if got := g.count(&g.pages); got != 2 {
		t.Errorf("%d documents, want 2", got)
	}
	expectNoProblems(t, ctx)
}

// A frame with nothing to see is not in the way.
func TestAQuietFrameIsHidden(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, mode: "quiet", body: loginForm}).start()
	ctx := g.open(t, click("#go"), g.solve(1), browsertest.Await("!("+shown+") && document.activeElement === go"))
	do(t, ctx, js(`new BroadcastChannel("show").postMessage(1)`), g.asked(2), chromedp.KeyEvent("\x1b"), browsertest.Await("!("+shown+")"))
	expectEqual(t, "received", g.requests(), []string{})
	expectNoProblems(t, ctx)
}

func TestAFrameThatIsQuietForAMoment(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, mode: "blinking", body: loginForm}).start()
	ctx := g.open(t, click("#go"), g.solve(1), g.solve(2), browsertest.Await(answered))
	expectNoProblems(t, ctx)
}

// A frame whose color scheme is not the one of its document is painted opaque.
func TestPageIsSeenBehindTheFrame(t *testing.T) {
	for _, test := range []struct {
		name, scheme, head string
		card               color.NRGBA
	}{
		{"light", "light", "", color.NRGBA{0, 0, 255, 255}},
		{"dark", "dark", "", color.NRGBA{0, 255, 0, 255}},
		{"dark application", "dark", `<meta name="color-scheme" content="light dark"><style>:root { color-scheme: light dark }</style>`, color.NRGBA{0, 255, 0, 255}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login"}, mode: "card", head: test.head + "<style>body { background: rgb(200 0 0) }</style>", body: loginForm}).start()
			ctx := browsertest.New(t)
			do(t, ctx, browsertest.Emulate(browsertest.View{Scheme: test.scheme, Width: 400, Height: 400}), browsertest.Open(g.server.URL+"/app"), click("#go"), g.asked(1))
			shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
			if err != nil {
				t.Fatal(err)
			}
			picture, err := png.Decode(bytes.NewReader(shot))
			if err != nil {
				t.Fatal(err)
			}
			expectEqual(t, "card", color.NRGBAModel.Convert(picture.At(20, 20)), test.card)
			if behind := color.NRGBAModel.Convert(picture.At(200, 200)).(color.NRGBA); behind.R < 50 || behind.R > 150 || behind.G+behind.B > 0 {
				t.Errorf("behind the frame: %v, want a dimmed page", behind)
			}
		})
	}
}

// accessibleNames returns the roles and names of what assistive technology
// finds in the page.
func accessibleNames(t *testing.T, ctx context.Context) string {
	t.Helper()
	var names strings.Builder
	do(t, ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		tree, err := chromedp.Call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			return err
		}
		for _, node := range tree.Nodes {
			if node.Role == nil || node.Name == nil {
				continue
			}
			var role, name string
			if err := errors.Join(json.Unmarshal(node.Role.Value, &role), json.Unmarshal(node.Name.Value, &name)); err != nil {
				return err
			}
			names.WriteString(role + " " + name + "\n")
		}
		return nil
	}))
	return names.String()
}

// In an isolated page the captcha may not work in a frame, and is offered in a
// window, which need not be able to say how it went.
func TestAnIsolatedPageOffersAWindow(t *testing.T) {
	for _, mode := range []string{"", "silent"} {
		t.Run("frame "+mode, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login"}, isolated: true, mode: mode, body: loginForm, head: `<script>
				window.open = (url, target, features) => { note(new URL(url).pathname, target, features); fetch("/.captcha/login/verify", { method: "POST" }) }</script>`}).start()
			ctx := g.open(t, click("#go"), g.asked(1))
			if got := accessibleNames(t, ctx); !strings.Contains(got, "button Check now\n") {
				t.Errorf("got %s, want a button", got)
			}
			do(t, ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
				size, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64]("[innerWidth, innerHeight]"))
				if err != nil {
					return err
				}
				return chromedp.Do(ctx, chromedp.MouseClickXY(size[0]/2, size[1]-46))
			}), browsertest.Await(answered))
			expectEqual(t, "opened", notes(t, ctx), "/.captcha/login/page _blank popup,width=480,height=640\n")
			expectEqual(t, "received", g.requests(), []string{"POST /login application/x-www-form-urlencoded\na=b&n=v"})
			expectNoProblems(t, ctx)
		})
	}
}
