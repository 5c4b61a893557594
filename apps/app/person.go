//go:build apps

package app

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// Person is somebody with a browser, who solves each captcha that comes.
type Person struct {
	T    *testing.T
	Ctx  context.Context
	Site string // the URL at which the application is, without a slash at its end

	// Solved counts the captchas.
	Solved int
}

func (p *Person) do(action chromedp.Action[chromedp.Void]) {
	p.T.Helper()
	if err := chromedp.Do(p.Ctx, action); err != nil {
		p.T.Fatalf("%v; the page is %s", err, p.where())
	}
}

// where says what the person sees.
func (p *Person) where() string {
	text, err := chromedp.Run(p.Ctx, chromedp.Evaluate[string](`location.href + ": " + document.title + ": " + (document.body ? document.body.innerText.slice(0, 500) : "")`))
	if err != nil {
		return err.Error()
	}
	return text
}

// Open opens a path of the application.
func (p *Person) Open(path string) {
	p.T.Helper()
	p.do(browsertest.Open(p.Site + path))
}

const pause = 50 * time.Millisecond

const solve = ".captcha-simulator-solve"

// Until waits until the JavaScript expression is true, and meanwhile solves each
// captcha that comes. It gives up shortly before the tab's time is over, while
// the page can still be looked at.
func (p *Person) Until(expression string) {
	p.T.Helper()
	end, _ := p.Ctx.Deadline()
	for !p.holds(expression) {
		if ok, _ := browsertest.InFrame(p.Ctx, "/.captcha/", `(e => e && !e.dataset.pressed && e.offsetHeight && (e.dataset.pressed = "yes", setTimeout(() => e.click()), true))(document.querySelector("`+solve+`:enabled"))`); ok {
			p.Solved++
		}
		if time.Until(end) < 5*time.Second {
			p.T.Fatalf("waited in vain for %s; the page is %s", expression, p.where())
		}
		p.do(chromedp.Sleep(pause))
	}
}

// Where returns the URL and the title of the page, when they have stayed the
// same for a while: applications set them in several steps.
func (p *Person) Where() string {
	p.T.Helper()
	const where = `location.href + " " + document.title`
	p.Until(`document.readyState === "complete"`)
	last := ""
	for same := 0; same < 10; same++ {
		if now := p.Text(where); now != last {
			last, same = now, 0
		}
		p.do(chromedp.Sleep(pause))
	}
	return last
}

func (p *Person) holds(expression string) bool {
	ok, err := chromedp.Run(p.Ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
	return err == nil && ok
}

// element is one that can be seen.
func element(selector string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%q)].find((e) => e.getClientRects().length && !e.disabled)`, selector)
}

// loaded is true when the page's scripts had their time: before that, keys and
// clicks are lost on many pages.
const loaded = `document.readyState === "complete" && `

// Click clicks an element, when it is there.
func (p *Person) Click(selector string) {
	p.T.Helper()
	p.Until(loaded + element(selector))
	p.do(chromedp.Click(chromedp.JSPath(element(selector))))
}

// Fill puts a text into a field as typing does.
func (p *Person) Fill(selector, text string) {
	p.T.Helper()
	p.Until(loaded + element(selector))
	p.do(chromedp.Focus(chromedp.JSPath(element(selector))))
	p.Evaluate(`document.activeElement.select && document.activeElement.select()`)
	p.do(chromedp.KeyEvent(text))
}

// Evaluate evaluates an expression whose value does not matter.
func (p *Person) Evaluate(expression string) {
	p.T.Helper()
	if _, err := chromedp.Run(p.Ctx, chromedp.Evaluate[bool]("(() => { "+expression+"; return true })()")); err != nil {
		p.T.Fatalf("%s: %v", expression, err)
	}
}

// Upload chooses a file in a file input.
func (p *Person) Upload(selector, file string) {
	p.T.Helper()
	p.Until(fmt.Sprintf("document.querySelector(%q)", selector))
	p.do(chromedp.SetUploadFiles(chromedp.CSS(selector), []string{file}))
}

// Text returns the value of an expression as text.
func (p *Person) Text(expression string) string {
	p.T.Helper()
	text, err := chromedp.Run(p.Ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		p.T.Fatalf("%s: %v", expression, err)
	}
	return text
}
