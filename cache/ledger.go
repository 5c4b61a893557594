package cache

import (
	"container/heap"
	"encoding/binary"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// sharedLedger returns the ledger of this process. It is made at first use and
// kept as long as the process lives, so that no reload forgets a claim and no
// request of an old config meets a closed cache.
var sharedLedger = sync.OnceValues(func() (*ledger, error) { return newLedger(sinceStart) })

var start = time.Now()

// sinceStart is a clock that no step of the wall clock moves.
func sinceStart() time.Duration { return time.Since(start) }

// ledger keeps claims in ristretto, and counters as claims that carry uses. It
// makes up for what a cache does not promise:
//
//   - A Set is visible later, or never. A claim counts as made only after Set,
//     Wait and a Get that shows this very claim, under the lock of its stripe.
//   - A full cache forgets. This one is never full: its MaxCost is out of
//     reach. How many claims may live is decided by our own count.
//   - Times to live follow the wall clock. Ours are not given to ristretto;
//     each stripe knows which of its claims ends next, and Claim removes those
//     that have ended.
type ledger struct {
	claims  *ristretto.Cache[[]byte, *claim]
	clock   func() time.Duration
	logger  func() *zap.Logger
	stripes [256]stripe

	// held counts the claims in the ledger. Those that have ended are still
	// counted until they are removed, which happens before any new claim is
	// refused for want of room.
	held atomic.Int64

	// lost counts live claims that ristretto evicted: none, ever.
	lost atomic.Int64

	mu         sync.Mutex
	capacities map[*Memory]int64 // of the live configs, guarded by mu
	capacity   atomic.Int64      // the largest of them
}

// claim is the value in ristretto. Only uses and pos ever change. Its size
// decides what a million claims take.
type claim struct {
	key   Key
	owner Owner
	ends  time.Duration // on the ledger's clock
	uses  atomic.Int32  // left on a counter; a proof's claim has none
	pos   int32         // in the stripe's heap, guarded by the stripe's mu
}

// stripe serializes all work on one part of the keys.
type stripe struct {
	mu     sync.Mutex
	claims claimHeap

	// next is when the first of the claims ends. It is read without the lock.
	next atomic.Int64
}

// never is when the first claim of an empty stripe ends.
const never = math.MaxInt64

// sweepLimit bounds how many claims that have ended one step removes, so that
// no request pays for a whole burst of them. It only has to be more than one,
// which is what a request adds.
const sweepLimit = 64

// shards is how many of ristretto's 256 maps are used. Go's maps double: with
// all 256, a million claims (the default capacity) would leave each map just
// past a doubling and half empty, at 230 bytes per claim instead of 180.
const shards = 160

func newLedger(clock func() time.Duration) (*ledger, error) {
	s := &ledger{
		clock:      clock,
		logger:     func() *zap.Logger { return caddy.Log().Named(memoryID) },
		capacities: make(map[*Memory]int64),
	}
	for i := range s.stripes {
		s.stripes[i].next.Store(never)
	}
	var err error
	s.claims, err = ristretto.NewCache(&ristretto.Config[[]byte, *claim]{
		NumCounters:        1024, // frequencies only matter to evictions
		MaxCost:            math.MaxInt64 / 2,
		BufferItems:        64,
		IgnoreInternalCost: true,
		KeyToHash:          hashes,
		OnEvict:            s.evicted,
	})
	return s, err
}

// hashes gives ristretto the 128 bits of a Key as they are. The low byte of
// the first number selects one of its maps. The second number must not be
// zero, which would match every key.
func hashes(key []byte) (hash, conflict uint64) {
	hash = binary.BigEndian.Uint64(key)
	shard, _ := bits.Mul64(hash, shards)
	return hash<<8 | shard, max(1, binary.BigEndian.Uint64(key[8:]))
}

// claim records key for owner. It returns false when a live claim holds the
// key, and ErrFull when as many claims live as the largest of the live
// configs' capacities, and atLeast, allow.
func (s *ledger) claim(key Key, owner Owner, ttl time.Duration, atLeast int64) (bool, error) {
	return s.add(key, owner, 0, ttl, atLeast)
}

// add makes a claim that carries uses.
func (s *ledger) add(key Key, owner Owner, uses int32, ttl time.Duration, atLeast int64) (bool, error) {
	capacity := max(atLeast, s.capacity.Load())
	for {
		claimed, err := s.tryAdd(key, owner, uses, ttl, capacity)
		if err == ErrFull && s.makeRoom() {
			continue
		}
		return claimed, err
	}
}

func (s *ledger) tryAdd(key Key, owner Owner, uses int32, ttl time.Duration, capacity int64) (bool, error) {
	st := s.stripe(key)
	st.mu.Lock()
	defer st.mu.Unlock()

	now := s.clock()
	s.sweep(st, now)
	if old, ok := s.claims.Get(key[:]); ok {
		if old.ends > now {
			return false, nil
		}
		s.remove(st, old)
	}
	if !s.reserve(capacity) {
		return false, ErrFull
	}
	c := &claim{key: key, owner: owner, ends: now + min(ttl, math.MaxInt64/2)}
	c.uses.Store(uses)
	s.claims.Set(key[:], c, 1)
	s.claims.Wait()
	if stored, _ := s.claims.Get(key[:]); stored != c {
		s.held.Add(-1)
		return false, ErrUnavailable
	}
	st.push(c)
	return true, nil
}

// release removes the claim on key if owner holds it.
func (s *ledger) release(key Key, owner Owner) {
	st := s.stripe(key)
	st.mu.Lock()
	defer st.mu.Unlock()
	if c, ok := s.claims.Get(key[:]); ok && c.owner == owner {
		s.remove(st, c)
	}
}

// reserve counts one more claim unless capacity are held already.
func (s *ledger) reserve(capacity int64) bool {
	for {
		held := s.held.Load()
		if held >= capacity {
			return false
		}
		if s.held.CompareAndSwap(held, held+1) {
			return true
		}
	}
}

// makeRoom removes claims that have ended from the first stripe that has any.
// It returns false when all the claims in the ledger live.
func (s *ledger) makeRoom() bool {
	now := s.clock()
	for i := range s.stripes {
		st := &s.stripes[i]
		if st.next.Load() > int64(now) {
			continue
		}
		st.mu.Lock()
		removed := s.sweep(st, now)
		st.mu.Unlock()
		if removed > 0 {
			return true
		}
	}
	return false
}

// sweep removes claims that have ended by now, at most sweepLimit of them, and
// returns how many. The caller holds the stripe's lock.
func (s *ledger) sweep(st *stripe, now time.Duration) (removed int) {
	for ; removed < sweepLimit && st.next.Load() <= int64(now); removed++ {
		s.remove(st, st.claims[0])
	}
	return removed
}

// remove takes c out of the ledger. The caller holds the stripe's lock.
func (s *ledger) remove(st *stripe, c *claim) {
	// Were c lost to an eviction, its key might now be another's.
	if stored, _ := s.claims.Get(c.key[:]); stored == c {
		s.claims.Del(c.key[:])
	}
	st.drop(c)
	s.held.Add(-1)
}

// evicted is called by ristretto when it drops a claim that we did not delete.
// It runs where the Wait of a claim is answered, so it must not take a
// stripe's lock.
func (s *ledger) evicted(item *ristretto.Item[*claim]) {
	c := item.Value
	if c == nil || c.ends <= s.clock() {
		return
	}
	s.lost.Add(1)
	s.logger().Error("a live claim was evicted: its proof can be replayed, or its clearance is lost; please report this",
		zap.Duration("claim_ends_in", c.ends-s.clock()),
		zap.Int64("claims", s.held.Load()))
}

// allow makes the capacity that m's config asks for count; 0 ends that, and
// does nothing when it has ended before or never began.
func (s *ledger) allow(m *Memory, capacity int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if capacity > 0 {
		s.capacities[m] = capacity
	} else {
		delete(s.capacities, m)
	}
	var largest int64
	for _, capacity := range s.capacities {
		largest = max(largest, capacity)
	}
	s.capacity.Store(largest)
}

func (s *ledger) stripe(key Key) *stripe { return &s.stripes[key[len(key)-1]] }

func (st *stripe) push(c *claim) {
	heap.Push(&st.claims, c)
	st.next.Store(int64(st.claims[0].ends))
}

func (st *stripe) drop(c *claim) {
	heap.Remove(&st.claims, int(c.pos))
	next := int64(never)
	if len(st.claims) > 0 {
		next = int64(st.claims[0].ends)
	}
	st.next.Store(next)
}

// claimHeap has the claim that ends first at its top.
type claimHeap []*claim

func (h claimHeap) Len() int           { return len(h) }
func (h claimHeap) Less(i, j int) bool { return h[i].ends < h[j].ends }

func (h claimHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = int32(i), int32(j)
}

func (h *claimHeap) Push(x any) {
	c := x.(*claim)
	c.pos = int32(len(*h))
	*h = append(*h, c)
}

func (h *claimHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil // let the claim be collected
	*h = (*h)[:last]
	return c
}
