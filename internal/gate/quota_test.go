package gate

import (
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/flight"
)

// TestTally counts what lives, and forgets what has ended.
func TestTally(t *testing.T) {
	start := time.Now()
	var events tally
	take := func(after time.Duration) bool { return events.take(start.Add(after), time.Minute, 3) }
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{
		{0, true},
		{time.Second, true},
		{2 * time.Second, true},
		{3 * time.Second, false},
		{59 * time.Second, false},
		{time.Minute, true},
		{time.Minute, false},
		{62 * time.Second, true},
		{62 * time.Second, true},
		{62 * time.Second, false},
		{10 * time.Minute, true},
	} {
		if got := take(step.after); got != step.want {
			t.Errorf("after %v: %t", step.after, got)
		}
	}
	if n := len(events.ends); n != 1 {
		t.Errorf("%d events are remembered", n)
	}
}

// smallStore is a store of that size, which keeps its claims for half an hour.
type smallStore struct {
	cache.Store
	size int
}

func (b smallStore) Bound() int { return b.size }

// TestCacheShare: proofs of one kind take a tenth of the replay cache, over all
// policies, and what is refused for that is given back.
func TestCacheShare(t *testing.T) {
	var held tally
	policy := func(size int) *admission {
		o := Options{Store: smallStore{size: size}, Slots: 100, SlotsPerClient: 10}
		return &admission{quota: newQuota(o, 1000, 1000, &held, time.Hour)}
	}
	one, other := policy(100), policy(100)
	passed := 0
	for i := range 40 {
		a := one
		if i%2 == 1 {
			a = other
		}
		found, fate := a.Verify(t.Context())
		switch {
		case found.admission == admitted && fate == flight.Pass:
			passed++
		case found.admission != full || fate != flight.GiveBack:
			t.Errorf("found %+v, fate %d", found, fate)
		}
	}
	if passed != 10 {
		t.Errorf("%d passed, want 10 of a cache of 100", passed)
	}
	if size := storeSize(nil); size != 1_000_000 {
		t.Errorf("a store without a bound counts as %d", size)
	}
}
