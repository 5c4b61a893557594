package gate

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/digest"
	"github.com/caddycaptcha/caddycaptcha/internal/flight"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// flights are the verifications of this process that are under way. They
// outlive a config, as the claims do.
var flights flight.Table[finding]

// finding is what becomes of a proof: the verdict, or what was decided without
// one.
type finding struct {
	verifier.Verdict
	unjudged unjudged
}

// unjudged is what was decided without a verdict, because the provider is down.
type unjudged uint8

const (
	admitted unjudged = iota + 1 // the proof may pass
	full                         // too many have
)

// Why there is no verdict.
var (
	errLimit    = errors.New("too many verifications")
	errReplayed = flight.ErrReplayed
)

func isDeadline(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// spend uses a well-formed proof for this request: it claims it, has it
// verified, and keeps or gives back the claim.
func (in *intake) spend(r *http.Request, proof verifier.Proof) Decision {
	g := in.gate
	identity := g.identity(proof)
	if reason, ok := rejectedProofs().reason(identity); ok {
		return Decision{Outcome: Rejected, Reason: reason}
	}
	g.warnOfAddresses(r)
	client := clientOf(r)
	return in.claim(r, g.claimKey(proof), identity, client, &verification{intake: in, proof: proof, identity: identity, client: client})
}

// claim claims a proof, and decides by what is found of it.
func (in *intake) claim(r *http.Request, key cache.Key, identity [32]byte, client verifier.Client, v flight.Verification[finding]) Decision {
	g := in.gate
	ctx := r.Context()
	if in.monitors {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, monitorWait)
		defer cancel()
	}
	seat, err := flights.Join(ctx, flight.Attempt[finding]{
		Key:          key,
		Identity:     identity,
		Prefix:       request.ClientPrefix(client.IP),
		Store:        g.Store,
		TTL:          g.Store.TTL(),
		Verification: v,
	})
	if err != nil {
		return g.withoutVerdict(r, err)
	}
	found, err := seat.Wait(ctx)
	if err != nil {
		// Monitor mode goes on without a verdict. The proof is then as unused
		// as the verdict is unknown: another handler may wait for it.
		seat.Leave(false)
		return g.withoutVerdict(r, err)
	}
	d := g.judgeFinding(found)
	forwards := d.Outcome.Forwards || in.monitors
	seat.Leave(forwards)
	if forwards {
		g.rememberDecision(r, d)
	}
	return d
}

// judgeFinding turns a finding into a decision. A proof that was let pass
// unjudged, perhaps by another policy with the captcha, is good for nothing
// where that is not allowed, or once the provider is up again.
func (g *Gate) judgeFinding(f finding) Decision {
	switch {
	case f.unjudged == full:
		return Decision{Outcome: Overloaded, Reason: reasonOutageRate}
	case f.unjudged == admitted && (!g.allowsOutage() || !g.isDown()):
		return Decision{Outcome: Rejected, Reason: verifier.ReasonOffline}
	case f.unjudged == admitted:
		return Decision{Outcome: OutageAllowed}
	}
	return judge(f.Verdict)
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
	g := v.intake.gate
	started := time.Now()
	verdict := g.Verifier.Verify(ctx, v.proof, v.client)
	observeVerification(g.provider, verdict, time.Since(started))
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

// claimKey is the proof's key in the replay cache: the same for every spelling
// of the proof, every policy and every site with the captcha.
func (g *Gate) claimKey(proof verifier.Proof) cache.Key {
	sum := digest.Of("claim", g.provider, g.captchaID, g.Verifier.ReplayKey(proof))
	return cache.Key(sum[:16])
}

// identity digests the whole proof and the credentials it is checked with.
func (g *Gate) identity(proof verifier.Proof) [32]byte {
	return digest.With(g.fingerprint, proof...)
}

// clientOf returns what a provider is told about the client.
func clientOf(r *http.Request) verifier.Client {
	return verifier.Client{IP: request.ClientIP(r), Type: clientType(r.UserAgent())}
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
