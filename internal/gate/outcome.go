package gate

import (
	"net/http"
	"strconv"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// Outcome is what became of a request. There is one for each row of the table
// below, from which metrics, refusals, the page and the documentation take
// what they say.
type Outcome struct {
	// Name is the outcome's name in the Captcha-Outcome header, placeholders,
	// logs and metrics.
	Name string

	// Forwards says that the request goes to the next handler.
	Forwards bool

	// Status is the HTTP status of a refusal, and 0 where the outcome has no
	// answer of its own: it forwards, or returns an error.
	Status int

	// RetryAfter is the value of the header field of that name, in seconds, or
	// 0 for none.
	RetryAfter int

	// Curable says that a person who solves a captcha gets on after this
	// refusal. Such refusals can be a page.
	Curable bool

	// Proof says what a client may do with the proof that it sent, or nothing
	// where it sent none.
	Proof ProofState

	// Detail is what a refusal tells people.
	Detail string

	index int
}

// ProofState says what a client that was refused may do with its proof.
type ProofState string

// The states of a proof.
const (
	ProofReusable ProofState = "reusable" // send it again
	ProofSpent    ProofState = "spent"    // solve another captcha
	ProofUnknown  ProofState = "unknown"  // the provider may have taken it
)

// StatusClientClosedRequest is what Caddy answers and logs when the client has
// left.
const StatusClientClosedRequest = 499

// The outcomes. All that is known of one stands in its row: a new outcome needs
// no other place.
var (
	// Passed: the provider vouched for the proof just now.
	Passed = outcome(Outcome{Name: "passed", Forwards: true})

	// Cleared: the request has a valid clearance.
	Cleared = outcome(Outcome{Name: "cleared", Forwards: true})

	// Exempt: a CORS preflight, with `preflight forward`.
	Exempt = outcome(Outcome{Name: "exempt", Forwards: true})

	// OutageAllowed: the provider is down, and the operator lets well-formed
	// proofs pass then.
	OutageAllowed = outcome(Outcome{Name: "outage_allowed", Forwards: true})

	// Missing: no source held a complete proof.
	Missing = outcome(Outcome{
		Name: "missing", Status: http.StatusForbidden, Curable: true,
		Detail: "This request needs the proof of a solved captcha.",
	})

	// Malformed: what was sent cannot be a proof, or its target is none.
	Malformed = outcome(Outcome{
		Name: "malformed", Status: http.StatusBadRequest, Proof: ProofSpent,
		Detail: "The captcha proof in this request cannot be one.",
	})

	// Rejected: the provider, or a local check, says no.
	Rejected = outcome(Outcome{
		Name: "rejected", Status: http.StatusForbidden, Curable: true, Proof: ProofSpent,
		Detail: "The captcha proof was not accepted. Solve the captcha again.",
	})

	// Expired: the proof is too old.
	Expired = outcome(Outcome{
		Name: "expired", Status: http.StatusForbidden, Curable: true, Proof: ProofSpent,
		Detail: "The captcha proof is too old. Solve the captcha again.",
	})

	// Replayed: the proof was used before.
	Replayed = outcome(Outcome{
		Name: "replayed", Status: http.StatusForbidden, Curable: true, Proof: ProofSpent,
		Detail: "The captcha proof was used before. Solve the captcha again.",
	})

	// Risky: the provider rates the client as malicious.
	Risky = outcome(Outcome{
		Name: "risky", Status: http.StatusForbidden, Proof: ProofSpent,
		Detail: "The captcha provider rates this client as a risk.",
	})

	// Outage: the provider cannot be asked.
	Outage = outcome(Outcome{
		Name: "outage", Status: http.StatusServiceUnavailable, RetryAfter: 5, Proof: ProofUnknown,
		Detail: "The captcha could not be verified. Try again later.",
	})

	// Overloaded: a limit is reached, here or at the provider, or the replay
	// cache cannot take the proof.
	Overloaded = outcome(Outcome{
		Name: "overloaded", Status: http.StatusServiceUnavailable, RetryAfter: 1, Proof: ProofReusable,
		Detail: "Too many captcha verifications. Try again later.",
	})

	// Misconfigured: the provider refuses our credentials, or gives less than
	// the options need.
	Misconfigured = outcome(Outcome{
		Name: "misconfigured", Status: http.StatusServiceUnavailable, Proof: ProofReusable,
		Detail: "The captcha is not set up correctly. The site's operator has been told.",
	})

	// Canceled: the client left.
	Canceled = outcome(Outcome{Name: "canceled", Status: StatusClientClosedRequest})

	// Failed: a matcher or the reading of the body failed; its error is
	// returned unchanged.
	Failed = outcome(Outcome{Name: "error"})
)

// outcomes are all outcomes there are.
var outcomes []*Outcome

// outcome adds a row to the table. What a row lacks shows when the program
// starts.
func outcome(o Outcome) *Outcome {
	answered := o.Status != 0 && o.Status != StatusClientClosedRequest
	if o.Name == "" || answered != (o.Detail != "") || answered && o.Forwards || o.Curable && !answered {
		panic("the outcome " + strconv.Quote(o.Name) + " contradicts itself or lacks something")
	}
	for _, other := range outcomes {
		if other.Name == o.Name {
			panic("there are two outcomes " + o.Name)
		}
	}
	o.index = len(outcomes)
	outcomes = append(outcomes, &o)
	return &o
}

// Outcomes returns all outcomes, in the order of the documentation.
func Outcomes() []*Outcome { return append([]*Outcome(nil), outcomes...) }

// outcomeOf maps what a verifier concluded to what becomes of the request.
func outcomeOf(result verifier.Result) *Outcome {
	switch result {
	case verifier.Passed:
		return Passed
	case verifier.Malformed:
		return Malformed
	case verifier.Rejected:
		return Rejected
	case verifier.Expired:
		return Expired
	case verifier.Replayed:
		return Replayed
	case verifier.Risky:
		return Risky
	case verifier.Overloaded:
		return Overloaded
	case verifier.Misconfigured:
		return Misconfigured
	case verifier.Unknown:
	}
	return Outage // and of a result that a third party's verifier made up
}
