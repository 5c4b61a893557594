package flight

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// replays is a replay cache that notices what a flight must not do.
type replays struct {
	mu       sync.Mutex
	owners   map[cache.Key]cache.Owner
	claims   int // claims made
	releases int // calls of Release
	fail     error
	gate     chan struct{} // where not nil, Claim waits for it
}

func (r *replays) Claim(_ context.Context, key cache.Key, owner cache.Owner, ttl time.Duration) (bool, error) {
	if ttl != cache.DefaultTTL {
		return false, errors.New("the claim is to live for another time")
	}
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
		Store:    &w.replays,
		TTL:      cache.DefaultTTL,
		Verification: verification[string]{
			begin: func() error {
				w.admitted.Add(1)
				return nil
			},
			verify: func(ctx context.Context) (string, Fate) {
				w.calls.Add(1)
				if ctx.Done() != nil {
					return "the verification depends on a client", Spend
				}
				fate := <-w.answer
				return verdicts[fate], fate
			},
			end: func() { w.admitted.Add(-1) },
		},
	}
	return w
}

// verification is a Verification made of functions.
type verification[V any] struct {
	begin  func() error
	verify func(context.Context) (V, Fate)
	end    func()
}

func (v verification[V]) Begin() error                         { return v.begin() }
func (v verification[V]) Verify(ctx context.Context) (V, Fate) { return v.verify(ctx) }
func (v verification[V]) End()                                 { v.end() }

var verdicts = map[Fate]string{Pass: "passed", GiveBack: "rejected", Spend: "risky"}

// request is a client's request that carries the proof.
type request struct {
	drop   context.CancelFunc // the client leaves
	result chan string        // buffered
}

// send lets a request with attempt a in and waits until it waits. A request in
// monitor mode is forwarded whatever happens.
func (w *world) send(a Attempt[string], monitor bool) *request {
	ctx, cancel := context.WithTimeout(context.Background(), longAway)
	return w.sendWith(ctx, cancel, a, monitor)
}

// sendPatient is send for a request without a deadline, which flies itself.
func (w *world) sendPatient(a Attempt[string]) *request {
	ctx, cancel := context.WithCancel(context.Background())
	return w.sendWith(ctx, cancel, a, false)
}

// longAway makes a request one with a deadline, which it never meets.
const longAway = 1000 * time.Hour

// hurried is the context of a request with a deadline.
func hurried(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), longAway)
	t.Cleanup(cancel)
	return ctx
}

func (w *world) sendWith(ctx context.Context, cancel context.CancelFunc, a Attempt[string], monitor bool) *request {
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
