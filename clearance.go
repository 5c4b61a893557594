package caddycaptcha

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/extract"
)

// Clearance configures clearances. A clearance is a signed cookie that a
// browser gets for a proof at the endpoint `verify`: with it, requests pass
// without a proof of their own. It is good for one policy and one host.
type Clearance struct {
	// TTL is how long a clearance is valid. Required; at most 30 days.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// MaxUses is how many requests pass with one clearance. They are counted
	// in the replay cache, in which each such clearance takes the place of one
	// proof; what a restart makes a memory cache forget is used up. Default:
	// any number.
	MaxUses int `json:"max_uses,omitempty"`

	// BindTo lists what a clearance is bound to: `client_ip` (the client
	// prefix, IPv4 /24 or IPv6 /64), `user_agent`, or only `none`. A browser
	// whose address or name changes has to solve another captcha. Default:
	// `client_ip`.
	BindTo []string `json:"bind_to,omitempty"`
}

// What a clearance can be bound to.
const (
	bindClientIP  = "client_ip"
	bindUserAgent = "user_agent"
	bindNone      = "none"
)

const maxClearance = 30 * 24 * time.Hour

// check finds what is wrong with the options that are set.
func (o *Clearance) check() error {
	switch {
	case time.Duration(o.TTL) < time.Second:
		return fmt.Errorf("clearance needs how long it is valid, such as 30m, and at least 1s")
	case time.Duration(o.TTL) > maxClearance:
		return fmt.Errorf("clearance: %s is more than 30 days", time.Duration(o.TTL))
	case o.MaxUses < 0 || o.MaxUses > cache.MaxUses:
		return fmt.Errorf("clearance: max_uses must be from 1 to %d; leave it out for any number", cache.MaxUses)
	}
	for i, what := range o.BindTo {
		switch {
		case !slices.Contains([]string{bindClientIP, bindUserAgent, bindNone}, what):
			return fmt.Errorf("clearance: bind_to must be %s, %s or %s, not %q", bindClientIP, bindUserAgent, bindNone, what)
		case slices.Contains(o.BindTo[:i], what):
			return fmt.Errorf("clearance: bind_to lists %s twice", what)
		case what == bindNone && len(o.BindTo) > 1:
			return fmt.Errorf("clearance: bind_to %s stands alone", bindNone)
		}
	}
	return nil
}

// makeIssuer prepares what makes and checks the policy's clearances.
func (c *Captcha) makeIssuer(keys *clearance.Keys) {
	if c.Clearance == nil {
		return
	}
	bindTo := c.Clearance.BindTo
	if len(bindTo) == 0 {
		bindTo = []string{bindClientIP}
	}
	c.issuer = clearance.New(keys, clearance.Options{
		Policy:        c.Policy,
		Provider:      c.provider,
		CaptchaID:     c.captchaID,
		Endpoint:      c.verifier.Service(),
		TTL:           time.Duration(c.Clearance.TTL),
		MaxUses:       c.Clearance.MaxUses,
		BindIP:        slices.Contains(bindTo, bindClientIP),
		BindUserAgent: slices.Contains(bindTo, bindUserAgent),
	})
}

// useClearance is the decision about a request's clearance: Cleared, or
// Missing with the reason why there is no valid one. With max_uses it takes
// one of the uses.
func (c *Captcha) useClearance(r *http.Request) decision {
	if c.issuer == nil {
		return decision{outcome: Missing}
	}
	state, err := c.checkClearance(r, func(id clearance.ID) (bool, error) {
		return c.replay.Use(r.Context(), cache.Key(id))
	})
	switch {
	case errors.Is(err, cache.ErrUnavailable), r.Context().Err() != nil:
		return c.undecided(r, err)
	case err != nil:
		c.alarm.Error("clearances cannot be checked: " + err.Error())
		return decision{outcome: Overloaded, reason: "keys"}
	case state == clearance.Valid:
		d := decision{outcome: Cleared}
		c.rememberDecision(r, d)
		return d
	case state == clearance.Absent:
		return decision{outcome: Missing}
	}
	return decision{outcome: Missing, reason: state.String()}
}

// peekClearance reports whether the request could pass with its clearance, and
// if not, why. It takes no use of it.
func (c *Captcha) peekClearance(r *http.Request) (valid bool, reason string) {
	state, err := c.checkClearance(r, func(id clearance.ID) (bool, error) {
		left, err := c.replay.Uses(r.Context(), cache.Key(id))
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

func (c *Captcha) checkClearance(r *http.Request, take func(clearance.ID) (bool, error)) (clearance.State, error) {
	header := r.Header
	if cookies, ok := caddyhttp.GetVar(r.Context(), cookiesVar).(sentCookies); ok {
		header = http.Header{"Cookie": cookies}
	}
	_, state, err := c.issuer.Check(header, subjectOf(r), time.Now(), take)
	return state, err
}

// issueClearance gives the client a clearance. The uses are counted from
// before the cookie is out, or there is none.
func (c *Captcha) issueClearance(w http.ResponseWriter, r *http.Request) error {
	cookie, made, err := c.issuer.Issue(subjectOf(r), time.Now())
	if err != nil {
		return err
	}
	if uses := c.Clearance.MaxUses; uses > 0 {
		if err := c.replay.Grant(r.Context(), cache.Key(made.ID), uses, time.Duration(c.Clearance.TTL)); err != nil {
			return err
		}
	}
	http.SetCookie(w, cookie)
	return nil
}

// subjectOf returns what a clearance may be bound to.
func subjectOf(r *http.Request) clearance.Subject {
	return clearance.Subject{
		Host:      r.Host,
		Secure:    isSecure(r),
		Prefix:    prefixOf(clientOf(r).IP),
		UserAgent: r.UserAgent(),
	}
}

// isSecure reports whether the client uses https: to us, or to a trusted proxy
// that says so.
func isSecure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if !trusted {
		return false
	}
	scheme, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return strings.EqualFold(strings.TrimSpace(scheme), "https")
}

// sentCookies are the cookies that a client sent, kept for a captcha handler of
// another policy that the request meets after they were removed.
type sentCookies []string

// String keeps `{http.vars.captcha_cookies}` from showing anything.
func (sentCookies) String() string { return "" }

const cookiesVar = "captcha_cookies"

// removeClearances removes the clearances of all policies from a request that
// is forwarded: the application has no use for them.
func (c *Captcha) removeClearances(r *http.Request) {
	lines := r.Header["Cookie"]
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "captcha-") }) {
		return
	}
	extract.RemoveCookies(r.Header, c.app.isClearance)
	if _, ok := caddyhttp.GetVar(r.Context(), cookiesVar).(sentCookies); !ok {
		caddyhttp.SetVar(r.Context(), cookiesVar, sentCookies(lines))
	}
}

// isClearance reports whether a cookie of this name is a clearance of one of
// the config's policies.
func (a *App) isClearance(name string) bool {
	for _, p := range a.policies {
		if issuer := p.handler.issuer; issuer != nil && issuer.IsCookie(name) {
			return true
		}
	}
	return false
}
