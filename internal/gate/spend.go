package gate

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddycaptcha/caddycaptcha/internal/flight"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// flights are the verifications of this process that are under way. They
// outlive a config, as the claims do.
var flights flight.Table[finding]

// finding is what becomes of a proof: the provider's verdict, or whether a
// quota admits it.
type finding struct {
	verifier.Verdict
	admission admissionState
}

// admissionState is what a quota has decided about a proof.
type admissionState uint8

const (
	admitted admissionState = iota + 1 // the proof may pass
	full                               // too many have
)

// Why there is no verdict.
var (
	errLimit    = errors.New("too many verifications")
	errReplayed = flight.ErrReplayed
)

func isDeadline(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// spend uses a well-formed proof for this request: it claims it, has it
// verified, and keeps or gives back the claim.
func (in *intake) spend(r *http.Request, proof verifier.Proof, p *patience) Decision {
	c := in.captcha
	identity := c.identity(r, proof)
	if reason, ok := rejectedProofs().reason(identity); ok {
		return Decision{Outcome: Rejected, Reason: reason}
	}
	in.gate.warnOfAddresses(r)
	client := c.clientOf(r)
	v := &verification{intake: in, proof: proof, identity: identity, client: client}
	a := flight.Attempt[finding]{Key: c.claimKey(proof), TTL: c.claimTTL(in.gate.Store), Identity: identity, Verification: v}
	if c.local == nil {
		return in.claim(r, a, p)
	}
	// What is judged here is judged before it is claimed: that costs less than
	// a claim.
	verdict, err := v.alone(r.Context())
	if err != nil {
		return in.withoutVerdict(r, err)
	}
	if verdict.Result != verifier.Passed {
		return judge(verdict)
	}
	a.Verification = &admission{quota: c.local.quota, client: client}
	return in.claim(r, a, p)
}

// claim claims a proof for the client, and decides by what is found of it.
func (in *intake) claim(r *http.Request, a flight.Attempt[finding], p *patience) Decision {
	g := in.gate
	a.Prefix, a.Store = request.ClientPrefix(request.ClientIP(r)), g.Store
	ctx, waited := p.wait(r.Context())
	defer waited()
	seat, err := flights.Join(ctx, a)
	if err != nil {
		return in.withoutVerdict(r, err)
	}
	found, err := seat.Wait(ctx)
	if err != nil {
		// Monitor mode goes on without a verdict. The proof is then as unused
		// as the verdict is unknown: another handler may wait for it.
		seat.Leave(false)
		return in.withoutVerdict(r, err)
	}
	d := in.judgeFinding(found)
	forwards := d.Outcome.Forwards || in.monitors
	seat.Leave(forwards)
	if forwards {
		g.rememberDecision(r, d)
	}
	return d
}

// withoutVerdict is that of the gate, which knows no quotas.
func (in *intake) withoutVerdict(r *http.Request, err error) Decision {
	if errors.Is(err, errQuota) {
		return in.judgeFinding(finding{admission: full})
	}
	return in.gate.withoutVerdict(r, err)
}

// judgeFinding turns a finding into a decision. What is for an outage, or was
// let pass unjudged, perhaps by another policy with the captcha, is good for
// nothing where that is not allowed, or once the provider is up again.
func (in *intake) judgeFinding(f finding) Decision {
	g := in.gate
	switch {
	case f.admission == full:
		return Decision{Outcome: Overloaded, Reason: in.reasonFull()}
	case f.admission == 0:
		return judge(f.Verdict)
	case in.captcha.local != nil && !in.standsIn:
		return Decision{Outcome: Passed}
	case g.isDown() && (in.standsIn || g.allowsOutage()):
		return Decision{Outcome: OutageAllowed}
	}
	return Decision{Outcome: Rejected, Reason: verifier.ReasonOffline}
}

// reasonFull is the reason where a quota has no room.
func (in *intake) reasonFull() string {
	if in.captcha.local != nil && !in.standsIn {
		return reasonRate
	}
	return reasonOutageRate
}

// verification is the verification of one proof: what a flight does for the
// request that starts it.
type verification struct {
	intake   *intake
	proof    verifier.Proof
	identity [32]byte
	client   verifier.Client
	call     limit.Call
	failed   bool // counts against the client
}

// Begin implements flight.Verification.
func (v *verification) Begin() error {
	var ok bool
	if v.call, ok = v.intake.limits.Acquire(limit.NewClient(v.client.IP)); !ok {
		return errLimit
	}
	return nil
}

// Verify implements flight.Verification.
func (v *verification) Verify(ctx context.Context) (finding, flight.Fate) {
	g, c := v.intake.gate, v.intake.captcha
	started := time.Now()
	verdict := c.Verify(ctx, v.proof, v.client)
	observeVerification(c.provider, verdict, time.Since(started))
	g.alert(verdict)
	g.suspect(verdict)
	if verdict.Result == verifier.Rejected {
		rejectedProofs().add(v.identity, verdict.Reason)
	}
	v.failed = blames(verdict.Result)
	return finding{Verdict: verdict}, fate(verdict.Result)
}

// End implements flight.Verification.
func (v *verification) End() { v.call.Release(v.failed) }

// alone runs the verification without a flight.
func (v *verification) alone(ctx context.Context) (verifier.Verdict, error) {
	if err := v.Begin(); err != nil {
		return verifier.Verdict{}, err
	}
	defer v.End()
	found, _ := v.Verify(ctx)
	return found.Verdict, nil
}

// blames reports whether a result counts against the client's failures. What
// the provider or the operator got wrong does not.
func blames(result verifier.Result) bool {
	switch result {
	case verifier.Malformed, verifier.Rejected, verifier.Expired, verifier.Replayed, verifier.Risky:
		return true
	case verifier.Unknown, verifier.Passed, verifier.Overloaded, verifier.Misconfigured:
	}
	return false
}

// fate is what a result means for the claim. A proof that the provider called
// spent or too old is no use to anyone; one that it turned down for another
// reason might be a genuine one that somebody else tampered with, and must not
// be blocked for its owner.
func fate(result verifier.Result) flight.Fate {
	switch result {
	case verifier.Passed:
		return flight.Pass
	case verifier.Risky, verifier.Expired, verifier.Replayed:
		return flight.Spend
	case verifier.Unknown, verifier.Malformed, verifier.Rejected, verifier.Overloaded, verifier.Misconfigured:
	}
	return flight.GiveBack
}

// clientType is GeeTest's client_type: "web" for a desktop browser, "h5" for a
// mobile one, "unknown" for anything else.
func clientType(userAgent string) string {
	switch {
	case !strings.HasPrefix(userAgent, "Mozilla/"):
		return "unknown"
	case strings.Contains(userAgent, "Mobi"), strings.Contains(userAgent, "Android"):
		return "h5"
	}
	return "web"
}

// warnOfAddresses tells the operator once of addresses that clients can choose,
// or that are a proxy's.
func (g *Gate) warnOfAddresses(r *http.Request) {
	if g.warnedOfAddresses.Load() {
		return
	}
	var warning string
	switch {
	case request.IsSpoofable(r):
		warning = "clients can make up the address that limits and the captcha provider go by: add trusted_proxies_strict beside trusted_proxies in the global options"
	case request.UntrustedForwarded(r):
		warning = "a request came from a private address with X-Forwarded-For or X-Forwarded-Proto, which are not believed: if that is your proxy, name it with trusted_proxies in the global options, or all its clients share one client's limits and https counts as http"
	default:
		return
	}
	if !g.warnedOfAddresses.Swap(true) {
		g.Logger.Warn(warning, zap.String("policy", g.Policy))
	}
}
