package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/caddycaptcha/caddycaptcha/internal/leaktest"
)

func TestMain(m *testing.M) {
	// What lives as long as the process is not a leak.
	if _, err := sharedLedger(); err != nil {
		panic(err)
	}
	leaktest.Main(m, goleak.IgnoreCurrent())
}

// testKey returns the key of the nth proof.
func testKey(n int) Key {
	digest := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return Key(digest[:len(Key{})])
}

// testClock is a ledger's clock that only moves when told to.
type testClock struct{ now atomic.Int64 }

func (c *testClock) step(d time.Duration) { c.now.Add(int64(d)) }

const (
	testTTL = 30 * time.Minute
	plenty  = 1 << 40
)

// testLedger is a ledger of the test's own.
func testLedger(t testing.TB) (*ledger, *testClock) {
	clock := new(testClock)
	s, err := newLedger(func() time.Duration { return time.Duration(clock.now.Load()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.logger = zap.NewNop // to Close is to evict everything
		s.claims.Close()
	})
	return s, clock
}

// mustClaim claims key for a new owner, which must succeed.
func mustClaim(t testing.TB, s *ledger, key Key, capacity int64) Owner {
	t.Helper()
	owner := NewOwner()
	if claimed, err := s.claim(key, owner, testTTL, capacity); !claimed || err != nil {
		t.Fatalf("claim = %t, %v; want true", claimed, err)
	}
	return owner
}

// mustRefuse claims key, which must be refused with err; a nil err stands for
// a live claim on the key.
func mustRefuse(t testing.TB, s *ledger, key Key, capacity int64, want error) {
	t.Helper()
	if claimed, err := s.claim(key, NewOwner(), testTTL, capacity); claimed || err != want {
		t.Fatalf("claim = %t, %v; want false, %v", claimed, err, want)
	}
}

// audit checks that ristretto, the stripes and the count agree, and that no
// live claim was lost. Nothing may be going on in the ledger.
func audit(t testing.TB, s *ledger) {
	t.Helper()
	inStripes := make(map[*claim]bool)
	for i := range s.stripes {
		st := &s.stripes[i]
		next := int64(never)
		for pos, c := range st.claims {
			if int(c.pos) != pos || s.stripe(c.key) != st {
				t.Fatalf("claim at %d of stripe %d is misplaced", pos, i)
			}
			next = min(next, int64(c.ends))
			inStripes[c] = true
		}
		if st.next.Load() != next {
			t.Errorf("stripe %d ends next at %d, want %d", i, st.next.Load(), next)
		}
		if slices.Contains(st.claims[:cap(st.claims)][len(st.claims):], (*claim)(nil)) != (cap(st.claims) > len(st.claims)) {
			t.Errorf("stripe %d keeps removed claims in memory", i)
		}
	}
	s.claims.Wait()
	inCache := 0
	s.claims.IterValues(func(c *claim) bool {
		if !inStripes[c] {
			t.Errorf("ristretto holds a claim that no stripe knows")
		}
		inCache++
		return false
	})
	if held := int(s.held.Load()); held != len(inStripes) || held != inCache {
		t.Errorf("counted %d claims; %d in stripes, %d in ristretto", held, len(inStripes), inCache)
	}
	if cost := s.claims.MaxCost() - s.claims.RemainingCost(); int(cost) != inCache {
		t.Errorf("ristretto counts %d claims and holds %d", cost, inCache)
	}
	if lost := s.lost.Load(); lost != 0 {
		t.Errorf("%d live claims were evicted", lost)
	}
}
