package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// meeting is where a person meets the captcha: in a frame of the challenge page
// or of the dialog over the application's page.
type meeting struct {
	p     person
	frame string // a part of its URL
}

func (p person) onPage() meeting   { return meeting{p, "/.captcha/"} }
func (p person) inDialog() meeting { return meeting{p, "/.captcha/"} }

// await waits until the expression is true in the captcha's document.
func (m meeting) await(expression string) {
	m.p.t.Helper()
	if err := chromedp.Do(m.p.ctx, browsertest.AwaitInFrame(m.frame, expression)); err != nil {
		m.p.t.Fatal(err)
	}
}

func (m meeting) click(selector string) {
	m.p.t.Helper()
	m.await(clicking(selector))
}

// says waits until the captcha's document says a text, and offers a button,
// or none.
func (m meeting) says(text, button string) {
	m.p.t.Helper()
	texts := browser.Data{Lang: "en"}.Text()
	want := fmt.Sprintf(`document.querySelector("#captcha-status").textContent.startsWith(%q) && `, texts[text])
	if button == "" {
		want += `document.querySelector("#captcha-button").hidden`
	} else {
		want += fmt.Sprintf(`!document.querySelector("#captcha-button").hidden && document.querySelector("#captcha-button").textContent === %q`, texts[button])
	}
	m.await(want)
}

// solve solves the captcha, which opens by itself.
func (m meeting) solve() {
	m.p.t.Helper()
	m.click(solveButton)
}

// escape closes the dialog.
func (m meeting) escape() {
	m.p.t.Helper()
	if err := chromedp.Do(m.p.ctx, chromedp.KeyEvent(kb.Escape)); err != nil {
		m.p.t.Fatal(err)
	}
}

// submit fills in the application's form and sends it. What it clicks last may
// bring the dialog or another page.
func (p person) submit() {
	p.t.Helper()
	p.await("document.readyState === 'complete' && document.querySelector('form')")
	p.await(`(document.querySelector("[name=user]").value = "alice") && ` + clicking("#send"))
}

const submitted = "user=alice&password=s%26cret%3D%C3%BC&do=login"

// arrives waits for the page of that title.
func (p person) arrives(title string) {
	p.t.Helper()
	p.await(fmt.Sprintf("document.title === %q && document.readyState === 'complete'", title))
}

// run runs a script whose value does not matter.
func (p person) run(script string) {
	p.t.Helper()
	p.text("(() => {" + script + "})()")
}

// does runs a script as a page does that a person uses: in answer to a key.
func (p person) does(script string) {
	p.t.Helper()
	p.run(`addEventListener("keydown", (event) => { event.preventDefault(); ` + script + ` }, { once: true })`)
	if err := chromedp.Do(p.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		p.t.Fatal(err)
	}
}

// sharing opens another tab of the same browser, with the same cookies.
func (p person) sharing() person {
	p.t.Helper()
	ctx, closeTab := chromedp.NewContext(p.ctx)
	p.t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil {
		p.t.Fatal(err)
	}
	return person{p.t, ctx}
}

// cookies returns the browser's cookies for a URL.
func (p person) cookies(url string) []*network.Cookie {
	p.t.Helper()
	got, err := chromedp.Call(p.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{url}})
	if err != nil {
		p.t.Fatal(err)
	}
	return got.Cookies
}

// clearances returns those that are clearances.
func (p person) clearances(url string) []*network.Cookie {
	p.t.Helper()
	return slices.DeleteFunc(p.cookies(url), func(c *network.Cookie) bool { return !strings.Contains(c.Name, "captcha-") })
}

// has gives the browser a cookie.
func (p person) has(cookie *http.Cookie, url string) {
	p.t.Helper()
	params := network.SetCookieParams{Name: cookie.Name, Value: cookie.Value, URL: url}
	if _, err := chromedp.Call(p.ctx, network.SetCookie, params); err != nil {
		p.t.Fatal(err)
	}
}

// forgets clears the browser's cookies and the tab's storage, as if all had
// been long ago.
func (p person) forgets() {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		p.t.Fatal(err)
	}
	p.run("sessionStorage.clear()")
}

// reported fails the test if the browser reported anything but these.
func (p person) reported(expected ...string) {
	p.t.Helper()
	for _, problem := range browsertest.Problems(p.ctx) {
		if !slices.ContainsFunc(expected, func(text string) bool { return strings.Contains(problem, text) }) {
			p.t.Errorf("the browser reported %q", problem)
		}
	}
}

// foreign serves a page of somebody else and returns its URL, under a host name
// of another site.
func foreign(t *testing.T, html string) string {
	t.Helper()
	other := newApplication(t)
	other.page("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<!DOCTYPE html>" + html)) })
	return strings.Replace(other.URL, "127.0.0.1", "evil.example", 1)
}
