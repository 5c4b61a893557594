package gate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/flight"
	"github.com/caddycaptcha/caddycaptcha/internal/health"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// TestTally counts what happens within a time, and forgets what is older.
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
	if n := len(events.times); n != 1 {
		t.Errorf("%d events are remembered", n)
	}
}

// smallStore is a store of that size, which keeps its claims for half an hour.
type smallStore struct {
	cache.Store
	size int
}

func (smallStore) TTL() time.Duration { return 30 * time.Minute }
func (b smallStore) Bound() int       { return b.size }

// TestOutageShare: unjudged proofs take a tenth of the replay cache, over all
// policies, and what is refused for that is given back.
func TestOutageShare(t *testing.T) {
	admissions.times = nil
	defer func() { admissions.times = nil }()
	policy := func(size int) *admission {
		g := &Gate{Options: Options{Store: smallStore{size: size}, Outage: OutageOptions{RateInAll: 1000}}}
		g.outage.admitted = new(tally)
		return &admission{gate: g}
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
		case found.unjudged == admitted && fate == flight.Pass:
			passed++
		case found.unjudged != full || fate != flight.GiveBack:
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

// TestUnjudgedProof: one that was let pass, and waited for somebody to use it,
// is good for nothing when the provider is up again, and for a policy that
// denies them.
func TestUnjudgedProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := health.New(deadProvider{}, nil)
		defer watch.Close()
		policy := func(mode OnOutage) *Gate {
			return &Gate{Options: Options{Outage: OutageOptions{Mode: mode}}, outage: outage{watch: watch}}
		}
		for _, down := range []bool{false, true} {
			if down {
				watch.Suspect()
				time.Sleep(time.Minute)
			}
			for _, mode := range []OnOutage{OutageAllow, OutageDeny} {
				want := Rejected
				if down && mode == OutageAllow {
					want = OutageAllowed
				}
				if d := policy(mode).judgeFinding(finding{unjudged: admitted}); d.Outcome != want {
					t.Errorf("down %t, on_outage %s: %v, want %s", down, mode, d, want.Name)
				}
			}
		}
	})
}

// deadProvider is a verifier whose provider never answers a probe.
type deadProvider struct{ verifier.Prober }

func (deadProvider) Captcha() (provider, id string)        { return "dead", "id" }
func (deadProvider) Service() string                       { return "https://captcha.example" }
func (deadProvider) Probe(context.Context) verifier.Health { return verifier.HealthFailed }
