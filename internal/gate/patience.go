package gate

import (
	"context"
	"time"
)

// patience is how long a request that is forwarded anyway may still be held up
// for the replay cache and the provider. One that is nil has no end.
type patience struct{ left time.Duration }

// patience returns that with a request that comes.
func (g *Gate) patience() *patience {
	if !g.Monitor {
		return nil
	}
	return &patience{left: monitorWait}
}

// wait returns a context that ends when patience does, and what to call when
// the wait is over.
func (p *patience) wait(ctx context.Context) (bounded context.Context, over func()) {
	if p == nil {
		return ctx, func() {}
	}
	started := time.Now()
	bounded, cancel := context.WithTimeout(ctx, p.left)
	return bounded, func() {
		cancel()
		p.left -= time.Since(started)
	}
}
