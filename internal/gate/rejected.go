package gate

import (
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// rejected remembers for a minute which proofs the provider rejected, so that
// asking again and again with one bad proof costs one call. It holds at most
// 100,000 of them and may forget any at any time: nothing but a call depends on
// it.
type rejected struct {
	reasons *ristretto.Cache[[]byte, string] // nil: remembers nothing
}

const (
	rejectedFor = time.Minute
	maxRejected = 100_000
)

// rejectedProofs returns the memory that all configs of this process share. It
// is made at first use.
var rejectedProofs = sync.OnceValue(newRejected)

func newRejected() rejected {
	reasons, _ := ristretto.NewCache(&ristretto.Config[[]byte, string]{ // fails for an invalid Config, and this one is constant
		NumCounters:        10 * maxRejected, // ristretto's advice
		MaxCost:            maxRejected,
		BufferItems:        64,
		IgnoreInternalCost: true,
	})
	return rejected{reasons}
}

// add remembers that a proof was rejected for reason, a word from a fixed set.
// identity covers the whole proof and the credentials it was checked with: the
// same proof may be good elsewhere.
func (r rejected) add(identity [32]byte, reason string) {
	if r.reasons != nil {
		r.reasons.SetWithTTL(identity[:], reason, 1, rejectedFor)
	}
}

// reason returns why the proof was rejected within the last minute.
func (r rejected) reason(identity [32]byte) (reason string, ok bool) {
	if r.reasons == nil {
		return "", false
	}
	return r.reasons.Get(identity[:])
}
