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
	"os"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/extract"
	"github.com/caddycaptcha/caddycaptcha/internal/gate"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
	"github.com/caddycaptcha/caddycaptcha/internal/response"
	"github.com/caddycaptcha/caddycaptcha/internal/setting"
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
// A request that is not matched is passed on, less our own cookies and what
// would make a tunnel of its connection. For it these placeholders are empty;
// for every other one the handler sets them:
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
	// The requests to protect. They are matched as they are when they reach the
	// handler, as the client sent them, and as applications read them that
	// differ from Caddy in how they read paths, methods, queries and hosts; any
	// match protects. Default: every request.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`

	// The name of this set of rules, in metrics, logs and answers: letters,
	// digits, `_` and `-`. Handlers of one policy share its limits and must be
	// configured alike in everything but `match`. Default: `default`.
	Policy string `json:"policy,omitempty"`

	// The captcha provider, and how to reach it. Required.
	VerifierRaw json.RawMessage `json:"verifier,omitempty" caddy:"namespace=http.captcha.verifiers inline_key=provider"`

	// Where to look for the proof, in this order: `header`, `form`
	// (urlencoded and multipart bodies), `json` (JSON bodies), `query`,
	// `cookie`. The first that holds a whole proof is used. Default: `header`,
	// `form`, `json`.
	From []string `json:"from,omitempty"`

	// Other names for parameters of the proof in forms, queries, cookies and
	// JSON, where a dotted name is a path. A parameter may have several names,
	// of which a request uses one. Default: the provider's names.
	Fields map[string][]string `json:"fields,omitempty"`

	// Other request headers that carry the parameters. Default:
	// by provider, such as `Captcha-Lot-Number`.
	Headers map[string]string `json:"headers,omitempty"`

	// How many bytes of a body are searched for the proof. A
	// longer body is forwarded whole, but a proof beyond the limit is not
	// found. Default: 131072 (128 KiB); at most 64 MiB.
	BodyLimit int64 `json:"body_limit,omitempty"`

	// The sources from which the proof is removed before a matched
	// request is forwarded: `header`, `query`, `cookie`. Bodies are never
	// changed. Default: none.
	Strip []string `json:"strip,omitempty"`

	// What lets a browser that has passed go on for a time without
	// another proof. It is what the challenge page and `captcha_inject` work
	// by. Default: none.
	Clearance *Clearance `json:"clearance,omitempty"`

	// How a request is refused: `problem` answers with problem
	// details (RFC 9457), `page` shows a browser that navigates the challenge
	// page where solving a captcha helps, and answers everything else with the
	// problem, `error` returns an error for the site's error routes. `auto` is
	// `page` with a clearance and `problem` without. Default: `auto`.
	Refusal string `json:"refusal,omitempty"`

	// A file that replaces the built-in challenge page, in the
	// syntax of Go's html/template; it takes global placeholders. See
	// the README for what it has to hold. Default: the built-in page.
	PageTemplate string `json:"page_template,omitempty"`

	// The path under which the policy's endpoints are: `challenge`,
	// `verify`, `page`, `needed` and our scripts. Requests under it that reach a captcha
	// handler are answered by it and never forwarded, whatever they match.
	// Inside a handler that matches paths, such as `handle /app/*`, it must be
	// one of them. Default: `/.captcha/` and the policy's name.
	BasePath string `json:"base_path,omitempty"`

	// What becomes of CORS preflights, which carry no proof:
	// `refuse` or `forward`. Default: `refuse`.
	Preflight string `json:"preflight,omitempty"`

	// How many proofs of this policy may be with
	// the provider at once. Default: 256.
	MaxConcurrentVerifications int `json:"max_concurrent_verifications,omitempty"`

	// How many of them may come from
	// one client (IPv4 address, IPv6 /64), at most a quarter of them. Its
	// prefix (/24, /56) has twice as many and its network (/16, /48) four
	// times, each at most a quarter. Default: 16, or a quarter where that is
	// less.
	MaxConcurrentVerificationsPerClient int `json:"max_concurrent_verifications_per_client,omitempty"`

	// How many proofs from one client (IPv4 address, IPv6 /64)
	// the provider may turn down per minute. An IPv4 /24 has eight times as
	// many and a /16 64 times; an IPv6 /56 has twice as many and a /48 four
	// times. Default: 60.
	MaxFailures int `json:"max_failures,omitempty"`

	// What becomes of proofs while the provider is down, which probes of our own
	// find out: `deny` refuses them as `outage`, `allow` forwards requests with a
	// well-formed proof that nobody has judged, or one that the provider's
	// widget makes by itself in an outage. Whoever has read the provider's
	// documentation can make either, so `allow` is for sites where a locked
	// door is worse than an open one for a while. `pow` has browsers do a
	// proof of work in place of the captcha (ALTCHA), which earns a clearance of
	// five minutes and one use; it needs `clearance`. Default: `deny`.
	OnOutage string `json:"on_outage,omitempty"`

	// How much work it is with `on_outage pow`, as the option difficulty of the
	// verifier altcha. Default: 4000.
	OutageDifficulty int `json:"outage_difficulty,omitempty"`

	// How many proofs of one client (IPv4 address, IPv6 /64) pass per minute
	// while the provider is down, with `on_outage allow` or `pow`. Its prefix and network
	// have as many times more as of failures. Their claims take a tenth of the
	// replay cache at most. Default: 10.
	OutageRate int `json:"outage_rate,omitempty"`

	// How many proofs of all clients pass then per minute. Default: 600.
	OutageRateInAll int `json:"outage_rate_total,omitempty"`

	// What becomes of the answers to matched GET and HEAD requests that are
	// forwarded. `private` keeps shared caches from storing them, which would
	// hand them to clients that have proved nothing: `private` takes the place
	// of `public` and `s-maxage` in Cache-Control, and fields for single shared
	// caches, such as CDN-Cache-Control, are removed. `keep` leaves them as they
	// are. Default: `private`.
	Answers string `json:"answers,omitempty"`

	// `enforce` or `monitor`. In monitor mode every request is
	// forwarded; what would have become of it is recorded as always. The
	// provider is asked, so proofs are spent. A request waits until the part
	// of its body that is searched has arrived, and then a second at most.
	// Default: `enforce`.
	Mode string `json:"mode,omitempty"`

	matchers *request.Matchers
	gate     *gate.Gate
	app      *App
}

// The values of options that are words. The gate has those of refusal.
const (
	preflightRefuse  = "refuse"
	preflightForward = "forward"
	answersPrivate   = "private"
	answersKeep      = "keep"
	modeEnforce      = "enforce"
	modeMonitor      = "monitor"
)

const (
	defaultPolicy    = "default"
	defaultBodyLimit = 128 << 10
	maxBodyLimit     = 64 << 20
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
		return errors.New("verifier is missing; name a provider (geetest_v4, geetest_v3 or tencent) and its credentials, or altcha, which needs none")
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
	app, err := ctx.App("captcha")
	if err != nil {
		return err
	}
	c.app = app.(*App)
	origin := c.origin() // loading the matchers clears what they are written as
	if err := c.loadMatchers(ctx); err != nil {
		return err
	}
	c.gate, err = c.app.gate(c.Policy, origin, written, func() (*gate.Gate, error) { return c.makeGate(ctx) })
	c.VerifierRaw = nil // it holds secrets, and is loaded with the policy's first handler
	if err == nil {
		c.gate.Protects(c.matchers)
	}
	return err
}

func (c *Captcha) loadMatchers(ctx caddy.Context) error {
	matcherSets, err := ctx.LoadModule(c, "MatcherSetsRaw")
	if err != nil {
		return fmt.Errorf("match: %w", err)
	}
	var sets caddyhttp.MatcherSets
	if err := sets.FromInterface(matcherSets); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	c.matchers = request.NewMatchers(sets)
	for _, warning := range c.matchers.Warnings() {
		ctx.Logger().Warn(warning, zap.String("policy", c.Policy))
	}
	return nil
}

// makeGate makes the gate of the policy of which c is the first handler.
func (c *Captcha) makeGate(ctx caddy.Context) (*gate.Gate, error) {
	if err := checkInlineKey(c.VerifierRaw, "provider"); err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	guest, err := ctx.LoadModule(c, "VerifierRaw")
	if err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	v, ok := guest.(verifier.Verifier)
	if !ok {
		return nil, fmt.Errorf("verifier: the module %T does not implement verifier.Verifier", guest)
	}
	if _, ok := v.(verifier.Challenger); !ok && c.Clearance != nil {
		return nil, errors.New("clearance needs a widget on the challenge page, and this verifier has none: remove clearance, or use another verifier")
	}
	outage, err := c.outage(v)
	if err != nil {
		return nil, err
	}
	if err := c.checkParameters(v.Parameters()); err != nil {
		return nil, err
	}
	page, err := loadPage(c.PageTemplate)
	if err != nil {
		return nil, err
	}
	if err := gate.RegisterMetrics(ctx.GetMetricsRegistry()); err != nil {
		return nil, err
	}
	if most := limit.MemoryPerClient(c.app.BodyMemory); c.BodyLimit >= most {
		ctx.Logger().Warn("body_limit is more than one client may hold of body_memory, a sixteenth of it: bodies that are longer than that and hold no proof before are refused as overloaded; lower body_limit, or raise body_memory in the global option captcha",
			zap.String("policy", c.Policy), zap.Int64("body_limit", c.BodyLimit), zap.Int64("per_client", most))
	}
	if c.Refusal == string(gate.RefusalError) {
		ctx.Logger().Warn("refusal error leaves answers to the site's error routes: what those say about caching counts, and one that proxies to the application forwards the very request that was refused",
			zap.String("policy", c.Policy))
	}
	onRequest, atVerify := c.extractors(v.Parameters())
	return gate.New(gate.Options{
		Policy:            c.Policy,
		BasePath:          c.BasePath,
		Verifier:          v,
		Store:             c.app.store,
		Memory:            c.app.memory,
		Keys:              c.app.keys,
		OnRequest:         onRequest,
		AtVerify:          atVerify,
		Strip:             sources(c.Strip),
		Clearance:         c.Clearance.options(),
		Refusal:           gate.Refusal(c.Refusal),
		Page:              page,
		ForwardPreflights: c.Preflight == preflightForward,
		Monitor:           c.Mode == modeMonitor,
		Slots:             c.MaxConcurrentVerifications,
		SlotsPerClient:    c.MaxConcurrentVerificationsPerClient,
		Failures:          c.MaxFailures,
		Outage:            outage,
		Logger:            ctx.Logger(),
	}), nil
}

// extractors returns what finds proofs in requests, where their parameters may
// have other names, and at the endpoint verify, where they have the provider's.
func (c *Captcha) extractors(parameters []verifier.Parameter) (onRequest, atVerify *extract.Extractor) {
	renamed, plain := make([]extract.Parameter, 0, len(parameters)), make([]extract.Parameter, 0, len(parameters))
	for _, p := range parameters {
		parameter := extract.Parameter{Name: p.Name, Fields: []string{p.Name}, Header: p.Header, MaxLength: p.MaxLength, Integer: p.Integer}
		plain = append(plain, parameter)
		parameter.Fields = c.fieldsOf(p)
		parameter.Header = cmp.Or(c.Headers[p.Name], p.Header)
		renamed = append(renamed, parameter)
	}
	return extract.New(renamed, sources(c.From), c.BodyLimit),
		extract.New(plain, []extract.Source{extract.Form, extract.JSON}, defaultBodyLimit)
}

// loadPage returns the page in the file, or the built-in one.
func loadPage(file string) (*browser.Page, error) {
	if file == "" {
		return browser.Default()
	}
	file, err := setting.Expand("page_template", file)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("page_template: %w", err)
	}
	return browser.ParsePage(file, string(text))
}

func (c *Captcha) setDefaults() {
	c.Policy = cmp.Or(c.Policy, defaultPolicy)
	c.Refusal = cmp.Or(c.Refusal, string(gate.RefusalAuto))
	c.Preflight = cmp.Or(c.Preflight, preflightRefuse)
	c.OnOutage = cmp.Or(c.OnOutage, string(gate.OutageDeny))
	if c.opensInOutage() {
		c.OutageRateInAll = cmp.Or(c.OutageRateInAll, max(600, c.OutageRate))
		c.OutageRate = cmp.Or(c.OutageRate, min(10, c.OutageRateInAll))
	}
	c.Answers = cmp.Or(c.Answers, answersPrivate)
	c.Mode = cmp.Or(c.Mode, modeEnforce)
	c.BasePath = c.basePath()
	c.BodyLimit = cmp.Or(c.BodyLimit, defaultBodyLimit)
	c.MaxConcurrentVerifications = cmp.Or(c.MaxConcurrentVerifications, 256)
	c.MaxConcurrentVerificationsPerClient = cmp.Or(c.MaxConcurrentVerificationsPerClient, limit.DefaultPerClient(c.MaxConcurrentVerifications))
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
	if g, name, ok := c.app.gates.Endpoint(r); ok {
		g.ServeEndpoint(w, r, name)
		return nil
	}
	if !request.IsTarget(r) {
		c.gate.RefuseTarget(w, r)
		return nil
	}
	c.app.closeTunnels(r)
	protected, err := c.matchers.Match(r)
	if err != nil {
		c.gate.Record(r, gate.MatcherFailed(err), true)
		return err
	}
	if !protected {
		gate.EmptyPlaceholders(r)
		c.app.gates.RemoveCookies(r)
		return next.ServeHTTP(w, r)
	}
	decision := c.gate.Decide(w, r)
	forwards := c.gate.Forwards(decision)
	c.gate.Record(r, decision, !forwards)
	if !forwards {
		return c.gate.Refuse(w, r, decision)
	}
	c.gate.StripProof(r)
	c.app.gates.RemoveCookies(r)
	if c.Answers == answersKeep {
		return next.ServeHTTP(w, r)
	}
	return response.Private(w, r, next)
}

var (
	_ caddy.Module                = (*Captcha)(nil)
	_ caddy.Provisioner           = (*Captcha)(nil)
	_ caddyhttp.MiddlewareHandler = (*Captcha)(nil)
)
