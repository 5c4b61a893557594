// Package cachetest tests what the package cache says of a Store. A third party
// runs it against its own:
//
//	func TestStore(t *testing.T) {
//		cachetest.Run(t, cachetest.Subject{
//			Open: func(t *testing.T) cache.Store { return newStore(t) },
//		})
//	}
package cachetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
)

// Subject is the Store that is tested.
type Subject struct {
	// Open returns the store, ready for use. Every test opens it anew. Stores
	// that are opened may share what they hold: no test uses a key of another.
	// Required.
	Open func(t *testing.T) cache.Store

	// Pass lets time pass for the store, so that claims and counters end. It
	// may be nil where nothing can do that; what it takes is then not tested.
	Pass func(t *testing.T, d time.Duration)

	// OpenFull returns a store that has room for so many claims and counters,
	// and holds none. It may be nil for a store without a capacity of its own.
	OpenFull func(t *testing.T, capacity int) cache.Store

	// OpenUnavailable returns a store that cannot be reached, by any name of
	// what is wrong with it. It may be nil for a store in this process.
	OpenUnavailable map[string]func(t *testing.T) cache.Store
}

// Run runs all tests.
func Run(t *testing.T, s Subject) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
}

// tests are all there are. Each says what it is about when it fails.
var tests = []struct {
	name string
	run  func(*testing.T, Subject)
}{
	{"ClaimsOnce", claimsOnce},
	{"OneOfManyClaims", oneOfManyClaims},
	{"OnlyTheOwnerReleases", onlyTheOwnerReleases},
	{"ReleasesForAClientThatLeft", releasesForAClientThatLeft},
	{"ClaimLivesForItsTTL", claimLivesForItsTTL},
	{"CountsUses", countsUses},
	{"TakesEachUseOnce", takesEachUseOnce},
	{"GrantsOnce", grantsOnce},
	{"RefusesUsesOutOfRange", refusesUsesOutOfRange},
	{"UnknownCounterIsUsedUp", unknownCounterIsUsedUp},
	{"CounterLivesForItsTTL", counterLivesForItsTTL},
	{"ClaimsAndCountersAreApart", claimsAndCountersAreApart},
	{"ContextThatIsDone", contextThatIsDone},
	{"FullForgetsNothing", fullForgetsNothing},
	{"Unavailable", unavailable},
	{"Random", random},
}

// newKey returns a key that no other test has.
func newKey() cache.Key { return cache.Key(cache.NewOwner()) }

// claim claims the key and fails the test unless the outcome is as wanted.
func claim(t *testing.T, s cache.Store, key cache.Key, owner cache.Owner, want bool, wantErr error) {
	t.Helper()
	claimFor(t, s, key, owner, s.TTL(), want, wantErr)
}

func claimFor(t *testing.T, s cache.Store, key cache.Key, owner cache.Owner, ttl time.Duration, want bool, wantErr error) {
	t.Helper()
	claimed, err := s.Claim(context.Background(), key, owner, ttl)
	if claimed != want || !errors.Is(err, wantErr) {
		t.Errorf("Claim = %t, %v; want %t, %v", claimed, err, want, wantErr)
	}
}

func release(t *testing.T, s cache.Store, key cache.Key, owner cache.Owner) {
	t.Helper()
	if err := s.Release(context.Background(), key, owner); err != nil {
		t.Errorf("Release: %v", err)
	}
}

func grant(t *testing.T, s cache.Store, key cache.Key, uses int, ttl time.Duration, want error) {
	t.Helper()
	if err := s.Grant(context.Background(), key, uses, ttl); !errors.Is(err, want) {
		t.Errorf("Grant = %v, want %v", err, want)
	}
}

func use(t *testing.T, s cache.Store, key cache.Key, want bool) {
	t.Helper()
	if taken, err := s.Use(context.Background(), key); taken != want || err != nil {
		t.Errorf("Use = %t, %v; want %t", taken, err, want)
	}
}

func uses(t *testing.T, s cache.Store, key cache.Key, want int) {
	t.Helper()
	if left, err := s.Uses(context.Background(), key); left != want || err != nil {
		t.Errorf("Uses = %d, %v; want %d", left, err, want)
	}
}
