package e2e

import (
	"testing"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// TestWork: where there is no provider, the browser works for people, on the
// page and in the dialog, and nothing comes from anywhere else.
func TestWork(t *testing.T) {
	w := newWorld(t, setup{provider: "altcha"})
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t)
			p.open(w.url + place.path)
			place.arrive(p)
			p.arrives(place.arrived)
			p.reported()
		})
	}
	if got := w.app.got(); len(got) != 1 || string(got[0].body) != submitted {
		t.Errorf("the application got %q", got)
	}
	if calls := w.simulator.Calls(); calls > 0 {
		t.Errorf("the provider was called %d times", calls)
	}

	w.reload("difficulty 20", "difficulty 1000000")
	p := newPerson(t)
	p.open(w.url + "/members")
	m := p.onPage()
	m.says("working", "")
	m.await(`performance.getEntriesByType("resource").every(({ name }) => name.startsWith(location.origin + "/.captcha/"))`)
	m.await(`performance.getEntriesByType("resource").some(({ name }) => /altcha-worker-\w+\.js$/.test(name))`)
	p.reported()

	// Without https there is no Web Crypto, and the page says so.
	plain := newPerson(t)
	plain.open(w.named("plain.example") + "/members")
	plain.onPage().says("broken", "retry")
	plain.onPage().await(`document.querySelector("#captcha-status").textContent.includes("(https)")`)
}

// TestWorkInAnOutage: people work while the provider is down, also those who
// came before it was, and solve the captcha when it is up again.
func TestWorkInAnOutage(t *testing.T) {
	w := newWorld(t, setup{clearance: "30m\non_outage pow 20\noutage_rate 100 1000"})
	early := newPerson(t)
	early.open(w.url + "/login")
	early.await(`document.readyState === "complete"`)
	w.simulator.Fail(simulator.Fault{Kind: simulator.Reset})
	w.findsDown("geetest_v4")
	early.submit()
	early.arrives("Welcome")
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t)
			p.open(w.url + place.path)
			place.arrive(p)
			p.arrives(place.arrived)
			p.reported()
		})
	}
	w.simulator.Heal()
	w.findsUp()
	p := newPerson(t)
	p.open(w.url + "/members")
	p.onPage().solve()
	p.arrives("Members")
	if got := w.app.got(); len(got) != 2 || string(got[0].body) != submitted || string(got[1].body) != submitted {
		t.Errorf("the application got %q", got)
	}
}

// TestAPageForAnotherWidget: one that was made before an outage was found, or
// before it was over, makes way for the one that is due.
func TestAPageForAnotherWidget(t *testing.T) {
	w := newWorld(t, setup{clearance: "30m\non_outage pow 20\noutage_rate 100 1000"})
	w.simulator.Fail(simulator.Fault{Path: simulator.V4ScriptPath, Kind: simulator.Stall})
	p := newPerson(t)
	p.open(w.url + "/members")
	p.onPage().says("loading", "")
	w.simulator.Heal()
	w.simulator.Fail(simulator.Fault{Kind: simulator.Reset})
	w.findsDown("geetest_v4")
	m := p.onPage()
	m.await(`document.querySelector("#captcha-status").dataset.state === "error"`) // it gave up
	m.click(button)
	p.arrives("Members")
}
