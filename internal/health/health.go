// Package health knows whether a captcha provider is down. It goes by probes,
// which no client has a part in, and not by what becomes of clients' proofs:
// those only make it look.
package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// key is what a provider's health is kept by: its name, the URL of its service
// and the captcha's id there.
type key struct{ provider, service, captcha string }

// monitors are those that are in use. They belong to the process, so that a
// reload does not forget that a provider is down.
var monitors = caddy.NewUsagePool()

// monitor watches one provider. Of the configs that use it, it holds what they
// gave to Watch, for as long as they do: nothing else of theirs is in it.
type monitor struct {
	down atomic.Bool

	mu      sync.Mutex
	state   state
	users   []*Watch // guarded by mu, as is all below
	timer   *time.Timer
	started time.Time
	ctx     context.Context // of the probes
	stop    context.CancelFunc
}

// Watch is one config's view of a provider. Its methods are safe for
// concurrent use.
type Watch struct {
	key     key
	prober  verifier.Prober
	changed func(down bool)
	monitor *monitor
}

// New watches the provider of a verifier until Close. Of all who watch it the
// last one's verifier probes it. changed, if not nil, is called when the
// provider turns out to be down, or up again.
func New(prober verifier.Prober, changed func(down bool)) *Watch {
	provider, id := prober.Captcha()
	w := &Watch{key: key{provider, prober.Service(), id}, prober: prober, changed: changed}
	shared, _, _ := monitors.LoadOrNew(w.key, func() (caddy.Destructor, error) {
		m := &monitor{started: time.Now()}
		m.ctx, m.stop = context.WithCancel(context.Background()) //nolint:gosec // Destruct calls it
		return m, nil
	})
	w.monitor = shared.(*monitor)
	w.monitor.mu.Lock()
	defer w.monitor.mu.Unlock()
	w.monitor.users = append(w.monitor.users, w)
	return w
}

// Close ends the watch. With the last one of a provider its probes end, and
// what was known of it is forgotten.
func (w *Watch) Close() error {
	m := w.monitor
	m.mu.Lock()
	for i, user := range m.users {
		if user == w {
			m.users = append(m.users[:i:i], m.users[i+1:]...)
			break
		}
	}
	m.mu.Unlock()
	_, err := monitors.Delete(w.key)
	return err
}

// Down reports whether the provider is down.
func (w *Watch) Down() bool { return w.monitor.down.Load() }

// Suspect says that the provider could not be asked, or that its answer was
// not the protocol's, which is worth a look.
func (w *Watch) Suspect() {
	m := w.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.suspect()
	m.schedule()
}

// Destruct ends the probes.
func (m *monitor) Destruct() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stop()
	if m.timer != nil {
		m.timer.Stop()
	}
	return nil
}

// schedule sees to it that the next probe comes when it is due. Nodes must not
// probe in step.
func (m *monitor) schedule() {
	at, due := m.state.next(rand.N(time.Second)) //nolint:gosec // no secret
	if !due || m.timer != nil || m.ctx.Err() != nil {
		return
	}
	m.timer = time.AfterFunc(max(0, at-m.now()), m.probe)
}

func (m *monitor) now() time.Duration { return time.Since(m.started) }

// probe is one probe, and what follows from it.
func (m *monitor) probe() {
	m.mu.Lock()
	m.timer = nil
	if len(m.users) == 0 || m.ctx.Err() != nil {
		m.mu.Unlock()
		return
	}
	prober := m.users[len(m.users)-1].prober
	m.state.begin(m.now())
	m.mu.Unlock()

	said := ask(m.ctx, prober)

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return
	}
	m.state.end(m.now(), said)
	if m.down.Swap(m.state.down) != m.state.down {
		for _, user := range m.users {
			if user.changed != nil {
				user.changed(m.state.down)
			}
		}
	}
	m.schedule()
}

// ask probes. A verifier that panics says nothing.
func ask(ctx context.Context, prober verifier.Prober) (said verifier.Health) {
	defer func() {
		if recover() != nil {
			caddy.Log().Named("http.handlers.captcha").Error("panic while a captcha provider was probed", zap.Stack("stack"))
			said = verifier.HealthUnknown
		}
	}()
	return prober.Probe(ctx)
}
