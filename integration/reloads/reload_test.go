// Package reloads reloads Caddy's config again and again under load.
package reloads

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// reloads is how often a config takes the place of another, and every fourth is
// one that is rejected.
const reloads = 200

// between is how many requests there are between two of them.
const between = 50

// fire is what came of the load.
type fire struct {
	sent, dropped atomic.Int64
	replayed      atomic.Int64
	rejected      atomic.Int64 // answers of a config that was rejected a moment later
	odd           atomic.Value // an answer that must not be
}

// spend sends a proof twice, over connections of its own, until stop.
func (f *fire) spend(g *harness.Gate, address string, gated bool, stop <-chan struct{}) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	for {
		select {
		case <-stop:
			return
		default:
		}
		var proof url.Values
		if gated {
			proof = g.Proof(harness.GeeTestV4)
		}
		passed := 0
		for range 2 {
			request := harness.NewRequest(g.T, "POST", "http://"+address+"/login", "")
			harness.SetHeaders(request.Header, proof)
			f.sent.Add(1)
			answer, err := client.Do(request)
			if err != nil {
				f.dropped.Add(1)
				continue
			}
			answer.Body.Close()
			switch outcome := answer.Header.Get("Captcha-Outcome"); {
			case answer.StatusCode == http.StatusOK:
				passed++
			case outcome == "replayed":
			case answer.StatusCode == http.StatusInternalServerError:
				f.rejected.Add(1)
			default:
				f.odd.Store(fmt.Sprintf("%s, outcome %q", answer.Status, outcome))
			}
		}
		if gated && passed > 1 {
			f.replayed.Add(1)
		}
	}
}

// burn puts the site under load while it is reloaded, and looks at what is left
// of it afterwards.
func burn(t *testing.T, g *harness.Gate, site func(version int) string, gated bool) (f *fire, memory, goroutines int64) {
	t.Helper()
	address := harness.FreeAddress(t)
	load := func(version int) error {
		config, err := harness.Adapt("{\n" + harness.Globals + "grace_period 5s\nlog {\noutput discard\n}\n}\nhttp://" + address + " {\n" + site(version) + "}\n")
		if err != nil {
			return err
		}
		return caddy.Load([]byte(config), true)
	}
	if err := load(1); err != nil {
		t.Fatal(err)
	}
	f = new(fire)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { f.spend(g, address, gated, stop) })
	}
	var early runtime.MemStats
	var before int64
	for version := 2; version <= reloads; version++ {
		harness.Await(t, "requests between two reloads", func() bool { return f.sent.Load() >= int64(version*between) })
		err := load(version)
		if rejected := version%4 == 0; rejected != (err != nil) {
			t.Fatalf("reload %d: %v", version, err)
		}
		if version == reloads/4 {
			runtime.GC()
			runtime.ReadMemStats(&early)
			before = int64(runtime.NumGoroutine())
		}
	}
	close(stop)
	all.Wait()
	// What belongs to a config that is gone ends within its grace period.
	harness.Await(t, "the goroutines of old configs to end", func() bool { return int64(runtime.NumGoroutine()) <= before })
	runtime.GC()
	var late runtime.MemStats
	runtime.ReadMemStats(&late)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	return f, int64(late.HeapAlloc) - int64(early.HeapAlloc), int64(runtime.NumGoroutine()) - before
}

// TestReloadsUnderFire: two hundred reloads, good ones and rejected ones, let no
// proof be used twice, drop no more connections than those of bare Caddy, and
// leave nothing behind.
func TestReloadsUnderFire(t *testing.T) {
	g := harness.NewGate(t)
	// Connections that Caddy keeps to the application live for two minutes.
	proxy := strings.TrimSpace(g.Proxy()) + " {\ntransport http {\nkeepalive off\n}\n}\n"
	bad := func(version int) string {
		if version%4 == 0 {
			return "no_such_directive\n"
		}
		return ""
	}
	bare, _, _ := burn(t, g, func(version int) string {
		return fmt.Sprintf("header X-Version %d\n", version) + bad(version) + proxy
	}, false)
	gated, memory, goroutines := burn(t, g, func(version int) string {
		captcha := g.Captcha(harness.GeeTestV4, "clearance 30m", "max_concurrent_verifications 4000 1000", fmt.Sprintf("max_failures %d", 1_000_000+version))
		if version%8 == 0 { // rejected when it is loaded, after its handlers were made
			return captcha + strings.Replace(captcha, "captcha /login*", "captcha /other*", 1) + "captcha_inject * nobody\n" + proxy
		}
		return captcha + bad(version) + proxy
	}, true)
	t.Logf("bare Caddy dropped %d of %d connections, with the gate %d of %d; %d bytes and %d goroutines more in the end",
		bare.dropped.Load(), bare.sent.Load(), gated.dropped.Load(), gated.sent.Load(), memory, goroutines)
	if n := gated.replayed.Load(); n > 0 {
		t.Errorf("%d proofs were used twice", n)
	}
	if bare.rejected.Load() > 0 || gated.rejected.Load() > reloads {
		t.Errorf("%d and %d answers with 500", bare.rejected.Load(), gated.rejected.Load())
	}
	for _, f := range []*fire{bare, gated} {
		if odd := f.odd.Load(); odd != nil {
			t.Errorf("got %v", odd)
		}
		if f.sent.Load() < reloads*between {
			t.Errorf("only %d requests", f.sent.Load())
		}
	}
	expected := float64(bare.dropped.Load()) / float64(bare.sent.Load()) * float64(gated.sent.Load())
	if most := expected + 4*math.Sqrt(expected+1) + 4; float64(gated.dropped.Load()) > most {
		t.Errorf("the gate dropped %d connections, want at most %.0f, as bare Caddy does", gated.dropped.Load(), most)
	}
	if memory > 32<<20 {
		t.Errorf("%d bytes more after %d reloads", memory, reloads*3/4)
	}
}
