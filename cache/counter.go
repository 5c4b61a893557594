package cache

import (
	"crypto/sha256"
	"time"
)

// grant makes a counter: a claim that carries uses, on a key that no proof
// has, for an owner that nobody knows, so that nothing releases it.
func (s *ledger) grant(key Key, uses int32, ttl time.Duration, atLeast int64) error {
	granted, err := s.add(counterKey(key), NewOwner(), uses, ttl, atLeast)
	if err == nil && !granted {
		return ErrGranted
	}
	return err
}

// use takes no lock: what a counter is, and until when, never changes, and a
// use is taken in one step.
func (s *ledger) use(key Key) bool {
	c := s.counter(key)
	if c == nil {
		return false
	}
	for {
		left := c.uses.Load()
		if left == 0 {
			return false
		}
		if c.uses.CompareAndSwap(left, left-1) {
			return true
		}
	}
}

func (s *ledger) uses(key Key) int {
	if c := s.counter(key); c != nil {
		return int(c.uses.Load())
	}
	return 0
}

// counter returns the live counter that key has, or nil.
func (s *ledger) counter(key Key) *claim {
	key = counterKey(key)
	c, ok := s.claims.Get(key[:])
	if !ok || c.key != key || c.ends <= s.clock() {
		return nil
	}
	return c
}

// counterKey is where the counter of key is kept. It keeps counters apart from
// claims, whose keys are digests too, but of other texts.
func counterKey(key Key) Key {
	const domain = "counter\x00"
	var text [len(domain) + len(key)]byte
	copy(text[:], domain)
	copy(text[len(domain):], key[:])
	digest := sha256.Sum256(text[:])
	return Key(digest[:len(key)])
}
