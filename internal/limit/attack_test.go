package limit

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// scene plays attacks on a limiter on a clock of its own.
type scene struct {
	limiter *Limiter
	now     *time.Duration
	events  events
	latency func() time.Duration // of the provider
	allowed int                  // calls of attackers
}

func newScene(rules Rules, latency func() time.Duration) *scene {
	s := &scene{latency: latency}
	s.limiter, s.now = at(rules)
	return s
}

// event is something that happens at its time, in the order of asking for it.
type event struct {
	at    time.Duration
	order int
	do    func()
}

type events struct {
	list  []event
	asked int
}

func (e *events) Len() int      { return len(e.list) }
func (e *events) Swap(i, j int) { e.list[i], e.list[j] = e.list[j], e.list[i] }
func (e *events) Push(x any)    { e.list = append(e.list, x.(event)) }
func (e *events) Less(i, j int) bool {
	a, b := e.list[i], e.list[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (e *events) Pop() any {
	last := e.list[len(e.list)-1]
	e.list = e.list[:len(e.list)-1]
	return last
}

func (s *scene) in(d time.Duration, do func()) {
	s.events.asked++
	heap.Push(&s.events, event{*s.now + d, s.events.asked, do})
}

// play lets time pass.
func (s *scene) play(until time.Duration) {
	for len(s.events.list) > 0 && s.events.list[0].at <= until {
		e := heap.Pop(&s.events).(event)
		*s.now = e.at
		e.do()
	}
	*s.now = until
}

// call makes a call of the client, which ends later. It returns whether it is
// allowed.
func (s *scene) call(c Client, failed bool) bool {
	call, ok := s.limiter.Acquire(c)
	if ok {
		s.in(s.latency(), func() { call.Release(failed) })
	}
	return ok
}

// attack lets calls that fail come from the address for ever.
func (s *scene) attack(every time.Duration, from func(i int) netip.Addr) {
	var again func(i int)
	again = func(i int) {
		if s.call(NewClient(from(i)), true) {
			s.allowed++
		}
		s.in(every, func() { again(i + 1) })
	}
	s.in(0, func() { again(0) })
}

func always(text string) func(int) netip.Addr {
	addr := netip.MustParseAddr(text)
	return func(int) netip.Addr { return addr }
}

// rotate goes through the addresses that begin with the bytes of the format.
func rotate(format string) func(int) netip.Addr {
	return func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(format, i%0x10000)) }
}

// attacks are what clients beside or elsewhere must not notice.
var attacks = []struct {
	name    string
	start   func(s *scene)
	genuine []string // formats of addresses, for a number from 1 to 100
	budgets int      // how many budgets of one client the attackers may use up
}{
	{
		name:    "one client with a junk proof a second",
		start:   func(s *scene) { s.attack(time.Second, always("203.0.113.205")) },
		genuine: []string{"203.0.113.%d", "203.0.%d.150", "198.51.100.%d", "2001:db8:%d::1"},
		budgets: 1,
	}, {
		name:    "one client at full speed",
		start:   func(s *scene) { s.attack(20*time.Millisecond, always("203.0.113.205")) },
		genuine: []string{"203.0.113.%d", "203.0.%d.150", "198.51.100.%d"},
		budgets: 1,
	}, {
		name: "two clients in a /24",
		start: func(s *scene) {
			s.attack(20*time.Millisecond, always("203.0.113.205"))
			s.attack(20*time.Millisecond, always("203.0.113.206"))
		},
		genuine: []string{"203.0.113.%d", "203.0.%d.150", "198.51.100.%d"},
		budgets: 2,
	}, {
		name: "eight clients in a /16",
		start: func(s *scene) {
			for i := range 8 {
				s.attack(20*time.Millisecond, always(fmt.Sprintf("203.0.%d.205", 1+i/2)))
			}
		},
		genuine: []string{"203.0.1.%d", "203.0.%d.150", "203.0.200.%d", "198.51.100.%d"},
		budgets: 8,
	}, {
		name:    "an IPv6 client, and its neighbours in the /56 and /48",
		start:   func(s *scene) { s.attack(20*time.Millisecond, always("2001:db8:0:2fe::1")) },
		genuine: []string{"2001:db8:0:2%02d::1", "2001:db8:0:3%02d::1", "2001:db8:%d::1"},
		budgets: 1,
	}, {
		name:    "an IPv6 /48 that rotates its /64s",
		start:   func(s *scene) { s.attack(time.Second/600, rotate("2001:db8:bad:%x::1")) },
		genuine: []string{"2001:db8:%d::1", "203.0.113.%d", "2001:db8:bae:%d::1"},
		budgets: 4,
	},
}

// latencies are how long a provider takes.
var latencies = map[string]func(*rand.Rand) time.Duration{
	"200ms": func(*rand.Rand) time.Duration { return 200 * time.Millisecond },
	"5s":    func(*rand.Rand) time.Duration { return 5 * time.Second },
	"200ms-5s": func(r *rand.Rand) time.Duration {
		return 200*time.Millisecond + time.Duration(r.Int64N(int64(4800*time.Millisecond)))
	},
}

// TestAttacks: during each attack a hundred genuine clients of each place come,
// each once, and none is refused.
func TestAttacks(t *testing.T) {
	for name, kind := range map[string]struct {
		rules Rules
		visit func(s *scene, c Client) bool
	}{
		"verifications": {
			Rules{Slots: 256, PerClient: 16, Failures: 60},
			func(s *scene, c Client) bool { return s.call(c, false) },
		},
		// Each of them counts as a failure, also of genuine clients, who get a
		// page and then a challenge.
		"challenges": {
			Rules{Slots: 256, PerClient: 16, Failures: 600, Forgiven: 60},
			func(s *scene, c Client) bool {
				page, ok := s.limiter.Acquire(c)
				page.Release(true)
				return ok && s.call(c, true)
			},
		},
	} {
		for _, attack := range attacks {
			for latency, take := range latencies {
				random := rand.New(rand.NewPCG(1, 2))
				s := newScene(kind.rules, func() time.Duration { return take(random) })
				attack.start(s)
				granted := make([]int, len(attack.genuine))
				for i := range 100 {
					for place, format := range attack.genuine {
						s.in(time.Second+time.Duration(i)*1234*time.Millisecond, func() {
							if kind.visit(s, client(fmt.Sprintf(format, i+1))) {
								granted[place]++
							}
						})
					}
				}
				const minutes = 2
				s.play(minutes*time.Minute + 10*time.Second)
				for place, n := range granted {
					if n != 100 {
						t.Errorf("%s, %s, provider %s, genuine %s: %d of 100", name, attack.name, latency, attack.genuine[place], n)
					}
				}
				if most := (minutes + 1) * kind.rules.Failures * attack.budgets; s.allowed > most || s.allowed < 60 {
					t.Errorf("%s, %s, provider %s: the attackers had %d calls, want at most %d", name, attack.name, latency, s.allowed, most)
				}
			}
		}
	}
}

// TestSlowBodies: 2,000 bodies of one client arrive a little at a time, and so
// do those of its accomplices. Whoever else sends a form gets the memory for it.
func TestSlowBodies(t *testing.T) {
	const all, form, body = 256 << 20, 8 << 10, 128 << 10
	for name, c := range map[string]struct {
		attackers, genuine []string
		most               int64
	}{
		"one client": {
			[]string{"203.0.113.205"},
			[]string{"203.0.113.%d", "203.0.%d.150", "198.51.100.%d", "2001:db8::%d"},
			all / 16,
		},
		"two clients in a /24": {
			[]string{"203.0.113.205", "203.0.113.206"},
			[]string{"203.0.113.%d", "203.0.%d.150", "198.51.100.%d"},
			all / 8,
		},
		"eight clients in a /16": {
			[]string{"203.0.1.205", "203.0.1.206", "203.0.2.205", "203.0.2.206", "203.0.3.205", "203.0.3.206", "203.0.4.205", "203.0.4.206"},
			[]string{"203.0.1.%d", "203.0.%d.150", "198.51.100.%d"},
			all/4 + 8*minimum,
		},
		"all networks there are": {
			[]string{
				"203.1.1.1", "203.1.1.2", "203.1.2.1", "203.1.2.2", "203.2.1.1", "203.2.1.2", "203.2.2.1", "203.2.2.2",
				"203.3.1.1", "203.3.1.2", "203.3.2.1", "203.3.2.2", "203.4.1.1", "203.4.1.2", "203.4.2.1", "203.4.2.2",
			},
			[]string{"203.1.1.1%02d", "198.51.100.%d", "2001:db8:%d::"},
			all*3/4 + 16*minimum,
		},
	} {
		m := NewMemory(all)
		var bodies []*Share
		for i := range 2000 * len(c.attackers) {
			bodies = append(bodies, m.For(client(c.attackers[i%len(c.attackers)])))
		}
		// Each body grows by a packet in turn, until it is refused and starts
		// anew: the attackers hold as much as they can, always.
		const packet = 1460
		granted, asked := 0, 0
		for round := range 3 * body / packet {
			for _, b := range bodies {
				if !b.Take(packet) {
					b.Return(b.held)
				}
			}
			for _, place := range c.genuine {
				i := round%99 + 1
				asked++
				s := m.For(client(fmt.Sprintf(place, i)))
				if first := s.Take(form / 2); first && s.Take(form/2) {
					granted++
				}
				s.Return(form)
			}
		}
		if granted != asked {
			t.Errorf("%s: %d of %d", name, granted, asked)
		}
		if m.taken > c.most || m.taken < c.most/2 {
			t.Errorf("%s hold %d bytes, want about %d", name, m.taken, c.most)
		}
	}
}

// TestTheMinimumIsLimited: those who hold the minimum only, each from another
// address, have half of all memory in one network, and all of it together.
func TestTheMinimumIsLimited(t *testing.T) {
	const all = 4 << 20
	m := NewMemory(all)
	for i := range 1000 {
		m.For(NewClient(rotations["IPv6 /64s of a /44"](i))).Take(minimum)
	}
	if m.taken != all/2 {
		t.Errorf("one network holds %d bytes, want %d", m.taken, all/2)
	}
	for i := range 1000 {
		m.For(NewClient(rotations["IPv6 /48s"](i))).Take(minimum)
	}
	if m.taken != all {
		t.Errorf("all hold %d bytes, want %d", m.taken, all)
	}
}

// TestEntriesAreBounded: a million prefixes, and a million addresses within
// one, leave no more than is remembered of them, and a minute later nothing.
func TestEntriesAreBounded(t *testing.T) {
	for name, addr := range rotations {
		l, now := at(Rules{Slots: 256, PerClient: 16, Failures: 60})
		most := 0
		for i := range 1_000_000 {
			*now += time.Microsecond // a million calls a second
			call, ok := l.Acquire(NewClient(addr(i)))
			if ok {
				call.Release(true)
			}
			if i%1000 == 0 {
				most = max(most, entries(l))
			}
		}
		if limit := int(widths) * maxRemembered; most > limit || most < 1000 {
			t.Errorf("%s: %d entries, want at most %d", name, most, limit)
		}
		*now += time.Minute
		for range maxRemembered {
			call, ok := l.Acquire(client("198.51.100.1"))
			if !ok {
				t.Fatalf("%s: a client is refused afterwards", name)
			}
			call.Release(false)
		}
		if n := entries(l); n != 0 {
			t.Errorf("%s: %d entries are left", name, n)
		}
	}
}

// rotations are ways to go through a million addresses.
var rotations = map[string]func(i int) netip.Addr{
	"IPv6 /48s": func(i int) netip.Addr {
		b := [16]byte{0x20, 0x01}
		binary.BigEndian.PutUint32(b[2:], uint32(i))
		return netip.AddrFrom16(b)
	},
	"IPv6 /64s of a /44": func(i int) netip.Addr {
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
		binary.BigEndian.PutUint32(b[4:], uint32(i))
		return netip.AddrFrom16(b)
	},
	"IPv4 addresses": func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(i >> 12), byte(i), byte(i >> 8), 1})
	},
	"IPv4 addresses of a /12": func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	},
}
