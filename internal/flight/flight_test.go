package flight

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/caddycaptcha/caddycaptcha/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replays is a replay cache that notices what a flight must not do.
type replays struct {
	mu       sync.Mutex
	owners   map[cache.Key]cache.Owner
	claims   int // claims made
	releases int // calls of Release
	fail     error
	gate     chan struct{} // where not nil, Claim waits for it
}

func (r *replays) Claim(_ context.Context, key cache.Key, owner cache.Owner) (bool, error) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return false, r.fail
	}
	if _, ok := r.owners[key]; ok {
		return false, nil
	}
	if r.owners == nil {
		r.owners = make(map[cache.Key]cache.Owner)
	}
	r.owners[key] = owner
	r.claims++
	return true, nil
}

func (r *replays) Release(ctx context.Context, key cache.Key, owner cache.Owner) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.releases++
	if r.owners[key] == owner {
		delete(r.owners, key)
	}
	return ctx.Err()
}

func (r *replays) TTL() time.Duration { return cache.DefaultTTL }

func (r *replays) claimed(key cache.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.owners[key]
	return ok
}

var (
	home  = netip.MustParsePrefix("192.0.2.0/24")
	other = netip.MustParsePrefix("198.51.100.0/24")
)

// world is one proof, a table, a replay cache, and a provider that answers
// when it is told to.
type world struct {
	table    Table[string]
	replays  replays
	attempt  Attempt[string] // the genuine one
	answer   chan Fate       // what the provider says to the running call
	calls    atomic.Int32    // of the provider
	admitted atomic.Int32    // verifications that hold a slot
}

func newWorld() *world {
	w := &world{answer: make(chan Fate)}
	w.attempt = Attempt[string]{
		Key:      cache.Key{1},
		Identity: [32]byte{1},
		Prefix:   home,
		Replay:   &w.replays,
		Admit: func() (func(), error) {
			w.admitted.Add(1)
			return func() { w.admitted.Add(-1) }, nil
		},
		Verify: func(ctx context.Context) (string, Fate) {
			w.calls.Add(1)
			if ctx.Done() != nil {
				return "the verification depends on a client", Spend
			}
			fate := <-w.answer
			return verdicts[fate], fate
		},
	}
	return w
}

var verdicts = map[Fate]string{Pass: "passed", GiveBack: "rejected", Spend: "risky"}

// request is a client's request that carries the proof.
type request struct {
	drop   context.CancelFunc // the client leaves
	result chan string        // buffered
}

// send lets a request with attempt a in and waits until it waits. A request in
// monitor mode is forwarded whatever happens.
func (w *world) send(a Attempt[string], monitor bool) *request {
	ctx, cancel := context.WithCancel(context.Background())
	r := &request{drop: cancel, result: make(chan string, 1)}
	go func() {
		defer cancel()
		seat, err := w.table.Join(ctx, a)
		if err != nil {
			r.result <- name("", err)
			return
		}
		verdict, err := seat.Wait(ctx)
		seat.Leave(monitor)
		r.result <- name(verdict, err)
	}()
	synctest.Wait()
	return r
}

func name(verdict string, err error) string {
	switch {
	case errors.Is(err, ErrReplayed):
		return "replayed"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case err != nil:
		return err.Error()
	case verdict == "":
		return "unknown"
	}
	return verdict
}

func (w *world) answers(fate Fate) {
	w.answer <- fate
	synctest.Wait()
}

// expect checks what became of a request: "" if it still waits.
func (r *request) expect(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-r.result:
		if got != want {
			t.Errorf("request got %q, want %q", got, want)
		}
	default:
		if want != "" {
			t.Errorf("request still waits, want %q", want)
		}
	}
}

// expect checks the world's state once all requests were answered.
func (w *world) expect(t *testing.T, claimed bool, calls, releases int) {
	t.Helper()
	synctest.Wait()
	if got := w.replays.claimed(w.attempt.Key); got != claimed {
		t.Errorf("claimed = %t, want %t", got, claimed)
	}
	if got := int(w.calls.Load()); got != calls {
		t.Errorf("provider was called %d times, want %d", got, calls)
	}
	if w.replays.releases != releases {
		t.Errorf("%d releases, want %d", w.replays.releases, releases)
	}
	if got := w.admitted.Load(); got != 0 {
		t.Errorf("%d slots still taken", got)
	}
	if got := w.table.size(); got != 0 {
		t.Errorf("%d flights in the table, want none", got)
	}
}

func (t *Table[V]) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.flights)
}

func variant(a Attempt[string], change func(*Attempt[string])) Attempt[string] {
	change(&a)
	return a
}

func TestIdenticalRequestsShareOneCallAndOneIsForwarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.send(w.attempt, false)
		second := w.send(w.attempt, false)
		third := w.send(w.attempt, false)
		third.expect(t, "replayed")
		first.expect(t, "")
		w.answers(Pass)
		results := []string{<-first.result, <-second.result}
		if got := strings.Join(results, " "); got != "passed replayed" && got != "replayed passed" {
			t.Errorf("got %s, want one passed and one replayed", got)
		}
		w.send(w.attempt, false).expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestWaiterIsForwardedWhenTheFirstClientLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.send(w.attempt, false)
		second := w.send(w.attempt, false)
		first.drop()
		first.expect(t, "canceled")
		w.send(w.attempt, false).expect(t, "replayed") // the waiter's seat is taken
		w.answers(Pass)
		second.expect(t, "passed")
		w.expect(t, true, 1, 0)
	})
}

func TestSeatOfAWaiterThatLeftIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.send(w.attempt, false)
		for range 3 {
			waiter := w.send(w.attempt, false)
			waiter.expect(t, "")
			waiter.drop()
			waiter.expect(t, "canceled")
		}
		w.answers(Pass)
		first.expect(t, "passed")
		w.expect(t, true, 1, 0)
	})
}

func TestUnusedProofIsTakenOnceWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first, second := w.send(w.attempt, false), w.send(w.attempt, false)
		first.drop()
		second.drop()
		w.answers(Pass)
		time.Sleep(unusedFor - time.Nanosecond)
		w.send(variant(w.attempt, func(a *Attempt[string]) { a.Identity[31]++ }), false).expect(t, "replayed")
		w.send(variant(w.attempt, func(a *Attempt[string]) { a.Prefix = other }), false).expect(t, "replayed")

		var wg sync.WaitGroup
		var passed atomic.Int32
		for range 64 {
			wg.Go(func() {
				seat, err := w.table.Join(t.Context(), w.attempt)
				if err != nil {
					return
				}
				defer seat.Leave(false)
				if _, err := seat.Wait(t.Context()); err == nil {
					passed.Add(1)
				}
			})
		}
		wg.Wait()
		if passed.Load() != 1 {
			t.Errorf("%d requests took the unused proof, want 1", passed.Load())
		}
		w.send(w.attempt, false).expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestUnusedProofIsSpentAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.send(w.attempt, false)
		first.drop()
		w.answers(Pass)
		time.Sleep(unusedFor)
		synctest.Wait()
		w.send(w.attempt, false).expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestLateUserOfAFlightLeavesTheNextOneAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		late, _ := w.table.Join(t.Context(), w.attempt)
		w.answers(Pass)
		time.Sleep(unusedFor)
		synctest.Wait()
		w.replays.gate = make(chan struct{})
		next := w.send(w.attempt, false)
		if _, err := late.Wait(t.Context()); err != nil {
			t.Errorf("Wait returned %v", err)
		}
		late.Leave(false)
		if w.table.size() != 1 {
			t.Error("the next flight is gone")
		}
		close(w.replays.gate)
		next.expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestOnlyIdenticalRequestsOfOneClientShare(t *testing.T) {
	for _, gated := range []bool{false, true} { // verifying, and still claiming
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			if gated {
				w.replays.gate = make(chan struct{})
			}
			first := w.send(w.attempt, false)
			w.send(variant(w.attempt, func(a *Attempt[string]) { a.Identity[0]++ }), false).expect(t, "replayed")
			w.send(variant(w.attempt, func(a *Attempt[string]) { a.Prefix = other }), false).expect(t, "replayed")
			second := w.send(w.attempt, false)
			second.expect(t, "")
			if gated {
				close(w.replays.gate)
			}
			w.answers(Spend)
			first.expect(t, "risky")
			second.expect(t, "risky")
			w.expect(t, true, 1, 0)
		})
	}
}

func TestRejectedProofIsReleasedWhenAllHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, _ := w.table.Join(t.Context(), w.attempt)
		b, _ := w.table.Join(t.Context(), w.attempt)
		w.answers(GiveBack)
		a.Leave(false)
		a.Leave(false) // counts once
		if !w.replays.claimed(w.attempt.Key) {
			t.Fatal("released while a request was still undecided")
		}
		b.Leave(false)
		w.expect(t, false, 1, 1)

		retry := w.send(w.attempt, false)
		w.answers(Pass)
		retry.expect(t, "passed")
		w.expect(t, true, 2, 1)
	})
}

func TestProofForwardedOnARefusalStaysSpent(t *testing.T) {
	for name, leave := range map[string]func(w *world, a, b *Seat[string]){
		"by the first":       func(w *world, a, b *Seat[string]) { w.answers(GiveBack); a.Leave(true); b.Leave(false) },
		"by the waiter":      func(w *world, a, b *Seat[string]) { w.answers(GiveBack); a.Leave(false); b.Leave(true) },
		"before the verdict": func(w *world, a, b *Seat[string]) { a.Leave(true); w.answers(GiveBack); b.Leave(false) },
		"by both":            func(w *world, a, b *Seat[string]) { b.Leave(true); a.Leave(true); w.answers(GiveBack) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				a, _ := w.table.Join(t.Context(), w.attempt)
				b, _ := w.table.Join(t.Context(), w.attempt)
				leave(w, a, b)
				w.expect(t, true, 1, 0)
			})
		})
	}
}

func TestProofForwardedBeforeItPassedIsNotForwardedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		impatient, _ := w.table.Join(t.Context(), w.attempt)
		waiter := w.send(w.attempt, false)
		impatient.Leave(true)
		w.answers(Pass)
		waiter.expect(t, "replayed")
		w.send(w.attempt, false).expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestClientThatLeftIsNeverForwarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithCancel(t.Context())
		seat, _ := w.table.Join(ctx, w.attempt)
		w.answers(Pass)
		cancel()
		if _, err := seat.Wait(ctx); err != context.Canceled {
			t.Errorf("Wait returned %v, want context.Canceled", err)
		}
		seat.Leave(false)
		w.send(w.attempt, false).expect(t, "passed")
		w.expect(t, true, 1, 0)
	})
}

func TestVerificationThatDoesNotReturnIsUnknown(t *testing.T) {
	for name, verify := range map[string]func(){
		"panic":         func() { panic("secret-proof") },
		"runtime error": func() { _ = []int{}[len(verdicts)] },
		"exit":          runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				genuine := w.attempt.Verify
				w.attempt.Verify = func(ctx context.Context) (string, Fate) {
					<-w.answer
					verify()
					return "passed", Pass
				}
				first, second := w.send(w.attempt, false), w.send(w.attempt, false)
				w.answers(Pass)
				first.expect(t, "unknown")
				second.expect(t, "unknown")
				w.expect(t, false, 0, 1)

				w.attempt.Verify = genuine
				retry := w.send(w.attempt, false)
				w.answers(Pass)
				retry.expect(t, "passed")
				w.expect(t, true, 1, 1)
			})
		})
	}
}

func TestPanicValueIsNotLogged(t *testing.T) {
	if got := describe("proof: secret"); got != "string" {
		t.Errorf("describe(string) = %q", got)
	}
	if got := describe(errors.New("proof: secret")); got != "*errors.errorString" {
		t.Errorf("describe(error) = %q", got)
	}
}

func TestRequestThatIsNotAdmittedClaimsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.attempt.Admit = func() (func(), error) { return nil, errors.New("no slot") }
		w.send(w.attempt, false).expect(t, "no slot")
		w.expect(t, false, 0, 0)
	})
}

func TestSlotIsFreeWhenTheVerdictIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		seat, _ := w.table.Join(t.Context(), w.attempt)
		go func() { w.answer <- Pass }()
		seat.Wait(t.Context())
		if w.admitted.Load() != 0 {
			t.Error("the slot is still taken")
		}
		seat.Leave(false)
	})
}

func TestProofClaimedElsewhereIsReplayedWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.replays.Claim(t.Context(), w.attempt.Key, cache.NewOwner())
		w.send(w.attempt, false).expect(t, "replayed")
		w.send(w.attempt, true).expect(t, "replayed")
		w.expect(t, true, 0, 0)
	})
}

func TestErrorOfTheReplayCacheIsForAllAndForwardsNobody(t *testing.T) {
	for _, test := range []struct {
		err      error
		releases int // a claim that may have been recorded
	}{{cache.ErrFull, 0}, {cache.ErrUnavailable, 1}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.replays.fail, w.replays.gate = test.err, make(chan struct{})
			first, second := w.send(w.attempt, false), w.send(w.attempt, false)
			close(w.replays.gate)
			first.expect(t, test.err.Error())
			second.expect(t, test.err.Error())
			w.expect(t, false, 0, test.releases)
		})
	}
}
