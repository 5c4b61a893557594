// Package limit keeps one client from using up what all clients share: the
// slots for calls to the provider, and the budget of calls that fail.
package limit

import (
	"net/netip"
	"sync"
	"time"
)

// Limiter limits calls by client prefix and in all. Its methods are safe for
// concurrent use.
type Limiter struct {
	total, perClient int
	failures         float64 // per minute and client

	mu      sync.Mutex
	running int
	clients map[netip.Prefix]*client
	now     func() time.Time
}

// client is what one client prefix uses. A token is the right to one failure:
// a call takes one when it starts and gets it back unless it fails, so that
// parallel calls cannot overdraw the budget.
type client struct {
	running int
	tokens  float64
	updated time.Time
}

// New returns a limiter of total calls at once, perClient calls at once from
// one client prefix, and failures failed calls a minute from one client
// prefix. Failures are a token bucket: after a burst of that many they come
// back evenly over the minute.
func New(total, perClient, failures int) *Limiter {
	return &Limiter{
		total:     total,
		perClient: perClient,
		failures:  float64(failures),
		clients:   make(map[netip.Prefix]*client),
		now:       time.Now,
	}
}

// Acquire reserves a call for the client prefix. It returns false, and
// reserves nothing, when a limit is reached. A true return must be followed
// by one Release.
func (l *Limiter) Acquire(prefix netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.forget(now)
	if l.running >= l.total {
		return false
	}
	c := l.clients[prefix]
	if c == nil {
		c = &client{tokens: l.failures, updated: now}
		l.clients[prefix] = c
	}
	l.refill(c, now)
	if c.running >= l.perClient || c.tokens < 1 {
		return false
	}
	l.running++
	c.running++
	c.tokens--
	return true
}

// Release ends a call that Acquire reserved and says whether it failed.
func (l *Limiter) Release(prefix netip.Prefix, failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[prefix]
	l.running--
	c.running--
	if !failed {
		c.tokens = min(c.tokens+1, l.failures)
	}
	if c.running == 0 && c.tokens >= l.failures {
		delete(l.clients, prefix)
	}
}

func (l *Limiter) refill(c *client, now time.Time) {
	if elapsed := now.Sub(c.updated).Minutes(); elapsed > 0 {
		c.tokens = min(c.tokens+elapsed*l.failures, l.failures-float64(c.running))
		c.updated = now
	}
}

// forget drops a few clients that have their whole budget back. Looking at
// some at every call, in the map's random order, bounds the map by the rate of
// failures without ever holding the lock for long.
func (l *Limiter) forget(now time.Time) {
	looked := 0
	for prefix, c := range l.clients {
		if c.running == 0 {
			if l.refill(c, now); c.tokens >= l.failures {
				delete(l.clients, prefix)
			}
		}
		if looked++; looked == 4 {
			return
		}
	}
}
