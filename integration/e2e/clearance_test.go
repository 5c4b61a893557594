package e2e

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// TestACookieThatIsLost: the page says why, and stops until the person acts.
func TestACookieThatIsLost(t *testing.T) {
	w := newWorld(t, setup{global: trusting})
	front := newProxy(t, w)
	front.cookies = false
	p := newPerson(t)
	p.open(front.url + "/members")
	m := p.onPage()
	m.solve()
	m.says("lost_none", "retry")
	if pages, verified := front.count("/members"), front.count("/.captcha/default/verify"); pages != 2 || verified != 1 {
		t.Errorf("got %d pages and %d proofs, want to stop after the second page", pages, verified)
	}
	front.set(func() { front.cookies = true })
	m.click(button)
	m.click(solveButton)
	p.arrives("Members")
	p.sound()
}

// TestCookiesAreBlocked: nobody solves a captcha in vain.
func TestCookiesAreBlocked(t *testing.T) {
	w := newWorld(t, setup{global: trusting})
	front := newProxy(t, w)
	p := person{t, withoutCookies(t)}
	p.open(front.url + "/members")
	p.onPage().says("lost_none", "retry")
	if pages := front.count("/members"); pages != 1 {
		t.Errorf("got %d pages, want one", pages)
	}
	p.open(front.url + "/login")
	p.submit()
	m := p.inDialog()
	m.says("lost_none", "retry")
	m.escape()
	p.await("!document.documentElement.lastElementChild.shadowRoot && document.title === 'Login'")
	p.submit() // the form is usable again
	p.inDialog().says("lost_none", "retry")
	if challenges := front.count("/.captcha/default/challenge"); challenges != 0 || len(w.app.got()) != 0 {
		t.Errorf("got %d challenges, and the application got %q", challenges, w.app.got())
	}
}

// withoutCookies returns a tab of a browser that blocks all cookies.
func withoutCookies(t *testing.T) context.Context {
	t.Helper()
	profile := t.TempDir()
	if err := os.Mkdir(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	preferences := `{"profile":{"default_content_setting_values":{"cookies":2}}}`
	if err := os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(preferences), 0o600); err != nil {
		t.Fatal(err)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WSURLReadTimeout(3*time.Minute), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	t.Cleanup(stop)
	ctx, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
	})
	return ctx
}

// The two families of a dual-stack client, and a client that moved.
const (
	addressV4, addressV6 = "192.0.2.1", "2001:db8::1"
	movedV4              = "198.51.100.1"
)

// TestAnAddressThatChanges between the proof and the request that it is for:
// the person is told why it was in vain, and gets in once it holds still.
func TestAnAddressThatChanges(t *testing.T) {
	for _, other := range []string{addressV6, movedV4} {
		t.Run(other, func(t *testing.T) {
			w := newWorld(t, setup{global: trusting})
			front := newProxy(t, w)
			front.address = func(path string) string {
				if strings.HasPrefix(path, "/.captcha/") {
					return addressV4
				}
				return other
			}
			p := newPerson(t)
			p.open(front.url + "/members")
			m := p.onPage()
			m.solve()
			m.says("lost_binding", "retry")
			if pages := front.count("/members"); pages != 2 {
				t.Errorf("got %d pages, want to stop after the second", pages)
			}
			front.set(func() { front.address = func(string) string { return other } })
			m.click(button)
			m.click(solveButton)
			p.arrives("Members")
			p.sound()
		})
	}
}

// TestAnAddressThatChangesBelowTheDialog: the form that the dialog let go is
// refused with a page that says why.
func TestAnAddressThatChangesBelowTheDialog(t *testing.T) {
	w := newWorld(t, setup{global: trusting})
	front := newProxy(t, w)
	front.address = func(path string) string {
		if strings.HasPrefix(path, "/.captcha/") {
			return addressV4
		}
		return addressV6
	}
	p := newPerson(t)
	p.open(front.url + "/login")
	p.submit()
	p.inDialog().solve()
	p.arrives("Security check")
	m := p.onPage()
	m.says("lost_binding", "retry")
	front.set(func() { front.address = func(string) string { return addressV6 } })
	m.click(button)
	m.solve()
	p.arrives("Welcome")
	if got := w.app.got(); len(got) != 1 || string(got[0].body) != submitted {
		t.Errorf("the application got %q", got)
	}
	p.sound()
}

// TestUsesAreUsedUp: then there is another captcha.
func TestUsesAreUsedUp(t *testing.T) {
	w := newWorld(t, setup{clearance: "30m {\nmax_uses 1\n}"})
	p := newPerson(t)
	m := p.onPage()
	p.open(w.url + "/members")
	m.solve()
	p.arrives("Members")
	p.open(w.url + "/members")
	m.says("solve", "")
	m.solve()
	p.arrives("Members")
	m = p.inDialog()
	for range 3 {
		p.open(w.url + "/login")
		p.submit()
		m.click(solveButton)
		p.arrives("Welcome")
	}
	if got := len(w.app.got()); got != 3 {
		t.Errorf("the application got %d forms, want 3", got)
	}
	p.sound()
}

// TestAClearanceEndsWhileAPageIsOpen, whether the browser has noticed or not.
func TestAClearanceEndsWhileAPageIsOpen(t *testing.T) {
	w := newWorld(t, setup{clearance: "1s {\nbind_to none\n}"})
	p := newPerson(t)
	clearance := w.mint()
	w.ended(clearance)
	w.reload("clearance 1s", "clearance 30m")
	p.open(w.url + "/login")
	p.has(clearance, w.url)
	p.submit()
	p.inDialog().solve()
	p.arrives("Welcome")
	p.sound()

	p = newPerson(t)
	p.has(w.mint(), w.url)
	p.open(w.url + "/members")
	p.arrives("Members")
	p.open(w.url + "/login")
	p.forgets()
	p.submit()
	p.inDialog().solve()
	p.arrives("Welcome")
	p.sound()
}

// mint returns the cookie of a clearance.
func (w *world) mint() *http.Cookie {
	w.t.Helper()
	proof, err := w.simulator.Solve("geetest_v4", simulator.SolveOptions{ID: captchaV4})
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := http.PostForm(w.url+"/.captcha/default/verify", proof)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent || len(answer.Cookies()) == 0 {
		w.t.Fatalf("verify answers %s and sets %d cookies", answer.Status, len(answer.Cookies()))
	}
	return answer.Cookies()[0]
}

// ended waits until a clearance is no longer valid.
func (w *world) ended(clearance *http.Cookie) {
	w.t.Helper()
	for status := 0; status != http.StatusForbidden; {
		request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+"/members", nil)
		if err != nil {
			w.t.Fatal(err)
		}
		request.AddCookie(clearance)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			w.t.Fatal(err)
		}
		answer.Body.Close()
		status = answer.StatusCode
	}
}

// TestTossedCookies: what a sibling domain sets neither passes nor keeps the
// person out.
func TestTossedCookies(t *testing.T) {
	w := newWorld(t, setup{})
	genuine := w.mint() // for another host
	p := newPerson(t)
	p.open(w.named("evil.example.test") + "/")
	p.run(`for (const [i, path] of ["/", "/members", "/members/a", "/login", "/.captcha", "/.captcha/default"].entries())
		document.cookie = "captcha-default=" + (i % 2 ? "junk" : "` + genuine.Value + `") + "; domain=example.test; path=" + path`)
	site := w.named("app.example.test")
	p.open(site + "/members/a")
	if got := len(p.clearances(site + "/members/a")); got != 3 {
		t.Fatalf("the browser sends %d cookies, want 3", got)
	}
	p.onPage().solve()
	p.arrives("Members")
	p.open(site + "/login")
	p.submit()
	p.arrives("Welcome")
	p.sound()
}

// TestAnotherGate's clearance, on another port of the host or with another
// captcha id, neither passes nor keeps the person out.
func TestAnotherGate(t *testing.T) {
	w := newWorld(t, setup{})
	port := freePorts(t, 1)[0]
	site, _ := url.Parse(w.url)
	second := strings.Replace(w.url, site.Port(), port, 1)
	w.reload("http://:"+site.Port()+" {", "http://:"+site.Port()+", http://:"+port+" {")
	p := newPerson(t)
	pass := func(url, says, button string) {
		t.Helper()
		p.open(url + "/members")
		p.onPage().says(says, button)
		p.onPage().solve()
		p.arrives("Members")
	}
	pass(w.url, "solve", "")
	if got := p.clearances(second); len(got) != 1 {
		t.Fatalf("the browser sends %d clearances to the other port, want 1", len(got))
	}
	pass(second, "solve", "")
	w.reload(captchaV4, otherV4, keyV4, otherKey)
	pass(second, "solve", "")
	p.sound()
}

// TestTwentyTabs are open on a protected page. One is solved, and all of them
// go on.
func TestTwentyTabs(t *testing.T) {
	w := newWorld(t, setup{})
	tabs := []person{newPerson(t)}
	for range 19 {
		tabs = append(tabs, tabs[0].sharing())
	}
	for _, p := range tabs {
		p.open(w.url + "/members")
	}
	for _, p := range tabs {
		p.onPage().says("solve", "")
	}
	tabs[7].onPage().solve()
	for _, p := range tabs {
		p.arrives("Members")
	}
	if got := len(tabs[0].clearances(w.url)); got != 1 {
		t.Errorf("the browser has %d clearances, want 1", got)
	}
	tabs[0].sound()
}
