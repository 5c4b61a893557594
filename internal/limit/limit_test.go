package limit

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func client(text string) Client { return NewClient(netip.MustParseAddr(text)) }

// at returns a limiter whose clock the test moves.
func at(rules Rules) (*Limiter, *time.Duration) {
	l := New(rules)
	now := new(time.Duration)
	l.now = func() time.Duration { return *now }
	return l, now
}

func TestNewClient(t *testing.T) {
	for text, want := range map[string][3]string{
		"192.0.2.7":                {"192.0.2.7/32", "192.0.2.0/24", "192.0.0.0/16"},
		"::ffff:192.0.2.7":         {"192.0.2.7/32", "192.0.2.0/24", "192.0.0.0/16"},
		"2001:db8:1:203:4:5:6:7":   {"2001:db8:1:203::/64", "2001:db8:1:200::/56", "2001:db8:1::/48"},
		"2001:db8:1:2ff:ffff::1":   {"2001:db8:1:2ff::/64", "2001:db8:1:200::/56", "2001:db8:1::/48"},
		"fe80::1%eth0":             {"fe80::/64", "fe80::/56", "fe80::/48"},
		"::ffff:192.0.2.7%eth0":    {"192.0.2.7/32", "192.0.2.0/24", "192.0.0.0/16"},
		"127.0.0.1":                {"127.0.0.1/32", "127.0.0.0/24", "127.0.0.0/16"}, // no exemption for private networks
		"255.255.255.255":          {"255.255.255.255/32", "255.255.255.0/24", "255.255.0.0/16"},
		"ffff:ffff:ffff:ffff:ff::": {"ffff:ffff:ffff:ffff::/64", "ffff:ffff:ffff:ff00::/56", "ffff:ffff:ffff::/48"},
	} {
		c := client(text)
		if got := [3]string{c.Address.String(), c.Prefix.String(), c.Network.String()}; got != want {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
	}
	if c := NewClient(netip.Addr{}); c != (Client{}) {
		t.Errorf("no address is %v", c)
	}
}

func TestSlotsPerWidth(t *testing.T) {
	for _, c := range []struct {
		slots, perClient int
		want             [widths]int
	}{
		{256, 16, [widths]int{16, 32, 64}},
		{256, 64, [widths]int{64, 64, 64}},
		{256, 65, [widths]int{64, 64, 64}},
		{256, 20, [widths]int{20, 40, 64}},
		{1000, 1, [widths]int{1, 2, 4}},
		{16, 3, [widths]int{3, 4, 4}},
		{7, 2, [widths]int{1, 1, 1}},
		{1, 1, [widths]int{1, 1, 1}},
		{math.MaxInt, math.MaxInt, [widths]int{math.MaxInt / 4, math.MaxInt / 4, math.MaxInt / 4}},
	} {
		if got := New(Rules{Slots: c.slots, PerClient: c.perClient}).perWidth; got != c.want {
			t.Errorf("of %d slots, %d per client, the widths have %v, want %v", c.slots, c.perClient, got, c.want)
		}
	}
	for slots, want := range map[int][2]int{1: {1, 1}, 3: {1, 1}, 8: {2, 2}, 63: {15, 15}, 64: {16, 16}, 256: {64, 16}} {
		if got := [2]int{MostPerClient(slots), DefaultPerClient(slots)}; got != want {
			t.Errorf("of %d slots a client may have %d and has %d, want %v", slots, got[0], got[1], want)
		}
	}
}

// TestFailuresThatCannotOverflow: a budget that nobody meant as a limit is none.
func TestFailuresThatCannotOverflow(t *testing.T) {
	l := New(Rules{Slots: 4, PerClient: 1, Failures: math.MaxInt})
	for _, c := range crowd {
		call, ok := l.Acquire(c)
		if !ok {
			t.Errorf("%v is refused", c)
		}
		call.Release(true)
	}
}

// TestFailuresOfAMinute: never more than the budget within any minute, and each
// comes back exactly a minute after it happened.
func TestFailuresOfAMinute(t *testing.T) {
	for text, factors := range map[string][widths]int{"192.0.2.1": {1, 8, 64}, "2001:db8::1": {1, 2, 4}} {
		for w := range widths {
			const n = 6
			l, now := at(Rules{Slots: 100, PerClient: 25, Failures: n})
			// The neighbours take turns, so that only this width is full.
			turn := 0
			fail := func() bool {
				at := NewClient(neighbour(client(text), w, turn))
				turn++
				call, ok := l.Acquire(at)
				call.Release(true)
				return ok
			}
			var failed []time.Duration
			for range 4000 {
				*now += 300 * time.Millisecond
				if fail() {
					failed = append(failed, *now)
				}
			}
			budget := n * factors[w]
			if len(failed) <= budget {
				t.Fatalf("%s, width %d: %d failures in all", text, w, len(failed))
			}
			for i := range failed[budget:] {
				if apart := failed[budget+i] - failed[i]; apart < time.Minute {
					t.Fatalf("%s, width %d: %d failures within %v", text, w, budget+1, apart)
				}
			}
			if turns := 4000 / 200 * budget; len(failed) < turns && budget < 200 {
				t.Errorf("%s, width %d: %d failures in 20 minutes, want %d", text, w, len(failed), turns)
			}
		}
	}
}

// neighbour returns one of many clients in the same part of the width.
func neighbour(c Client, w width, n int) netip.Addr {
	bytes := c.Address.Addr().As16()
	at := [widths]int{15, 15, 14}
	if !c.Address.Addr().Is4() {
		at = [widths]int{15, 7, 6}
	}
	bytes[at[w]] += byte(n % 251)
	if w == address && c.Address.Addr().Is4() {
		return c.Address.Addr()
	}
	return netip.AddrFrom16(bytes).Unmap()
}

func TestSuccessCostsNothing(t *testing.T) {
	l, _ := at(Rules{Slots: 100, PerClient: 25, Failures: 2})
	for i := range 1000 {
		call, ok := l.Acquire(client("192.0.2.1"))
		if !ok {
			t.Fatalf("call %d refused", i)
		}
		call.Release(false)
	}
	if n := entries(l); n != 0 {
		t.Errorf("%d entries", n)
	}
}

// TestParallelCallsCannotOverdraw: calls under way count as failures until they
// have ended, however long they take.
func TestParallelCallsCannotOverdraw(t *testing.T) {
	l, now := at(Rules{Slots: 100, PerClient: 25, Failures: 3})
	c := client("192.0.2.1")
	var calls []Call
	for range 3 {
		call, ok := l.Acquire(c)
		if !ok {
			t.Fatal("refused")
		}
		calls = append(calls, call)
	}
	*now += time.Hour
	if _, ok := l.Acquire(c); ok {
		t.Error("a fourth call with a budget of three")
	}
	calls[0].Release(false)
	calls[1].Release(true)
	if _, ok := l.Acquire(c); !ok {
		t.Error("what a success gave back is lost")
	}
	if _, ok := l.Acquire(c); ok {
		t.Error("a failure gave its budget back")
	}
}

// TestClientsWithoutAnAddressAreOne: they share one client's limits and have
// nothing to do with the others.
func TestClientsWithoutAnAddressAreOne(t *testing.T) {
	l, _ := at(Rules{Slots: 16, PerClient: 4, Failures: 100})
	for range 4 {
		if _, ok := l.Acquire(Client{}); !ok {
			t.Fatal("refused")
		}
	}
	if _, ok := l.Acquire(Client{}); ok {
		t.Error("more than one client's slots")
	}
	for _, text := range []string{"0.0.0.0", "::", "192.0.2.1"} {
		if _, ok := l.Acquire(client(text)); !ok {
			t.Errorf("%s is refused", text)
		}
	}
}

func TestParallelUse(t *testing.T) {
	l := New(Rules{Slots: 8, PerClient: 2, Failures: 1_000_000})
	m := NewMemory(1 << 20)
	var running, most atomic.Int64
	var group sync.WaitGroup
	for i := range 32 {
		c := crowd[i%len(crowd)]
		group.Go(func() {
			for j := range 1000 {
				if call, ok := l.Acquire(c); ok {
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					running.Add(-1)
					call.Release(j%2 == 0)
				}
				if s := m.For(c); s.Take(1000) {
					s.Return(1000)
				}
			}
		})
	}
	group.Wait()
	if most.Load() > 8 {
		t.Errorf("%d calls at once", most.Load())
	}
	if l.running != 0 || m.taken != 0 {
		t.Errorf("%d calls under way, %d bytes taken", l.running, m.taken)
	}
}
