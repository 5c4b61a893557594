package cachetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
)

func claimsOnce(t *testing.T, s Subject) {
	store, key, owner := s.Open(t), newKey(), cache.NewOwner()
	claim(t, store, key, owner, true, nil)
	claim(t, store, key, cache.NewOwner(), false, nil)
	claim(t, store, key, owner, false, nil) // by whomever
	claim(t, store, newKey(), owner, true, nil)
	if ttl := store.TTL(); ttl < cache.MinTTL {
		t.Errorf("a claim lives for %v, want at least %v", ttl, cache.MinTTL)
	}
}

// oneOfManyClaims also goes on while the key changes hands, so that a claim
// that is made while another is released shows.
func oneOfManyClaims(t *testing.T, s Subject) {
	const parallel, rounds = 32, 20
	store := s.Open(t)
	for range rounds {
		key := newKey()
		var holders, most, winners atomic.Int32
		var start sync.WaitGroup
		var all sync.WaitGroup
		start.Add(1)
		for i := range parallel {
			all.Go(func() {
				owner := cache.NewOwner()
				start.Wait()
				claimed, err := store.Claim(context.Background(), key, owner, store.TTL())
				if err != nil {
					t.Errorf("Claim: %v", err)
				}
				if !claimed {
					return
				}
				winners.Add(1)
				if held := holders.Add(1); held > most.Load() {
					most.Store(held)
				}
				if i%2 == 0 { // half of them give the claim back
					holders.Add(-1)
					release(t, store, key, owner)
				}
			})
		}
		start.Done()
		all.Wait()
		if most.Load() > 1 || winners.Load() == 0 {
			t.Errorf("%d held one claim at once, %d of %d made it", most.Load(), winners.Load(), parallel)
		}
	}
}

func onlyTheOwnerReleases(t *testing.T, s Subject) {
	store, key, owner := s.Open(t), newKey(), cache.NewOwner()
	release(t, store, key, owner) // of what nobody holds
	claim(t, store, key, owner, true, nil)
	release(t, store, key, cache.NewOwner())
	almost := owner
	almost[len(almost)-1] ^= 1
	release(t, store, key, almost)
	release(t, store, newKey(), owner)
	claim(t, store, key, cache.NewOwner(), false, nil)
	release(t, store, key, owner)
	second := cache.NewOwner()
	claim(t, store, key, second, true, nil)
	release(t, store, key, owner) // is too late for the next claim
	claim(t, store, key, owner, false, nil)
}

func releasesForAClientThatLeft(t *testing.T, s Subject) {
	store, key, owner := s.Open(t), newKey(), cache.NewOwner()
	claim(t, store, key, owner, true, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := store.Release(ctx, key, owner); err != nil {
		t.Errorf("Release with a context that is done: %v", err)
	}
	claim(t, store, key, cache.NewOwner(), true, nil)
}

func claimLivesForItsTTL(t *testing.T, s Subject) {
	if s.Pass == nil {
		t.Log("without Pass, that a claim ends is not tested")
		return
	}
	store, key, owner := s.Open(t), newKey(), cache.NewOwner()
	claim(t, store, key, owner, true, nil)
	s.Pass(t, store.TTL()-time.Minute)
	claim(t, store, key, cache.NewOwner(), false, nil)
	s.Pass(t, time.Minute+time.Second)
	next := cache.NewOwner()
	claim(t, store, key, next, true, nil)
	release(t, store, key, owner) // is that of a claim that has ended
	claim(t, store, key, cache.NewOwner(), false, nil)
	s.Pass(t, store.TTL()-time.Minute) // a claim's time begins when it is made
	claim(t, store, key, cache.NewOwner(), false, nil)

	for _, ttl := range []time.Duration{store.TTL() / 3, 2 * store.TTL()} {
		key := newKey()
		claimFor(t, store, key, cache.NewOwner(), ttl, true, nil)
		s.Pass(t, ttl-time.Minute)
		claim(t, store, key, cache.NewOwner(), false, nil)
		s.Pass(t, time.Minute+time.Second)
		claim(t, store, key, cache.NewOwner(), true, nil)
	}
}

// contextThatIsDone: a request that is over claims, grants and takes nothing.
func contextThatIsDone(t *testing.T, s Subject) {
	store, key, counter := s.Open(t), newKey(), newKey()
	grant(t, store, counter, 2, time.Hour, nil)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("the client left"))
	claimed, err := store.Claim(ctx, key, cache.NewOwner(), store.TTL())
	if claimed || !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("Claim = %t, %v; want an error that wraps cache.ErrUnavailable", claimed, err)
	}
	if err := store.Grant(ctx, newKey(), 1, time.Hour); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("Grant = %v, want an error that wraps cache.ErrUnavailable", err)
	}
	if taken, err := store.Use(ctx, counter); taken || !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("Use = %t, %v; want an error that wraps cache.ErrUnavailable", taken, err)
	}
	uses(t, store, counter, 2)
}

func fullForgetsNothing(t *testing.T, s Subject) {
	if s.OpenFull == nil {
		t.Log("without OpenFull, a full store is not tested")
		return
	}
	const capacity = 20
	store := s.OpenFull(t, capacity)
	keys, owners := make([]cache.Key, capacity), make([]cache.Owner, capacity)
	for i := range keys {
		keys[i], owners[i] = newKey(), cache.NewOwner()
		if i%2 == 0 {
			claim(t, store, keys[i], owners[i], true, nil)
		} else {
			grant(t, store, keys[i], 1, time.Hour, nil)
		}
	}
	for range 3 * capacity {
		claim(t, store, newKey(), cache.NewOwner(), false, cache.ErrFull)
		grant(t, store, newKey(), 1, time.Hour, cache.ErrFull)
	}
	for i := range keys {
		if i%2 == 0 {
			claim(t, store, keys[i], cache.NewOwner(), false, nil)
		} else {
			uses(t, store, keys[i], 1)
		}
	}
	release(t, store, keys[0], owners[0])
	claim(t, store, newKey(), cache.NewOwner(), true, nil) // there is room for one
	claim(t, store, newKey(), cache.NewOwner(), false, cache.ErrFull)
}

func unavailable(t *testing.T, s Subject) {
	for name, open := range s.OpenUnavailable {
		store := open(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if claimed, err := store.Claim(ctx, newKey(), cache.NewOwner(), store.TTL()); claimed || !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: Claim = %t, %v; want an error that wraps cache.ErrUnavailable", name, claimed, err)
		}
		if err := store.Release(ctx, newKey(), cache.NewOwner()); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: Release = %v, want an error that wraps cache.ErrUnavailable", name, err)
		}
		if err := store.Grant(ctx, newKey(), 1, time.Hour); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: Grant = %v, want an error that wraps cache.ErrUnavailable", name, err)
		}
		if taken, err := store.Use(ctx, newKey()); taken || !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: Use = %t, %v; want an error that wraps cache.ErrUnavailable", name, taken, err)
		}
		if left, err := store.Uses(ctx, newKey()); left != 0 || !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: Uses = %d, %v; want an error that wraps cache.ErrUnavailable", name, left, err)
		}
		if ctx.Err() != nil {
			t.Errorf("%s: the store does not give up within a minute", name)
		}
	}
}
