package health

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// event is what has happened to a provider's state.
type event struct {
	at   time.Duration
	what string // suspect, begin, or what a probe said at its end
}

// spec says from the whole history what the state should be: the rules in
// words, told again from the beginning each time.
func spec(history []event) (down, suspected bool) {
	var series []event // ends of probes since the series began, or since down
	for _, e := range history {
		if e.what == "suspect" && !down && !suspected {
			suspected, series = true, nil
		}
		if e.what == "suspect" || e.what == "begin" {
			continue
		}
		series = append(series, e)
		switch {
		case down:
			// Two good ones, with no failed one between them.
			good := 0
			for _, s := range series {
				switch s.what {
				case "good":
					good++
				case "failed":
					good = 0
				}
			}
			if good == 2 {
				down = false
			}
		case !suspected:
		case e.what == "good":
			suspected = false
		default:
			var failed []event
			for _, s := range series {
				if s.what == "failed" {
					failed = append(failed, s)
				}
			}
			switch {
			case e.what == "failed" && len(failed) >= 3 && e.at-failed[0].at >= 5*time.Second:
				down, suspected, series = true, false, nil
			case len(series)-len(failed) == 10:
				suspected = false
			}
		}
	}
	return down, suspected
}

// TestStateModel compares the state with its specification over random events,
// in which providers flap, hang and fall silent.
func TestStateModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	seen := make(map[string]int)
	for range 3000 {
		var s state
		var history []event
		var now time.Duration
		odds := [3]float64{random.Float64(), random.Float64(), random.Float64()}
		note := func(what string) { history = append(history, event{now, what}) }
		for range 60 {
			if random.Float64() < 0.5 {
				s.suspect()
				note("suspect")
			}
			jitter := time.Duration(random.Int64N(int64(time.Second)))
			at, due := s.next(jitter)
			_, suspected := spec(history)
			if down, _ := spec(history); due != (down || suspected) {
				t.Fatalf("after %v a probe is due: %t", history, due)
			}
			if !due {
				now += time.Duration(random.Int64N(int64(10 * time.Second)))
				continue
			}
			if gap := at - s.began; s.probed && (gap < 2*time.Second || s.down && gap < 5*time.Second) {
				t.Fatalf("after %v the next probe comes after %v", history, gap)
			}
			now = max(now, at)
			s.begin(now)
			note("begin")
			if _, due := s.next(jitter); due {
				t.Fatalf("a second probe is due beside the first")
			}
			now += time.Duration(random.Int64N(int64(6 * time.Second)))
			if random.Float64() < 0.3 { // a provider that refuses at once
				now = s.began
			}
			said := verifier.HealthUnknown
			switch x := random.Float64() * (odds[0] + odds[1] + odds[2]); {
			case x < odds[0]:
				said = verifier.HealthGood
			case x < odds[0]+odds[1]:
				said = verifier.HealthFailed
			}
			s.end(now, said)
			note(said.String())
			down, suspected := spec(history)
			if s.down != down || s.suspected != suspected {
				t.Fatalf("after %v: down %t and suspected %t, want %t and %t", history, s.down, s.suspected, down, suspected)
			}
			seen[fmt.Sprint(down, suspected, said)]++
		}
	}
	for _, want := range []string{"true false failed", "true false good", "false false good", "false true failed", "false true unknown", "false false unknown", "true false unknown"} {
		if seen[want] == 0 {
			t.Errorf("no history led to %s: %v", want, seen)
		}
	}
}
