package limit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// model says what a limiter has to do, from a list of all calls that there
// ever were, by the words of the rules.
type model struct {
	rules    Rules
	remember int
	now      time.Duration
	calls    []*modelCall
}

type modelCall struct {
	client Client
	beyond bool
	ended  bool
	failed bool
	at     time.Duration // when it failed
	gone   bool          // forgotten early
}

func (m *model) recent(c *modelCall) bool {
	return c.failed && !c.gone && m.now-c.at < time.Minute
}

// count counts the calls for which is holds.
func (m *model) count(is func(c *modelCall) bool) int {
	n := 0
	for _, c := range m.calls {
		if is(c) {
			n++
		}
	}
	return n
}

// within returns what of the calls is in the client's part of the address space.
func within(w width, client Client) func(c *modelCall) bool {
	return func(c *modelCall) bool { return c.client.at()[w] == client.at()[w] }
}

func (m *model) acquire(client Client) bool {
	quarter := max(1, m.rules.Slots/4)
	perClient := min(m.rules.PerClient, quarter)
	slots := [widths]int{perClient, min(2*perClient, quarter), min(4*perClient, quarter)}
	factors := [widths]int{1, 2, 4}
	if client.Address.Addr().Is4() {
		factors = [widths]int{1, 8, 64}
	}
	running := func(c *modelCall) bool { return !c.ended }
	if m.count(running) >= m.rules.Slots {
		return false
	}
	beyond := false
	for w := range widths {
		in := within(w, client)
		if m.count(func(c *modelCall) bool { return in(c) && (running(c) || m.recent(c)) }) >= factors[w]*m.rules.Failures {
			return false
		}
		if w == address {
			if m.count(func(c *modelCall) bool { return in(c) && running(c) }) >= slots[w] {
				return false
			}
		} else if m.count(func(c *modelCall) bool { return in(c) && running(c) && !c.beyond }) >= slots[w] {
			beyond = true
		}
	}
	if beyond {
		mine, networks := within(address, client), within(network, client)
		innocent := m.count(func(c *modelCall) bool { return mine(c) && m.recent(c) }) <= m.rules.Forgiven
		if !innocent ||
			m.count(func(c *modelCall) bool { return mine(c) && running(c) && c.beyond }) > 0 ||
			m.count(func(c *modelCall) bool { return networks(c) && running(c) && c.beyond }) >= slots[network] {
			return false
		}
	}
	m.calls = append(m.calls, &modelCall{client: client, beyond: beyond})
	return true
}

func (m *model) release(c *modelCall, failed bool) {
	c.ended, c.failed, c.at = true, failed, m.now
	if failed && m.count(m.recent) > m.remember {
		oldest := c
		for _, other := range m.calls {
			if m.recent(other) && other.at < oldest.at {
				oldest = other
			}
		}
		oldest.gone = true
	}
}

// entries is how many users there are to remember.
func (m *model) entries() int {
	seen := make(map[string]bool)
	for _, c := range m.calls {
		if !c.ended || m.recent(c) {
			for w, at := range c.client.at() {
				seen[fmt.Sprint(w, at)] = true
			}
		}
	}
	return len(seen)
}

// crowd are clients who share prefixes and networks in all ways.
var crowd = func() (clients []Client) {
	for _, text := range []string{
		"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.3.1", "192.0.3.2", "192.1.2.1", "::ffff:192.0.2.1",
		"2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:101::1", "2001:db8:0:201::1", "2001:db8:1::1", "2001:db8::2",
	} {
		clients = append(clients, NewClient(netip.MustParseAddr(text)))
	}
	return append(clients, Client{})
}()

// play plays a script on a limiter and on the model. The first five bytes are
// the rules. Each pair of the rest is something that happens.
func play(t *testing.T, script []byte) {
	if len(script) < 5 {
		return
	}
	rules := Rules{Slots: 1 + int(script[0])%40, PerClient: 1 + int(script[1])%8, Failures: 1 + int(script[2])%6, Forgiven: int(script[3]) % 3}
	m := &model{rules: rules, remember: 2 + int(script[4])%40}
	l := New(rules)
	l.remember = m.remember
	l.now = func() time.Duration { return m.now }
	type pair struct {
		real  Call
		model *modelCall
	}
	var running []pair
	for i := 5; i+1 < len(script) && i < 600; i += 2 {
		what, which := script[i]%8, int(script[i+1])
		switch {
		case what < 4:
			client := crowd[which%len(crowd)]
			call, ok := l.Acquire(client)
			if want := m.acquire(client); ok != want {
				t.Fatalf("step %d at %v: Acquire(%v) is %v with %+v, want %v", i, m.now, client, ok, rules, want)
			}
			if ok {
				running = append(running, pair{call, m.calls[len(m.calls)-1]})
			}
			if which < 128 {
				continue // what is left over must not matter
			}
			l.tidyAll()
			if n := entries(l); n != m.entries() {
				t.Fatalf("step %d: %d entries, want %d", i, n, m.entries())
			}
		case what < 7 && len(running) > 0:
			n := which % len(running)
			failed := which >= 64
			m.now++ // no two failures at the same time, so that one of them is the oldest
			running[n].real.Release(failed)
			running[n].real.Release(!failed) // counts for nothing
			m.release(running[n].model, failed)
			running = append(running[:n], running[n+1:]...)
		case what == 7:
			// Steps of up to a minute, and some that end exactly where a
			// failure is a minute old.
			if which < 128 {
				m.now += time.Duration(which) * time.Second / 2
			} else if c := m.calls; len(c) > 0 {
				m.now = max(m.now, c[which%len(c)].at+time.Minute-time.Duration(which%2))
			}
		}
	}
	if l.running != len(running) {
		t.Fatalf("%d calls under way, want %d", l.running, len(running))
	}
	for _, p := range running {
		p.real.Release(false)
	}
	m.now += time.Minute
	l.tidyAll()
	if n := entries(l); n != 0 || l.running != 0 || len(l.failures) != 0 {
		t.Fatalf("at the end there are %d entries, %d calls and %d failures", n, l.running, len(l.failures))
	}
}

// tidyAll does what many calls do.
func (l *Limiter) tidyAll() {
	for range l.failures {
		l.tidy(l.now() - minute)
	}
}

func entries(l *Limiter) (n int) {
	for _, users := range l.users {
		n += len(users)
	}
	return n
}

// TestLimiterIsTheModel: random scripts, many of which stay with few clients or
// fail often.
func TestLimiterIsTheModel(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 3000 {
		script := make([]byte, 5+2*random.IntN(150))
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		few := 1 + random.IntN(len(crowd))
		first, rarely := random.IntN(len(crowd)), random.IntN(2) == 0
		for i := 5; i+1 < len(script); i += 2 {
			if script[i]%8 < 4 {
				script[i+1] = byte((first + random.IntN(few)) % len(crowd))
			}
			if rarely && script[i]%8 == 7 && random.IntN(8) > 0 {
				script[i] = byte(random.IntN(7)) // time stands still, as it does between calls
			}
		}
		play(t, script)
	}
}

func FuzzLimiter(f *testing.F) {
	// Two clients of one prefix fail and take all slots; a neighbour comes.
	f.Add([]byte{16, 3, 5, 0, 39, 0, 0, 0, 0, 0, 1, 0, 1, 4, 64, 0, 1, 0, 2, 0, 2, 7, 120, 0, 0, 0, 1})
	// An IPv6 /64 after the other fails until the /48 may not any more.
	f.Add([]byte{39, 7, 1, 0, 39, 0, 7, 4, 64, 0, 8, 4, 64, 0, 9, 4, 64, 0, 10, 4, 64, 0, 11, 4, 64, 7, 255, 0, 12})
	// More failures than are remembered.
	f.Add([]byte{39, 7, 5, 2, 0, 0, 0, 4, 64, 0, 1, 4, 64, 0, 3, 4, 64, 0, 14, 4, 64, 7, 200, 0, 0})
	f.Fuzz(play)
}

// playMemory plays a script on a memory and looks at the promises after each
// step. The first byte is the size; each triple of the rest is something that
// happens.
func playMemory(t *testing.T, script []byte) {
	if len(script) < 1 {
		return
	}
	const unit = minimum / 4
	all := (1 + int64(script[0])) * 8 * unit
	m := NewMemory(all)
	var shares []*Share
	for _, client := range crowd {
		shares = append(shares, m.For(client), m.For(client))
	}
	held := make([]int64, len(shares)) // by the model
	// sum adds up what the shares hold that are within one's.
	sum := func(w width, of Client) (n int64) {
		for i := range shares {
			if shares[i].client.at()[w] == of.at()[w] {
				n += held[i]
			}
		}
		return n
	}
	for i := 1; i+2 < len(script); i += 3 {
		s := int(script[i+1]) % len(shares)
		n := int64(script[i+2]) * unit / 8
		if script[i+2] > 250 {
			n = math.MaxInt64 // to which nothing can be added
		}
		if script[i]%3 == 0 {
			shares[s].Return(n)
			held[s] -= min(n, held[s])
		} else {
			client := shares[s].client
			var taken int64
			for _, bytes := range held {
				taken += bytes
			}
			mine := sum(address, client) + n
			fits := mine <= all/16 && sum(prefix, client)+n <= all/8 && sum(network, client)+n <= all/4 && taken+n <= all-all/4
			first := mine <= min(minimum, all/16) && sum(network, client)+n <= all/2 && taken+n <= all
			if want := n == 0 || n <= all && (fits || first); shares[s].Take(n) != want {
				t.Fatalf("step %d: Take(%d) of %v is %v; it holds %d of %d", i, n, client, !want, mine-n, all)
			} else if want {
				held[s] += n
			}
		}
		var taken int64
		for j, bytes := range held {
			if taken += bytes; shares[j].held != bytes {
				t.Fatalf("step %d: share %d holds %d, want %d", i, j, shares[j].held, bytes)
			}
		}
		if m.taken != taken || taken > all {
			t.Fatalf("step %d: %d are taken, want %d of %d", i, m.taken, taken, all)
		}
	}
	for _, s := range shares {
		s.Return(1 << 62)
	}
	if m.taken != 0 || len(m.users[address])+len(m.users[prefix])+len(m.users[network]) != 0 {
		t.Fatalf("at the end %d are taken, by %v", m.taken, m.users)
	}
}

func TestMemoryIsTheModel(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 3000 {
		script := make([]byte, 1+3*random.IntN(100))
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		script = append([]byte{byte(random.IntN(20))}, script...)
		for i := 1; i+2 < len(script); i += 3 {
			script[i+2] = byte(random.IntN(1 << (1 + random.IntN(8)))) // mostly little
		}
		playMemory(t, script)
	}
}

func FuzzMemory(f *testing.F) {
	f.Add([]byte{15, 1, 0, 64, 1, 2, 64, 1, 4, 32, 1, 4, 1, 0, 0, 64, 1, 4, 1})
	f.Add([]byte{0, 1, 0, 16, 1, 28, 1, 1, 0, 251, 0, 0, 255})
	f.Fuzz(playMemory)
}
