package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// The page fits a small phone. With CAPTCHA_SCREENSHOTS, the name of a
// directory, its looks in every language, scheme and size are kept there.
func TestLooks(t *testing.T) {
	dir := os.Getenv("CAPTCHA_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	phone := browsertest.View{Width: 320, Height: 568, Phone: true}
	desktop := browsertest.View{Width: 1280, Height: 800}
	states := []struct {
		name, kind, path string
		reach            func(*site, tab)
	}{
		{"closed", "geetest_v4", "/login", func(_ *site, b tab) { b.press("fake-close") }},
		{"tick", "intl", "/login", func(_ *site, b tab) { b.awaitIn(shown, `w.document.getElementById('fake-tick')`) }},
		{"error", "geetest_v3", "/login", func(_ *site, b tab) { b.awaitIn(shown, `w.document.querySelector('[data-state=error]')`) }},
		{"frame", "geetest_v4", "/frame", func(_ *site, b tab) { b.press("fake-close") }},
		{"silent", "geetest_v4", "/login", func(_ *site, b tab) { b.await(`document.querySelector('[data-state=error]')`) }},
	}
	everything := os.Getenv("CAPTCHA_SCREENSHOTS") != ""
	for _, state := range states {
		for lang := range texts {
			for _, scheme := range []string{"light", "dark"} {
				for size, view := range map[string]browsertest.View{"phone": phone, "desktop": desktop} {
					if !everything && (size == "desktop" || scheme == "dark" || lang != "en" && state.name != "error") {
						continue // the narrow ones are what may break
					}
					name := fmt.Sprintf("%s-%s-%s-%s", state.name, lang, scheme, size)
					t.Run(name, func(t *testing.T) {
						s, b := newSite(t, state.kind), newTab(t)
						if state.name == "error" {
							s.mode = "missing"
						}
						s.shell = state.name == "silent"
						view.Scheme, view.Language = scheme, lang
						b.do(browsertest.Emulate(view))
						b.open(s.app.URL + state.path)
						state.reach(s, b)
						b.awaitIn(shown, fmt.Sprintf(`w.document.documentElement.scrollWidth <= %d && w.document.documentElement.lang === '%s'`, view.Width, lang))
						b.do(browsertest.Screenshot(filepath.Join(dir, name+".png")))
						b.sound()
					})
				}
			}
		}
	}
}
