package cache

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestEachEndedClaimMakesRoomForOne(t *testing.T) {
	const capacity = 500
	s, clock := testLedger(t)
	for n := range capacity {
		mustClaim(t, s, testKey(n), capacity)
		clock.step(time.Second)
	}
	clock.step(testTTL - capacity*time.Second)
	for n := range capacity {
		mustClaim(t, s, testKey(capacity+n), capacity)
		mustRefuse(t, s, testKey(-1), capacity, ErrFull)
		clock.step(time.Second)
	}
	audit(t, s)
}

func TestLongClaimsDoNotHideEndedShortOnes(t *testing.T) {
	s, clock := testLedger(t)
	const capacity = 1_000
	for n := range capacity {
		ttl := 24 * time.Hour
		if n%10 == 9 {
			ttl = 15 * time.Minute
		}
		if claimed, err := s.claim(testKey(n), NewOwner(), ttl, capacity); !claimed {
			t.Fatal(err)
		}
	}
	clock.step(15 * time.Minute)
	for n := range capacity / 10 {
		mustClaim(t, s, testKey(capacity+n), capacity)
	}
	mustRefuse(t, s, testKey(-1), capacity, ErrFull)
	audit(t, s)
}

func TestClaimLivesForItsTTL(t *testing.T) {
	for _, ttl := range []time.Duration{time.Nanosecond, testTTL, 1<<63 - 1} {
		s, clock := testLedger(t)
		clock.step(time.Hour)
		if claimed, err := s.claim(testKey(1), NewOwner(), ttl, plenty); !claimed {
			t.Fatal(err)
		}
		clock.step(min(ttl-1, 100*365*24*time.Hour))
		mustRefuse(t, s, testKey(1), plenty, nil)
		if ttl <= testTTL {
			clock.step(1)
			mustClaim(t, s, testKey(1), plenty)
		}
		audit(t, s)
	}
}

func TestProofClaimedAgainLongAfterItsClaimEnded(t *testing.T) {
	s, clock := testLedger(t)
	old := mustClaim(t, s, testKey(1), 1)
	for range 10 {
		clock.step(100 * testTTL)
		owner := mustClaim(t, s, testKey(1), 1)
		s.release(testKey(1), old) // comes far too late
		mustRefuse(t, s, testKey(1), 1, nil)
		mustRefuse(t, s, testKey(2), 1, ErrFull)
		old = owner
	}
	audit(t, s)
}

func TestStepsOfTheClockNeitherForgetNorLeakClaims(t *testing.T) {
	const capacity = 300
	s, clock := testLedger(t)
	clock.step(1000 * time.Hour)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 20_000 {
		if random.IntN(50) == 0 {
			clock.step(time.Duration(random.Int64N(int64(4*testTTL))) - 2*testTTL)
		}
		owner := NewOwner()
		key := testKey(random.IntN(2 * capacity))
		claimed, err := s.claim(key, owner, testTTL, capacity)
		switch {
		case err != nil && err != ErrFull:
			t.Fatal(err)
		case claimed && s.held.Load() > capacity:
			t.Fatalf("step %d: %d claims counted", n, s.held.Load())
		case claimed && random.IntN(3) == 0:
			s.release(key, owner)
		case claimed:
			mustRefuse(t, s, key, capacity, nil) // whatever the clock did before
			clock.step(-testTTL)
			mustRefuse(t, s, key, capacity, nil)
			clock.step(testTTL)
		}
	}
	audit(t, s)
	clock.step(1000 * time.Hour)
	for n := range capacity {
		mustClaim(t, s, testKey(-1-n), capacity)
	}
	mustRefuse(t, s, testKey(0), capacity, ErrFull)
	audit(t, s)
}
