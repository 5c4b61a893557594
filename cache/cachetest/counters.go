package cachetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
)

func countsUses(t *testing.T, s Subject) {
	store, key, other := s.Open(t), newKey(), newKey()
	grant(t, store, key, 3, time.Hour, nil)
	grant(t, store, other, 1, time.Hour, nil)
	for left := 3; left > 0; left-- {
		uses(t, store, key, left)
		uses(t, store, key, left) // looking takes none
		use(t, store, key, true)
	}
	for range 3 {
		use(t, store, key, false)
		uses(t, store, key, 0) // and never fewer
	}
	uses(t, store, other, 1)
}

func takesEachUseOnce(t *testing.T, s Subject) {
	const parallel = 32
	store := s.Open(t)
	for _, granted := range []int{1, 2, 7, 100} {
		key := newKey()
		grant(t, store, key, granted, time.Hour, nil)
		var taken atomic.Int32
		var start, all sync.WaitGroup
		start.Add(1)
		for range parallel {
			all.Go(func() {
				start.Wait()
				for range granted/parallel + 2 {
					ok, err := store.Use(context.Background(), key)
					if err != nil {
						t.Errorf("Use: %v", err)
					}
					if ok {
						taken.Add(1)
					}
				}
			})
		}
		start.Done()
		all.Wait()
		if want := min(granted, parallel*(granted/parallel+2)); int(taken.Load()) != want {
			t.Errorf("%d uses were taken of %d, want %d", taken.Load(), granted, want)
		}
	}
}

func grantsOnce(t *testing.T, s Subject) {
	store, key := s.Open(t), newKey()
	grant(t, store, key, 2, time.Hour, nil)
	grant(t, store, key, 100, time.Hour, cache.ErrGranted)
	uses(t, store, key, 2)
	use(t, store, key, true)
	use(t, store, key, true)
	grant(t, store, key, 100, time.Hour, cache.ErrGranted) // used up or not
	use(t, store, key, false)
}

func refusesUsesOutOfRange(t *testing.T, s Subject) {
	store := s.Open(t)
	for _, n := range []int{0, -1, cache.MaxUses + 1} {
		key := newKey()
		if err := store.Grant(context.Background(), key, n, time.Hour); err == nil {
			t.Errorf("Grant of %d uses succeeds", n)
		}
		uses(t, store, key, 0)
	}
	key := newKey()
	grant(t, store, key, cache.MaxUses, time.Hour, nil)
	uses(t, store, key, cache.MaxUses)
}

func unknownCounterIsUsedUp(t *testing.T, s Subject) {
	store, key := s.Open(t), newKey()
	use(t, store, key, false)
	uses(t, store, key, 0)
	grant(t, store, key, 1, time.Hour, nil) // asking has made none
	use(t, store, key, true)
}

func counterLivesForItsTTL(t *testing.T, s Subject) {
	if s.Pass == nil {
		t.Log("without Pass, that a counter ends is not tested")
		return
	}
	store, key, long := s.Open(t), newKey(), newKey()
	grant(t, store, key, 5, 10*time.Minute, nil)
	grant(t, store, long, 5, 24*time.Hour, nil) // longer than any claim
	s.Pass(t, 9*time.Minute)
	use(t, store, key, true) // which makes it no younger
	s.Pass(t, time.Minute+time.Second)
	use(t, store, key, false)
	uses(t, store, key, 0)
	s.Pass(t, 23*time.Hour)
	uses(t, store, long, 5)
	grant(t, store, key, 1, time.Hour, nil)
	uses(t, store, key, 1)
}

func claimsAndCountersAreApart(t *testing.T, s Subject) {
	store, key, owner := s.Open(t), newKey(), cache.NewOwner()
	grant(t, store, key, 1, time.Hour, nil)
	claim(t, store, key, owner, true, nil)
	uses(t, store, key, 1)
	release(t, store, key, owner)
	uses(t, store, key, 1)
	claim(t, store, key, owner, true, nil)
	use(t, store, key, true)
	claim(t, store, key, cache.NewOwner(), false, nil)

	claimed := newKey()
	claim(t, store, claimed, owner, true, nil)
	use(t, store, claimed, false)
	grant(t, store, claimed, 1, time.Hour, nil)
}

// random holds the store against a map, with a seed that is printed.
func random(t *testing.T, s Subject) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	store := s.Open(t)
	keys, owners := make([]cache.Key, 8), make([]cache.Owner, 4)
	for i := range keys {
		keys[i] = newKey()
	}
	for i := range owners {
		owners[i] = cache.NewOwner()
	}
	claims, counters := map[cache.Key]cache.Owner{}, map[cache.Key]int{}
	for range 2000 {
		key, owner := keys[r.IntN(len(keys))], owners[r.IntN(len(owners))]
		switch r.IntN(5) {
		case 0:
			_, held := claims[key]
			claim(t, store, key, owner, !held, nil)
			if !held {
				claims[key] = owner
			}
		case 1:
			release(t, store, key, owner)
			if claims[key] == owner {
				delete(claims, key)
			}
		case 2:
			n := 1 + r.IntN(5)
			if _, granted := counters[key]; granted {
				grant(t, store, key, n, time.Hour, cache.ErrGranted)
			} else {
				grant(t, store, key, n, time.Hour, nil)
				counters[key] = n
			}
		case 3:
			use(t, store, key, counters[key] > 0)
			if counters[key] > 0 {
				counters[key]--
			}
		case 4:
			uses(t, store, key, counters[key])
		}
		if t.Failed() {
			return
		}
	}
}
