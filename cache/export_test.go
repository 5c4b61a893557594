package cache

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// NewTestMemory returns a Memory with a ledger and a clock of its own, and what
// moves the clock.
func NewTestMemory(t *testing.T, capacity int) (m *Memory, step func(time.Duration)) {
	ledger, clock := testLedger(t)
	return &Memory{Capacity: capacity, Lifetime: caddy.Duration(DefaultTTL), ledger: ledger}, clock.step
}

func mustShare(t testing.TB) *ledger {
	t.Helper()
	s, err := sharedLedger()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
