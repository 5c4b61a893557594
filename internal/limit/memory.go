package limit

import (
	"net/netip"
	"sync"
)

// minimum is what a client may always hold of a Memory, see there. The forms of
// a login or registration are shorter, with a proof in them.
const minimum = 16 << 10

// MemoryPerClient returns how much of the memory one client may hold: a
// sixteenth. A configuration that wants more for one body is wrong.
func MemoryPerClient(all int64) int64 { return all / 16 }

// Memory is the memory in which bodies are searched for proofs. A client may
// hold a sixteenth of it, its prefix an eighth and its network a quarter.
//
// Bodies may arrive slowly, so that attackers hold their shares for as long as
// they like at little cost. Time does not help them any further: a share is
// what they hold at one time, however long, and nobody else loses what lies
// outside of it. What they could do is to keep their prefix's or network's
// share full, or, from three networks, nearly everything. Therefore the first
// 16 KiB of what a client holds (or its sixteenth, where that is less) are
// granted beyond the shares of its prefix and network, up to twice the
// network's, and a quarter of all memory is kept for them. A client is refused
// them only while some thousands of clients hold theirs: 4,096, if all memory
// is 256 MiB. One attacker with as many IPv4 addresses or IPv6 /64s in one
// network can do that to the clients of this network, and to all others when
// the rest of the memory is taken from three more.
//
// The methods never wait, so that no two searches can wait for each other. They
// are safe for concurrent use.
type Memory struct {
	all     int64
	shares  [widths]int64
	minimum int64

	mu    sync.Mutex
	taken int64
	users [widths]map[netip.Prefix]int64 // what each holds; none holds 0
}

// NewMemory returns a memory of that many bytes.
func NewMemory(all int64) *Memory {
	perClient := MemoryPerClient(all)
	m := &Memory{all: all, shares: [widths]int64{perClient, 2 * perClient, 4 * perClient}, minimum: min(minimum, perClient)}
	for w := range m.users {
		m.users[w] = make(map[netip.Prefix]int64)
	}
	return m
}

// Share is what one search holds of a Memory. It is for one goroutine at a
// time.
type Share struct {
	memory *Memory
	client Client
	held   int64
}

// For returns the share of a search for the client, which holds nothing yet.
func (m *Memory) For(client Client) *Share { return &Share{memory: m, client: client} }

// Take takes n bytes more. It returns false, and takes nothing, when a limit is
// reached.
func (s *Share) Take(n int64) bool {
	if n <= 0 {
		return true
	}
	m, at := s.memory, s.client.at()
	m.mu.Lock()
	defer m.mu.Unlock()
	var after [widths]int64
	for w := range after {
		after[w] = m.users[w][at[w]]
		if n > m.all-after[w] { // before a sum that could overflow
			return false
		}
		after[w] += n
	}
	if !m.grants(m.taken+n, after) {
		return false
	}
	m.taken += n
	s.held += n
	for w := range after {
		m.users[w][at[w]] = after[w]
	}
	return true
}

// grants reports whether so much may be taken in all and be held at each width.
func (m *Memory) grants(taken int64, held [widths]int64) bool {
	if held[address] <= m.minimum {
		return taken <= m.all && held[network] <= 2*m.shares[network]
	}
	return taken <= m.all-m.all/4 &&
		held[address] <= m.shares[address] && held[prefix] <= m.shares[prefix] && held[network] <= m.shares[network]
}

// Return gives n bytes back, or all that the search holds, where that is less.
func (s *Share) Return(n int64) {
	n = min(n, s.held)
	if n <= 0 {
		return
	}
	m := s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken -= n
	s.held -= n
	for w, at := range s.client.at() {
		if held := m.users[w][at] - n; held > 0 {
			m.users[w][at] = held
		} else {
			delete(m.users[w], at)
		}
	}
}
