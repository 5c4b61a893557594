package gate

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// The collectors belong to the process, not to a config, so that counters do
// not fall back to zero on a reload. Each config has a registry of its own, in
// which they are registered anew.
var (
	requestsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "captcha",
		Name:      "requests_total",
		Help:      "Counter of requests that a captcha handler decided about, by what became of them.",
	}, []string{"policy", "provider", "outcome"})

	verificationSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "caddy",
		Subsystem: "captcha",
		Name:      "verification_duration_seconds",
		Help:      "Histogram of the time a captcha provider took to verify a proof.",
		Buckets:   []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"provider", "verdict"})

	providerUp = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "caddy",
		Subsystem: "captcha",
		Name:      "provider_up",
		Help:      "Whether the captcha provider of a policy is up (1), or probes have found it down (0).",
	}, []string{"policy", "provider"})
)

// RegisterMetrics makes the metrics part of a config's registry. Only the
// first call for a registry finds them not yet registered.
func RegisterMetrics(registry *prometheus.Registry) error {
	for _, collector := range []prometheus.Collector{requestsTotal, verificationSeconds, providerUp} {
		err := registry.Register(collector)
		if are := (prometheus.AlreadyRegisteredError{}); err != nil && !errors.As(err, &are) {
			return err
		}
	}
	return nil
}

// counters are the counters of a policy's outcomes, looked up once so that a
// request does not have to. Every series exists from the start, at zero.
type counters []prometheus.Counter

func newCounters(policy, provider string) counters {
	cs := make(counters, len(outcomes))
	for _, o := range outcomes {
		cs[o.index] = requestsTotal.WithLabelValues(policy, provider, o.Name)
	}
	return cs
}

func (cs counters) count(o *Outcome) { cs[o.index].Inc() }

func (g *Gate) showUp(up bool) {
	value := 0.0
	if up {
		value = 1
	}
	providerUp.WithLabelValues(g.Policy, g.provider).Set(value)
}

func observeVerification(provider string, verdict verifier.Verdict, took time.Duration) {
	verificationSeconds.WithLabelValues(provider, verdict.Result.String()).Observe(took.Seconds())
}
