package e2e

import (
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// places are the two ways to meet the captcha: how one gets there, and what
// comes when it is solved.
var places = map[string]struct {
	path    string
	arrive  func(person) meeting
	arrived string
}{
	"page":   {"/members", func(p person) meeting { return p.onPage() }, "Members"},
	"dialog": {"/login", func(p person) meeting { p.submit(); return p.inDialog() }, "Welcome"},
}

// TestFaults: whatever goes wrong, the person is told what to do, does it and
// gets in.
func TestFaults(t *testing.T) {
	respond := func(path string, status int) simulator.Fault {
		return simulator.Fault{Path: path, Kind: simulator.Respond, Status: status}
	}
	tests := []struct {
		name     string
		provider string
		before   func(*simulator.Simulator)
		during   func(meeting, *simulator.Simulator)
	}{
		{
			"a forged proof", "geetest_v4",
			func(s *simulator.Simulator) { s.BehaveNext(1, simulator.Behaviour{Forge: true}) },
			func(m meeting, _ *simulator.Simulator) {
				m.solve()
				m.says("rejected", "retry")
				m.click(button)
			},
		},
		{
			"a forged proof, where the widget cannot be reset", "tencent",
			func(s *simulator.Simulator) { s.BehaveNext(1, simulator.Behaviour{Forge: true}) },
			func(m meeting, _ *simulator.Simulator) {
				m.solve()
				m.says("rejected", "retry")
				m.click(button)
			},
		},
		{
			"a proof that is too old", "geetest_v3",
			func(s *simulator.Simulator) { s.BehaveNext(1, simulator.Behaviour{Age: time.Hour}) },
			func(m meeting, _ *simulator.Simulator) {
				m.solve()
				m.says("rejected", "retry")
				m.click(button)
			},
		},
		{
			"a proof that is too old, by its own time", "geetest_v4",
			func(s *simulator.Simulator) { s.BehaveNext(1, simulator.Behaviour{Age: time.Hour}) },
			func(m meeting, _ *simulator.Simulator) {
				m.solve()
				m.says("expired", "retry")
				m.click(button)
			},
		},
		{
			"a risk", "tencent",
			func(s *simulator.Simulator) {
				s.BehaveNext(1, simulator.Behaviour{Provider: "tencent", EvilLevel: 100})
			},
			func(m meeting, _ *simulator.Simulator) {
				m.solve()
				m.says("risky", "retry")
				m.click(button)
			},
		},
		{
			"a wrong answer", "geetest_v4",
			func(s *simulator.Simulator) { s.BehaveNext(1, simulator.Behaviour{Fail: true}) },
			func(m meeting, _ *simulator.Simulator) {
				m.solve()
				m.await("document.querySelector('.captcha-simulator').dataset.state === 'failed'")
			},
		},
		{"the widget closed", "geetest_v4", nil, closes},
		{"the widget closed", "geetest_v3", nil, closes},
		{"the widget closed", "tencent", nil, closes},
		{
			"no script", "geetest_v4",
			func(s *simulator.Simulator) { s.Fail(respond(simulator.V4ScriptPath, 404)) }, heals("blocked"),
		},
		{
			"a broken connection instead of the script", "tencent",
			func(s *simulator.Simulator) {
				s.Fail(simulator.Fault{Path: simulator.TencentScript2Path, Kind: simulator.Reset})
			}, heals("blocked"),
		},
		{
			"a widget without its parts", "geetest_v3",
			func(s *simulator.Simulator) { s.Fail(respond(simulator.V3MainPath, 404)) }, heals("broken"),
		},
		{
			"nobody to verify", "geetest_v4",
			func(s *simulator.Simulator) {
				s.Fail(simulator.Fault{Path: simulator.V4ValidatePath, Kind: simulator.Reset})
			},
			func(m meeting, s *simulator.Simulator) {
				m.solve()
				heals("outage")(m, s)
			},
		},
		{
			"a provider that answers nonsense", "tencent",
			func(s *simulator.Simulator) {
				s.Fail(simulator.Fault{Path: simulator.TencentPath, Kind: simulator.Respond, Body: "<html>"})
			},
			func(m meeting, s *simulator.Simulator) {
				m.solve()
				heals("outage")(m, s)
			},
		},
	}
	for _, test := range tests {
		for place, where := range places {
			t.Run(test.name+" "+test.provider+" "+place, func(t *testing.T) {
				w := newWorld(t, setup{provider: test.provider})
				if test.before != nil {
					test.before(w.simulator)
				}
				p := newPerson(t)
				p.open(w.url + where.path)
				m := where.arrive(p)
				test.during(m, w.simulator)
				m.click(solveButton)
				p.arrives(where.arrived)
				if got := w.app.got(); place == "dialog" && (len(got) != 1 || string(got[0].body) != submitted) {
					t.Errorf("the application got %q", got)
				}
				p.sound()
			})
		}
	}
}

// closes closes the widget, and opens it again.
func closes(m meeting, _ *simulator.Simulator) {
	m.click(".captcha-simulator-close")
	m.says("closed", "open")
	m.click(button)
}

// heals waits for the message, and then has the provider work again and the
// person try again.
func heals(says string) func(meeting, *simulator.Simulator) {
	return func(m meeting, s *simulator.Simulator) {
		m.says(says, "retry")
		s.Heal()
		m.click(button)
	}
}
