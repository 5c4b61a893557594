package cache

import (
	"sync/atomic"
	"testing"
)

// inParallel measures work, which is given another number each time.
func inParallel(b *testing.B, work func(n int) (bool, error), want bool, wantErr error) {
	var calls atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got, err := work(int(calls.Add(1))); got != want || err != wantErr {
				b.Errorf("claim = %t, %v; want %t, %v", got, err, want, wantErr)
				return
			}
		}
	})
}

func BenchmarkClaim(b *testing.B) {
	s, _ := testLedger(b)
	inParallel(b, func(n int) (bool, error) {
		return s.claim(testKey(n), Owner{}, testTTL, plenty)
	}, true, nil)
}

func BenchmarkClaimAndRelease(b *testing.B) {
	s, _ := testLedger(b)
	inParallel(b, func(n int) (bool, error) {
		key := testKey(n)
		defer s.release(key, Owner{})
		return s.claim(key, Owner{}, testTTL, plenty)
	}, true, nil)
}

func BenchmarkReplay(b *testing.B) {
	s, _ := testLedger(b)
	mustClaim(b, s, testKey(1), plenty)
	inParallel(b, func(int) (bool, error) {
		return s.claim(testKey(1), Owner{}, testTTL, plenty)
	}, false, nil)
}

func BenchmarkClaimWhenFull(b *testing.B) {
	const capacity = 10_000
	s, _ := testLedger(b)
	for n := range capacity {
		mustClaim(b, s, testKey(n), capacity)
	}
	inParallel(b, func(n int) (bool, error) {
		return s.claim(testKey(capacity+n), Owner{}, testTTL, capacity)
	}, false, ErrFull)
}

// BenchmarkMillionClaims reports the memory that a million live claims take,
// first of all, and after as many again have come and gone.
func BenchmarkMillionClaims(b *testing.B) {
	const claims = 1_000_000
	for b.Loop() {
		s, clock := testLedger(b)
		empty := heapInUse()
		for n := range claims {
			mustClaim(b, s, testKey(n), claims)
		}
		b.ReportMetric(float64(heapInUse()-empty)/claims, "B/claim")
		clock.step(testTTL)
		for n := range claims {
			mustClaim(b, s, testKey(claims+n), claims)
		}
		b.ReportMetric(float64(heapInUse()-empty)/claims, "B/claim-later")
		audit(b, s)
	}
}

func BenchmarkGrant(b *testing.B) {
	s, _ := testLedger(b)
	inParallel(b, func(n int) (bool, error) {
		return true, s.grant(testKey(n), 5, testTTL, plenty)
	}, true, nil)
}

func BenchmarkUse(b *testing.B) {
	s, _ := testLedger(b)
	mustGrant(b, s, testKey(1), MaxUses, plenty)
	inParallel(b, func(int) (bool, error) {
		return s.use(testKey(1)), nil
	}, true, nil)
}
