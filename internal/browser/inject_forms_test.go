package browser_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// Every case is played twice: against the bare application and against the
// gated one, where a person solves the captcha. The application must receive
// the same bytes, and the page's own handlers must see the same events.
var heldForms = []struct {
	name    string
	forms   string
	charset string
	body    string
	act     func(ctx *person)
	stays   bool // the page does
}{
	{name: "click on a button", body: `<form method="post" action="/login?a=b"><input name="user" value="Zoë &amp; 王"><textarea name="text">
one
two</textarea><select name="s" multiple><option selected>1<option selected>2</select><input type="checkbox" name="c" checked>
		<input type="hidden" name="user" value="again"><button name="how" value="this way" id="go">Go</button><button name="how" value="other">Go</button></form>`, act: clicks("#go")},
	{name: "input as button", body: `<form method="post" action="/login"><input type="submit" name="n" value="v" id="go"></form>`, act: clicks("#go")},
	{name: "button of a form elsewhere", body: `<form method="post" action="/login" id="f"><input name="a"></form><button form="f" name="n" id="go">Go</button>`, act: clicks("#go")},
	{name: "image", body: `<form method="post" action="/login"><input type="image" alt="Go" name="map" id="go" style="width: 80px; height: 40px"></form>`, act: clicks("#go")},
	{name: "no action", body: `<form method="post" action="/login"><button id="go">Go</button></form><script>history.replaceState(0, "", "/login/x?y"); document.forms[0].removeAttribute("action")</script>`, act: clicks("#go")},
	{name: "enter key", body: `<form method="post" action="/login"><input name="user" id="user"><button name="first">Go</button><button name="second">Go</button></form>`, act: types("#user", "me"+kb.Enter)},
	{name: "enter key without a button", body: `<form method="post" action="/login"><input name="user" id="user"></form>`, act: types("#user", "me"+kb.Enter)},
	{name: "requestSubmit", body: `<form method="post" action="/login" id="f"><input name="a"><button name="n" value="v">Go</button></form>`, act: runs(`f.requestSubmit()`)},
	{name: "requestSubmit of a button", body: `<form method="post" action="/login" id="f"><button name="n" value="v" id="go" formaction="/login/there">Go</button></form>`, act: runs(`f.requestSubmit(go)`)},
	{name: "submit by the page", body: `<form method="post" action="/login" id="f"><input name="a" required><button name="n">Go</button></form>`, act: runs(`f.submit()`)},
	{name: "form added later", act: runs(`document.body.innerHTML = '<form method="post" action="/login" id="f"><input name="a" value="b">'; f.requestSubmit()`)},
	{name: "overrides of the button", body: `<form method="post" action="/open"><input name="a" value="b"><input type="file" name="f">
		<button formaction="/login?x" formenctype="multipart/form-data" id="go">Go</button></form>`, act: clicks("#go")},
	{name: "post button of a chosen get form", forms: "form", body: `<form action="/login"><input name="a" value="b"><button formmethod="post" id="go">Go</button></form>`, act: clicks("#go")},
	{name: "chosen get form", forms: "#f", body: `<form action="/login?gone" id="f"><input name="a" value="b"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "plain text", body: `<form method="post" action="/login" enctype="text/plain"><input name="a" value="b=c"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "files", body: `<form method="post" action="/login" enctype="multipart/form-data"><input name="a" value="b"><input type="file" name="file" id="file" multiple><input type="file" name="none"><button id="go">Go</button></form>`, act: func(p *person) {
		p.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), uploads(p.t)), click("#go"))
	}},
	{name: "file names without multipart", body: `<form method="post" action="/login"><input type="file" name="file" id="file" multiple><button id="go">Go</button></form>`, act: func(p *person) {
		p.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), uploads(p.t)), click("#go"))
	}},
	{name: "charset of the page", charset: "gbk", body: `<form method="post" action="/login"><input name="user"><input type="hidden" name="_charset_"><input name="d" dirname="d.dir"><button id="go">Go</button></form>
		<script>document.forms[0].user.value = "\u738b\ud83d\ude00"</script>`, act: clicks("#go")},
	{name: "charset of the form", body: `<form method="post" action="/login" accept-charset="big5" enctype="multipart/form-data"><input name="user" value="王"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "shadowed properties", body: `<form method="post" action="/login" id="f">` + fields("submit", "requestSubmit", "action", "method", "matches", "isConnected",
		"dispatchEvent", "addEventListener", "append", "toggleAttribute", "getAttribute", "elements", "id", "target", "noValidate") + `<button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "shadowed submit called by the page", body: `<form method="post" action="/login" id="f">` + fields("submit", "matches", "isConnected") + `</form>`, act: runs(`HTMLFormElement.prototype.submit.call(document.forms[0])`)},
	{name: "handlers see one submission", body: `<form method="post" action="/login" id="f" onsubmit="note('attribute', event.type); password.value += '!'"><input name="password" value="secret"><button name="n" id="go">Go</button></form>
		<script>for (const [name, target] of Object.entries({ window, document, f })) {
			target.addEventListener("submit", seen(name + " capture"), true); target.addEventListener("submit", seen(name));
			target.addEventListener("formdata", seen(name + " capture"), true); target.addEventListener("formdata", seen(name));
		}
		f.addEventListener("formdata", (event) => event.formData.append("token", "once"))</script>`, act: clicks("#go")},
	{name: "handler stops the event", body: `<form method="post" action="/login" id="f"><button id="go">Go</button></form>
		<script>f.onsubmit = (event) => { note("seen"); event.stopImmediatePropagation() }</script>`, act: clicks("#go")},
	{name: "handler throws", body: `<form method="post" action="/login" id="f"><button id="go">Go</button></form>
		<script>addEventListener("error", (event) => { note(event.message); event.preventDefault() }); f.onsubmit = () => { throw new Error("oops") }</script>`, act: clicks("#go")},
	{name: "handler submits the form itself", body: `<form method="post" action="/login" id="f"><input name="a" value="b"><button name="n" id="go">Go</button></form>
		<script>f.onsubmit = (event) => { event.preventDefault(); f.a.value = "checked"; f.submit() }</script>`, act: clicks("#go")},
	{name: "handler submits the form too", body: `<form method="post" action="/login" id="f"><input name="a" value="b"><button name="n" id="go">Go</button></form>
		<script>f.onsubmit = () => { note("seen"); f.submit() }</script>`, act: clicks("#go")},
	{name: "handler submits the form later", body: `<form method="post" action="/login" id="f"><input name="a" value="b"><button name="n" id="go">Go</button></form>
		<script>f.onsubmit = () => { setTimeout(() => f.submit()); return false }</script>`, act: clicks("#go")},
	// One that changes the target from one that is known to need no captcha, as
	// from /open, meets the gate, and so the challenge page.
	{name: "handler changes the target", body: `<form method="post" action="/nothing" id="f"><input name="a"><button id="go">Go</button></form>
		<script>f.onsubmit = () => { f.action = "/login/there"; f.a.disabled = true }</script>`, act: clicks("#go")},
	{name: "page clears the form when it was submitted", body: `<form method="post" action="/login" id="f"><input name="a" value="b" required><button name="n" value="v" id="go">Go</button></form>
		<script>f.onsubmit = () => { setTimeout(() => { f.a.value = ""; go.disabled = true }) }</script>`, act: clicks("#go")},
	{name: "page removes the button when it was pressed", body: `<form method="post" action="/open" id="f"><input name="a" value="b"><button name="n" value="v" formaction="/login" formenctype="multipart/form-data" id="go">Go</button></form>
		<script>f.onsubmit = () => { setTimeout(() => go.remove()) }</script>`, act: clicks("#go")},
	{name: "page submits the form and removes it", body: `<form method="post" action="/login?a" enctype="multipart/form-data" id="f"><input name="a" value="b"></form>`, act: runs(`const form = f; form.submit(); form.remove()`)},
	{name: "page makes a form, submits it and removes it", act: runs(`const form = document.createElement("form"); form.method = "post"; form.action = "/login/export"; form.innerHTML = '<input name="format" value="csv">'; document.body.append(form); form.submit(); form.remove()`)},
	{name: "page changes everything when it was submitted", body: `<form method="post" action="/login?a" id="f"><input name="a" value="b"><button name="n" value="v" id="go">Go</button></form>
		<script>f.onsubmit = () => { setTimeout(() => { f.action = "/elsewhere"; f.method = "get"; f.enctype = "text/plain"; f.target = "_blank"; f.innerHTML = ""; f.remove() }) }</script>`, act: clicks("#go")},
	{name: "page replaces itself when it was submitted", body: `<form method="post" action="/login" id="f"><input name="a" value="b"><button id="go">Go</button></form>
		<script>f.onsubmit = () => { setTimeout(() => { document.body.innerHTML = "<p>One moment" }) }</script>`, act: clicks("#go")},
	{name: "in a shadow root", body: `<div id="host"></div><script>host.attachShadow({ mode: "open" }).innerHTML = '<form method="post" action="/login"><input name="a" value="b"><button name="n" value="v">Go</button></form>';
		host.shadowRoot.addEventListener("submit", (event) => note("root", event.target.localName, event.submitter?.name))</script>`, act: runs(`host.shadowRoot.querySelector("button").click()`)},
	{name: "in a closed shadow root", body: `<div id="host"></div><script>window.root = host.attachShadow({ mode: "closed" }); root.innerHTML = '<form method="post" action="/login"><input name="a" value="b"><button>Go</button></form>'</script>`, act: runs(`root.querySelector("form").requestSubmit()`)},
	{
		name: "in shadow roots of the document", body: `<div id="host"><template shadowrootmode="open"><div id="inner"><template shadowrootmode="open"><form method="post" action="/login"><input name="a" value="b"><button>Go</button></form></template></div></template></div>`,
		act: runs(`host.shadowRoot.getElementById("inner").shadowRoot.querySelector("button").click()`),
	},
	{name: "shadow root that is declared as closed", body: `<x-form><template shadowrootmode="closed"><form method="post" action="/login"><input name="a" value="b"><button>Go</button></form></template></x-form>
		<script>customElements.define("x-form", class extends HTMLElement { #root = this.attachInternals().shadowRoot; go() { this.#root.querySelector("button").click() } })</script>`, act: runs(`document.querySelector("x-form").go()`)},
	{name: "shadow root that is declared, by the page", body: `<div id="host"><template shadowrootmode="open"><form method="post" action="/login"><input name="a" value="b"></form></template></div>`, act: runs(`host.shadowRoot.querySelector("form").requestSubmit()`)},
	{name: "frame with a document in its element", stays: true, body: `<iframe id="inner" srcdoc="<form method=post action=/login id=f><input name=a value=b><button name=n value=v id=go>Go</button></form>"></iframe>`, act: runs(`inner.contentDocument.getElementById("go").click()`)},
	{name: "frame with a document in its element, by the page", stays: true, body: `<iframe id="inner" srcdoc="<form method=post action=/login><input name=a value=b></form>"></iframe>`, act: runs(`inner.contentDocument.forms[0].submit()`)},
	{name: "frame that the page writes", stays: true, act: runs(`const frame = document.createElement("iframe"); document.body.append(frame); frame.contentDocument.body.innerHTML = '<form method="post" action="/login"><input name="a" value="b"></form>'; frame.contentDocument.forms[0].submit()`)},
	{name: "frame that the page opens and writes", stays: true, body: `<iframe id="inner"></iframe>`, act: runs(`const inside = inner.contentDocument; inside.open(); inside.write('<form method="post" action="/login"><input name="a" value="b"></form>'); inside.close(); inside.forms[0].requestSubmit()`)},
	{name: "new tab", stays: true, body: `<form method="post" action="/login" target="_blank"><input name="a" value="b"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "frame", stays: true, body: `<form method="post" action="/login" target="inner"><input name="a" value="b"><button formtarget="inner" id="go">Go</button></form><iframe name="inner"></iframe>`, act: clicks("#go")},
	{name: "answer without content", stays: true, body: `<form method="post" action="/nothing"><input name="a" value="b"><button id="go">Go</button></form>`, act: clicks("#go")},
	{name: "after the document was changed", body: `<base href="/login/"><img name="baseURI"><form method="post" action="deep"><button id="go">Go</button></form>`, act: clicks("#go")},
}

func TestHeldFormArrivesAsItWould(t *testing.T) {
	for _, test := range heldForms {
		t.Run(test.name, func(t *testing.T) {
			play := func(policies ...string) (received []string, noted string) {
				g := serveApp(t, &gated{policies: policies, forms: test.forms, charset: test.charset, body: test.body}).start()
				ctx := g.open(t)
				test.act(&person{t: t, do: func(steps ...action) { t.Helper(); do(t, ctx, steps...) }})
				if policies != nil {
					do(t, ctx, g.asked(1))
					if got := g.requests(); len(got) != 0 {
						t.Errorf("the application received %q before the captcha was solved", got)
					}
					do(t, ctx, g.solve(1))
				}
				do(t, ctx, g.receives(1))
				if !test.stays {
					do(t, ctx, browsertest.Await("document.title === 'received'"))
				} else if policies != nil {
					do(t, ctx, browsertest.Await("!("+shown+")"))
				}
				do(t, ctx, js("fetch('/last')"), until(func() bool { got := g.requests(); return strings.HasPrefix(got[len(got)-1], "GET /last") }))
				expectNoProblems(t, ctx)
				if got := g.count(&g.pages); policies != nil && got != 1 {
					t.Errorf("%d challenge pages, want 1", got)
				}
				return g.requests(), notes(t, ctx)
			}
			wantReceived, wantNoted := play()
			gotReceived, gotNoted := play("login")
			expectEqual(t, "received", gotReceived, wantReceived)
			expectEqual(t, "seen by the page", formDataOnce(gotNoted), formDataOnce(wantNoted))
			if len(gotReceived) != 2 {
				t.Errorf("the application received %q, want one form", gotReceived)
			}
		})
	}
}

// formDataOnce leaves out the second time that a page sees the entries of one
// submission: Chromium collects them once more for its Navigation API.
func formDataOnce(notes string) string {
	seen := map[string]bool{}
	var lines []string
	for line := range strings.Lines(notes) {
		if !strings.Contains(line, " formdata ") || !seen[line] {
			lines = append(lines, line)
		}
		seen[line] = true
	}
	return strings.Join(lines, "")
}

// A person acts on a page.
type person struct {
	t  *testing.T
	do func(steps ...action)
}

func clicks(selector string) func(*person) {
	return func(p *person) { p.t.Helper(); p.do(click(selector)) }
}

func types(selector, keys string) func(*person) {
	return func(p *person) { p.t.Helper(); p.do(chromedp.SendKeys(chromedp.CSS(selector), keys)) }
}

func runs(script string) func(*person) {
	return func(p *person) { p.t.Helper(); p.do(js(script)) }
}

func fields(names ...string) string {
	var html strings.Builder
	for _, name := range names {
		html.WriteString(`<input name="` + name + `" value="1">`)
	}
	return html.String()
}

func uploads(t *testing.T) []string {
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "a \"quoted\" 王.txt"), filepath.Join(dir, "b.bin")}
	for i, content := range []string{"line\nline\r\n", "\x00\xff\r\n\x80"} {
		if err := os.WriteFile(files[i], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
