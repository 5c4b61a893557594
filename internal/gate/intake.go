package gate

import (
	"net/http"

	"github.com/caddycaptcha/caddycaptcha/internal/clock"
	"github.com/caddycaptcha/caddycaptcha/internal/extract"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// intake is a way in which proofs reach a policy: with the request that they
// are for, or at the endpoint verify.
type intake struct {
	gate      *Gate
	captcha   *captcha
	extractor *extract.Extractor
	limits    *limit.Limiter

	// monitors says that a request goes on without a verdict.
	monitors bool

	// standsIn says that the captcha stands in for one whose provider is down,
	// and is good for nothing otherwise.
	standsIn bool

	// ownFields says that what looks like a proof and cannot be one may be the
	// application's own field of that name, such as a help desk's ticket. A
	// clearance is the way past it.
	ownFields bool
}

// prove takes the proof out of the request and spends it. The patience is that
// with the replay cache and the provider.
func (in *intake) prove(w http.ResponseWriter, r *http.Request, p *patience) Decision {
	timeout := bodyTimeout
	if in.monitors {
		timeout = 0 // a deadline would break a slow upload that has to go on
	}
	memory := in.gate.Memory.For(limit.NewClient(request.ClientIP(r)))
	found, err := in.extractor.Extract(w, r, request.Original(r).URL.RawQuery, timeout, memory)
	if err != nil {
		return unreadable(err)
	}
	d := in.judgeFound(r, found, p)
	d.unread = found.BodyUnread
	if d.Outcome == Malformed && in.ownFields {
		d.Outcome = Missing
	}
	return d
}

// judgeFound is the decision about what was found in the request.
func (in *intake) judgeFound(r *http.Request, found extract.Result, p *patience) Decision {
	switch found.Status {
	case extract.Missing:
		return Decision{Outcome: Missing, Reason: found.Reason}
	case extract.Malformed:
		return Decision{Outcome: Malformed, Reason: found.Reason}
	case extract.Overloaded:
		return Decision{Outcome: Overloaded, Reason: found.Reason}
	case extract.Found:
	}
	g, proof := in.gate, verifier.Proof(found.Values)
	if in.standsIn && !g.isDown() {
		return Decision{Outcome: Rejected, Reason: verifier.ReasonOffline}
	}
	verdict := in.captcha.Check(proof, clock.Now(), g.maxAge())
	if g.isDown() && !in.standsIn {
		return in.judgeInOutage(r, proof, verdict, p)
	}
	if verdict.Result != verifier.Unknown {
		g.alert(verdict)
		return judge(verdict)
	}
	return in.spend(r, proof, p)
}
