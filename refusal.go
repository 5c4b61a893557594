package caddycaptcha

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
)

// problem is the body of a refusal: problem details as of RFC 9457.
type problem struct {
	Type    string  `json:"type"`
	Title   string  `json:"title"`
	Status  int     `json:"status"`
	Detail  string  `json:"detail"`
	Outcome Outcome `json:"outcome,omitempty"`

	// Reason is one short word from a fixed set.
	Reason   string `json:"reason,omitempty"`
	Policy   string `json:"policy,omitempty"`
	Provider string `json:"provider,omitempty"`

	// Challenge is the URL of the endpoint that has what the provider's widget
	// needs.
	Challenge string `json:"challenge,omitempty"`

	// Proof says what a client may do with the proof it sent: "reusable",
	// "spent" or "unknown". There is none when no proof was sent.
	Proof string `json:"proof,omitempty"`
}

// refuse answers a request that is not forwarded, as the option `refusal` says.
func (c *Captcha) refuse(w http.ResponseWriter, r *http.Request, d decision) error {
	header := w.Header()
	closeUnread(header, r, d.unread)
	switch d.outcome {
	case Failed:
		return d.err
	case Canceled:
		return caddyhttp.Error(statusClientClosedRequest, d.err)
	default: // has an answer of its own
	}
	if c.Refusal == refusalError {
		c.setHeader(header, d)
		return caddyhttp.Error(refusals[d.outcome].status, errors.New("captcha "+d.String()))
	}
	if c.Refusal != refusalProblem && c.issuer != nil && d.outcome.curable() && isNavigation(r) {
		c.setHeader(header, d)
		return c.writePage(w, r, refusals[d.outcome].status, browser.Data{
			Outcome: string(d.outcome), Reason: d.reason, Reload: r.Method == http.MethodGet,
		})
	}
	c.writeProblem(w, d)
	return nil
}

// closeUnread ends the connection if a part of the body was left unread. Or
// else net/http would first wait for the rest of it, while a client that
// expects 100 (Continue) waits for us.
func closeUnread(header http.Header, r *http.Request, unread bool) {
	if unread && r.ProtoMajor == 1 {
		header.Set("Connection", "close")
	}
}

// isNavigation reports whether a browser is about to show the answer as a
// document. One that does not say what it does says what it would like to get.
func isNavigation(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// setHeader sets the fields that every refusal has.
func (c *Captcha) setHeader(header http.Header, d decision) {
	header.Set("Captcha-Outcome", string(d.outcome))
	header.Set("Captcha-Policy", c.Policy)
	header.Set("Cache-Control", "no-store")
	if seconds := refusals[d.outcome].retryAfter; seconds != "" {
		header.Set("Retry-After", seconds)
	}
}

func (c *Captcha) writeProblem(w http.ResponseWriter, d decision) {
	c.setHeader(w.Header(), d)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(refusals[d.outcome].status)
	w.Write(c.problem(d)) //nolint:errcheck,gosec // the body is made of fixed words; when the client has gone there is nobody to tell
}

// problem returns the problem details for a decision. There are as many as
// there are outcomes with their reasons, so each is made once.
func (c *Captcha) problem(d decision) []byte {
	key := d.String()
	if d.proof != "" {
		key += d.proof
	}
	if body, ok := c.problems.Load(key); ok {
		return body.([]byte)
	}
	how := refusals[d.outcome]
	body := problem{
		Status:    how.status,
		Detail:    how.detail,
		Outcome:   d.outcome,
		Reason:    d.reason,
		Policy:    c.Policy,
		Provider:  c.provider,
		Challenge: c.BasePath + "/" + endpointChallenge,
		Proof:     cmp.Or(d.proof, how.proof),
	}.encode()
	c.problems.Store(key, body)
	return body
}

// encode returns the problem as JSON, with the type and title that go with its
// status.
func (p problem) encode() []byte {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a number always have a JSON form
	}
	return append(body, '\n')
}

// String is the decision as a short text for logs and errors.
func (d decision) String() string {
	if d.reason == "" {
		return string(d.outcome)
	}
	return string(d.outcome) + " (" + d.reason + ")"
}
