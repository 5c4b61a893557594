package gate

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/clock"
	"github.com/caddycaptcha/caddycaptcha/internal/extract"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
)

// GivesClearances reports whether a proof earns a clearance.
func (g *Gate) GivesClearances() bool { return g.issuer != nil }

// limitsUses reports whether a clearance lets through a number of requests.
func (g *Gate) limitsUses() bool { return g.Clearance != nil && g.Clearance.MaxUses > 0 }

// takesUses reports whether a clearance that counts now does.
func (g *Gate) takesUses() bool { return g.limitsUses() || g.outage.issuer != nil && g.isDown() }

// clearanceOptions are what the policy's clearances are made from.
func (g *Gate) clearanceOptions() clearance.Options {
	return clearance.Options{
		Purpose:       clearance.PurposeClearance,
		Policy:        g.Policy,
		Provider:      g.provider,
		CaptchaID:     g.captchaID,
		Service:       g.captcha.Service(),
		TTL:           g.Clearance.TTL,
		MaxUses:       g.Clearance.MaxUses,
		BindIP:        g.Clearance.BindIP,
		BindUserAgent: g.Clearance.BindUserAgent,
		Domain:        g.Clearance.Domain,
	}
}

// useClearance is the decision about a request's clearance: Cleared, or
// Missing with the reason why there is no valid one. With max_uses it takes
// one of the uses.
func (g *Gate) useClearance(r *http.Request, p *patience) Decision {
	if g.issuer == nil {
		return Decision{Outcome: Missing}
	}
	ctx := r.Context()
	if g.takesUses() {
		var waited func()
		ctx, waited = p.wait(ctx)
		defer waited()
	}
	state, reason, err := g.checkClearance(r, func(id clearance.ID) (bool, error) {
		return g.Store.Use(ctx, cache.Key(id))
	})
	switch {
	case errors.Is(err, cache.ErrUnavailable), err != nil && ctx.Err() != nil:
		return g.withoutVerdict(r, err)
	case err != nil:
		return g.withoutKeys(err)
	case state == clearance.Valid:
		d := Decision{Outcome: Cleared, Reason: reason}
		g.rememberDecision(r, d)
		return d
	case state == clearance.Absent:
		return Decision{Outcome: Missing}
	}
	return Decision{Outcome: Missing, Reason: state.String()}
}

// peekClearance reports whether the request could pass with its clearance, and
// if not, why. It takes no use of it.
func (g *Gate) peekClearance(r *http.Request) (valid bool, reason string) {
	state, _, err := g.checkClearance(r, func(id clearance.ID) (bool, error) {
		left, err := g.Store.Uses(r.Context(), cache.Key(id))
		return left > 0, err
	})
	switch {
	case err != nil, state == clearance.Absent:
		return false, extract.ReasonNone
	case state == clearance.Valid:
		return true, ""
	}
	return false, state.String()
}

// checkClearance looks for a valid clearance, and while the provider is down
// for one that was given in an outage, too. The reason says which it is.
func (g *Gate) checkClearance(r *http.Request, take func(clearance.ID) (bool, error)) (state clearance.State, reason string, err error) {
	cookies, subject, now := sentCookies(r), subjectOf(r), clock.Now()
	_, state, err = g.issuer.Check(cookies, subject, now, take)
	if err != nil || state == clearance.Valid || g.outage.issuer == nil || !g.isDown() {
		return state, "", err
	}
	_, inOutage, err := g.outage.issuer.Check(cookies, subject, now, take)
	return max(state, inOutage), reasonOutage, err
}

// issueClearance makes a clearance for the client and returns the cookies to
// set, or none and the decision that follows. The uses are counted from before
// the cookie is out, or there is none. For a proof that passed unjudged it
// makes one that is good while the provider is down.
func (g *Gate) issueClearance(r *http.Request, inOutage bool) (cookies []string, failure Decision) {
	issuer, uses, ttl := g.issuer, g.Clearance.MaxUses, g.Clearance.TTL
	if inOutage {
		issuer, uses, ttl = g.outage.issuer, outageUses, outageClearance
	}
	subject := subjectOf(r)
	made, c, err := issuer.Issue(subject, clock.Now())
	if err != nil {
		return nil, g.withoutKeys(err)
	}
	if g.Clearance.Domain != "" && !g.issuer.Shares(subject) {
		g.warnOfHost(subject)
	}
	if uses == 0 {
		return []string{made.String(), g.issuer.Hint(made).String()}, Decision{}
	}
	if err := g.Store.Grant(r.Context(), cache.Key(c.ID), uses, ttl); err != nil {
		return nil, g.withoutVerdict(r, err)
	}
	return []string{made.String()}, Decision{}
}

// warnOfHost tells the operator of a clearance that is not good for the domain.
func (g *Gate) warnOfHost(s clearance.Subject) {
	message := "a clearance is good for its host alone, because the host is not of the domain: set clearance's domain to one that all hosts of this policy have, or leave it out"
	if !s.Secure {
		message = "a clearance is good for its host alone, because it was got over http: serve the site over https, and where a proxy in front does that, list it in trusted_proxies"
	}
	g.alarm.Warn(message, zap.String("policy", g.Policy), zap.String("domain", g.Clearance.Domain), zap.String("host", s.Host))
}

// removeHint removes the hint beside a clearance that turned out to be none.
func (g *Gate) removeHint(fields http.Header, r *http.Request, d Decision) {
	if g.issuer == nil || d.Outcome != Missing || !isAboutClearance(d.Reason) || !g.issuer.HasHint(sentCookies(r)) {
		return
	}
	fields["Set-Cookie"] = append(fields["Set-Cookie"], g.issuer.NoHint(subjectOf(r)).String())
}

// isAboutClearance reports whether a reason says what is wrong with a
// clearance, or that there is none.
func isAboutClearance(reason string) bool {
	switch reason {
	case extract.ReasonNone, clearance.Binding.String(), clearance.Expired.String(), clearance.UsedUp.String(), clearance.Invalid.String():
		return true
	}
	return false
}

// withoutKeys is the decision where clearances can be neither signed nor
// checked.
func (g *Gate) withoutKeys(err error) Decision {
	g.alarm.Error("the keys for clearances cannot be had: see the error",
		zap.String("policy", g.Policy), zap.Error(err))
	return Decision{Outcome: Overloaded, Reason: reasonKeys}
}

// subjectOf returns what a clearance may be bound to.
func subjectOf(r *http.Request) clearance.Subject {
	return clearance.Subject{
		Host:      r.Host,
		Secure:    request.IsSecure(r),
		Prefix:    request.ClientPrefix(request.ClientIP(r)),
		UserAgent: r.UserAgent(),
	}
}
