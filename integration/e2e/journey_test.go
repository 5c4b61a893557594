package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// TestTheDialogIsClosed: the form is as it was, and the second try works.
func TestTheDialogIsClosed(t *testing.T) {
	w := newWorld(t, setup{})
	p := newPerson(t)
	p.open(w.url + "/login")
	p.submit()
	m := p.inDialog()
	m.says("solve", "")
	m.escape() // the provider's own
	m.says("closed", "open")
	m.escape()
	p.await("document.activeElement.id === 'send' || document.activeElement === document.body")
	p.submit()
	m.solve()
	p.arrives("Welcome")
	if got := w.app.got(); len(got) != 1 || string(got[0].body) != submitted {
		t.Errorf("the application got %q", got)
	}
	p.sound()
}

// TestAScriptThatStalls: in the end the person is told, and gets in once it
// does not.
func TestAScriptThatStalls(t *testing.T) {
	w := newWorld(t, setup{})
	w.simulator.Fail(simulator.Fault{Path: simulator.V4ScriptPath, Kind: simulator.Stall})
	p := newPerson(t)
	// Timers of a second and more wait until the test lets them go off.
	p.before(`(() => {
		const { setTimeout } = window, kept = [];
		window.setTimeout = (run, delay) => delay >= 1000 ? kept.push(run) + 1e9 : setTimeout(run, delay);
		window.fire = () => kept.splice(0).forEach((run) => run());
	})()`)
	p.open(w.url + "/members")
	m := p.onPage()
	m.await(`document.querySelector('script[src$="/gt4.js"]')`)
	p.run("document.querySelector('iframe').contentWindow.fire()")
	m.says("blocked", "retry")
	w.simulator.Heal()
	m.click(button)
	m.solve()
	p.arrives("Members")
	p.sound()
}

// before runs a script in every document before its own.
func (p person) before(script string) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		p.t.Fatal(err)
	}
}

// TestBackAndForward: nobody comes back to a captcha that is solved.
func TestBackAndForward(t *testing.T) {
	w := newWorld(t, setup{})
	p := newPerson(t)
	p.open(w.url + "/start")
	p.arrives("Login")
	p.open(w.url + "/members")
	p.onPage().solve()
	p.arrives("Members")
	p.run("setTimeout(() => history.back())")
	p.arrives("Login")
	if path := p.text("location.pathname"); path != "/start" {
		t.Errorf("back brings %s, want what was before the captcha", path)
	}
	p.run("setTimeout(() => history.forward())")
	p.arrives("Members")
	p.sound()
}

// TestBackToAForm: one that was left and comes out of the back-forward cache
// works, and so does one that was submitted through the dialog.
func TestBackToAForm(t *testing.T) {
	w := newWorld(t, setup{})
	p := newPerson(t)
	p.open(w.url + "/login")
	p.arrives("Login")
	p.run("setTimeout(() => { location.href = '/elsewhere' })")
	p.await("location.pathname === '/elsewhere' && document.readyState === 'complete'")
	back := func() {
		p.run("setTimeout(() => history.back())")
		p.await("location.pathname === '/login' && document.title === 'Login'")
	}
	back()
	p.await("window.persisted")
	p.submit()
	p.inDialog().solve()
	p.arrives("Welcome")
	back()
	p.submit() // with the clearance
	p.arrives("Welcome")
	back()
	p.forgets()
	p.submit()
	m := p.inDialog()
	m.solve()
	p.arrives("Welcome")
	got := w.app.got()
	if len(got) != 3 {
		t.Fatalf("the application got %d forms, want 3", len(got))
	}
	for _, form := range got {
		if string(form.body) != submitted {
			t.Errorf("the application got %q", form.body)
		}
	}
	p.sound()
}

// TestLeavingTheDialog open and coming back: the form is usable.
func TestLeavingTheDialog(t *testing.T) {
	w := newWorld(t, setup{})
	p := newPerson(t)
	p.open(w.url + "/login")
	p.submit()
	p.inDialog().says("solve", "")
	p.run("setTimeout(() => { location.href = '/elsewhere' })")
	p.await("location.pathname === '/elsewhere' && document.readyState === 'complete'")
	p.run("setTimeout(() => history.back())")
	p.await("location.pathname === '/login' && document.title === 'Login'")
	p.submit()
	p.inDialog().solve()
	p.arrives("Welcome")
	if got := w.app.got(); len(got) != 1 || string(got[0].body) != submitted {
		t.Errorf("the application got %q", got)
	}
	p.sound()
}

// TestAFormWithoutInjection: the page that refuses it sends it again, as it
// was.
func TestAFormWithoutInjection(t *testing.T) {
	for _, provider := range []string{"geetest_v4", "geetest_v3", "tencent"} {
		t.Run(provider, func(t *testing.T) {
			w := newWorld(t, setup{provider: provider})
			p := newPerson(t)
			p.open(w.url + "/plain")
			p.submit()
			p.await("location.pathname === '/login'")
			p.solve()
			p.arrives("Welcome")
			if got := w.app.got(); len(got) != 1 || string(got[0].body) != submitted {
				t.Errorf("the application got %q", got)
			}
			p.sound()
		})
	}
}

// TestAnUpload arrives byte for byte, longer than what is searched for proofs.
func TestAnUpload(t *testing.T) {
	content := make([]byte, 2<<20)
	rand.Read(content)
	file := filepath.Join(t.TempDir(), "ph\"oto é.bin")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, setup{})
	form := `<!DOCTYPE html><title>Upload</title><form method="post" enctype="multipart/form-data" action="ACTION">
		<input name="title" value="a&quot;b"><input id="file" name="file" type="file" multiple><input name="none" type="file"><button id="send" name="do" value="up">Send</button></form>`
	w.app.html("/login/upload", strings.Replace(form, "ACTION", "/login/upload", 1))
	w.app.html("/open", strings.Replace(form, "ACTION", "/elsewhere", 1))
	p := newPerson(t)
	for _, path := range []string{"/open", "/login/upload"} {
		p.open(w.url + path)
		p.arrives("Upload")
		if err := chromedp.Do(p.ctx, chromedp.SetUploadFiles("#file", []string{file, file})); err != nil {
			t.Fatal(err)
		}
		p.click("#send")
		if path != "/open" {
			p.inDialog().solve()
		}
		want := 1
		if path != "/open" {
			want = 2
		}
		p.awaits(func() bool { return len(w.app.got()) == want })
	}
	unprotected, protected := w.app.got()[0], w.app.got()[1]
	if got, want := unbound(t, protected), unbound(t, unprotected); !bytes.Equal(got, want) || bytes.Count(got, content) != 2 {
		t.Errorf("the application got %d bytes, without the captcha %d, and they differ", len(got), len(want))
	}
	p.sound()
}

// unbound returns a multipart body with a boundary that is always the same.
func unbound(t *testing.T, s sending) []byte {
	t.Helper()
	_, parameters, err := mime.ParseMediaType(s.contentType)
	if err != nil || parameters["boundary"] == "" {
		t.Fatalf("the content type is %s", s.contentType)
	}
	return bytes.ReplaceAll(s.body, []byte(parameters["boundary"]), []byte("boundary"))
}

// awaits waits until the condition holds.
func (p person) awaits(condition func() bool) {
	p.t.Helper()
	err := chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for !condition() {
			if err := chromedp.Do(ctx, chromedp.Sleep(20*time.Millisecond)); err != nil {
				return err
			}
		}
		return nil
	}))
	if err != nil {
		p.t.Fatal(err)
	}
}
