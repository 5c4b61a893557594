package gate

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// forwarded remembers, for the time of one request, the decision under which a
// captcha handler forwarded it. A second handler with the same credentials on
// its way would take the same proof for a replay, or not find it any more.
type forwarded struct {
	gate     *Gate
	decision Decision
	earlier  *forwarded
}

// String keeps `{http.vars.captcha}` from showing anything.
func (*forwarded) String() string { return "" }

const forwardedVar = "captcha"

func forwardedEarlier(r *http.Request) *forwarded {
	known, _ := caddyhttp.GetVar(r.Context(), forwardedVar).(*forwarded)
	return known
}

func (g *Gate) rememberDecision(r *http.Request, d Decision) {
	caddyhttp.SetVar(r.Context(), forwardedVar, &forwarded{g, d, forwardedEarlier(r)})
}

// decidedEarlier returns the decision of an earlier handler that holds for this
// one, too: a proof is good for every policy with its captcha, a clearance for
// the policy that gave it.
func (g *Gate) decidedEarlier(r *http.Request) (Decision, bool) {
	for known := forwardedEarlier(r); known != nil; known = known.earlier {
		if known.gate == g || known.gate.fingerprint == g.fingerprint && known.decision.Outcome != Cleared {
			return known.decision, true
		}
	}
	return Decision{}, false
}
