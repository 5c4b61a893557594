package browser_test

import (
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// framed is a page with a small frame of its own kind, which has the form.
const framed = `<script>document.write(self === top ? '<iframe src="/app" id="small" style="width: 60px; height: 60px"></iframe><iframe src="/app" id="other"></iframe>' : ` + "`" + loginForm + "`" + `)</script>`

// In a small frame nobody could solve a captcha.
func TestAFrameAsksInTheOutermostDocument(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: framed}).start()
	ctx := g.open(t, js(`small.contentDocument.getElementById("go").click()`), g.asked(1))
	do(t, ctx, browsertest.Await(`small.contentDocument.documentElement.children.length === 2`), g.solve(1), browsertest.Await(`small.contentDocument.title === "received"`))
	expectEqual(t, "received", g.requests(), []string{"POST /login application/x-www-form-urlencoded\na=b&n=v"})
	expectNoProblems(t, ctx)
}

func TestFramesAskOnce(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: framed}).start()
	// The frame whose form is sent fetches nothing: its document goes away, and
	// a fetch that has no answer by then fails.
	ctx := g.open(t, js(`for (const frame of [self, small.contentWindow]) frame.fetch("/login").then(({ status }) => note(status)); other.contentDocument.getElementById("go").click()`), g.solve(1), g.receives(3))
	do(t, ctx, browsertest.Await(`sessionStorage.notes === "200\n200\n"`))
	if got := g.count(&g.pages); got != 1 {
		t.Errorf("%d captchas, want one for all", got)
	}
	expectNoProblems(t, ctx)
}

// A frame that is gone waits no more.
func TestAFrameThatIsGoneHasNotWaited(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: framed}).start()
	ctx := g.open(t, js(`small.contentDocument.getElementById("go").click()`), g.asked(1), js(`small.remove()`), g.solve(1), g.hearsThatItIsLate())
	expectEqual(t, "received", g.requests(), []string{})
	expectNoProblems(t, ctx)
}

// What is around may be another site's.
func TestAFrameInAnotherSitesPageAsksByItself(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: `<script>document.write(location.hostname === "other.test"
		? '<iframe src="http://127.0.0.1:' + location.port + '/app" style="position: fixed; inset: 0; width: 100%; height: 100%"></iframe>' : ` + "`" + loginForm + "<script>onload = () => go.click()<\\/script>`" + `)</script>`}).start()
	ctx := browsertest.New(t)
	do(t, ctx, browsertest.Open("http://other.test:"+g.port()+"/app"), until(func() bool { return g.count(&g.ready) == 1 }), browsertest.Await("document.documentElement.children.length === 2"))
	expectNoProblems(t, ctx)
}
