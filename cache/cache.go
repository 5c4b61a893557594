// Package cache remembers which proofs are spent, so that each is used once,
// and counts the uses of what may be used a limited number of times.
//
// A guest module in the namespace captcha.replay_caches is a [Store]. It knows
// keys, owners and times, and nothing of captchas. The package cachetest tests
// what is said here of a Store.
package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"time"
)

// Key identifies a proof: the first 128 bits of a SHA-256 digest over what
// makes the proof single-use. The key of a counter is 128 random bits. Claims
// and counters have nothing to do with each other, be their keys the same.
type Key [16]byte

// Owner is the random value under which a claim is made. Only who knows it
// can release the claim.
type Owner [16]byte

// NewOwner returns a random owner value.
func NewOwner() (o Owner) {
	rand.Read(o[:]) // never fails (crypto/rand)
	return o
}

// Errors of a Store. None says that the proof was claimed before; all mean that
// it must not be let through.
var (
	// ErrFull means that the store holds as many live claims and counters as
	// its capacity allows. It never forgets one to make room.
	ErrFull = errors.New("the replay cache is full")

	// ErrUnavailable means that the store could not do what was asked, or that
	// nobody can know whether it did: it cannot be reached, is too slow, or the
	// context is done. The error of a Store wraps it, together with the cause.
	ErrUnavailable = errors.New("the replay cache is unavailable")

	// ErrGranted means that a key has a counter already.
	ErrGranted = errors.New("the key has a counter already")
)

// Store remembers claims on proofs and counts uses. Its methods are safe for
// concurrent use, by any number of processes where they share the store.
//
// An error wraps one of the errors above. It holds no key and no owner.
type Store interface {
	// Claim records key as spent by owner until ttl has passed. It returns
	// false without an error when a live claim holds the key already. Of any
	// number of parallel calls for one key at most one returns true. After
	// ErrUnavailable the claim may have been made; the caller then calls
	// Release, and must not let the proof through.
	Claim(ctx context.Context, key Key, owner Owner, ttl time.Duration) (bool, error)

	// Release gives up the claim on key if, and only if, owner holds it
	// (compare and delete). It does so even if ctx is done, within a time of
	// its own: the client whose proof it is may have left.
	Release(ctx context.Context, key Key, owner Owner) error

	// TTL is how long the claim on a proof has to live that its provider, too,
	// takes only once. It is at least MinTTL.
	TTL() time.Duration

	// Grant makes a counter of uses, from 1 to MaxUses, which lives for ttl.
	// It takes as much of the capacity as a claim does. ErrGranted means that
	// key has a live counter, used up or not; it is left as it is.
	Grant(ctx context.Context, key Key, uses int, ttl time.Duration) error

	// Use takes one of the uses. It returns false without an error when none
	// is left. Nothing ever adds to a counter, and a key without a live one
	// has no uses, so whatever is forgotten is used up. Of any number of
	// parallel calls for one key exactly as many return true as uses were
	// granted.
	Use(ctx context.Context, key Key) (bool, error)

	// Uses returns how many uses are left, and takes none.
	Uses(ctx context.Context, key Key) (int, error)
}

// Bounded is a Store that holds so much and no more.
type Bounded interface {
	Store

	// Bound is how many live claims and counters it holds at most.
	Bound() int
}

// MaxUses is the most uses that a counter can grant.
const MaxUses = math.MaxInt32

// How long a claim lives: until the provider would refuse the proof anyway,
// with a margin for clocks that disagree. Every Store has the same default and
// the same minimum.
const (
	DefaultTTL = 30 * time.Minute
	MinTTL     = 15 * time.Minute
)

// checkTTL says whether claims may live for ttl.
func checkTTL(ttl time.Duration) error {
	if ttl < MinTTL {
		return fmt.Errorf("ttl must be at least %v: a claim that ends sooner lets a proof be replayed that its provider still takes", MinTTL)
	}
	return nil
}

// checkUses says whether a counter can grant so many uses.
func checkUses(uses int) error {
	if uses < 1 || uses > MaxUses {
		return fmt.Errorf("a counter grants from 1 to %d uses, not %d", MaxUses, uses)
	}
	return nil
}
