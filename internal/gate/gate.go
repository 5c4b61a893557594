// Package gate is the runtime half of a captcha policy: it decides about
// requests, answers those that it refuses, and serves the policy's endpoints.
//
// A matched request goes through Decide: an exemption, a clearance, or a proof
// that is taken out of the request (intake.go), claimed and verified
// (spend.go). The Decision is recorded (record.go) and, if its Outcome
// (outcome.go) does not forward, answered (refusal.go).
package gate

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/extract"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// Options are what a gate is made of. All of them are checked and have their
// defaults.
type Options struct {
	Policy   string
	BasePath string

	Verifier verifier.Verifier
	Store    cache.Store
	Keys     *clearance.Keys

	// Memory is what the bodies take that are searched for proofs, of all
	// policies of a config.
	Memory *limit.Memory

	// OnRequest finds proofs in requests, AtVerify at the endpoint verify.
	OnRequest, AtVerify *extract.Extractor

	// Strip lists the sources from which proofs are removed.
	Strip []extract.Source

	// Clearance is nil where the policy gives none.
	Clearance *ClearanceOptions

	Refusal           Refusal
	Page              *browser.Page
	ForwardPreflights bool
	Monitor           bool

	// Slots is how many verifications run at once, in all and for one client.
	Slots, SlotsPerClient int

	Outage OutageOptions

	// Failures is how many of a client's verifications may fail in a minute.
	Failures int

	Logger *zap.Logger
}

// ClearanceOptions are what a policy's clearances are like.
type ClearanceOptions struct {
	TTL                   time.Duration
	MaxUses               int // 0: any number
	BindIP, BindUserAgent bool
	Domain                string // empty: each is good for its host
}

// Gate is what stands at runtime behind all handlers of one policy. Its
// methods are safe for concurrent use.
type Gate struct {
	Options

	captcha

	onRequest intake
	atVerify  intake
	issuer    *clearance.Issuer // nil without clearances
	outage    outage
	visits    *limit.Limiter // of challenges and pages
	questions *limit.Limiter // of what a submission will need

	protected []*request.Matchers // of the policy's handlers
	foresees  atomic.Bool

	counters counters
	problems problems
	alarm    *zap.Logger // says the same thing once a minute at most
	refusals *zap.Logger // of what was refused, bounded by linesPerSecond

	unshown           unshown
	passed            atomic.Bool // whether any proof has
	warnedOfAddresses atomic.Bool
}

const (
	// bodyTimeout is how long a client may take to send the part of a body
	// that is searched for the proof.
	bodyTimeout = 10 * time.Second

	// monitorWait is how long monitor mode holds up a request for the replay
	// cache and the provider together.
	monitorWait = time.Second

	// proofMargin is how much longer a proof is remembered than it is
	// accepted, so that no clock that is off by less reopens it.
	proofMargin = 5 * time.Minute

	// visitsPerMinute is how many challenges and pages one client may have
	// per minute. A GeeTest v3 challenge costs a call to the provider.
	visitsPerMinute = 600

	// visitsForgiven is how many of them a client may have had in the last
	// minute and still count as innocent: everyone has a page before a
	// challenge.
	visitsForgiven = visitsPerMinute / 10
)

// New returns a gate, which must be closed. It connects to nothing.
func New(o Options) *Gate {
	visits := limit.Rules{Slots: o.Slots, PerClient: o.SlotsPerClient, Failures: visitsPerMinute, Forgiven: visitsForgiven}
	g := &Gate{
		Options:   o,
		captcha:   newCaptcha(o, o.Verifier, clearance.PurposeWork),
		visits:    limit.New(visits),
		questions: limit.New(visits),
		alarm:     Throttled(o.Logger),
		refusals:  bounded(o.Logger),
	}
	g.onRequest = intake{
		gate:      g,
		captcha:   &g.captcha,
		extractor: o.OnRequest,
		limits:    limit.New(g.proofRules()),
		monitors:  o.Monitor,
		ownFields: o.Clearance != nil,
	}
	g.atVerify = intake{
		gate:      g,
		captcha:   &g.captcha,
		extractor: o.AtVerify,
		limits:    limit.New(g.proofRules()),
	}
	if o.Clearance != nil {
		g.issuer = clearance.New(o.Keys, g.clearanceOptions())
	}
	g.counters = newCounters(o.Policy, g.provider)
	g.outage = g.newOutage()
	return g
}

// proofRules are the limits of verifications.
func (g *Gate) proofRules() limit.Rules {
	return limit.Rules{Slots: g.Slots, PerClient: g.SlotsPerClient, Failures: g.Failures}
}

// maxAge is how old a proof may be that carries its own time.
func (g *Gate) maxAge() time.Duration { return g.Store.TTL() - proofMargin }

// Start gets the keys for clearances, which it is better to do before the
// first request than with it.
func (g *Gate) Start() error {
	if g.issuer == nil {
		return nil
	}
	_, err := g.Keys.Derive(clearance.PurposeClearance, g.Policy)
	return err
}

// Decide says what becomes of a request that has to prove a human.
func (g *Gate) Decide(w http.ResponseWriter, r *http.Request) Decision {
	switch {
	case g.ForwardPreflights && request.IsBarePreflight(r):
		return Decision{Outcome: Exempt}
	case request.IsEarly(r):
		return early()
	}
	if d, ok := g.decidedEarlier(r); ok {
		return d
	}
	if g.takesUses() && request.IsPrefetch(r.Header) {
		return Decision{Outcome: Missing, Reason: reasonPrefetch}
	}
	p := g.patience()
	cleared := g.useClearance(r, p)
	if cleared.Outcome != Missing {
		return cleared
	}
	d := g.onRequest.prove(w, r, p)
	if d.Outcome == Missing && d.Reason == extract.ReasonNone && cleared.Reason != "" {
		d.Reason = cleared.Reason // tells more: there was a clearance, but it would not do
	}
	return d
}

// Forwards reports whether a request goes on to the next handler.
func (g *Gate) Forwards(d Decision) bool { return d.Outcome.Forwards || g.Monitor }

// StripProof removes the proof from a request that is forwarded, as far as the
// option strip says.
func (g *Gate) StripProof(r *http.Request) { g.OnRequest.Strip(r, g.Strip) }

// MatcherFailed is the decision about a request for which a matcher failed.
func MatcherFailed(err error) Decision { return failed(reasonMatcher, err) }

// withoutVerdict is the decision about a request for which there is no verdict
// because of err: of a limit, the replay cache, or a wait that was too long.
func (g *Gate) withoutVerdict(r *http.Request, err error) Decision {
	if d, ok := left(r.Context()); ok {
		return d
	}
	unavailable := errors.Is(err, cache.ErrUnavailable)
	switch {
	case errors.Is(err, errReplayed):
		return Decision{Outcome: Replayed, Reason: reasonClaimed}
	case errors.Is(err, errLimit):
		return Decision{Outcome: Overloaded, Reason: reasonLimit}
	case errors.Is(err, cache.ErrFull):
		g.alarm.Error("the replay cache is full and new proofs are refused: raise its capacity in the global option captcha, or find out who sends so many",
			zap.String("policy", g.Policy))
		return Decision{Outcome: Overloaded, Reason: reasonCacheFull}
	case isDeadline(err) && !unavailable:
		return Decision{Outcome: Outage, Reason: reasonMonitorWait}
	}
	g.alarm.Error("the replay cache cannot record proofs and new ones are refused: see the error",
		zap.String("policy", g.Policy), zap.Error(err))
	return Decision{Outcome: Overloaded, Reason: reasonCacheUnavailable}
}
