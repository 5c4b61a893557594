package flight

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
)

// model says in the plainest words what must become of a proof. It is compared
// with a Table after each step of each possible story.
type model struct {
	phase   string // "", "open", "passed"
	claimed bool
	used    bool     // in this flight
	foreign bool     // the flight is that of the other client
	seats   [2]actor // first and second
	calls   int
	results map[string]int // how many requests got what
	forward int            // requests forwarded by right, not by monitor mode
}

// actor is who sits in a seat.
type actor string

const (
	nobody  actor = ""
	guarded actor = "guarded"
	monitor actor = "monitor"
)

// steps returns what can happen next.
func (m *model) steps() []string {
	steps := []string{"join", "join monitor", "join foreign"}
	for i, seat := range m.seats {
		if seat != nobody {
			steps = append(steps, fmt.Sprint("leave ", i))
		}
	}
	switch m.phase {
	case "open":
		steps = append(steps, "answer pass", "answer give back", "answer spend")
	case "passed":
		steps = append(steps, "a minute passes")
	}
	return steps
}

func (m *model) step(step string) {
	switch step {
	case "join", "join monitor", "join foreign":
		who := guarded
		if step == "join monitor" {
			who = monitor
		}
		m.join(who, step == "join foreign")
	case "leave 0", "leave 1":
		i := int(step[len(step)-1] - '0')
		m.used = m.used || m.seats[i] == monitor
		m.seats[i] = nobody
		m.results["canceled"]++
	case "answer pass":
		m.phase = "passed"
		for _, seat := range m.seats {
			if seat != nobody {
				m.take()
			}
		}
		if m.used {
			m.phase = ""
		}
		m.seats = [2]actor{}
	case "answer give back", "answer spend":
		verdict := map[string]string{"answer give back": "rejected", "answer spend": "risky"}[step]
		for _, seat := range m.seats {
			if seat != nobody {
				m.results[verdict]++
			}
			m.used = m.used || seat == monitor
		}
		m.claimed = m.used || step == "answer spend"
		m.seats = [2]actor{}
		m.phase = ""
	case "a minute passes":
		m.phase = ""
	}
}

func (m *model) join(who actor, foreign bool) {
	identical := m.foreign == foreign && !m.used
	switch {
	case m.phase == "" && !m.claimed:
		*m = model{
			phase: "open", claimed: true, foreign: foreign, seats: [2]actor{who},
			calls: m.calls + 1, results: m.results, forward: m.forward,
		}
	case m.phase == "open" && identical && m.seats[1] == nobody:
		m.seats[1] = who
	case m.phase == "passed" && identical:
		m.take()
		m.phase = ""
	default:
		m.results["replayed"]++
	}
}

func (m *model) take() {
	if m.used {
		m.results["replayed"]++
		return
	}
	m.used = true
	m.forward++
	m.results["passed"]++
}

// stories calls tell with each possible story of so many steps.
func stories(steps int, told []string, tell func([]string)) {
	if steps == 0 {
		tell(told)
		return
	}
	m := model{results: map[string]int{}}
	for _, step := range told {
		m.step(step)
	}
	for _, next := range m.steps() {
		stories(steps-1, append(slices.Clip(told), next), tell)
	}
}

func TestNoStoryLosesOrDoublesAProof(t *testing.T) {
	told := 0
	stories(6, nil, func(story []string) {
		told++
		synctest.Test(t, func(t *testing.T) { play(t, story) })
		if t.Failed() {
			t.Fatalf("story: %s", strings.Join(story, ", "))
		}
	})
	t.Logf("%d stories", told)
}

func play(t *testing.T, story []string) {
	w := newWorld()
	m := model{results: map[string]int{}}
	results := map[string]int{}
	var seated [2]*request // as in the model
	for _, step := range story {
		before := m
		m.step(step)
		switch step {
		case "join", "join monitor", "join foreign":
			a := w.attempt
			if step == "join foreign" {
				a.Prefix = other
			}
			r := w.send(a, step == "join monitor")
			if i := slices.Index([]bool{before.seats[0] != m.seats[0], before.seats[1] != m.seats[1]}, true); i >= 0 {
				seated[i] = r
			} else {
				results[<-r.result]++
			}
		case "leave 0", "leave 1":
			i := int(step[len(step)-1] - '0')
			seated[i].drop()
			results[<-seated[i].result]++
			seated[i] = nil
		case "a minute passes":
			time.Sleep(unusedFor)
		default:
			w.answers(map[string]Fate{"answer pass": Pass, "answer give back": GiveBack, "answer spend": Spend}[step])
			for i, r := range seated {
				if r != nil {
					results[<-r.result]++
					seated[i] = nil
				}
			}
		}
		synctest.Wait()
		if !maps.Equal(results, m.results) {
			t.Errorf("after %q: requests got %v, want %v", step, results, m.results)
		}
		if got := w.replays.claimed(w.attempt.Key); got != m.claimed {
			t.Errorf("after %q: claimed = %t, want %t", step, got, m.claimed)
		}
		if got := int(w.calls.Load()); got != m.calls {
			t.Errorf("after %q: %d calls of the provider, want %d", step, got, m.calls)
		}
		if got := w.table.size() > 0; got != (m.phase != "") {
			t.Errorf("after %q: a flight in the table = %t, want %t", step, got, !got)
		}
		if m.forward > 1 || results["passed"] > 1 {
			t.Errorf("after %q: forwarded more than once", step)
		}
	}
	for _, r := range seated {
		if r != nil {
			r.drop()
		}
	}
	if m.phase == "open" {
		w.answers(Spend)
	}
}

func TestStormOfDroppedConnectionsForwardsNoProofTwice(t *testing.T) {
	const (
		proofs, requests = 300, 24
		longestCall      = 500 * time.Millisecond
	)
	type tally struct{ running, passed, rejected, forwarded atomic.Int32 }
	synctest.Test(t, func(t *testing.T) {
		var (
			table   Table[int]
			replays replays
			slots   atomic.Int32
			tallies [proofs]tally
			wg      sync.WaitGroup
		)
		send := func(proof int) {
			n := &tallies[proof]
			time.Sleep(rand.N(2 * time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), rand.N(time.Second))
			defer cancel()
			seat, err := table.Join(ctx, Attempt[int]{
				Key:    cache.Key{byte(proof), byte(proof >> 8)},
				Prefix: []netip.Prefix{home, home, other}[rand.N(3)],
				Store:  &replays,
				TTL:    cache.DefaultTTL,
				Verification: verification[int]{
					begin: func() error {
						slots.Add(1)
						return nil
					},
					verify: func(context.Context) (int, Fate) {
						if n.running.Add(1) != 1 {
							t.Error("two calls of the provider at once for one proof")
						}
						defer n.running.Add(-1)
						time.Sleep(rand.N(longestCall))
						if rand.N(2) == 0 {
							n.rejected.Add(1)
							return -proof, GiveBack
						}
						n.passed.Add(1)
						return proof, Pass
					},
					end: func() { slots.Add(-1) },
				},
			})
			if err != nil {
				return
			}
			verdict, err := seat.Wait(ctx)
			if err == nil && verdict == proof {
				n.forwarded.Add(1)
			}
			time.Sleep(rand.N(100 * time.Millisecond))
			seat.Leave(false)
		}
		for proof := 1; proof < proofs; proof++ {
			for range requests {
				wg.Go(func() { send(proof) })
			}
		}
		wg.Wait()
		// A call outlives its clients, and the minute begins when it ends.
		time.Sleep(longestCall + unusedFor)
		synctest.Wait()

		var rejected, forwarded int
		for proof := range tallies {
			n := &tallies[proof]
			if n.passed.Load() > 1 || n.forwarded.Load() > n.passed.Load() {
				t.Errorf("proof %d: passed %d times, forwarded %d times", proof, n.passed.Load(), n.forwarded.Load())
			}
			if got := replays.claimed(cache.Key{byte(proof), byte(proof >> 8)}); got != (n.passed.Load() == 1) {
				t.Errorf("proof %d: claimed = %t after it passed %d times", proof, got, n.passed.Load())
			}
			rejected += int(n.rejected.Load())
			forwarded += int(n.forwarded.Load())
		}
		if replays.releases != rejected {
			t.Errorf("%d releases of %d rejected proofs", replays.releases, rejected)
		}
		if table.size() != 0 || slots.Load() != 0 {
			t.Errorf("%d flights and %d slots are left", table.size(), slots.Load())
		}
		if forwarded < proofs/2 {
			t.Errorf("only %d of %d proofs were forwarded", forwarded, proofs)
		}
	})
}
