package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"time"
)

// Counter counts how often something limited may still be used. A counter is
// made with the thing whose uses it counts and lives as long. Nothing adds to
// it, and a key without a live counter has no uses, so whatever is forgotten
// is used up. Its methods are safe for concurrent use.
type Counter interface {
	// Grant makes a counter of uses, from 1 to MaxUses, which lives for ttl.
	// It takes as much of the capacity as a claim does. ErrGranted means that
	// key has a live counter, used up or not; it is left as it is.
	Grant(ctx context.Context, key Key, uses int, ttl time.Duration) error

	// Use takes one of the uses. It returns false without an error when none
	// is left. Of any number of parallel calls for one key exactly as many
	// return true as uses were granted.
	Use(ctx context.Context, key Key) (bool, error)

	// Uses returns how many uses are left, and takes none.
	Uses(ctx context.Context, key Key) (int, error)
}

// MaxUses is the most uses that a counter can grant.
const MaxUses = math.MaxInt32

// ErrGranted means that a key has a counter already.
var ErrGranted = errors.New("the key has a counter already")

// Grant implements Counter.
func (m *Memory) Grant(ctx context.Context, key Key, uses int, ttl time.Duration) error {
	if uses < 1 || uses > MaxUses {
		return fmt.Errorf("a counter grants from 1 to %d uses, not %d", MaxUses, uses)
	}
	if err := available(ctx); err != nil {
		return err
	}
	return m.store.grant(key, int32(uses), ttl, int64(m.Capacity))
}

// Use implements Counter.
func (m *Memory) Use(ctx context.Context, key Key) (bool, error) {
	if err := available(ctx); err != nil {
		return false, err
	}
	return m.store.use(key), nil
}

// Uses implements Counter.
func (m *Memory) Uses(ctx context.Context, key Key) (int, error) {
	if err := available(ctx); err != nil {
		return 0, err
	}
	return m.store.uses(key), nil
}

// grant makes a counter: a claim that carries uses, on a key that no proof
// has, for an owner that nobody knows, so that nothing releases it.
func (s *store) grant(key Key, uses int32, ttl time.Duration, atLeast int64) error {
	granted, err := s.add(counterKey(key), NewOwner(), uses, ttl, atLeast)
	if err == nil && !granted {
		return ErrGranted
	}
	return err
}

// use takes no lock: what a counter is, and until when, never changes, and a
// use is taken in one step.
func (s *store) use(key Key) bool {
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

func (s *store) uses(key Key) int {
	if c := s.counter(key); c != nil {
		return int(c.uses.Load())
	}
	return 0
}

// counter returns the live counter that key has, or nil.
func (s *store) counter(key Key) *claim {
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

var _ Counter = (*Memory)(nil)
