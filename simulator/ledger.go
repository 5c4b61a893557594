package simulator

import "time"

const (
	// retention is how long a simulator remembers what it handed out, in
	// order to tell "used" and "expired" from "never heard of".
	retention = time.Hour

	// ledgerSize is how many entries a ledger holds.
	ledgerSize = 100_000
)

// ledger remembers by key what was handed out, for the retention, and at most
// size entries: a newer one then displaces the oldest.
type ledger[T any] struct {
	size    int
	entries map[string]*T
	queue   []handout // oldest first
}

type handout struct {
	key string
	at  time.Time
}

func newLedger[T any]() *ledger[T] {
	return &ledger[T]{size: ledgerSize, entries: make(map[string]*T)}
}

// add remembers value. Keys hold enough randomness never to repeat.
func (l *ledger[T]) add(key string, value T, now time.Time) {
	for len(l.queue) > 0 && (len(l.entries) >= l.size || now.Sub(l.queue[0].at) > retention) {
		delete(l.entries, l.queue[0].key)
		l.queue = l.queue[1:] // append moves the rest to a new array in time
	}
	l.entries[key] = &value
	l.queue = append(l.queue, handout{key, now})
}

// get returns what is remembered under the key, or nil.
func (l *ledger[T]) get(key string) *T {
	return l.entries[key]
}
