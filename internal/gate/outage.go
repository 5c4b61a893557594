package gate

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/digest"
	"github.com/caddycaptcha/caddycaptcha/internal/flight"
	"github.com/caddycaptcha/caddycaptcha/internal/health"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/offline"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// OnOutage is what becomes of proofs while the provider is down. No request
// waits for the provider then.
type OnOutage string

// The ways to go on.
const (
	OutageDeny  OnOutage = "deny"  // refuse them
	OutageAllow OnOutage = "allow" // let those pass that are well formed, so many a minute
)

// OutageOptions say what becomes of proofs while the provider is down.
type OutageOptions struct {
	Mode OnOutage

	// Rate is how many proofs of one client pass in a minute, its prefix and
	// network having as many times more as of failures, and RateInAll how many
	// of all clients together.
	Rate, RateInAll int
}

// outage is a policy's part in its provider's outages.
type outage struct {
	watch      *health.Watch // nil: the verifier cannot tell
	rate       *limit.Limiter
	admitted   *tally
	challenges *offline.Challenges
	issuer     *clearance.Issuer // nil: deny, or a policy without clearances
}

const (
	// outageClearance is how long a clearance lives at most that was given for
	// a proof nobody has judged. It is good for outageUses requests.
	outageClearance = 5 * time.Minute
	outageUses      = 1

	// outageShare is the part of the replay cache, one in so many, that claims
	// of such proofs may take: whoever makes them up must leave room for what
	// comes after the outage.
	outageShare = 10

	// unboundedStore is how large a store counts as that has no bound of its
	// own.
	unboundedStore = 1_000_000
)

// admissions are the proofs that passed unjudged, of all policies, for as long
// as their claims live.
var admissions tally

var errOutageRate = errors.New("too many unjudged proofs")

// newOutage returns the policy's part. The watch begins with it, and ends with
// Close.
func (g *Gate) newOutage() outage {
	o := outage{challenges: offline.New(g.Keys, g.provider, g.captchaID), admitted: new(tally)}
	if prober, ok := g.Verifier.(verifier.Prober); ok {
		o.watch = health.New(prober, g.outageChanged)
		g.showUp(!o.watch.Down())
	}
	if !g.allowsOutage() {
		return o
	}
	o.rate = limit.New(limit.Rules{Slots: g.Slots, PerClient: g.SlotsPerClient, Failures: g.Outage.Rate})
	if c := g.Clearance; c != nil {
		options := g.clearanceOptions()
		options.Purpose, options.TTL, options.MaxUses = clearance.PurposeOutage, min(c.TTL, outageClearance), outageUses
		o.issuer = clearance.New(g.Keys, options)
	}
	return o
}

// Close ends the gate's part in what it shares with other configs.
func (g *Gate) Close() error {
	if g.outage.watch == nil {
		return nil
	}
	return g.outage.watch.Close()
}

// isDown reports whether the provider is down.
func (g *Gate) isDown() bool { return g.outage.watch != nil && g.outage.watch.Down() }

// allowsOutage reports whether proofs pass unjudged while the provider is down.
func (g *Gate) allowsOutage() bool { return g.Outage.Mode == OutageAllow }

// suspect has the provider probed after a verdict that is none.
func (g *Gate) suspect(v verifier.Verdict) {
	if v.Result == verifier.Unknown && g.outage.watch != nil {
		g.outage.watch.Suspect()
	}
}

// outageChanged tells the operator that the provider is down, or up again.
func (g *Gate) outageChanged(down bool) {
	g.showUp(!down)
	about := []zap.Field{
		zap.String("policy", g.Policy), zap.String("provider", g.provider), zap.String("captcha_id", g.captchaID),
		zap.String("on_outage", string(g.Outage.Mode)),
	}
	switch {
	case !down:
		g.Logger.Info("the captcha provider is up again, and proofs are verified", about...)
	case g.allowsOutage():
		g.Logger.Error("the captcha provider is down: until it is up again, well-formed proofs pass unverified, as on_outage and outage_rate say", about...)
	default:
		g.Logger.Error("the captcha provider is down: until it is up again, proofs are refused; if it is not the provider, check DNS, firewall and endpoint", about...)
	}
}

// judgeInOutage is the decision about a proof while the provider is down.
// verdict is that of the local checks.
func (in *intake) judgeInOutage(r *http.Request, proof verifier.Proof, verdict verifier.Verdict) Decision {
	g := in.gate
	var key cache.Key
	switch {
	case verdict.Result != verifier.Unknown:
		disaster, d := g.disasterProof(r, proof, verdict)
		if d.Outcome != nil {
			return d
		}
		key = disaster
	case !g.allowsOutage():
		return Decision{Outcome: Outage, Reason: reasonDown, proof: ProofReusable}
	default:
		key = g.claimKey(proof)
	}
	identity := g.identity(proof)
	if reason, ok := rejectedProofs().reason(identity); ok {
		return Decision{Outcome: Rejected, Reason: reason}
	}
	g.warnOfAddresses(r)
	client := clientOf(r)
	return in.claim(r, key, identity, client, &admission{gate: g, client: client})
}

// disasterProof returns the claim key of a proof that the provider's widget
// makes by itself, or the decision about one that is none, or that was made
// for a challenge which is not of ours.
func (g *Gate) disasterProof(r *http.Request, proof verifier.Proof, verdict verifier.Verdict) (cache.Key, Decision) {
	fallback, ok := g.challenger.(verifier.Fallback)
	if ok && g.allowsOutage() && verdict.Reason == verifier.ReasonOffline {
		now := time.Now()
		key, issued, ok := fallback.OutageProof(proof, now, g.maxAge())
		if ok && issued != "" {
			var err error
			if ok, err = g.outage.challenges.Check(issued, r.Host, now); err != nil {
				return cache.Key{}, g.withoutKeys(err)
			}
		}
		if ok {
			sum := digest.Of("outage claim", g.provider, g.captchaID, key)
			return cache.Key(sum[:16]), Decision{}
		}
	}
	g.alert(verdict)
	return cache.Key{}, judge(verdict)
}

// admission lets one unjudged proof pass, if there is room for it: what a
// flight does in place of a verification.
type admission struct {
	gate     *Gate
	client   verifier.Client
	call     limit.Call
	admitted bool
}

// Begin implements flight.Verification.
func (a *admission) Begin() error {
	var ok bool
	if a.call, ok = a.gate.outage.rate.Acquire(limit.NewClient(a.client.IP)); !ok {
		return errOutageRate
	}
	return nil
}

// Verify implements flight.Verification. The proof has been claimed.
func (a *admission) Verify(context.Context) (finding, flight.Fate) {
	g := a.gate
	now := time.Now()
	if !g.outage.admitted.take(now, time.Minute, g.Outage.RateInAll) || !admissions.take(now, g.Store.TTL(), storeSize(g.Store)/outageShare) {
		return finding{unjudged: full}, flight.GiveBack
	}
	a.admitted = true
	return finding{unjudged: admitted}, flight.Pass
}

// End implements flight.Verification. Each proof that passed counts.
func (a *admission) End() { a.call.Release(a.admitted) }

// storeSize returns how many claims a store has room for.
func storeSize(store cache.Store) int {
	if bounded, ok := store.(cache.Bounded); ok {
		return bounded.Bound()
	}
	return unboundedStore
}

// tally counts what happened within a time. Its zero value is ready for use.
type tally struct {
	mu    sync.Mutex
	times []time.Time // from the oldest to the newest
}

// take counts one event more, unless there were as many as most within the
// time before now.
func (t *tally) take(now time.Time, within time.Duration, most int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.times) > 0 && now.Sub(t.times[0]) >= within {
		t.times = t.times[1:]
	}
	if len(t.times) >= most {
		return false
	}
	t.times = append(t.times, now)
	return true
}

// outageChallenge returns what a page needs to show the widget while the
// provider is down, without asking it, or the decision that follows.
func (g *Gate) outageChallenge(r *http.Request) (challenge any, failure Decision) {
	fallback, ok := g.challenger.(verifier.Fallback)
	if !ok || !g.allowsOutage() {
		return nil, Decision{Outcome: Outage, Reason: reasonDown}
	}
	issued, err := g.outage.challenges.Issue(r.Host, time.Now())
	if err != nil {
		return nil, g.withoutKeys(err)
	}
	return fallback.OutageChallenge(issued), Decision{}
}
