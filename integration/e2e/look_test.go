package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// TestLooks: the page, and the dialog over the demo's login form, fit a phone.
// With CAPTCHA_SCREENSHOTS, the name of a directory, their looks are kept there,
// in two languages, light and dark, large and small.
func TestLooks(t *testing.T) {
	dir := os.Getenv("CAPTCHA_SCREENSHOTS")
	everything := dir != ""
	if !everything {
		dir = t.TempDir()
	}
	views := map[string]browsertest.View{
		"phone":   {Width: 360, Height: 640, Phone: true},
		"desktop": {Width: 800, Height: 560},
	}
	url := runExample(t)
	for size, view := range views {
		for _, scheme := range []string{"light", "dark"} {
			for _, language := range []string{"en", "zh-CN"} {
				if !everything && (size != "phone" || scheme != "light" || language != "en") {
					continue // the narrow one with the longer texts is what may break
				}
				view.Scheme, view.Language = scheme, language
				look := func(name string, m meeting) {
					m.await(fmt.Sprintf("document.documentElement.lang === %q && document.documentElement.scrollWidth <= %d", language, view.Width))
					file := filepath.Join(dir, fmt.Sprintf("%s-%s-%s-%s.png", name, language, scheme, size))
					if err := chromedp.Do(m.p.ctx, browsertest.Screenshot(file)); err != nil {
						t.Fatal(err)
					}
				}
				p := newPerson(t)
				if err := chromedp.Do(p.ctx, browsertest.Emulate(view)); err != nil {
					t.Fatal(err)
				}
				p.open(url + "/v4/members")
				m := p.onPage()
				m.await("document.querySelector('.captcha-simulator-solve:enabled')?.offsetHeight && document.querySelector('.captcha-simulator img')?.complete")
				look("widget", m)
				m.click(".captcha-simulator-close")
				m.await("document.querySelector('#captcha-button:not([hidden])')")
				look("page", m)

				p.open(url + "/v4/login")
				p.click("#plain button")
				m = p.inDialog()
				m.await("document.querySelector('.captcha-simulator-solve:enabled')?.offsetHeight && document.querySelector('.captcha-simulator img')?.complete")
				look("over", m)
				m.click(".captcha-simulator-close")
				m.await("document.querySelector('#captcha-button:not([hidden])') && !document.querySelector('.captcha-simulator')")
				look("dialog", m)
				p.sound()
			}
		}
	}
}

// TestTheCardStaysWhereItIs: a widget that appends to the document's body, as
// Tencent's and GeeTest's do, does not move the card under somebody's finger.
func TestTheCardStaysWhereItIs(t *testing.T) {
	const watch = `(() => {
	const tops = new Set();
	const look = () => {
		const card = document.querySelector("#captcha-stage main");
		if (card && card.offsetHeight) {
			const { top, height } = card.getBoundingClientRect();
			tops.add(Math.round(top + height / 2));
			document.documentElement.dataset.middles = [...tops].join(" ");
		}
		requestAnimationFrame(look);
	};
	look();
})()`
	for _, provider := range []string{"geetest_v4", "geetest_v3", "tencent"} {
		t.Run(provider, func(t *testing.T) {
			w := newWorld(t, setup{provider: provider})
			p := newPerson(t)
			p.before(watch)
			p.open(w.url + "/members")
			m := p.onPage()
			m.await("document.querySelector('" + solveButton + "')?.offsetHeight")
			still := "(([first, ...rest]) => rest.every((middle) => Math.abs(middle - first) <= 1))(document.documentElement.dataset.middles.split(' '))"
			if ok, err := browsertest.InFrame(p.ctx, m.frame, still); err != nil || !ok {
				t.Errorf("the card has moved: %v", err)
			}
			m.click(solveButton)
			p.arrives("Members")
			p.sound()
		})
	}
}
