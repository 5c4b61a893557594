package gate

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/clock"
	"github.com/caddycaptcha/caddycaptcha/internal/digest"
	"github.com/caddycaptcha/caddycaptcha/internal/extract"
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
	OutagePoW   OnOutage = "pow"   // ask for a proof of work instead, of which so many a minute pass
)

// OutageOptions say what becomes of proofs while the provider is down.
type OutageOptions struct {
	Mode OnOutage

	// Work is what people are asked for with OutagePoW, and AtVerify finds its
	// proofs.
	Work     verifier.Local
	AtVerify *extract.Extractor

	// Rate is how many proofs of one client pass in a minute with OutageAllow,
	// its prefix and network having as many times more as of failures, and
	// RateInAll how many of all clients together.
	Rate, RateInAll int
}

// outage is a policy's part in its provider's outages.
type outage struct {
	watch      *health.Watch // nil: the verifier cannot tell
	quota      *quota        // of proofs that pass unjudged; nil but with allow
	challenges *offline.Challenges
	issuer     *clearance.Issuer // nil: deny, or a policy without clearances
	work       *intake           // nil but with pow
}

const (
	// outageClearance is how long a clearance lives at most that was given for
	// a proof nobody has judged. It is good for outageUses requests.
	outageClearance = 5 * time.Minute
	outageUses      = 1
)

// newOutage returns the policy's part. The watch begins with it, and ends with
// Close.
func (g *Gate) newOutage() outage {
	o := outage{challenges: offline.New(g.Keys, g.provider, g.captchaID)}
	if prober, ok := g.captcha.Verifier.(verifier.Prober); ok {
		o.watch = health.New(prober, g.outageChanged)
		g.showUp(!o.watch.Down())
	}
	switch g.Outage.Mode {
	case OutageAllow:
		o.quota = newQuota(g.Options, g.Outage.Rate, g.Outage.RateInAll, &admissions, g.Store.TTL())
	case OutagePoW:
		work := newCaptcha(g.Options, g.Outage.Work, clearance.PurposeOutageWork)
		o.work = &intake{gate: g, captcha: &work, extractor: g.Outage.AtVerify, limits: limit.New(g.proofRules()), standsIn: true}
	case OutageDeny:
		return o
	}
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
	case g.Outage.Mode == OutagePoW:
		g.Logger.Error("the captcha provider is down: until it is up again, people are asked for a proof of work, as on_outage and outage_rate say", about...)
	default:
		g.Logger.Error("the captcha provider is down: until it is up again, proofs are refused; if it is not the provider, check DNS, firewall and endpoint", about...)
	}
}

// judgeInOutage is the decision about a proof while the provider is down.
// verdict is that of the local checks.
func (in *intake) judgeInOutage(r *http.Request, proof verifier.Proof, verdict verifier.Verdict, p *patience) Decision {
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
	identity := g.identity(r, proof)
	if reason, ok := rejectedProofs().reason(identity); ok {
		return Decision{Outcome: Rejected, Reason: reason}
	}
	g.warnOfAddresses(r)
	client := g.clientOf(r)
	admitted := &admission{quota: g.outage.quota, client: client}
	return in.claim(r, flight.Attempt[finding]{Key: key, TTL: g.Store.TTL(), Identity: identity, Verification: admitted}, p)
}

// disasterProof returns the claim key of a proof that the provider's widget
// makes by itself, or the decision about one that is none, or that was made
// for a challenge which is not of ours.
func (g *Gate) disasterProof(r *http.Request, proof verifier.Proof, verdict verifier.Verdict) (cache.Key, Decision) {
	fallback, ok := g.challenger.(verifier.Fallback)
	if ok && g.allowsOutage() && verdict.Reason == verifier.ReasonOffline {
		now := clock.Now()
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

// admission lets one proof pass, if its quota has room for it: what a flight
// does in place of a verification.
type admission struct {
	quota    *quota
	client   verifier.Client
	call     limit.Call
	admitted bool
}

// Begin implements flight.Verification.
func (a *admission) Begin() error {
	var ok bool
	if a.call, ok = a.quota.rate.Acquire(limit.NewClient(a.client.IP)); !ok {
		return errQuota
	}
	return nil
}

// Verify implements flight.Verification. The proof has been claimed.
func (a *admission) Verify(context.Context) (finding, flight.Fate) {
	if !a.quota.take(time.Now()) {
		return finding{admission: full}, flight.GiveBack
	}
	a.admitted = true
	return finding{admission: admitted}, flight.Pass
}

// End implements flight.Verification. Each proof that passed counts.
func (a *admission) End() { a.call.Release(a.admitted) }

// outageChallenge returns what a page needs to show the widget while the
// provider is down, without asking it, or the decision that follows.
func (g *Gate) outageChallenge(r *http.Request) (challenge any, failure Decision) {
	if work := g.outage.work; work != nil {
		return g.askForChallenge(r, work.captcha)
	}
	fallback, ok := g.challenger.(verifier.Fallback)
	if !ok || !g.allowsOutage() {
		return nil, Decision{Outcome: Outage, Reason: reasonDown}
	}
	issued, err := g.outage.challenges.Issue(r.Host, clock.Now())
	if err != nil {
		return nil, g.withoutKeys(err)
	}
	return fallback.OutageChallenge(issued), Decision{}
}
