package e2e

import (
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// TestTwoPolicies on one site and in one page, of two providers: each form and
// each call gets its own captcha, and a clearance of one is none of the other.
func TestTwoPolicies(t *testing.T) {
	w := newWorld(t, setup{})
	second := strings.Replace(w.verifier(setup{provider: "tencent"}), "\n}", "\n}\nclearance 30m", 1)
	w.app.html("/login", strings.Replace(loginPage, "<script>", `<form method="post" action="/order" id="order"><button>Order</button></form><script>`, 1))
	w.reload("captcha_inject /login*", `captcha_inject /login* {
		form "form[action='/login']"
	}
	captcha /order* second {
		`+second+`
	}
	captcha_inject /login* second {
		form "#order"
	}`)
	p := newPerson(t)
	p.open(w.url + "/login")
	p.arrives("Login")
	// A call that the second policy refuses, then a form of the first.
	p.does(`fetch("/order", { method: "POST", body: "call" }).then((r) => { document.title = "Called " + r.status })`)
	meeting{p, "/.captcha/second/"}.click(solveButton)
	p.arrives("Called 200")
	p.submit()
	meeting{p, "/.captcha/default/"}.click(solveButton)
	p.awaits(func() bool { return len(w.app.got()) == 2 })
	p.open(w.url + "/login")
	p.click("#order button") // cleared already
	p.arrives("Welcome")
	got := w.app.got()
	if len(got) != 3 || string(got[0].body) != "call" || string(got[1].body) != submitted || got[2].path != "/order" {
		t.Errorf("the application got %q", got)
	}
	if clearances := p.clearances(w.url); len(clearances) != 2 {
		t.Errorf("the browser has %d clearances, want 2", len(clearances))
	}
	p.sound()
}

// TestTencentScripts: all that Tencent has, on the page and in the dialog.
func TestTencentScripts(t *testing.T) {
	for script, site := range map[string]string{
		simulator.TencentScript1Path:     "cn",
		simulator.TencentScript2Path:     "cn",
		simulator.TencentIntlScript3Path: "intl",
	} {
		for place, where := range places {
			t.Run(strings.Trim(script, "/")+" "+place, func(t *testing.T) {
				w := newWorld(t, setup{provider: "tencent", tencent: site, script: script})
				p := newPerson(t)
				p.open(w.url + where.path)
				m := where.arrive(p)
				m.click(solveButton)
				p.arrives(where.arrived)
				p.sound()
			})
		}
	}
}
