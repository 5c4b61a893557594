// Package caddycaptcha puts a captcha in front of applications that cannot be
// modified: no request reaches a protected path without a human's proof, taken
// out of the request, verified with the provider (GeeTest v3 and v4, Tencent
// Captcha) and used exactly once.
package caddycaptcha

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/extract"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

func init() {
	caddy.RegisterModule(Captcha{})
}

// Captcha is a handler that lets a request pass only with the proof of a
// solved captcha. It takes the proof out of the request, verifies it with its
// provider, uses it once and then forwards or refuses the request. The body
// reaches the next handler as the client sent it.
//
// A request that is not matched is passed on untouched. For every other one
// the handler sets these placeholders:
//
// Placeholder | Description
// ------------|------------
// `{http.captcha.outcome}` | What became of the request, such as `passed`, `missing` or `replayed`
// `{http.captcha.reason}` | One short word that says why, or empty
// `{http.captcha.policy}` | The policy's name
// `{http.captcha.provider}` | `geetest_v3`, `geetest_v4` or `tencent`
// `{http.captcha.score}` | The provider's risk score, where there is one
//
// The outcome is also the field `captcha_outcome` of the access log and a
// label of the metric `caddy_captcha_requests_total`.
type Captcha struct {
	// MatcherSetsRaw selects the requests to protect. They are matched as they
	// are when they reach the handler and, where an earlier handler changed
	// their method or URI, also as the client sent them; either match
	// protects. Default: every request.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`

	// Policy names this set of rules, in metrics, logs and answers: letters,
	// digits, `_` and `-`. Handlers of one policy share its limits and must be
	// configured alike in everything but `match`. Default: `default`.
	Policy string `json:"policy,omitempty"`

	// VerifierRaw selects and configures the captcha provider. Required.
	VerifierRaw json.RawMessage `json:"verifier,omitempty" caddy:"namespace=http.captcha.verifiers inline_key=provider"`

	// From lists where to look for the proof, in this order: `header`, `form`
	// (urlencoded and multipart bodies), `json` (JSON bodies), `query`,
	// `cookie`. The first that holds a whole proof is used. Default: `header`,
	// `form`, `json`.
	From []string `json:"from,omitempty"`

	// Fields renames parameters of the proof in forms, queries, cookies and
	// JSON, where a dotted name is a path. Default: the provider's names.
	Fields map[string]string `json:"fields,omitempty"`

	// Headers renames the request headers that carry the parameters. Default:
	// by provider, such as `Captcha-Lot-Number`.
	Headers map[string]string `json:"headers,omitempty"`

	// BodyLimit is how many bytes of a body are searched for the proof. A
	// longer body is forwarded whole, but a proof beyond the limit is not
	// found. Default: 131072 (128 KiB); at most 64 MiB.
	BodyLimit int64 `json:"body_limit,omitempty"`

	// Strip lists the sources from which the proof is removed before a matched
	// request is forwarded: `header`, `query`, `cookie`. Bodies are never
	// changed. Default: none.
	Strip []string `json:"strip,omitempty"`

	// Clearance lets a browser that has passed go on for a time without
	// another proof. It is what the challenge page and `captcha_inject` work
	// by. Default: none.
	Clearance *Clearance `json:"clearance,omitempty"`

	// Refusal is how a request is refused: `problem` answers with problem
	// details (RFC 9457), `page` shows a browser that navigates the challenge
	// page where solving a captcha helps, and answers everything else with the
	// problem, `error` returns an error for the site's error routes. `auto` is
	// `page` with a clearance and `problem` without. Default: `auto`.
	Refusal string `json:"refusal,omitempty"`

	// PageTemplate is a file that replaces the built-in challenge page, in the
	// syntax of Go's html/template; it takes global placeholders. See
	// the README for what it has to hold. Default: the built-in page.
	PageTemplate string `json:"page_template,omitempty"`

	// BasePath is the path under which the policy's endpoints are: `challenge`,
	// `verify`, `page` and `captcha.js`. Requests under it that reach a captcha
	// handler are answered by it and never forwarded, whatever they match.
	// Inside a handler that matches paths, such as `handle /app/*`, it must be
	// one of them. Default: `/.captcha/` and the policy's name.
	BasePath string `json:"base_path,omitempty"`

	// Preflight is what becomes of CORS preflights, which carry no proof:
	// `refuse` or `forward`. Default: `refuse`.
	Preflight string `json:"preflight,omitempty"`

	// MaxConcurrentVerifications is how many proofs of this policy may be with
	// the provider at once. Default: 256.
	MaxConcurrentVerifications int `json:"max_concurrent_verifications,omitempty"`

	// MaxConcurrentVerificationsPerClient is how many of them may come from
	// one client prefix (IPv4 /24, IPv6 /64). Default: 32, or
	// MaxConcurrentVerifications where that is less.
	MaxConcurrentVerificationsPerClient int `json:"max_concurrent_verifications_per_client,omitempty"`

	// MaxFailures is how many proofs from one client prefix the provider may
	// turn down per minute. Default: 60.
	MaxFailures int `json:"max_failures,omitempty"`

	// Mode is `enforce` or `monitor`. In monitor mode every request is
	// forwarded; what would have become of it is recorded as always. The
	// provider is asked, so proofs are spent. A request waits until the part
	// of its body that is searched has arrived, and then a second at most.
	// Default: `enforce`.
	Mode string `json:"mode,omitempty"`

	matcherSets caddyhttp.MatcherSets
	verifier    verifier.Verifier
	provider    string
	captchaID   string
	fingerprint [32]byte
	onRequest   prover
	atVerify    prover
	strip       []extract.Source
	issuer      *clearance.Issuer // nil without clearances
	page        *browser.Page
	app         *App
	replay      replayCache
	policy      *policy
	counters    map[Outcome]prometheus.Counter
	problems    *sync.Map // problem details by what they say
	logger      *zap.Logger
	alarm       *zap.Logger // says the same thing once a minute at most
}

// The values of options that are words.
const (
	refusalAuto      = "auto"
	refusalPage      = "page"
	refusalProblem   = "problem"
	refusalError     = "error"
	preflightRefuse  = "refuse"
	preflightForward = "forward"
	modeEnforce      = "enforce"
	modeMonitor      = "monitor"
)

const (
	defaultPolicy    = "default"
	defaultBodyLimit = 128 << 10
	maxBodyLimit     = 64 << 20

	// bodyTimeout is how long a client may take to send the part of a body
	// that is searched for the proof.
	bodyTimeout = 10 * time.Second

	// monitorWait is how long monitor mode holds up a request for the replay
	// cache and the provider together.
	monitorWait = time.Second

	// proofMargin is how much longer a proof is remembered than it is
	// accepted, so that no clock that is off by less reopens it.
	proofMargin = 5 * time.Minute
)

// CaddyModule returns the Caddy module information.
func (Captcha) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.captcha",
		New: func() caddy.Module { return new(Captcha) },
	}
}

// Provision sets up the handler. It connects to nothing: a config loads
// whether or not the provider can be reached.
func (c *Captcha) Provision(ctx caddy.Context) error {
	if err := c.provision(ctx); err != nil {
		return fmt.Errorf("captcha policy %q: %w", cmp.Or(c.Policy, defaultPolicy), err)
	}
	return nil
}

func (c *Captcha) provision(ctx caddy.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.VerifierRaw == nil {
		return errors.New("verifier is missing; name a provider (geetest_v4, geetest_v3 or tencent) and its credentials")
	}
	written, err := c.written()
	if err != nil {
		return err
	}
	c.setDefaults()
	if err := c.checkWhole(); err != nil {
		return err
	}
	if err := c.checkNumbers(); err != nil { // a number and a default may contradict each other
		return err
	}
	c.logger = ctx.Logger()
	c.alarm = throttled(c.logger)

	app, err := ctx.App("captcha")
	if err != nil {
		return err
	}
	c.app = app.(*App)
	c.replay = c.app.replay
	if c.policy, err = c.app.policy(c, written); err != nil {
		return err
	}

	if err := c.loadModules(ctx); err != nil {
		return err
	}
	if err := c.makeProvers(); err != nil {
		return err
	}
	c.makeIssuer(c.app.keys)
	if c.page, err = loadPage(c.PageTemplate); err != nil {
		return err
	}
	for _, warning := range loopholes(c.matcherSets) {
		c.logger.Warn(warning, zap.String("policy", c.Policy))
	}
	c.problems = new(sync.Map)
	c.counters = requestCounters(c.Policy, c.provider)
	return registerMetrics(ctx.GetMetricsRegistry())
}

func (c *Captcha) loadModules(ctx caddy.Context) error {
	matcherSets, err := ctx.LoadModule(c, "MatcherSetsRaw")
	if err != nil {
		return fmt.Errorf("match: %w", err)
	}
	if err := c.matcherSets.FromInterface(matcherSets); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	if err := checkInlineKey(c.VerifierRaw, "provider"); err != nil {
		return fmt.Errorf("verifier: %w", err)
	}
	guest, err := ctx.LoadModule(c, "VerifierRaw")
	if err != nil {
		return fmt.Errorf("verifier: %w", err)
	}
	c.verifier = guest.(verifier.Verifier)
	c.provider, c.captchaID = c.verifier.Captcha()
	c.fingerprint = c.verifier.Fingerprint()
	return nil
}

func (c *Captcha) setDefaults() {
	c.Policy = cmp.Or(c.Policy, defaultPolicy)
	c.Refusal = cmp.Or(c.Refusal, refusalAuto)
	c.Preflight = cmp.Or(c.Preflight, preflightRefuse)
	c.Mode = cmp.Or(c.Mode, modeEnforce)
	c.BasePath = c.basePath()
	c.BodyLimit = cmp.Or(c.BodyLimit, defaultBodyLimit)
	c.MaxConcurrentVerifications = cmp.Or(c.MaxConcurrentVerifications, 256)
	c.MaxConcurrentVerificationsPerClient = cmp.Or(c.MaxConcurrentVerificationsPerClient, min(32, c.MaxConcurrentVerifications))
	c.MaxFailures = cmp.Or(c.MaxFailures, 60)
	if len(c.From) == 0 {
		c.From = []string{string(extract.Header), string(extract.Form), string(extract.JSON)}
	}
}

// basePath is the path of the endpoints, also before the defaults are set.
func (c *Captcha) basePath() string {
	return cmp.Or(c.BasePath, "/.captcha/"+cmp.Or(c.Policy, defaultPolicy))
}

// ServeHTTP takes a request through the gate.
func (c *Captcha) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if p, name, ok := c.app.endpoint(r); ok {
		return p.handler.serveEndpoint(w, r, name)
	}
	protected, err := c.protects(r)
	if err != nil {
		c.record(r, decision{outcome: Failed, reason: "matcher"}, true)
		return err
	}
	if !protected {
		return next.ServeHTTP(w, r)
	}
	d := c.decide(w, r)
	forwards := d.outcome.forwards() || c.Mode == modeMonitor
	c.record(r, d, !forwards)
	if forwards {
		c.onRequest.extractor.Strip(r, c.strip)
		c.removeClearances(r)
		return next.ServeHTTP(w, r)
	}
	return c.refuse(w, r, d)
}

// decide says what becomes of a request that has to prove a human.
func (c *Captcha) decide(w http.ResponseWriter, r *http.Request) decision {
	if c.Preflight == preflightForward && isBarePreflight(r) {
		return decision{outcome: Exempt}
	}
	if isEarly(r) {
		return decision{outcome: Failed, reason: "early_data", err: caddyhttp.Error(http.StatusTooEarly,
			errors.New("TLS handshake not complete, client IP cannot be verified"))}
	}
	if d, ok := c.decidedEarlier(r); ok {
		return d
	}
	cleared := c.useClearance(r)
	if cleared.outcome != Missing {
		return cleared
	}
	d := c.prove(w, r, c.onRequest)
	if d.outcome == Missing && d.reason == extract.ReasonNone && cleared.reason != "" {
		d.reason = cleared.reason // tells more: there was a clearance, but it would not do
	}
	return d
}

// isEarly reports whether the request came before the TLS handshake was
// complete (0-RTT). Until then the client's address may be forged.
func isEarly(r *http.Request) bool { return r.TLS != nil && !r.TLS.HandshakeComplete }

var (
	_ caddy.Module                = (*Captcha)(nil)
	_ caddy.Provisioner           = (*Captcha)(nil)
	_ caddyhttp.MiddlewareHandler = (*Captcha)(nil)
)
