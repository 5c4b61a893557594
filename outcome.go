package caddycaptcha

import (
	"net/http"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// Outcome says what became of a request. It is the value of the
// Captcha-Outcome header, the `{http.captcha.outcome}` placeholder, the access
// log's `captcha_outcome` field and the `outcome` metric label.
type Outcome string

// The outcomes. Passed, Cleared and Exempt forward the request, all others
// refuse it.
const (
	// Passed: the provider vouched for the proof just now.
	Passed Outcome = "passed"
	// Cleared: the request has a valid clearance.
	Cleared Outcome = "cleared"
	// Exempt: a CORS preflight, with `preflight forward`.
	Exempt Outcome = "exempt"
	// Missing: no source held a complete proof.
	Missing Outcome = "missing"
	// Malformed: the proof cannot be one.
	Malformed Outcome = "malformed"
	// Rejected: the provider, or a local check, says no.
	Rejected Outcome = "rejected"
	// Expired: the proof is too old.
	Expired Outcome = "expired"
	// Replayed: the proof was used before.
	Replayed Outcome = "replayed"
	// Risky: the provider rates the client as malicious.
	Risky Outcome = "risky"
	// Outage: the provider cannot be asked.
	Outage Outcome = "outage"
	// Overloaded: a limit is reached, here or at the provider, or the replay
	// cache cannot take the proof.
	Overloaded Outcome = "overloaded"
	// Misconfigured: the provider refuses our credentials.
	Misconfigured Outcome = "misconfigured"
	// Canceled: the client left.
	Canceled Outcome = "canceled"
	// Failed: a matcher or the reading of the body failed; its error is
	// returned unchanged.
	Failed Outcome = "error"
)

// forwards reports whether a request of this outcome goes upstream.
func (o Outcome) forwards() bool { return o == Passed || o == Cleared || o == Exempt }

// curable reports whether a person who solves a captcha gets on after this
// refusal.
func (o Outcome) curable() bool {
	return o == Missing || o == Rejected || o == Expired || o == Replayed
}

// statusClientClosedRequest is what Caddy answers and logs when the client has
// gone (nginx's 499).
const statusClientClosedRequest = 499

// What a client may do with the proof it sent, in the problem's "proof".
const (
	proofReusable = "reusable" // send the same proof again
	proofSpent    = "spent"    // solve the captcha again
	proofUnknown  = "unknown"  // it may have reached the provider
)

// refusal is how an outcome is answered.
type refusal struct {
	status     int
	retryAfter string // seconds
	proof      string
	detail     string
}

var refusals = map[Outcome]refusal{
	Missing:       {http.StatusForbidden, "", "", "This request needs the proof of a solved captcha."},
	Malformed:     {http.StatusBadRequest, "", proofSpent, "The captcha proof in this request cannot be one."},
	Rejected:      {http.StatusForbidden, "", proofSpent, "The captcha proof was not accepted. Solve the captcha again."},
	Expired:       {http.StatusForbidden, "", proofSpent, "The captcha proof is too old. Solve the captcha again."},
	Replayed:      {http.StatusForbidden, "", proofSpent, "The captcha proof was used before. Solve the captcha again."},
	Risky:         {http.StatusForbidden, "", proofSpent, "The captcha provider rates this client as a risk."},
	Outage:        {http.StatusServiceUnavailable, "5", proofUnknown, "The captcha could not be verified. Try again later."},
	Overloaded:    {http.StatusServiceUnavailable, "1", proofReusable, "Too many captcha verifications. Try again later."},
	Misconfigured: {http.StatusServiceUnavailable, "", proofReusable, "The captcha is not set up correctly. The site's operator has been told."},
}

// decision is what the captcha handler concluded about one request.
type decision struct {
	outcome Outcome

	// reason is one short word from a fixed set, or empty.
	reason string

	// proof says what a client may do with its proof, where that is not what
	// goes with the outcome.
	proof string

	// score is the provider's risk score as text, or empty.
	score string

	// err is the error behind Failed and Canceled, returned as it is.
	err error

	// unread is true when a part of the body was left unread.
	unread bool
}

// outcomes maps what a verifier concluded to what becomes of the request.
var outcomes = map[verifier.Result]Outcome{
	verifier.Unknown:       Outage,
	verifier.Passed:        Passed,
	verifier.Malformed:     Malformed,
	verifier.Rejected:      Rejected,
	verifier.Expired:       Expired,
	verifier.Replayed:      Replayed,
	verifier.Risky:         Risky,
	verifier.Overloaded:    Overloaded,
	verifier.Misconfigured: Misconfigured,
}
