package gate

import (
	"errors"
	"sync"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
)

// quota bounds how many proofs pass that a program can make as well as a
// person: so many a minute of a client, its prefix and its network, so many of
// all, and a share of the replay cache, since whoever makes them must leave room
// for others.
type quota struct {
	rate   *limit.Limiter
	passed tally // within the last minute
	inAll  int
	held   *tally // claims that live, of all policies
	most   int
	ttl    time.Duration
}

const (
	// cacheShare is the part of the replay cache, one in so many, that the
	// claims of such proofs may take.
	cacheShare = 10

	// unboundedStore is how large a store counts as that has no bound of its
	// own.
	unboundedStore = 1_000_000
)

// What lives of each kind of such proofs, of all policies and configs.
var (
	admissions tally // of those that passed unjudged in an outage
	solutions  tally // of proofs of work
)

var errQuota = errors.New("too many proofs of a kind that programs can make")

func newQuota(o Options, perClient, inAll int, held *tally, ttl time.Duration) *quota {
	return &quota{
		rate:  limit.New(limit.Rules{Slots: o.Slots, PerClient: o.SlotsPerClient, Failures: perClient}),
		inAll: inAll,
		held:  held,
		most:  storeSize(o.Store) / cacheShare,
		ttl:   ttl,
	}
}

// take counts one proof that passes, if there is room for it.
func (q *quota) take(now time.Time) bool {
	return q.passed.take(now, time.Minute, q.inAll) && q.held.take(now, q.ttl, q.most)
}

// storeSize returns how many claims a store has room for.
func storeSize(store cache.Store) int {
	if bounded, ok := store.(cache.Bounded); ok {
		return bounded.Bound()
	}
	return unboundedStore
}

// tally counts what has not ended. Its zero value is ready for use.
type tally struct {
	mu   sync.Mutex
	ends []time.Time // in the order of take
}

// take counts one thing more, which ends after a time, unless there are as many
// as most. One that ends early may count for as long as those before it.
func (t *tally) take(now time.Time, lives time.Duration, most int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.ends) > 0 && !now.Before(t.ends[0]) {
		t.ends = t.ends[1:]
	}
	if len(t.ends) >= most {
		return false
	}
	t.ends = append(t.ends, now.Add(lives))
	return true
}
