package health

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/leaktest"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// provider is a verifier whose probes say what a test wants.
type provider struct {
	verifier.Prober
	id     string
	says   atomic.Uint32 // a verifier.Health
	takes  time.Duration
	probes atomic.Int64
	panics bool
	most   atomic.Int64 // probes at once
	now    atomic.Int64
}

func (p *provider) Captcha() (name, id string) { return "test", p.id }
func (p *provider) Service() string            { return "https://captcha.example" }

func (p *provider) Probe(ctx context.Context) verifier.Health {
	p.probes.Add(1)
	p.most.Store(max(p.most.Load(), p.now.Add(1)))
	defer p.now.Add(-1)
	if p.panics {
		panic("a verifier of someone else's")
	}
	select {
	case <-time.After(p.takes):
	case <-ctx.Done():
	}
	return verifier.Health(p.says.Load())
}

func (p *provider) is(h verifier.Health) { p.says.Store(uint32(h)) }

func TestAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{id: "outage"}
		var told []bool
		w := New(p, func(down bool) { told = append(told, down) })
		defer w.Close()
		p.is(verifier.HealthFailed)
		time.Sleep(time.Hour)
		if n := p.probes.Load(); n != 0 {
			t.Errorf("%d probes without a reason", n)
		}
		// A flood of unknown verdicts makes one series.
		for range 100 {
			w.Suspect()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if w.Down() || p.probes.Load() != 1 {
			t.Errorf("after 2 s: down %t, %d probes", w.Down(), p.probes.Load())
		}
		time.Sleep(8 * time.Second)
		if n := p.probes.Load(); !w.Down() || n < 3 || n > 5 {
			t.Errorf("after 10 s: down %t, %d probes", w.Down(), n)
		}
		time.Sleep(time.Hour)
		if n := p.probes.Load(); n < 600 || n > 725 {
			t.Errorf("%d probes in an hour, want one in 5 to 6 s", n)
		}
		p.is(verifier.HealthGood)
		time.Sleep(6 * time.Second)
		if !w.Down() {
			t.Error("one good probe made it up")
		}
		time.Sleep(6 * time.Second)
		if w.Down() {
			t.Error("two good probes did not make it up")
		}
		n := p.probes.Load()
		time.Sleep(time.Hour)
		if p.probes.Load() != n {
			t.Error("it is probed although it is up")
		}
		synctest.Wait()
		if len(told) != 2 || !told[0] || told[1] {
			t.Errorf("told %v", told)
		}
	})
}

// A provider that hangs is found down, too, and probed one at a time.
func TestAHangingProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{id: "hangs", takes: 30 * time.Second}
		p.is(verifier.HealthFailed)
		w := New(p, nil)
		defer w.Close()
		for range 100 {
			w.Suspect()
			time.Sleep(time.Second)
		}
		if !w.Down() || p.most.Load() != 1 {
			t.Errorf("down %t, %d probes at once", w.Down(), p.most.Load())
		}
	})
}

// What clients bring about makes no outage, for as long as they like.
func TestClientsBringNoOutageAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{id: "clients"}
		p.is(verifier.HealthGood)
		w := New(p, nil)
		defer w.Close()
		for range 36000 {
			w.Suspect()
			time.Sleep(100 * time.Millisecond)
			if w.Down() {
				t.Fatal("down")
			}
		}
		if n := p.probes.Load(); n > 1800 {
			t.Errorf("%d probes in an hour, want one in 2 s at most", n)
		}
	})
}

// Probes that say nothing, as behind a firewall, end.
func TestSilentProbesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{id: "silent", panics: true} // one that panics says nothing either
		w := New(p, nil)
		defer w.Close()
		w.Suspect()
		time.Sleep(time.Hour)
		if n := p.probes.Load(); n != 10 || w.Down() {
			t.Errorf("%d probes, down %t", n, w.Down())
		}
	})
}

// An outage outlives a reload, and is seen by all who have the captcha. It is
// forgotten with the last of them, and nothing runs on.
func TestSharedByConfigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, other := &provider{id: "shared"}, &provider{id: "shared"}, &provider{id: "another"}
		first.is(verifier.HealthFailed)
		old, unrelated := New(first, nil), New(other, nil)
		old.Suspect()
		time.Sleep(10 * time.Second)
		second.is(verifier.HealthFailed)
		reloaded := New(second, nil)
		if err := old.Close(); err != nil {
			t.Error(err)
		}
		if !reloaded.Down() || unrelated.Down() {
			t.Errorf("the new config sees down %t, another captcha %t", reloaded.Down(), unrelated.Down())
		}
		before := first.probes.Load()
		time.Sleep(time.Minute)
		if first.probes.Load() > before+1 || second.probes.Load() < 9 {
			t.Errorf("the new config's verifier probed %d times, that of the old %d times more", second.probes.Load(), first.probes.Load()-before)
		}
		if err := reloaded.Close(); err != nil {
			t.Error(err)
		}
		n := second.probes.Load()
		time.Sleep(time.Minute)
		if second.probes.Load() != n {
			t.Error("it is probed with nobody there")
		}
		again := New(second, nil)
		if again.Down() {
			t.Error("who comes later finds an outage that nobody watched")
		}
		again.Close()
		unrelated.Close()
	})
}

// The gate does not follow a provider that flaps. Three probes may all meet it
// at a bad moment, and then it is down for a while.
func TestAFlappingProvider(t *testing.T) {
	for _, period := range []time.Duration{time.Second, 3 * time.Second, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := &provider{id: "flaps"}
			changes := 0
			w := New(p, func(bool) { changes++ })
			defer w.Close()
			flap := func() {
				for i := range 500 {
					p.is([]verifier.Health{verifier.HealthFailed, verifier.HealthGood}[i%2])
					if i%2 == 0 {
						w.Suspect()
					}
					time.Sleep(period)
				}
				synctest.Wait()
			}
			flap()
			if most := int(500 * period / (20 * time.Second)); changes > most {
				t.Errorf("flapping every %v: %d changes, want at most %d", period, changes, most)
			}
		})
	}
}
