package caddycaptcha

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/extract"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// prover is a way in which proofs reach a policy: with the request that they
// are for, or at the endpoint verify.
type prover struct {
	extractor *extract.Extractor
	limits    *limit.Limiter
	monitors  bool // goes on without a verdict
}

// makeProvers prepares both ways.
func (c *Captcha) makeProvers() error {
	if err := c.checkParameters(c.verifier.Parameters()); err != nil {
		return err
	}
	var renamed, plain []extract.Parameter
	for _, p := range c.verifier.Parameters() {
		plain = append(plain, extract.Parameter{Name: p.Name, Field: p.Name, Header: p.Header, MaxLength: p.MaxLength})
		renamed = append(renamed, extract.Parameter{
			Name:      p.Name,
			Field:     cmp.Or(c.Fields[p.Name], p.Name),
			Header:    cmp.Or(c.Headers[p.Name], p.Header),
			MaxLength: p.MaxLength,
		})
	}
	c.onRequest = prover{
		extractor: extract.New(renamed, sources(c.From), c.BodyLimit),
		limits:    c.policy.limits,
		monitors:  c.Mode == modeMonitor,
	}
	c.atVerify = prover{
		extractor: extract.New(plain, []extract.Source{extract.Form, extract.JSON}, defaultBodyLimit),
		limits:    c.policy.verifyLimits,
	}
	c.strip = sources(c.Strip)
	return nil
}

// prove takes the proof out of the request and spends it.
func (c *Captcha) prove(w http.ResponseWriter, r *http.Request, p prover) decision {
	timeout := bodyTimeout
	if p.monitors {
		timeout = 0 // a deadline would break a slow upload that has to go on
	}
	found, err := p.extractor.Extract(w, r, originalURL(r).RawQuery, timeout)
	switch {
	case err != nil && clientLeft(err):
		return decision{outcome: Canceled, err: err}
	case err != nil:
		return decision{outcome: Failed, reason: "body", err: err, unread: true}
	case found.Status == extract.Missing:
		return decision{outcome: Missing, reason: found.Reason, unread: found.BodyUnread}
	case found.Status == extract.Malformed:
		return decision{outcome: Malformed, reason: found.Reason, unread: found.BodyUnread}
	}
	proof := verifier.Proof(found.Values)
	var d decision
	if verdict := c.verifier.Check(proof, time.Now(), c.replay.TTL()-proofMargin); verdict.Result != verifier.Unknown {
		c.alert(verdict)
		d = judge(verdict)
	} else {
		d = c.spend(r, proof, p)
	}
	d.unread = found.BodyUnread
	return d
}

// clientLeft reports whether err, of reading the body, means that there is no
// one left to answer.
func clientLeft(err error) bool {
	var handlerErr caddyhttp.HandlerError
	return errors.As(err, &handlerErr) && handlerErr.StatusCode == statusClientClosedRequest
}
