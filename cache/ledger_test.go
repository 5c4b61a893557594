package cache

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestParallelRequestsClaimEachProofOnce(t *testing.T) {
	const proofs, requests = 10_000, 64
	s, _ := testLedger(t)
	for n := range proofs {
		var (
			key   = testKey(n)
			start = make(chan struct{})
			wins  atomic.Int32
			wg    sync.WaitGroup
		)
		for range requests {
			wg.Go(func() {
				<-start
				claimed, err := s.claim(key, NewOwner(), testTTL, proofs)
				if err != nil {
					t.Error(err)
				}
				if claimed {
					wins.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d of %d requests claimed one proof", wins.Load(), requests)
		}
	}
	audit(t, s)
}

func TestFullStoreRefusesNewProofsAndForgetsNone(t *testing.T) {
	const capacity, flood = 5_000, 20_000
	s, _ := testLedger(t)
	for n := range capacity {
		mustClaim(t, s, testKey(n), capacity)
	}
	var wg sync.WaitGroup
	for part := range 8 {
		wg.Go(func() {
			for n := part; n < flood; n += 8 {
				if claimed, err := s.claim(testKey(capacity+n), NewOwner(), testTTL, capacity); claimed || err != ErrFull {
					t.Errorf("claim in a full ledger = %t, %v", claimed, err)
				}
			}
		})
	}
	wg.Wait()
	for n := range capacity {
		mustRefuse(t, s, testKey(n), capacity, nil)
	}
	audit(t, s)
}

func TestParallelClaimsFillTheStoreExactly(t *testing.T) {
	const capacity = 1_000
	s, clock := testLedger(t)
	for round := range 3 { // from the second round on, room has to be made
		var claims atomic.Int32
		var wg sync.WaitGroup
		for part := range 16 {
			wg.Go(func() {
				for n := range 2 * capacity / 16 {
					claimed, err := s.claim(testKey(round<<32|part<<16|n), NewOwner(), testTTL, capacity)
					if claimed {
						claims.Add(1)
					} else if err != ErrFull {
						t.Errorf("claim = false, %v", err)
					}
				}
			})
		}
		wg.Wait()
		if claims.Load() != capacity {
			t.Errorf("round %d: %d claims, want %d", round, claims.Load(), capacity)
		}
		audit(t, s)
		clock.step(testTTL)
	}
}

func TestOnlyTheOwnerReleases(t *testing.T) {
	s, _ := testLedger(t)
	owner := mustClaim(t, s, testKey(1), plenty)
	s.release(testKey(1), NewOwner())
	s.release(testKey(1), Owner{})
	s.release(testKey(2), owner)
	mustRefuse(t, s, testKey(1), plenty, nil)
	if claimed, err := s.claim(testKey(1), owner, testTTL, plenty); claimed || err != nil {
		t.Errorf("the owner claimed twice: %t, %v", claimed, err)
	}
	s.release(testKey(1), owner)
	s.release(testKey(1), owner)
	if held := s.held.Load(); held != 0 {
		t.Errorf("%d claims counted after the release, want 0", held)
	}
	mustClaim(t, s, testKey(1), plenty)
	audit(t, s)
}

func TestClaimsAndReleasesLeaveNothingBehind(t *testing.T) {
	s, clock := testLedger(t)
	for n := range 100_000 {
		key := testKey(n % 1000)
		s.release(key, mustClaim(t, s, key, 1))
		clock.step(time.Microsecond)
	}
	for i := range s.stripes {
		if room := cap(s.stripes[i].claims); room > 16 {
			t.Errorf("stripe %d has room for %d claims", i, room)
		}
	}
	audit(t, s)
	if held := s.held.Load(); held != 0 {
		t.Errorf("%d claims left", held)
	}
}

func TestStoreBehavesLikeAMap(t *testing.T) {
	type entry struct {
		owner Owner
		ends  time.Duration
	}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		s, clock := testLedger(t)
		model := make(map[Key]entry)
		owners := []Owner{NewOwner(), NewOwner(), NewOwner()}
		for n := range 3_000 {
			now := time.Duration(clock.now.Load())
			key, owner := testKey(random.IntN(60)), owners[random.IntN(len(owners))]
			switch random.IntN(5) {
			case 0:
				clock.step(time.Duration(random.Int64N(int64(time.Minute))))
			case 1:
				s.release(key, owner)
				if model[key].owner == owner {
					delete(model, key)
				}
			default:
				capacity := int64(10 + random.IntN(30))
				ttl := time.Duration(1 + random.Int64N(int64(10*time.Minute)))
				live := int64(0)
				for _, e := range model {
					if e.ends > now {
						live++
					}
				}
				var want bool
				var wantErr error
				switch {
				case model[key].ends > now:
				case live >= capacity:
					wantErr = ErrFull
				default:
					want = true
					model[key] = entry{owner, now + ttl}
				}
				if got, err := s.claim(key, owner, ttl, capacity); got != want || err != wantErr {
					t.Fatalf("seed %d, step %d: claim = %t, %v; want %t, %v", seed, n, got, err, want, wantErr)
				}
			}
		}
		audit(t, s)
	}
}

func TestParallelClaimsReleasesAndExpiryKeepTheBooks(t *testing.T) {
	s, clock := testLedger(t)
	var holders [200]atomic.Int32
	var wg sync.WaitGroup
	for worker := range uint64(8) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(worker, 0))
			for range 5_000 {
				n := random.IntN(len(holders))
				key, owner := testKey(n), NewOwner()
				claimed, err := s.claim(key, owner, testTTL, 150)
				if err != nil && err != ErrFull {
					t.Error(err)
				}
				if claimed {
					if holders[n].Add(1) != 1 {
						t.Error("two owners hold one proof")
					}
					holders[n].Add(-1)
					s.release(key, owner)
				}
				s.claim(testKey(1000+random.IntN(1000)), owner, time.Second, 150)
				clock.step(time.Millisecond)
			}
		})
	}
	wg.Wait()
	audit(t, s)
}

func TestClaimThatIsNotStoredIsUnavailable(t *testing.T) {
	t.Run("because the cache is closed", func(t *testing.T) {
		s, _ := testLedger(t)
		s.claims.Close()
		mustRefuse(t, s, testKey(1), 1, ErrUnavailable)
		if held := s.held.Load(); held != 0 {
			t.Errorf("%d claims counted, want 0", held)
		}
	})
	t.Run("because half of its key is another's", func(t *testing.T) {
		s, _ := testLedger(t)
		owner := mustClaim(t, s, Key{0: 1, 15: 7}, 2)
		for _, twin := range []Key{{0: 1, 15: 8}, {0: 1}} {
			mustRefuse(t, s, twin, 2, ErrUnavailable)
			s.release(twin, owner)
		}
		mustRefuse(t, s, Key{0: 1, 15: 7}, 2, nil)
		mustClaim(t, s, testKey(1), 2)
		audit(t, s)
	})
}

func TestEvictionOfALiveClaimIsLoggedAndDoesNotLeak(t *testing.T) {
	s, clock := testLedger(t)
	core, logs := observer.New(zapcore.ErrorLevel)
	s.logger = func() *zap.Logger { return zap.New(core) }
	mustClaim(t, s, testKey(1), 2)
	s.claims.UpdateMaxCost(1) // what the ledger itself never does
	mustClaim(t, s, testKey(2), 2)
	if lost := s.lost.Load(); lost != 1 {
		t.Errorf("%d claims noticed as lost, want 1", lost)
	}
	if logs.Len() != 1 {
		t.Errorf("%d errors logged, want 1", logs.Len())
	}
	mustRefuse(t, s, testKey(3), 2, ErrFull) // the lost one still counts
	clock.step(testTTL)
	mustClaim(t, s, testKey(3), 1)
	if held := s.held.Load(); held != 1 {
		t.Errorf("%d claims counted, want 1", held)
	}
}

func TestEndOfALostClaimSparesTheNextOneOnItsKey(t *testing.T) {
	s, clock := testLedger(t)
	s.logger = zap.NewNop
	mustClaim(t, s, testKey(1), plenty)
	s.claims.Clear()
	clock.step(testTTL - 1)
	mustClaim(t, s, testKey(1), plenty)
	clock.step(1)
	if !s.makeRoom() {
		t.Fatal("the lost claim did not end")
	}
	mustRefuse(t, s, testKey(1), plenty, nil)
}

func TestLargestCapacityOfTheLiveConfigsCounts(t *testing.T) {
	s, _ := testLedger(t)
	small, large := new(Memory), new(Memory)
	for _, step := range []struct {
		m        *Memory
		capacity int64
		want     int64
	}{
		{small, 10, 10},
		{large, 20, 20},
		{small, 0, 20},
		{small, 0, 20},
		{small, 5, 20},
		{large, 0, 5},
		{large, 0, 5},
		{small, 0, 0},
	} {
		s.allow(step.m, step.capacity)
		if got := s.capacity.Load(); got != step.want {
			t.Fatalf("capacity = %d, want %d", got, step.want)
		}
	}
}

// heapInUse returns how many bytes are in use.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // the first one leaves what sync.Pools hold
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestMemoryPerClaimIsBounded(t *testing.T) {
	const claims, bound = 200_000, 250
	s, _ := testLedger(t)
	before := heapInUse()
	for n := range claims {
		mustClaim(t, s, testKey(n), plenty)
	}
	if perClaim := (heapInUse() - before) / claims; perClaim > bound {
		t.Errorf("%d bytes per claim, want at most %d", perClaim, bound)
	} else {
		t.Logf("%d bytes per claim", perClaim)
	}
	audit(t, s)
}
