// Package cache remembers which proofs are spent, so that each is used once,
// and counts the uses of what may be used a limited number of times.
//
// A guest module in the namespace http.captcha.replay_caches is both a
// [Replay] cache and a [Counter]. It knows keys, owners and times, and nothing
// of captchas.
package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Key identifies a proof: the first 128 bits of a SHA-256 digest over what
// makes the proof single-use. The key of a counter is 128 random bits.
type Key [16]byte

// Owner is the random value under which a claim is made. Only who knows it
// can release the claim.
type Owner [16]byte

// NewOwner returns a random owner value.
func NewOwner() (o Owner) {
	rand.Read(o[:]) // never fails (crypto/rand)
	return o
}

// Errors of a Replay cache and of a Counter. Neither says that the proof was
// claimed before; both mean that it must not be let through.
var (
	// ErrFull means that the cache holds as many live claims as its capacity
	// allows. It never forgets one to make room.
	ErrFull = errors.New("the replay cache is full")

	// ErrUnavailable means that the claim could not be recorded, or the
	// counter not be reached.
	ErrUnavailable = errors.New("the replay cache is unavailable")
)

// Replay is a replay cache. Its methods are safe for concurrent use.
type Replay interface {
	// Claim records key as spent by owner until TTL has passed. It returns
	// false without an error when a live claim holds the key already. Of any
	// number of parallel calls for one key at most one returns true.
	Claim(ctx context.Context, key Key, owner Owner) (bool, error)

	// Release gives up the claim on key if, and only if, owner holds it
	// (compare and delete).
	Release(ctx context.Context, key Key, owner Owner) error

	// TTL is how long a claim lives.
	TTL() time.Duration
}

// How long a claim lives: until the provider would refuse the proof anyway,
// with a margin for clocks that disagree. Every Replay cache has the same
// default and the same minimum.
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
