package browser

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// serveForms is a page of the site, or of another, with a form for /login.
func serveForms(form string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><meta charset=utf-8><title>form</title>"+form)
	}
}

// text is a value with every character of Latin-1 that a field can have.
func everyCharacter() string {
	var text strings.Builder
	for r := rune(1); r < 256; r++ {
		if r != '\r' && r != '\n' {
			text.WriteRune(r)
		}
	}
	return text.String()
}

// boundaryless returns what was posted, less what a browser makes anew each
// time.
func (p post) boundaryless() string {
	if _, boundary, ok := strings.Cut(p.contentType, "boundary="); ok {
		return strings.ReplaceAll(p.contentType+"\n"+p.body, boundary, "B")
	}
	return p.contentType + "\n" + p.body
}

// What a form of the site sent goes on by itself, byte for byte as it was,
// whatever its charset and whatever is in it.
func TestAFormIsSentAgainAsItWas(t *testing.T) {
	every := html.EscapeString(everyCharacter())
	fields := `<input name=a value="1"><input name=b value="` + every + `"><textarea name=c>` + "\none\ntwo\n" + `</textarea>
		<input name="" value=x><input name=a value="2"><input type=hidden name="q&quot;%22" value="&quot;&amp;=+ %41~*"><input type=hidden name=_charset_ value=x>`
	for name, form := range map[string]string{
		"urlencoded":        `<form method=post action="/login?a=b">` + fields,
		"multipart":         `<form method=post action=/login enctype=multipart/form-data>` + fields + `<input type=file name=f>`,
		"UTF-16":            `<form method=post action=/login accept-charset=utf-16>` + fields,
		"Shift JIS":         `<form method=post action=/login accept-charset=shift_jis>` + fields + `<input name=j value="日本語 𠮷">`,
		"windows-1252":      `<form method=post action=/login accept-charset=windows-1252 enctype=multipart/form-data>` + fields,
		"nothing":           `<form method=post action=/login>`,
		"no file":           `<form method=post action=/login><input type=file name=f>`,
		"names of a form's": `<form method=post action=/login><input name=submit value=1><input name=action value=2><input name=enctype value=3>`,
	} {
		t.Run(name, func(t *testing.T) {
			s, b := newSite(t, "geetest_v4"), newTab(t)
			s.mux.HandleFunc("GET /own", serveForms(form+`<button id=send name=button value=pressed>send</button></form>`))
			b.open(s.app.URL + "/own")
			b.do(chromedp.Click("#send"))
			b.solve("geetest_v4")
			b.await("document.getElementById('app')")
			if len(s.posted) != 2 || s.posted[0].passed || !s.posted[1].passed || s.pages != 1 {
				t.Fatalf("got %v and %d pages, want a refused request and one that passed", s.posted, s.pages)
			}
			if first, second := s.posted[0].boundaryless(), s.posted[1].boundaryless(); first != second {
				t.Errorf("got\n%q again, want\n%q", second, first)
			}
			b.sound()
		})
	}
}

// What a browser would not make the same body of again is the person's to send.
func TestAFormThatCannotBeSentAgain(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	s.mux.HandleFunc("GET /own", serveForms(`<form method=post action=/login enctype=text/plain><input name=a value=1><button id=send>send</button></form>`))
	b.open(s.app.URL + "/own")
	b.do(chromedp.Click("#send"))
	b.solve("geetest_v4")
	b.says("resend", "back")
	b.press("captcha-button")
	b.await("document.title === 'form'")
	b.press("send")
	b.await("document.getElementById('app')")
	if len(s.posted) != 2 || s.pages != 1 {
		t.Errorf("got %v and %d pages", s.posted, s.pages)
	}
	b.sound()
}

// What another site has sent is never repeated, and leads to no circle.
func TestAFormOfAnotherSite(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<title>root</title>") })
	other := httptest.NewServer(serveForms(`<form method=post action="` + strings.Replace(s.app.URL, "127.0.0.1", "localhost", 1) + `/login"><input name=SAMLResponse value=secret><button id=send>send</button></form>`))
	t.Cleanup(other.Close)
	b.open(other.URL)
	b.do(chromedp.Click("#send"))
	b.solve("geetest_v4")
	b.says("foreign", "home")
	b.press("captcha-button")
	b.await("document.title === 'root'")
	if len(s.posted) != 1 {
		t.Errorf("got %v, want it once", s.posted)
	}
	b.sound()
}

// A pass in another tab does not send what this one has kept: a person says so.
func TestAPassElsewhereSendsNothing(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	b.open(s.app.URL + "/form")
	b.do(chromedp.Click("#send"))
	b.says("solve", "")
	b.eval("document.cookie = 'captcha-login=passed; path=/'; new BroadcastChannel('captcha-login').postMessage('passed')")
	b.says("unsent", "send")
	if len(s.posted) != 1 {
		t.Fatalf("got %v, want nothing sent by itself", s.posted)
	}
	b.press("captcha-button")
	b.await("document.getElementById('app')")
	if len(s.posted) != 2 || s.posted[0] != (post{s.posted[1].contentType, s.posted[1].body, false}) {
		t.Errorf("got %v", s.posted)
	}
	b.sound()
}

// What was sent is in no element, no global and no storage while a provider's
// script runs, and it is forgotten after ten minutes.
func TestWhatWasSentIsKeptApart(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t, clock())
	s.mux.HandleFunc("GET /own", serveForms(`<form method=post action=/login><input name=password value=hunter2><button id=send>send</button></form>`))
	b.open(s.app.URL + "/own")
	b.do(chromedp.Click("#send"))
	b.says("solve", "")
	b.await(`!document.documentElement.outerHTML.includes("hunter2") && !JSON.stringify([sessionStorage, localStorage, history.state]).includes("hunter2") &&
		Object.keys(window).every((name) => { try { return !JSON.stringify(window[name]).includes("hunter2") } catch (e) { return true } })`)
	b.await("fire(600000, 600000)")
	b.press("fake-solve")
	b.says("resend", "back")
	if len(s.posted) != 1 {
		t.Errorf("got %v, want nothing sent again", s.posted)
	}
	b.sound()
}

// A frame that never says hello is not the widget page: a service worker may
// answer with the application's shell, a proxy with its own page.
func TestASilentFrameIsExplained(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t, clock())
	s.shell = true
	b.open(s.app.URL + "/login")
	b.says("loading", "")
	b.await("fire(3000, 3000)")
	b.says("silent", "retry")
	s.set(func() { s.shell = false })
	b.press("captcha-button")
	b.solve("geetest_v4")
	b.await("document.getElementById('app')")
	b.sound()
}

// In a page of another site no cookie of ours would hold, so the page says so.
func TestAFrameOfAnotherSiteIsExplained(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	site := strings.Replace(s.app.URL, "127.0.0.1", "localhost", 1)
	other := httptest.NewServer(serveForms(`<iframe src="` + site + `/login"></iframe>`))
	t.Cleanup(other.Close)
	b.open(other.URL)
	b.frameSays(site+"/login", "framed", "window")
	if s.asked != 0 || s.frames != 0 {
		t.Errorf("got %d challenges and %d widget pages, want none", s.asked, s.frames)
	}
	b.sound()
}

// Without our script the page says what may be in the way.
func TestAPageWithoutItsScriptSaysSo(t *testing.T) {
	s, b := newSite(t, "geetest_v4"), newTab(t)
	s.withoutScripts = true
	b.open(s.app.URL + "/login")
	b.await("getComputedStyle(document.getElementById('captcha-fallback')).visibility === 'hidden'")
	b.eval("document.getElementById('captcha-fallback').getAnimations().forEach((a) => a.finish())")
	b.await("getComputedStyle(document.getElementById('captcha-fallback')).visibility === 'visible' && document.getElementById('captcha-fallback').offsetHeight > 0")
}
