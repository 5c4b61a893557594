package simulator

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBehavioursAreTakenInTurn(t *testing.T) {
	sim, _ := newTestSimulator(t)
	sim.Behave(Behaviour{Age: time.Minute})
	sim.Behave(Behaviour{Provider: "tencent", EvilLevel: 100})
	sim.BehaveNext(2, Behaviour{Fail: true})
	sim.BehaveNext(1, Behaviour{Provider: "geetest_v3", Forge: true})
	for i, test := range []struct {
		provider string
		want     Behaviour
	}{
		{"geetest_v4", Behaviour{Fail: true}},
		{"geetest_v3", Behaviour{Fail: true}},
		{"geetest_v4", Behaviour{Age: time.Minute}},
		{"geetest_v3", Behaviour{Provider: "geetest_v3", Forge: true}},
		{"geetest_v3", Behaviour{Age: time.Minute}},
		{"tencent", Behaviour{Provider: "tencent", EvilLevel: 100}},
	} {
		if got := sim.behaviours.next(test.provider); got != test.want {
			t.Errorf("%d: %+v, want %+v", i, got, test.want)
		}
	}
	sim.BehaveWell()
	if got := sim.behaviours.next("tencent"); got != (Behaviour{}) {
		t.Errorf("afterwards: %+v", got)
	}
}

func TestBehavioursAreSetOverHTTP(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for _, body := range []string{"provider=tencent&evil_level=100&score=40&age=1m", "result=fail&times=1", "result=forge&times=1"} {
		if w := do(sim, http.MethodPost, "/behaviour", formType, body); w.Code != http.StatusNoContent {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	for i, want := range []Behaviour{{Fail: true}, {Forge: true}, {Provider: "tencent", Age: time.Minute, EvilLevel: 100, Score: 40}} {
		if got := sim.behaviours.next("tencent"); got != want {
			t.Errorf("%d: %+v, want %+v", i, got, want)
		}
	}
	if w := do(sim, http.MethodDelete, "/behaviour", "", ""); w.Code != http.StatusNoContent || sim.behaviours.next("tencent") != (Behaviour{}) {
		t.Errorf("DELETE: %d", w.Code)
	}
	if sim.Calls() != 0 {
		t.Error("/behaviour is counted as a call of a provider")
	}
}

func TestBehavioursThatMakeNoSenseAreRefused(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for query, want := range map[string]string{
		"provider=recaptcha":                "provider must be",
		"result=pass":                       "result must be",
		"score=1":                           "only tencent has",
		"provider=geetest_v4&evil_level=1":  "only tencent has",
		"provider=tencent&evil_level=101":   "from 0 to 100",
		"age=-1s":                           "age must not",
		"times=0":                           "times",
		"solve=1":                           "unknown or repeated",
		"result=fail&result=forge":          "unknown or repeated",
		"provider=tencent&score=x&result=y": "score",
	} {
		if w := do(sim, http.MethodPost, "/behaviour?"+query, "", ""); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %q", query, w.Code, w.Body, want)
		}
	}
	for want, set := range map[string]func(){
		"forged":     func() { sim.Behave(Behaviour{Fail: true, Forge: true}) },
		"no presses": func() { sim.BehaveNext(0, Behaviour{}) },
		"provider":   func() { sim.BehaveNext(1, Behaviour{Provider: "x"}) },
	} {
		if got := panicText(set); !strings.Contains(got, want) {
			t.Errorf("panics with %q, want %q", got, want)
		}
	}
	for range maxScripted {
		sim.BehaveNext(1, Behaviour{})
	}
	if got := panicText(func() { sim.BehaveNext(1, Behaviour{}) }); !strings.Contains(got, "too many") {
		t.Errorf("one too many: %q", got)
	}
	if w := do(sim, http.MethodGet, "/behaviour", "", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestSolveForgesProofs(t *testing.T) {
	sim := newSimulatorOfOneEach(t)
	for provider, shape := range shapes {
		w := do(sim, http.MethodPost, "/solve/"+provider+"?format=form&forge=true", "", "")
		if w.Code != http.StatusOK || strings.Count(w.Body.String(), "=") < len(shape) {
			t.Fatalf("%s: %d %s", provider, w.Code, w.Body)
		}
	}
	sim, _ = newTestSimulator(t)
	for provider, id := range map[string]string{"geetest_v3": testV3.CaptchaID, "geetest_v4": testV4.CaptchaID, "tencent": testTencent.CaptchaAppID} {
		if passes(t, sim, provider, solve(t, sim, provider, SolveOptions{ID: id, Forge: true})) {
			t.Errorf("a forged proof of %s passes", provider)
		}
		if !passes(t, sim, provider, solve(t, sim, provider, SolveOptions{ID: id})) {
			t.Errorf("a good proof of %s does not pass", provider)
		}
	}
}
