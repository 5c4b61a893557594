package browser_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// answered is true when the application has answered what the browser sent.
const answered = `document.title === "received" && document.readyState === "complete"`

// What is not the script's business takes its course as without the script.
var formsLeftAlone = []struct {
	name  string
	forms string
	body  string
	act   func(*person)
	sends bool   // the browser does
	until string // what comes of it later
}{
	{name: "prevented at the window", body: `<form method="post" action="/login"><button id="go">Go</button></form>
		<script>addEventListener("submit", (event) => { note("seen"); event.preventDefault() })</script>`, act: clicks("#go")},
	{name: "prevented in the capture phase", body: `<form method="post" action="/login"><button id="go">Go</button></form>
		<script>addEventListener("submit", (event) => { note("seen"); event.preventDefault(); event.stopImmediatePropagation() }, true)</script>`, act: clicks("#go")},
	{name: "prevented by the return value", body: `<form method="post" action="/login" onsubmit="note('seen'); return false"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "prevented and stopped by an attribute", body: `<form method="post" action="/login" onsubmit="note('seen'); event.stopPropagation(); return false"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "prevented by the event's old property", body: `<form method="post" action="/login" onsubmit="note('seen'); event.returnValue = false"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "prevented, then an exception", body: `<form method="post" action="/login" id="f"><button id="go">Go</button></form>
		<script>addEventListener("error", (event) => { note(event.message); event.preventDefault() }); f.onsubmit = (event) => { event.preventDefault(); throw new Error("oops") }</script>`, act: clicks("#go")},
	{name: "button that does not submit", body: `<form method="post" action="/login" id="f"><button type="button" id="go">Go</button></form><script>go.onclick = seen("button")</script>`, act: clicks("#go")},
	{name: "invalid", body: `<form method="post" action="/login" id="f"><input name="a" required id="a"><button id="go">Go</button></form>
		<script>a.oninvalid = seen("field"); f.onsubmit = seen("form")</script>`, act: clicks("#go")},
	{
		name: "event made by the page", body: `<form method="post" action="/login" id="f"></form><script>f.onsubmit = seen("form")</script>`,
		act: runs(`f.dispatchEvent(new SubmitEvent("submit", { bubbles: true, cancelable: true })); document.body.dispatchEvent(new Event("submit", { bubbles: true }))`),
	},
	{name: "submit of a form that is nowhere", body: `<form method="post" action="/login" id="f"></form>`, act: runs(`const form = f; form.remove(); form.submit()`)},
	{name: "dialog", body: `<dialog open id="d"><form method="post" id="f"><button formmethod="dialog" value="v" id="go">Go</button></form></dialog><script>d.onclose = () => note(d.returnValue); f.onsubmit = seen("form")</script>`, act: clicks("#go"), until: `sessionStorage.notes.endsWith("\nv\n")`},
	{name: "get", sends: true, until: answered, body: `<form action="/open"><input name="a"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "get button of a post form", sends: true, until: answered, body: `<form method="post" action="/open"><input name="a"><button formmethod="get" id="go">Go</button></form>`, act: clicks("#go")},
	{name: "form that was not chosen", forms: "#other", sends: true, until: answered, body: `<form method="post" action="/open"><input name="a"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "not a selector", forms: "form[", sends: true, until: answered, body: `<form method="post" action="/open" id="f"><input name="a"></form>`, act: runs(`f.submit()`)},
	{name: "no forms chosen", forms: " ", sends: true, until: answered, body: `<form method="post" action="/open"><input name="a"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "another origin", sends: true, until: answered, body: `<form method="post" id="f"><input name="a" value="b"><button id="go">Go</button></form>
		<script>f.action = "http://other.test:" + location.port + "/open"; f.onsubmit = seen("form")</script>`, act: clicks("#go")},
	{name: "script URL", body: `<form method="post" action="javascript:note('ran'); void 0"><button id="go">Go</button></form>`, act: func(p *person) {
		p.do(click("#go"), browsertest.Await("sessionStorage.notes"))
	}},
	{name: "sandboxed frame", sends: true, body: `<iframe sandbox="allow-scripts allow-forms" srcdoc="&lt;script src='/.captcha/login/` + browser.InjectedScript.Name + `' data-captcha='inject' data-policy='login' data-forms='form'&gt;&lt;/script&gt;
		&lt;form method=post action=/open&gt;&lt;/form&gt;&lt;script&gt;document.forms[0].submit()&lt;/script&gt;"></iframe>`, act: runs("")},
}

func TestOtherFormsAreLeftAlone(t *testing.T) {
	for _, test := range formsLeftAlone {
		t.Run(test.name, func(t *testing.T) {
			play := func(policies ...string) (received []string, noted string) {
				g := serveApp(t, &gated{policies: policies, forms: test.forms, body: test.body}).start()
				ctx := g.open(t)
				test.act(&person{t: t, do: func(steps ...action) { t.Helper(); do(t, ctx, steps...) }})
				if test.sends {
					do(t, ctx, g.receives(1))
				}
				if test.until != "" { // or else the next navigation comes in between
					do(t, ctx, browsertest.Await(test.until))
				}
				do(t, ctx, browsertest.Open(g.server.URL+"/last"))
				if got := g.count(&g.ready); got != 0 {
					t.Errorf("%d challenge pages, want none", got)
				}
				return g.requests(), notes(t, ctx)
			}
			wantReceived, wantNoted := play()
			gotReceived, gotNoted := play("login")
			expectEqual(t, "received", gotReceived, wantReceived)
			expectEqual(t, "seen by the page", gotNoted, wantNoted)
		})
	}
}

const loginForm = `<form method="post" action="/login" id="f"><input name="a" value="b"><button name="n" value="v" id="go">Go</button></form>`

func TestGivenUpFormStaysAndCanBeSubmittedAgain(t *testing.T) {
	for name, giveUp := range map[string]func(*gated) action{
		"in the frame": func(g *gated) action { return g.giveUp(1) },
		"escape": func(g *gated) action {
			return chromedp.Steps(g.asked(1), chromedp.KeyEvent("\x1b"), browsertest.Await("!("+shown+")"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm}).start()
			ctx := g.open(t, chromedp.Focus(chromedp.CSS("#go")), chromedp.KeyEvent("\r"), g.asked(1))
			do(t, ctx, giveUp(g), browsertest.Await("document.activeElement === go && document.documentElement.children.length === 2"))
			if got := g.requests(); len(got) != 0 {
				t.Errorf("received %q, want nothing", got)
			}
			do(t, ctx, click("#go"), g.solve(2), browsertest.Await("document.title === 'received'"))
			expectEqual(t, "received", g.requests(), []string{"POST /login application/x-www-form-urlencoded\na=b&n=v"})
			expectNoProblems(t, ctx)
		})
	}
}

func TestClearedBrowserIsNotAsked(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm}).start()
	ctx := g.open(t, click("#go"), g.solve(1), browsertest.Await("document.title === 'received'"))
	do(t, ctx, browsertest.Open(g.server.URL+"/app"), click("#go"), browsertest.Await("document.title === 'received'"))
	if pages, shown := g.count(&g.pages), g.count(&g.ready); pages != 1 || shown != 1 || len(g.requests()) != 2 {
		t.Errorf("%d challenge pages, %d shown, received %q; want 1, 1 and two forms", pages, shown, g.requests())
	}
}

func TestDoubleClickSubmitsOnce(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm + `<script>f.onsubmit = seen("form")</script>`}).start()
	ctx := g.open(t, chromedp.DoubleClick(chromedp.CSS("#go")), js("f.requestSubmit()"), g.solve(1), browsertest.Await("document.title === 'received'"))
	expectEqual(t, "received", g.requests(), []string{"POST /login application/x-www-form-urlencoded\na=b&n=v"})
	expectEqual(t, "seen by the page", notes(t, ctx), "form submit f go false\n")
}

func TestFormOfTwoPolicies(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login", "pay"}, body: `<form method="post" action="/both"><button id="go">Go</button></form>`}).start()
	ctx := g.open(t, click("#go"), g.solve(1), g.solve(2), browsertest.Await("document.title === 'received'"))
	expectEqual(t, "received", g.requests(), []string{"POST /both application/x-www-form-urlencoded\n"})
	expectNoProblems(t, ctx)
}

func TestBackFromTheCache(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: loginForm + `<script>addEventListener("pageshow", ({ persisted }) => { window.persisted = persisted })</script>`}).start()
	ctx := g.open(t, click("#go"), g.asked(1), js("location = '/away'"), browsertest.Await("document.title === 'received'"), js("history.back()"),
		browsertest.Await("window.persisted && !("+shown+")"))
	do(t, ctx, js("go.click()"), g.solve(2), browsertest.Await("document.title === 'received'"))
	if got := g.requests(); len(got) != 2 {
		t.Errorf("received %q, want /away and one form", got)
	}
}
