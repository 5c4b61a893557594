package limit

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	one = netip.MustParsePrefix("192.0.2.0/24")
	two = netip.MustParsePrefix("198.51.100.0/24")
)

// at returns a limiter whose clock the test moves.
func at(total, perClient, failures int) (*Limiter, *time.Time) {
	l := New(total, perClient, failures)
	now := time.Unix(0, 0)
	l.now = func() time.Time { return now }
	return l, &now
}

func TestOneClientLeavesSlotsForOthers(t *testing.T) {
	l, _ := at(5, 3, 100)
	for i := range 3 {
		if !l.Acquire(one) {
			t.Fatalf("call %d refused", i)
		}
	}
	if l.Acquire(one) {
		t.Error("a client got more slots than its share")
	}
	for range 2 {
		if !l.Acquire(two) {
			t.Error("another client was refused")
		}
	}
	if l.Acquire(two) {
		t.Error("more calls than slots in all")
	}
	l.Release(one, false)
	if !l.Acquire(two) {
		t.Error("a slot that was given back is lost")
	}
}

func TestFailuresComeBackOverTheMinute(t *testing.T) {
	l, now := at(100, 100, 6)
	fail := func() bool {
		if !l.Acquire(one) {
			return false
		}
		l.Release(one, true)
		return true
	}
	for i := range 6 {
		if !fail() {
			t.Fatalf("failure %d refused", i)
		}
	}
	if fail() {
		t.Error("a seventh failure within a minute")
	}
	if !l.Acquire(two) {
		t.Error("another client was refused")
	}
	*now = now.Add(9 * time.Second)
	if fail() {
		t.Error("a failure came back too early")
	}
	*now = now.Add(time.Second + time.Millisecond) // the budget is a float
	if !fail() || fail() {
		t.Error("after ten seconds there is not exactly one failure")
	}
	*now = now.Add(time.Hour)
	for range 6 {
		if !fail() {
			t.Error("the budget is not whole again")
		}
	}
	if fail() {
		t.Error("an hour gave more than a minute's budget")
	}
}

func TestSuccessCostsNothing(t *testing.T) {
	l, _ := at(100, 100, 2)
	for i := range 1000 {
		if !l.Acquire(one) {
			t.Fatalf("call %d refused", i)
		}
		l.Release(one, false)
	}
}

// TestParallelCallsCannotOverdraw: calls under way count as failures until
// they have ended.
func TestParallelCallsCannotOverdraw(t *testing.T) {
	l, now := at(100, 100, 3)
	for range 3 {
		l.Acquire(one)
	}
	*now = now.Add(time.Hour) // their tokens do not come back meanwhile
	if l.Acquire(one) {
		t.Error("a fourth call with a budget of three")
	}
	l.Release(one, false)
	if !l.Acquire(one) {
		t.Error("the token of a success is lost")
	}
}

func TestClientsAreForgotten(t *testing.T) {
	l, now := at(100_000, 10, 10)
	for i := range 50_000 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		l.Acquire(prefix)
		l.Release(prefix, true)
	}
	*now = now.Add(2 * time.Minute)
	for i := range 20_000 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 0}), 24)
		l.Acquire(prefix)
		l.Release(prefix, false)
	}
	if n := len(l.clients); n > 100 {
		t.Errorf("%d clients are remembered", n)
	}
	if l.running != 0 {
		t.Errorf("%d calls under way", l.running)
	}
}

func TestParallelUse(t *testing.T) {
	l := New(8, 4, 1_000_000)
	var running, most atomic.Int64
	var group sync.WaitGroup
	for i := range 32 {
		prefix := []netip.Prefix{one, two}[i%2]
		group.Go(func() {
			for j := range 1000 {
				if l.Acquire(prefix) {
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					running.Add(-1)
					l.Release(prefix, j%2 == 0)
				}
			}
		})
	}
	group.Wait()
	if most.Load() > 8 {
		t.Errorf("%d calls at once", most.Load())
	}
	if l.running != 0 {
		t.Errorf("%d calls under way", l.running)
	}
}
