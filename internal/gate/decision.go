package gate

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// Decision is what the gate concluded about one request.
type Decision struct {
	Outcome *Outcome

	// Reason is one short word from a fixed set, or empty.
	Reason string

	// Score is the provider's risk score as text, or empty.
	Score string

	// err is the error behind Failed and Canceled, returned as it is.
	err error

	// proof says what a client may do with its proof, where that is not what
	// goes with the outcome.
	proof ProofState

	// unread says that a part of the body was left unread.
	unread bool
}

// The reasons that the gate itself has. Others come from the extraction, from
// clearances and from verifiers.
const (
	reasonClaimed          = "claimed"           // Replayed: here
	reasonLimit            = "limit"             // Overloaded: verification slots, or failures
	reasonCacheFull        = "cache_full"        // Overloaded
	reasonCacheUnavailable = "cache_unavailable" // Overloaded
	reasonKeys             = "keys"              // Overloaded: clearances cannot be signed or checked
	reasonDown             = "down"              // Outage: the provider is down
	reasonOutage           = "outage"            // Cleared: for as long as it is
	reasonOutageRate       = "outage_rate"       // Overloaded: too many proofs that pass in an outage
	reasonRate             = "rate"              // Overloaded: too many proofs of work
	reasonPrefetch         = "prefetch"          // Missing: nobody may ever look at the answer
	reasonTarget           = "target"            // Malformed: the target of the request is none
	reasonMonitorWait      = "monitor_wait"      // Outage: monitor mode went on without a verdict
	reasonMatcher          = "matcher"           // Failed
	reasonBody             = "body"              // Failed
	reasonEarlyData        = "early_data"        // Failed
)

// String is the decision as a short text for logs and errors.
func (d Decision) String() string {
	if d.Reason == "" {
		return d.Outcome.Name
	}
	return d.Outcome.Name + " (" + d.Reason + ")"
}

// judge turns a verdict into a decision.
func judge(v verifier.Verdict) Decision {
	d := Decision{Outcome: outcomeOf(v.Result), Reason: v.Reason}
	if v.HasScore {
		d.Score = strconv.Itoa(v.Score)
	}
	return d
}

// failed is the decision about a request that cannot be decided about, because
// of err.
func failed(reason string, err error) Decision {
	return Decision{Outcome: Failed, Reason: reason, err: err}
}

// canceled is the decision about a request whose client has left.
func canceled(err error) Decision { return Decision{Outcome: Canceled, err: err} }

// early is the decision about a request before the TLS handshake is complete.
// The client sends it again after the handshake.
func early() Decision {
	return failed(reasonEarlyData, caddyhttp.Error(http.StatusTooEarly,
		errors.New("TLS handshake not complete, client IP cannot be verified")))
}

// unreadable is the decision about a request whose body could not be read.
func unreadable(err error) Decision {
	var handlerErr caddyhttp.HandlerError
	if errors.As(err, &handlerErr) && handlerErr.StatusCode == StatusClientClosedRequest {
		return canceled(err)
	}
	d := failed(reasonBody, err)
	d.unread = true
	return d
}

// left reports whether the client has left, as far as ctx says.
func left(ctx context.Context) (Decision, bool) {
	if err := ctx.Err(); err != nil {
		return canceled(err), true
	}
	return Decision{}, false
}
