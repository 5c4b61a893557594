package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// mustGrant makes a counter, which must succeed.
func mustGrant(t testing.TB, s *ledger, key Key, uses int32, capacity int64) {
	t.Helper()
	if err := s.grant(key, uses, testTTL, capacity); err != nil {
		t.Fatal(err)
	}
}

// expectUses checks how many uses are left.
func expectUses(t testing.TB, s *ledger, key Key, want int) {
	t.Helper()
	if got := s.uses(key); got != want {
		t.Fatalf("%d uses left, want %d", got, want)
	}
}

func TestParallelRequestsTakeEachUseOnce(t *testing.T) {
	s, _ := testLedger(t)
	for n, uses := range []int{1, 2, 3, 10, 100, 1000} {
		key := testKey(n)
		mustGrant(t, s, key, int32(uses), plenty)
		var (
			start = make(chan struct{})
			taken atomic.Int32
			wg    sync.WaitGroup
		)
		for range 64 {
			wg.Go(func() {
				<-start
				for range uses {
					if s.use(key) {
						taken.Add(1)
					}
				}
			})
		}
		close(start)
		wg.Wait()
		if got := int(taken.Load()); got != uses {
			t.Errorf("%d of %d uses taken by %d requests", got, uses, 64*uses)
		}
		expectUses(t, s, key, 0)
	}
	audit(t, s)
}

func TestParallelGrantsOfOneKeyMakeOneCounter(t *testing.T) {
	s, _ := testLedger(t)
	for n := range 1_000 {
		var granted, taken atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				switch err := s.grant(testKey(n), 2, testTTL, plenty); err {
				case nil:
					granted.Add(1)
				case ErrGranted:
				default:
					t.Error(err)
				}
				for s.use(testKey(n)) {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		if granted.Load() != 1 || taken.Load() != 2 {
			t.Fatalf("%d grants, %d uses taken; want 1 and 2", granted.Load(), taken.Load())
		}
	}
	audit(t, s)
}

func TestUnknownCounterIsUsedUp(t *testing.T) {
	s, _ := testLedger(t)
	if s.use(testKey(1)) {
		t.Error("took a use that nobody granted")
	}
	expectUses(t, s, testKey(1), 0)
	if held := s.held.Load(); held != 0 {
		t.Errorf("asking for a counter made %d", held)
	}
}

func TestLookingTakesNoUse(t *testing.T) {
	s, _ := testLedger(t)
	mustGrant(t, s, testKey(1), 2, plenty)
	for left := 2; left > 0; left-- {
		for range 10 {
			expectUses(t, s, testKey(1), left)
		}
		if !s.use(testKey(1)) {
			t.Fatalf("no use taken with %d left", left)
		}
	}
	expectUses(t, s, testKey(1), 0)
}

func TestCounterIsNotGrantedAgain(t *testing.T) {
	s, clock := testLedger(t)
	key := testKey(1)
	mustGrant(t, s, key, 2, 1)
	for left := 2; left >= 0; left-- {
		if err := s.grant(key, 100, time.Hour, 1); err != ErrGranted {
			t.Errorf("another grant with %d uses left: %v", left, err)
		}
		expectUses(t, s, key, left)
		s.use(key)
	}
	clock.step(testTTL - 1)
	if err := s.grant(key, 100, time.Hour, 1); err != ErrGranted {
		t.Errorf("another grant before the end: %v", err)
	}
	if s.use(key) {
		t.Error("a counter that was used up has a use again")
	}
	audit(t, s)
}

func TestCounterEndsWithItsTTL(t *testing.T) {
	s, clock := testLedger(t)
	clock.step(time.Hour)
	mustGrant(t, s, testKey(1), 5, 1)
	clock.step(testTTL - 1)
	if !s.use(testKey(1)) {
		t.Error("no use left just before the end")
	}
	mustRefuse(t, s, testKey(2), 1, ErrFull)
	clock.step(1)
	if s.use(testKey(1)) {
		t.Error("took a use of a counter that has ended")
	}
	expectUses(t, s, testKey(1), 0)
	mustClaim(t, s, testKey(2), 1) // there is room again
	expectUses(t, s, testKey(1), 0)
	audit(t, s)
}

func TestCountersTakeTheirPartOfTheCapacity(t *testing.T) {
	const capacity = 1_000
	s, clock := testLedger(t)
	for n := range capacity {
		if n%2 == 0 {
			mustGrant(t, s, testKey(n), 3, capacity)
		} else {
			mustClaim(t, s, testKey(n), capacity)
		}
	}
	for n := capacity; n < 5*capacity; n++ {
		if err := s.grant(testKey(n), 3, testTTL, capacity); err != ErrFull {
			t.Fatalf("a counter too many: %v", err)
		}
		mustRefuse(t, s, testKey(n), capacity, ErrFull)
		if s.use(testKey(n)) {
			t.Fatal("took a use that was not granted for want of room")
		}
	}
	for n := range capacity {
		if n%2 == 0 {
			expectUses(t, s, testKey(n), 3)
		} else {
			mustRefuse(t, s, testKey(n), capacity, nil)
		}
	}
	audit(t, s)
	clock.step(testTTL)
	for n := range capacity {
		mustGrant(t, s, testKey(-1-n), 1, capacity)
	}
	audit(t, s)
}

func TestCountersAndClaimsOfOneKeyAreApart(t *testing.T) {
	s, _ := testLedger(t)
	key := testKey(1)

	owner := mustClaim(t, s, key, plenty)
	if s.use(key) {
		t.Error("a claim has a use")
	}
	mustGrant(t, s, key, 2, plenty)
	s.release(key, owner)
	expectUses(t, s, key, 2)
	mustClaim(t, s, key, plenty)
	for left := 2; left >= 0; left-- {
		if s.use(key) != (left > 0) {
			t.Errorf("a counter beside a claim, with %d uses left", left)
		}
	}
	mustRefuse(t, s, key, plenty, nil)

	t.Run("a claim where the counter would be", func(t *testing.T) {
		mustClaim(t, s, counterKey(testKey(2)), plenty)
		if s.use(testKey(2)) || s.uses(testKey(2)) != 0 {
			t.Error("a claim has a use")
		}
		if err := s.grant(testKey(2), 1, testTTL, plenty); err != ErrGranted {
			t.Errorf("grant: %v", err)
		}
	})
	t.Run("nothing releases a counter", func(t *testing.T) {
		mustGrant(t, s, testKey(3), 1, plenty)
		for _, owner := range []Owner{{}, owner} {
			s.release(testKey(3), owner)
			s.release(counterKey(testKey(3)), owner)
		}
		expectUses(t, s, testKey(3), 1)
	})
	audit(t, s)
}

// TestCounterOfATwinIsNotTaken plants a counter on a key that ristretto takes
// for another.
func TestCounterOfATwinIsNotTaken(t *testing.T) {
	s, _ := testLedger(t)
	for n := range 1_000 {
		twin := counterKey(testKey(n))
		hash, conflict := hashes(twin[:])
		twin[0]++
		if twinHash, twinConflict := hashes(twin[:]); twinHash != hash || twinConflict != conflict {
			continue
		}
		if added, err := s.add(twin, NewOwner(), 5, testTTL, plenty); !added {
			t.Fatal(err)
		}
		if s.use(testKey(n)) || s.uses(testKey(n)) != 0 {
			t.Error("took a use of another key's counter")
		}
		return
	}
	t.Fatal("no twins among the keys")
}

func TestLostCounterIsUsedUp(t *testing.T) {
	s, clock := testLedger(t)
	s.logger = zap.NewNop
	mustGrant(t, s, testKey(1), 5, plenty)
	s.claims.Clear()
	if s.use(testKey(1)) {
		t.Error("took a use of a counter that is lost")
	}
	clock.step(testTTL)
	s.makeRoom()
	if held := s.held.Load(); held != 0 {
		t.Errorf("%d counters left after the end", held)
	}
}

func TestCounterOfAClosedCacheIsUnavailable(t *testing.T) {
	s, _ := testLedger(t)
	mustGrant(t, s, testKey(1), 1, plenty)
	s.logger = zap.NewNop
	s.claims.Close()
	if err := s.grant(testKey(2), 1, testTTL, plenty); err != ErrUnavailable {
		t.Errorf("grant: %v", err)
	}
	if s.use(testKey(1)) || s.use(testKey(2)) {
		t.Error("took a use of a closed cache")
	}
}

func TestCountersBehaveLikeAMap(t *testing.T) {
	type counter struct {
		left int
		ends time.Duration
	}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		s, clock := testLedger(t)
		counters := make(map[Key]counter)
		claims := make(map[Key]time.Duration)
		for n := range 3_000 {
			now := time.Duration(clock.now.Load())
			key := testKey(random.IntN(40))
			live := 0
			for _, c := range counters {
				if c.ends > now {
					live++
				}
			}
			for _, ends := range claims {
				if ends > now {
					live++
				}
			}
			ttl := time.Duration(1 + random.Int64N(int64(10*time.Minute)))
			capacity := 10 + random.IntN(40)
			left := 0
			if counters[key].ends > now {
				left = counters[key].left
			}
			switch random.IntN(8) {
			case 0:
				clock.step(time.Duration(random.Int64N(int64(2 * time.Minute))))
			case 1, 2:
				uses := 1 + random.IntN(5)
				var want error
				switch {
				case counters[key].ends > now:
					want = ErrGranted
				case live >= capacity:
					want = ErrFull
				default:
					counters[key] = counter{uses, now + ttl}
				}
				if err := s.grant(key, int32(uses), ttl, int64(capacity)); err != want {
					t.Fatalf("seed %d, step %d: grant: %v, want %v", seed, n, err, want)
				}
			case 3:
				want := claims[key] <= now && live < capacity
				if want {
					claims[key] = now + ttl
				}
				if claimed, _ := s.claim(key, NewOwner(), ttl, int64(capacity)); claimed != want {
					t.Fatalf("seed %d, step %d: claim = %t, want %t", seed, n, claimed, want)
				}
			case 4:
				if got := s.uses(key); got != left {
					t.Fatalf("seed %d, step %d: %d uses left, want %d", seed, n, got, left)
				}
			default:
				if got := s.use(key); got != (left > 0) {
					t.Fatalf("seed %d, step %d: use = %t with %d left", seed, n, got, left)
				}
				if left > 0 {
					counters[key] = counter{left - 1, counters[key].ends}
				}
			}
		}
		audit(t, s)
	}
}

// TestUsesAreExactWhileTheStoreIsBusy takes uses while claims come, go and end
// around the counters.
func TestUsesAreExactWhileTheStoreIsBusy(t *testing.T) {
	const counters, uses = 50, 40
	s, clock := testLedger(t)
	for n := range counters {
		mustGrant(t, s, testKey(n), uses, plenty)
	}
	var taken [counters]atomic.Int32
	var wg sync.WaitGroup
	for worker := range uint64(8) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(worker, 2))
			for range 5_000 {
				n := random.IntN(counters)
				if s.use(testKey(n)) {
					taken[n].Add(1)
				}
				key, owner := testKey(counters+random.IntN(100)), NewOwner()
				if _, err := s.claim(key, owner, time.Second, 100); err != nil && err != ErrFull {
					t.Error(err)
				}
				if random.IntN(2) == 0 {
					s.release(key, owner)
				}
				clock.step(time.Millisecond)
			}
		})
	}
	wg.Wait()
	for n := range counters {
		if got := int(taken[n].Load()) + s.uses(testKey(n)); got != uses {
			t.Errorf("counter %d: %d uses taken or left, want %d", n, got, uses)
		}
	}
	audit(t, s)
}

func TestCountersSurviveReloads(t *testing.T) {
	key := newKey()
	m, unload := mustLoad(t, `{}`)
	if err := m.Grant(t.Context(), key, 5, time.Hour); err != nil {
		t.Fatal(err)
	}
	for left := 5; left > 0; left-- {
		next, unloadNext := mustLoad(t, `{"capacity": 2000000, "ttl": "15m"}`)
		unload()
		if got, err := next.Uses(t.Context(), key); got != left || err != nil {
			t.Fatalf("Uses = %d, %v; want %d", got, err, left)
		}
		if err := next.Grant(t.Context(), key, 5, time.Hour); !errors.Is(err, ErrGranted) {
			t.Errorf("another grant after a reload: %v", err)
		}
		if ok, err := m.Use(t.Context(), key); !ok || err != nil { // a request of the old config
			t.Fatalf("Use = %t, %v", ok, err)
		}
		m, unload = next, unloadNext
	}
	unload()
	m, _ = mustLoad(t, `{}`)
	if ok, err := m.Use(t.Context(), key); ok || err != nil {
		t.Errorf("Use of a counter that is used up = %t, %v", ok, err)
	}
	audit(t, mustShare(t))
}

func TestUsesOutOfRangeAreRefused(t *testing.T) {
	m, _ := mustLoad(t, `{}`)
	key := newKey()
	for _, uses := range []int{0, -1, MaxUses + 1, -1 << 63, 1<<63 - 1, 1 << 32} {
		if err := m.Grant(t.Context(), key, uses, time.Hour); err == nil || !strings.Contains(err.Error(), "from 1 to 2147483647") {
			t.Errorf("Grant of %d uses: %v", uses, err)
		}
	}
	if err := m.Grant(t.Context(), key, MaxUses, time.Hour); err != nil {
		t.Error(err)
	}
	if got, err := m.Uses(t.Context(), key); got != MaxUses || err != nil {
		t.Errorf("Uses = %d, %v; want %d", got, err, MaxUses)
	}
}

func TestRequestThatIsOverNeitherGrantsNorUses(t *testing.T) {
	m, _ := mustLoad(t, `{}`)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	key := newKey()
	expect := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want unavailable and canceled", what, err)
		}
	}
	expect("Grant", m.Grant(over, key, 3, time.Hour))
	if err := m.Grant(t.Context(), key, 3, time.Hour); err != nil {
		t.Fatal(err)
	}
	ok, err := m.Use(over, key)
	expect("Use", err)
	left, err := m.Uses(over, key)
	expect("Uses", err)
	if ok || left != 0 {
		t.Errorf("Use = %t and Uses = %d beside their errors", ok, left)
	}
	if left, err := m.Uses(t.Context(), key); left != 3 || err != nil {
		t.Errorf("Uses = %d, %v; want 3", left, err)
	}
}
