// Package limit keeps clients from using up what all clients share: the slots
// for calls to the provider and the budget of calls that fail (Limiter), and
// the memory in which bodies are searched (Memory).
//
// Everything is counted at three widths, the client's address, its prefix and
// its network, because an attacker seldom has one address only: renting a
// server brings an IPv6 /64 to a /48, and a botnet's addresses come from
// everywhere. A wider width has more than one narrower one of its kind can use
// up, so that one client leaves something to its neighbours, and one network
// something to all others.
//
// What remains possible: nobody can tell an attacker who owns a whole prefix or
// network from the other clients in it. Eight addresses that fail as often as
// they may use up the failures of an IPv4 /24, and 64 those of a /16; two IPv6
// /64s do so to a /56, and four to a /48. One who rotates through the addresses
// of a network can keep its slots, and those beyond them, busy for as long as
// its failures last, which at a provider that takes seconds is some of every
// minute at the default limits. In all these cases the clients of that network
// are refused, and no others. One who owns several networks can do more: two
// can hold all slots at once, if each of their calls comes from another
// address, and four can with few addresses, each for as long as its budget of
// failures lasts. Against that only an operator can help, with more slots, or
// by blocking these networks before the captcha.
package limit

import (
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// minute is how long a failure is remembered.
const minute = time.Minute

// maxRemembered is how many failures are remembered at most. They bound the
// limiter's own memory, see Limiter.
const maxRemembered = 1 << 16

// defaultPerClient is how many slots one client has at most, where nothing else
// is asked for.
const defaultPerClient = 16

// MostPerClient returns how many of the slots one client may be given: a
// quarter, and at least one. A configuration that asks for more is wrong.
func MostPerClient(slots int) int { return max(1, slots/4) }

// DefaultPerClient returns how many of the slots one client has by default: 16,
// or as many as it may have where that is less.
func DefaultPerClient(slots int) int { return min(defaultPerClient, MostPerClient(slots)) }

// Rules are what a Limiter keeps to.
type Rules struct {
	// Slots is how many calls may be under way at once.
	Slots int

	// PerClient is how many of them may be one client's, at most
	// MostPerClient(Slots): more counts as that many. The client's prefix has
	// twice as many slots and its network four times, each at most a quarter of
	// all.
	PerClient int

	// Failures is how many calls of one client may fail within a minute. An
	// IPv4 prefix has eight times as many and an IPv4 network 64 times; an IPv6
	// prefix, which may be a single customer's, twice, and a network four times.
	Failures int

	// Forgiven is how many of its calls may have failed within the last minute
	// while a client still counts as innocent. An innocent client may have one
	// call under way beyond the slots of its prefix and network, so that
	// attackers beside it cannot lock it out. There are at most as many of these
	// calls as the network has slots. They need a failure in every budget, as
	// all calls do.
	Forgiven int
}

// Limiter limits the calls that are under way and those that fail. A call takes
// a failure out of the budget of each width when it starts and gives it back
// unless it fails, so that parallel calls cannot overdraw; a failure counts for
// exactly a minute from when the call ended.
//
// A Limiter's memory is bounded: it holds what is under way, which the slots
// bound, and the last 65,536 failures, with one entry for each width of their
// clients: 40 MB, if no two are of one network. When more calls fail within a minute, the oldest failure is
// forgotten early. That helps no one much: whoever fails so often has so many
// addresses that the budget of each of them does not hold him back any more. A
// budget of more failures than that is no limit.
//
// The methods are safe for concurrent use. Time is monotonic.
type Limiter struct {
	slots    int
	perWidth [widths]int // slots
	budgets4 [widths]int // failures, IPv4
	budgets6 [widths]int // failures, IPv6
	forgiven int
	remember int

	mu       sync.Mutex
	running  int
	users    [widths]map[netip.Prefix]*user
	failures []failure // the last ones, from the oldest to the newest

	now func() time.Duration // since some time in the past
}

// failure is a call that failed.
type failure struct {
	at     time.Duration
	client *user
}

// user is what one address, prefix or network uses. The numbers of a wider one
// include those of the narrower ones within it.
type user struct {
	at       netip.Prefix
	width    width
	wider    *user           // nil for a network
	slots    int             // calls under way that take a slot of this width
	beyond   int             // calls under way beyond the slots of prefix and network
	failures []time.Duration // when calls failed, from the oldest to the newest
}

// New returns a limiter of the rules.
func New(rules Rules) *Limiter {
	perClient := min(rules.PerClient, MostPerClient(rules.Slots))
	failures := min(rules.Failures, math.MaxInt/64)
	started := time.Now()
	l := &Limiter{
		slots: rules.Slots,
		perWidth: [widths]int{
			perClient,
			min(2*perClient, MostPerClient(rules.Slots)),
			min(4*perClient, MostPerClient(rules.Slots)),
		},
		budgets4: [widths]int{failures, 8 * failures, 64 * failures},
		budgets6: [widths]int{failures, 2 * failures, 4 * failures},
		forgiven: rules.Forgiven,
		remember: maxRemembered,
		now:      func() time.Duration { return time.Since(started) },
	}
	for w := range l.users {
		l.users[w] = make(map[netip.Prefix]*user)
	}
	return l
}

// Call is a call that Acquire allowed.
type Call struct {
	limiter *Limiter // nil when the call has ended
	client  *user
	beyond  bool
}

// Acquire reserves a call for the client. It returns false, and reserves
// nothing, when a limit is reached. A call that was allowed must be ended by
// Release.
func (l *Limiter) Acquire(client Client) (call Call, ok bool) {
	at, budgets := client.at(), &l.budgets6
	if client.Address.Addr().Is4() {
		budgets = &l.budgets4
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	until := l.now() - minute
	l.tidy(until)
	var users [widths]*user // nil where nothing is used
	var slots, beyond, failed [widths]int
	for w := range at {
		if u := l.users[w][at[w]]; u != nil {
			u.forget(until)
			users[w], slots[w], beyond[w], failed[w] = u, u.slots, u.beyond, len(u.failures)
		}
		if slots[w]+beyond[w]+failed[w] >= budgets[w] {
			return Call{}, false
		}
	}
	if l.running >= l.slots || slots[address]+beyond[address] >= l.perWidth[address] {
		return Call{}, false
	}
	full := slots[prefix] >= l.perWidth[prefix] || slots[network] >= l.perWidth[network]
	if full && (failed[address] > l.forgiven || beyond[address] > 0 || beyond[network] >= l.perWidth[network]) {
		return Call{}, false
	}
	l.running++
	var wider *user
	for w := network; w >= address; w-- {
		u := users[w]
		if u == nil {
			u = &user{at: at[w], width: w}
			l.users[w][at[w]] = u
		}
		u.wider = wider // which may be a new one
		u.start(full, 1)
		wider = u
	}
	return Call{l, wider, full}, true
}

// Release ends the call and says whether it failed. Only the first Release of a
// call counts.
func (c *Call) Release(failed bool) {
	l := c.limiter
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.limiter = nil
	l.running--
	now := l.now()
	for u := c.client; u != nil; u = u.wider {
		u.start(c.beyond, -1)
		if failed {
			u.failures = append(u.failures, now)
		}
		l.drop(u)
	}
	if failed {
		l.failures = append(l.failures, failure{now, c.client})
		if len(l.failures) > l.remember {
			l.forgetOldest()
		}
	}
}

// start counts n calls that start, or end where n is negative.
func (u *user) start(beyond bool, n int) {
	if beyond {
		u.beyond += n
	} else {
		u.slots += n
	}
}

// forget drops the failures up to the time.
func (u *user) forget(until time.Duration) {
	n, _ := slices.BinarySearch(u.failures, until+1)
	u.failures = u.failures[n:]
}

// tidy forgets failures up to the time. Those of a client that calls have been
// forgotten when it matters, so this is only for the memory, and need not do
// everything at once: a few at every call are more than can be added, and keep
// the call short.
func (l *Limiter) tidy(until time.Duration) {
	for n := 0; n < 4 && len(l.failures) > 0 && l.failures[0].at <= until; n++ {
		l.forgetOldest()
	}
}

func (l *Limiter) forgetOldest() {
	oldest := l.failures[0]
	l.failures[0] = failure{} // for the garbage collector
	l.failures = l.failures[1:]
	for u := oldest.client; u != nil; u = u.wider {
		if len(u.failures) > 0 && u.failures[0] <= oldest.at {
			u.failures = u.failures[1:]
		}
		l.drop(u)
	}
}

// drop removes a user that uses nothing any more.
func (l *Limiter) drop(u *user) {
	if u.slots+u.beyond+len(u.failures) == 0 && l.users[u.width][u.at] == u {
		delete(l.users[u.width], u.at)
	}
}
