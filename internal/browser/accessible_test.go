package browser

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
)

// In every state, in light and dark, from left to right and from right to left,
// the pages keep to the rules that axe-core knows.
func TestThePagesAreAccessible(t *testing.T) {
	testenv.NodeModules(t, ".")
	for name, test := range map[string]struct {
		kind, path string
		site       func(*site)
		reach      func(*site, tab)
	}{
		"loading": {"geetest_v4", "/login", func(s *site) { s.mode = "stalled" }, func(_ *site, b tab) { b.says("loading", "") }},
		"silent":  {"geetest_v4", "/login", func(s *site) { s.shell = true }, func(_ *site, b tab) { b.says("silent", "retry") }},
		"closed":  {"geetest_v4", base + "/page", nil, func(_ *site, b tab) { b.press("fake-close"); b.says("closed", "open") }},
		"box":     {"intl", base + "/page", nil, func(_ *site, b tab) { b.says("solve", "") }},
		"error":   {"tencent", base + "/page", func(s *site) { s.mode = "missing" }, func(_ *site, b tab) { b.says("blocked", "retry") }},
		"cleared": {"tencent", base + "/page", func(s *site) { s.cleared = true }, func(_ *site, b tab) { b.says("cleared", "") }},
		"unsent": {"geetest_v4", "/form", nil, func(_ *site, b tab) {
			b.do(chromedp.Click("#send"))
			b.says("solve", "")
			b.eval("document.cookie = 'captcha-login=passed; path=/'; new BroadcastChannel('captcha-login').postMessage('passed')")
			b.says("unsent", "send")
		}},
	} {
		for _, view := range []browsertest.View{{Scheme: "light", Language: "en"}, {Scheme: "dark", Language: "ar", Width: 320, Height: 568, Phone: true}} {
			t.Run(name+" "+view.Language, func(t *testing.T) {
				s, b := newSite(t, test.kind), newTab(t)
				b.language = view.Language
				if test.site != nil {
					test.site(s)
				}
				b.do(browsertest.Emulate(view))
				b.open(s.app.URL + test.path)
				test.reach(s, b)
				if found := browsertest.Axe(t, b.ctx); found != "" {
					t.Errorf("axe finds\n%s", found)
				}
			})
		}
	}
}
