package cache_test

import (
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/cache/cachetest"
)

// TestMemoryIsAStore runs what every store has to pass.
func TestMemoryIsAStore(t *testing.T) {
	var pass func(time.Duration)
	open := func(t *testing.T, capacity int) cache.Store {
		store, step := cache.NewTestMemory(t, capacity)
		pass = step
		return store
	}
	cachetest.Run(t, cachetest.Subject{
		Open:     func(t *testing.T) cache.Store { return open(t, 1_000_000) },
		OpenFull: open,
		Pass:     func(_ *testing.T, d time.Duration) { pass(d) },
	})
}
