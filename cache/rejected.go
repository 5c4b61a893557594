package cache

import (
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// Rejected remembers for a minute which proofs the provider rejected, so that
// asking again and again with one bad proof costs one call. It holds at most
// 100,000 of them and may forget any at any time: nothing but a call depends on
// it.
type Rejected struct {
	reasons *ristretto.Cache[[]byte, string]
}

const (
	rejectedFor = time.Minute
	maxRejected = 100_000
)

// SharedRejected returns the memory that all configs of this process share.
// It is made at first use.
func SharedRejected() *Rejected { return sharedRejected() }

var sharedRejected = sync.OnceValue(newRejected)

func newRejected() *Rejected {
	reasons, err := ristretto.NewCache(&ristretto.Config[[]byte, string]{
		NumCounters:        10 * maxRejected, // ristretto's advice
		MaxCost:            maxRejected,
		BufferItems:        64,
		IgnoreInternalCost: true,
		KeyToHash:          hashes,
	})
	if err != nil {
		panic(err) // an invalid Config, and this one is constant
	}
	return &Rejected{reasons}
}

// Add remembers that the proof under key was rejected for reason, a word from
// a fixed set. The key must cover the whole proof and the credentials it was
// checked with: the same proof may be good elsewhere.
func (r *Rejected) Add(key Key, reason string) {
	r.reasons.SetWithTTL(key[:], reason, 1, rejectedFor)
}

// Lookup returns the reason why the proof under key was rejected within the
// last minute.
func (r *Rejected) Lookup(key Key) (reason string, ok bool) {
	return r.reasons.Get(key[:])
}
