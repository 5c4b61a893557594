package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// outage is what of the provider does not work.
type outage struct {
	name   string
	paths  []string // none are all
	widget bool     // whether the widget is one of what does not
}

// broken are what an outage can take away from people: what the gate asks, what
// the widget asks, and all of it.
var broken = []outage{
	{"the gate's", []string{
		simulator.V3RegisterPath, simulator.V3ValidatePath, simulator.V4ValidatePath, simulator.TencentPath,
	}, false},
	{"the gate's and the widget's", []string{
		simulator.V3RegisterPath, simulator.V3ValidatePath, simulator.V3TypePath, simulator.V3GetPath, simulator.V3AjaxPath,
		simulator.V4ValidatePath, simulator.V4LoadPath, simulator.V4VerifyPath,
		simulator.TencentPath, simulator.TencentPrehandlePath, simulator.TencentVerifyPath,
	}, true},
	{"all", nil, true},
}

// TestAnOutage: while the provider is down people log in all the same, on the
// page and in the dialog, if the operator wants that, and hear why it is so
// easy.
func TestAnOutage(t *testing.T) {
	for _, provider := range []string{"geetest_v4", "geetest_v3", "tencent"} {
		w := newWorld(t, setup{provider: provider, clearance: "30m\non_outage allow\noutage_rate 100 1000"})
		for i, outage := range broken {
			w.simulator.Heal() // for less than a probe or two
			outage.set(w.simulator)
			if i == 0 {
				w.findsDown(provider)
			}
			for name, place := range places {
				t.Run(provider+"/"+strings.ReplaceAll(outage.name, " ", "_")+"/"+name, func(t *testing.T) {
					p := newPerson(t)
					p.open(w.url + place.path)
					m := place.arrive(p)
					m.passInOutage(provider, outage)
					p.arrives(place.arrived)
				})
			}
		}
		w.simulator.Heal()
		w.findsUp()
		p := newPerson(t)
		p.open(w.url + "/members")
		p.onPage().solve()
		p.arrives("Members")
		if got := w.app.got(); len(got) != len(broken) || string(got[0].body) != submitted {
			t.Errorf("the application got %q", got)
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestAnOutageThatIsDenied: people hear why nobody gets in, and get in when it
// is over.
func TestAnOutageThatIsDenied(t *testing.T) {
	w := newWorld(t, setup{})
	w.simulator.Fail(simulator.Fault{Path: simulator.V4ValidatePath, Kind: simulator.Reset})
	p := newPerson(t)
	p.open(w.url + "/members")
	m := p.onPage()
	m.await(fmt.Sprintf("document.querySelector(%q)", solveButton))
	w.findsDown("geetest_v4")
	m.solve() // in vain: it began before
	m.says("away", "retry")
	other := newPerson(t)
	other.open(w.url + "/members")
	other.onPage().says("away", "retry")
	w.simulator.Heal()
	w.findsUp()
	for _, someone := range []person{p, other} {
		someone.onPage().click(button)
	}
	p.arrives("Members")
	other.onPage().solve()
	other.arrives("Members")
}

func (o outage) set(s *simulator.Simulator) {
	for _, path := range o.paths {
		s.Fail(simulator.Fault{Path: path, Kind: simulator.Reset})
	}
	if o.paths == nil {
		s.Fail(simulator.Fault{Kind: simulator.Reset})
	}
}

// passInOutage does what the captcha asks for. Tencent's widget makes its own
// ticket as soon as it cannot reach Tencent, and nobody has to do anything.
func (m meeting) passInOutage(provider string, o outage) {
	m.p.t.Helper()
	switch {
	case o.paths == nil:
		m.says("down", "go_on")
		m.click(button)
	case provider == "tencent" && o.widget:
	default:
		m.says("down", "")
		m.click(solveButton)
	}
}

// findsDown sends proofs until the gate has found the provider down.
func (w *world) findsDown(provider string) {
	w.t.Helper()
	proof, err := w.simulator.Solve(provider, simulator.SolveOptions{ID: map[string]string{"geetest_v4": captchaV4}[provider]})
	if err != nil {
		w.t.Fatal(err)
	}
	w.finds(true, proof)
}

func (w *world) findsUp() { w.t.Helper(); w.finds(false, nil) }

func (w *world) finds(down bool, proof url.Values) {
	w.t.Helper()
	call := func(method, endpoint, body string) (answer map[string]any) {
		request, err := http.NewRequest(method, w.url+"/.captcha/default/"+endpoint, strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			w.t.Fatal(err)
		}
		defer response.Body.Close()
		_ = json.NewDecoder(response.Body).Decode(&answer) // there may be none
		return answer
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if proof != nil {
			call("POST", "verify", proof.Encode())
		}
		answer := call("GET", "challenge", "")
		if isDown := answer["down"] == true || answer["reason"] == "down"; isDown == down && (down || answer["script"] != nil) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the gate still answers with %v", answer)
		}
	}
}
