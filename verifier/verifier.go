// Package verifier checks captcha proofs with the providers that issued them.
//
// A [Verifier] is a guest module in the namespace http.captcha.verifiers. It
// knows one provider's protocol and one set of credentials, and nothing of the
// clients' HTTP requests: it is given a [Proof] and a [Client] and returns a
// [Verdict]. What becomes of the request is the captcha handler's decision.
package verifier

import (
	"context"
	"net/netip"
	"time"
)

// Verifier checks proofs with one captcha of one provider. Its methods are
// safe for concurrent use. A verifier with a widget is a [Challenger], too.
// The package verifiertest tests what is said here.
type Verifier interface {
	// Captcha names the provider, such as "geetest_v4", and the captcha's id
	// there. Neither is secret.
	Captcha() (provider, id string)

	// Service is the URL of the service that proofs are checked with. It is
	// not secret. A Local has none.
	Service() string

	// Fingerprint is a digest over the provider and everything that a verdict
	// depends on, credentials included: two verifiers with one fingerprint
	// give one verdict for one proof. What only browsers get, such as the URL
	// of the widget's script, is no part of it, because handlers that differ
	// in that alone have to share the verdict on a proof that both see.
	Fingerprint() [32]byte

	// Parameters describes the parts of a proof, in the order in which a
	// Proof holds them. They do not depend on the configuration: it is called
	// before the verifier is provisioned, too.
	Parameters() []Parameter

	// Check judges a proof as far as that is possible without the provider,
	// so that junk never costs a call. The proof may be of any length and
	// hold any bytes. maxAge is the age beyond which a proof that carries its
	// own time is Expired. The zero Verdict, Unknown, means that the provider
	// has to be asked.
	Check(proof Proof, now time.Time, maxAge time.Duration) Verdict

	// ReplayKey returns what makes the proof single-use, the same for every
	// spelling of it that the provider might accept. It is only called with a
	// proof that Check let through.
	ReplayKey(proof Proof) string

	// Verify asks the provider about a proof that Check let through. It
	// returns within the configured timeout and never retries a call that may
	// have been delivered: the provider would call the second one a replay.
	Verify(ctx context.Context, proof Proof, client Client) Verdict
}

// Challenger is a Verifier whose provider has a widget, which this module can
// show on a page. Proofs of a Verifier that is none come from elsewhere, such
// as an app.
type Challenger interface {
	Verifier

	// Challenge returns what a page needs to show the widget, as a value that
	// encoding/json encodes: an object with at least the provider's name
	// ("provider") and the URL of its script ("script"). Where the provider
	// has to be asked for it, user, if not empty, tells it this client from
	// others; it must not show who the client is. If there is no challenge,
	// nil comes with a failure that says why: Unknown, Overloaded or
	// Misconfigured. Otherwise the failure is the zero Verdict.
	Challenge(ctx context.Context, client Client, user string) (challenge any, failure Verdict)

	// Sources returns what the Content-Security-Policy of a page with the
	// widget has to allow: sources by directive. The map is the caller's.
	Sources() map[string][]string

	// Adapter returns the script that shows the provider's widget. The widget
	// page runs it before its own script, which knows no provider. It must
	// parse in browsers of 2018 (ECMAScript 2017) and sets the global
	// captchaAdapter to an object with
	//
	//	provider   the provider's name, for people
	//	proof      the names of the proof's parameters, in an array
	//	loaded()   whether the provider's script, the challenge's "script", is here
	//	make(challenge, page, on)
	//	           makes a widget. challenge is the Challenge; page.lang is the
	//	           page's language, such as "zh-CN", page.box an empty element
	//	           for a widget that stands in the page, and page.files has the
	//	           URLs of the widget's own files (see [Hosted])
	//
	// and, where it has one, to
	//
	//	alone      true for a widget that works by itself and shows nothing
	//	offline(challenge)
	//	           the parameters, by name, of a proof for a challenge whose
	//	           member "down" is true, where the widget cannot be had (see
	//	           [Fallback])
	//
	// make, or what it starts, calls
	//
	//	on.made(widget)           with the widget, of which the page calls destroy()
	//	                          and, after a refused proof, reset(), if it has them
	//	on.ready(open)            when open() can open the widget, or without open
	//	                          when it stands in page.box
	//	on.proof(values)          with the proof's parameters by name
	//	on.closed()               when the person has closed the widget
	//	on.failed(code)           when the widget has failed; the code is shown
	//	on.offline(code, values)  when the widget cannot reach its provider, with
	//	                          values if it makes a proof of its own then
	Adapter() string
}

// Parameter is one part of a proof.
type Parameter struct {
	// Name is the provider's name for the part, and the default name of the
	// form field, query parameter, cookie or JSON member that carries it.
	Name string

	// Header is the default request header that carries it.
	Header string

	// MaxLength is the longest value, in bytes, that can be genuine.
	MaxLength int

	// Integer says that the part is a whole number without a sign, which a
	// JSON body may also hold as a number.
	Integer bool
}

// Proof is what a solved widget yields: one value for each of the verifier's
// Parameters, in their order.
type Proof []string

// Client is what a provider is told about the client.
type Client struct {
	// IP is the client's address, without a zone and not as an IPv4-mapped
	// one. The zero Addr means that it is not known, as on a Unix socket.
	IP netip.Addr

	// Type is "web" for a desktop browser, "h5" for a mobile one and
	// "unknown" for everything else (GeeTest's client_type).
	Type string

	// Seal is what a Local knows its own challenges by. Others have none.
	Seal Seal
}

// address returns the text of the client's address, or unknown where there is
// none.
func (c Client) address(unknown string) string {
	if !c.IP.IsValid() {
		return unknown
	}
	return c.IP.String()
}

// Result is what a verifier concluded about a proof.
type Result uint8

// The results. Only Passed lets a request through; the zero value does not.
const (
	// Unknown means that the provider could not be asked, or that its answer
	// was not the protocol's.
	Unknown Result = iota
	// Passed means that the provider vouched for the proof.
	Passed
	// Malformed means that the proof cannot be one.
	Malformed
	// Rejected means that the provider, or a local check, says no.
	Rejected
	// Expired means that the proof is too old.
	Expired
	// Replayed means that the provider has seen the proof before.
	Replayed
	// Risky means that the provider vouched for the proof but rates the
	// client as malicious.
	Risky
	// Overloaded means that the provider's rate limit was hit.
	Overloaded
	// Misconfigured means that the provider refuses our credentials, or gives
	// less than the options need.
	Misconfigured
)

var resultNames = [...]string{
	Unknown: "unknown", Passed: "passed", Malformed: "malformed", Rejected: "rejected",
	Expired: "expired", Replayed: "replayed", Risky: "risky", Overloaded: "overloaded",
	Misconfigured: "misconfigured",
}

// String returns the lower-case name of the result, as used in metrics. A
// value that is none of the results is unknown.
func (r Result) String() string {
	if int(r) >= len(resultNames) {
		r = Unknown
	}
	return resultNames[r]
}

// The reasons of a verdict that all providers share.
const (
	// The next six are those of Unknown. The first four are about the call.
	ReasonTimeout    = "timeout"     // no whole answer within the timeout
	ReasonConnection = "connection"  // no connection, or it broke
	ReasonTLS        = "tls"         // no trusted TLS connection
	ReasonHTTPStatus = "http_status" // a status that the protocol does not have
	ReasonAnswer     = "answer"      // an answer that is not the protocol's
	ReasonService    = "service"     // the provider says that its service failed

	// ReasonRateLimited is that of Overloaded.
	ReasonRateLimited = "rate_limited"

	// ReasonOffline is that of Rejected for a proof that the widget makes by
	// itself when it cannot reach its provider. Everyone can make one.
	ReasonOffline = "offline"

	// ReasonProof is that of Malformed for a proof with too few or too many
	// parts. Otherwise it is the name of the parameter.
	ReasonProof = "proof"
)

// Verdict is the outcome of checking one proof.
type Verdict struct {
	Result Result

	// Reason says in one short word or code why, from a fixed set: it goes
	// into answers, logs and placeholders and never holds text that a client
	// or provider chose. It is one of the constants above, for Malformed the
	// name of a parameter, for what a provider said its own code as far as
	// that is a known one. It consists of at most 40 letters, digits, "_",
	// "." and "-". Passed has none.
	Reason string

	// Score is the provider's risk score, 0 to 100, where HasScore is true.
	Score    int
	HasScore bool

	// Advice tells the operator which credential or setting is wrong and what
	// to do. It comes with Misconfigured, and with Rejected where a wrong
	// credential cannot be told from a made-up proof.
	Advice string

	// Err is the technical failure behind Unknown, for the log. It holds no
	// key and no part of the proof.
	Err error
}
