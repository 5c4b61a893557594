package caddycaptcha

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// problem is the body of a refusal: problem details as of RFC 9457.
type problem struct {
	Type    string  `json:"type"`
	Title   string  `json:"title"`
	Status  int     `json:"status"`
	Detail  string  `json:"detail"`
	Outcome Outcome `json:"outcome"`

	// Reason is one short word from a fixed set.
	Reason   string `json:"reason,omitempty"`
	Policy   string `json:"policy"`
	Provider string `json:"provider"`

	// Proof says what a client may do with the proof it sent: "reusable",
	// "spent" or "unknown". There is none when no proof was sent.
	Proof string `json:"proof,omitempty"`
}

// refuse answers a request that is not forwarded, as the option `refusal` says.
func (c *Captcha) refuse(w http.ResponseWriter, r *http.Request, d decision) error {
	header := w.Header()
	if d.unread && r.ProtoMajor == 1 {
		// Without this net/http first waits for the rest of the body, and a
		// client that expects 100 (Continue) waits for us.
		header.Set("Connection", "close")
	}
	switch d.outcome {
	case Failed:
		return d.err
	case Canceled:
		return caddyhttp.Error(statusClientClosedRequest, d.err)
	default: // has an answer of its own
	}
	how := refusals[d.outcome]
	header.Set("Captcha-Outcome", string(d.outcome))
	header.Set("Captcha-Policy", c.Policy)
	header.Set("Cache-Control", "no-store")
	if how.retryAfter != "" {
		header.Set("Retry-After", how.retryAfter)
	}
	if c.Refusal == refusalError {
		return caddyhttp.Error(how.status, errors.New("captcha "+d.String()))
	}
	header.Set("Content-Type", "application/problem+json")
	w.WriteHeader(how.status)
	w.Write(c.problem(d)) //nolint:errcheck,gosec // the body is made of fixed words; when the client has gone there is nobody to tell
	return nil
}

// problem returns the problem details for a decision. There are as many as
// there are outcomes with their reasons, so each is made once.
func (c *Captcha) problem(d decision) []byte {
	key := d.String()
	if body, ok := c.problems.Load(key); ok {
		return body.([]byte)
	}
	how := refusals[d.outcome]
	body, err := json.Marshal(problem{
		Type:     "about:blank",
		Title:    http.StatusText(how.status),
		Status:   how.status,
		Detail:   how.detail,
		Outcome:  d.outcome,
		Reason:   d.reason,
		Policy:   c.Policy,
		Provider: c.provider,
		Proof:    how.proof,
	})
	if err != nil {
		panic(err) // strings and a number always have a JSON form
	}
	body = append(body, '\n')
	c.problems.Store(key, body)
	return body
}

// String is the decision as a short text for logs and errors.
func (d decision) String() string {
	if d.reason == "" {
		return string(d.outcome)
	}
	return string(d.outcome) + " (" + d.reason + ")"
}
