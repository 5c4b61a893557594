package gate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/health"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// TestUnjudgedProof: one that was let pass, and waited for somebody to use it,
// is good for nothing when the provider is up again, and for a policy that
// denies them.
func TestUnjudgedProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := health.New(deadProvider{}, nil)
		defer watch.Close()
		policy := func(mode OnOutage) *intake {
			g := &Gate{Options: Options{Outage: OutageOptions{Mode: mode}}, outage: outage{watch: watch}}
			return &intake{gate: g, captcha: &g.captcha}
		}
		for _, down := range []bool{false, true} {
			if down {
				watch.Suspect()
				time.Sleep(time.Minute)
			}
			for _, mode := range []OnOutage{OutageAllow, OutageDeny} {
				want := Rejected
				if down && mode == OutageAllow {
					want = OutageAllowed
				}
				if d := policy(mode).judgeFinding(finding{admission: admitted}); d.Outcome != want {
					t.Errorf("down %t, on_outage %s: %v, want %s", down, mode, d, want.Name)
				}
			}
		}
	})
}

// deadProvider is a verifier whose provider never answers a probe.
type deadProvider struct{ verifier.Prober }

func (deadProvider) Captcha() (provider, id string)        { return "dead", "id" }
func (deadProvider) Service() string                       { return "https://captcha.example" }
func (deadProvider) Probe(context.Context) verifier.Health { return verifier.HealthFailed }
