package simulator

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Behaviour is how the people in front of the look-alikes of the providers'
// browser scripts do, set with [Simulator.Behave] or [Simulator.BehaveNext].
// Without one they solve the captcha when the button is pressed. It says
// nothing about [Simulator.Solve].
//
// POST /behaviour sets one over HTTP. It takes the parameters provider, result
// (fail or forge), age (such as 10m), evil_level, score, and times: for how
// many presses of the button it holds. Without times it holds until DELETE
// /behaviour:
//
//	curl -d result=fail -d times=2 localhost:9000/behaviour
//	curl -d provider=tencent -d evil_level=100 localhost:9000/behaviour
//	curl -X DELETE localhost:9000/behaviour
type Behaviour struct {
	// Provider is whose widget it is about: "geetest_v3", "geetest_v4" or
	// "tencent". Default: every provider's.
	Provider string

	// Fail makes the person get the captcha wrong, so that there is no proof.
	Fail bool

	// Forge makes the widget hand out a proof as [SolveOptions].Forge does.
	Forge bool

	// Age, EvilLevel and Score are those of [SolveOptions].
	Age       time.Duration
	EvilLevel int
	Score     int
}

func (b Behaviour) validate() error {
	switch b.Provider {
	case "", "geetest_v3", "geetest_v4", "tencent":
	default:
		return errors.New("provider must be geetest_v3, geetest_v4 or tencent, or nothing for all")
	}
	if b.Fail && b.Forge {
		return errors.New("who fails has no proof that could be forged")
	}
	return b.solveOptions().validate(b.Provider)
}

func (b Behaviour) solveOptions() SolveOptions {
	return SolveOptions{Age: b.Age, EvilLevel: b.EvilLevel, Score: b.Score, Forge: b.Forge}
}

// behaviours holds the behaviours that are set.
type behaviours struct {
	mu       sync.Mutex
	script   []*scriptedBehaviour // each for some presses, first come first served
	standing map[string]Behaviour // by provider; for the presses the script leaves
}

type scriptedBehaviour struct {
	Behaviour
	left int
}

// Behave sets the behaviour of everybody from now on, in place of one that was
// set for the same provider before. It panics on one that makes no sense.
func (s *Simulator) Behave(behaviour Behaviour) {
	if err := s.behaviours.set(behaviour, 0); err != nil {
		panic("simulator: " + err.Error())
	}
}

// BehaveNext sets the behaviour at the next n presses of the button, after
// those that earlier BehaveNext are about and before any of Behave. It panics
// on one that makes no sense, and when 100 are waiting.
func (s *Simulator) BehaveNext(n int, behaviour Behaviour) {
	if n < 1 {
		panic("simulator: BehaveNext of no presses")
	}
	if err := s.behaviours.set(behaviour, n); err != nil {
		panic("simulator: " + err.Error())
	}
}

// BehaveWell removes all behaviours.
func (s *Simulator) BehaveWell() {
	s.behaviours.mu.Lock()
	defer s.behaviours.mu.Unlock()
	s.behaviours.script, s.behaviours.standing = nil, nil
}

// set adds a behaviour for the next times presses, or a standing one when
// times is 0.
func (b *behaviours) set(behaviour Behaviour, times int) error {
	if err := behaviour.validate(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case times == 0:
		if b.standing == nil {
			b.standing = make(map[string]Behaviour)
		}
		b.standing[behaviour.Provider] = behaviour
	case len(b.script) == maxScripted:
		return errors.New("too many behaviours are waiting")
	default:
		b.script = append(b.script, &scriptedBehaviour{behaviour, times})
	}
	return nil
}

// next returns the behaviour at a press of the provider's button.
func (b *behaviours) next(provider string) Behaviour {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, waiting := range b.script {
		if waiting.Provider != "" && waiting.Provider != provider {
			continue
		}
		if waiting.left--; waiting.left == 0 {
			b.script = append(b.script[:i:i], b.script[i+1:]...)
		}
		return waiting.Behaviour
	}
	if behaviour, ok := b.standing[provider]; ok {
		return behaviour
	}
	return b.standing[""]
}

// serveBehaviour serves POST and DELETE /behaviour.
func (s *Simulator) serveBehaviour(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		s.BehaveWell()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	form, ok := controlForm(w, r, "provider", "result", "age", "evil_level", "score", "times")
	if !ok {
		return
	}
	result := form.Get("result")
	behaviour := Behaviour{Provider: form.Get("provider"), Fail: result == "fail", Forge: result == "forge"}
	times := 0
	err := errors.Join(
		parse(form, "age", &behaviour.Age, time.ParseDuration),
		parse(form, "evil_level", &behaviour.EvilLevel, strconv.Atoi),
		parse(form, "score", &behaviour.Score, strconv.Atoi),
		parse(form, "times", &times, positive),
	)
	if result != "" && result != "fail" && result != "forge" {
		err = errors.Join(err, errors.New("result must be fail or forge, or nothing for a good proof"))
	}
	if err == nil {
		err = s.behaviours.set(behaviour, times)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
