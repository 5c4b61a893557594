package caddycaptcha

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/gate"
	"github.com/caddycaptcha/caddycaptcha/internal/setting"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("captcha", parseGlobal)
	httpcaddyfile.RegisterDirective("captcha", parseDirective)
	// After basic_auth: a call to the provider costs money and time, so the
	// cheaper refusals come first, and rewrites have been done by then.
	httpcaddyfile.RegisterDirectiveOrder("captcha", httpcaddyfile.After, "basic_auth")
	httpcaddyfile.RegisterHandlerDirective("captcha_inject", parseInject)
	// After encode, which then compresses what was injected into.
	httpcaddyfile.RegisterDirectiveOrder("captcha_inject", httpcaddyfile.After, "encode")
}

// parseGlobal sets up the captcha app from the global option of that name.
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next() // an error names the line of the current token
		return nil, d.Err("the global option captcha is given twice; put everything into one block")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "captcha", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from Caddyfile tokens. Syntax:
//
//	captcha {
//		replay_cache memory {
//			capacity <n>
//			ttl      <duration>
//		}
//		body_memory <size>
//		upgrade <token>...
//		key <secret>...
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the option's name
	if d.NextArg() {
		return d.ArgErr()
	}
	given := make(map[string]bool)
	for d.NextBlock(0) {
		option := d.Val()
		if given[option] {
			return d.Errf("%s is given twice; put everything on one line or into one block", option)
		}
		given[option] = true
		var err error
		if option == "replay_cache" {
			_, a.ReplayCacheRaw, err = setting.Guest(d, "captcha.replay_caches", "store")
		} else {
			err = a.unmarshalOption(d, option)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *App) unmarshalOption(d *caddyfile.Dispenser, option string) error {
	args := d.RemainingArgs()
	if d.NextBlock(1) {
		return d.Errf("%s takes no block", option)
	}
	var err error
	switch option {
	case "key":
		if a.Keys = args; len(args) == 0 {
			return d.Err("key takes at least one secret, the one that signs first")
		}
	case "body_memory":
		if len(args) != 1 {
			return d.Errf("body_memory takes one argument, got %d", len(args))
		}
		if a.BodyMemory, err = setting.Size(d, option, args[0], math.MaxInt64); err != nil {
			return err
		}
		if err := checkBodyMemory(a.BodyMemory); err != nil {
			return d.WrapErr(err)
		}
	case "upgrade":
		if a.Upgrade = args; len(args) == 0 {
			return d.Err("upgrade takes at least one protocol")
		}
		for _, token := range args {
			if err := checkUpgrade(token); err != nil {
				return d.WrapErr(err)
			}
		}
	default:
		err = setting.Unrecognized(d, option, "the global option captcha", "replay_cache", "body_memory", "upgrade", "key")
	}
	return err
}

// parseDirective makes a route of a captcha directive. The directive's matcher
// does not become the route's but the handler's own, because the handler has
// to see rewritten requests that the route would no longer match.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	matcherSet, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	c := new(Captcha)
	if matcherSet != nil {
		c.MatcherSetsRaw = append(c.MatcherSetsRaw, matcherSet)
	}
	if err := c.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	if err := compareWithEarlier(h, c); err != nil {
		return nil, h.WrapErr(err)
	}
	return h.NewRoute(nil, c), nil
}

// parsedHandler is what is known of a policy's first handler while a Caddyfile
// is parsed.
type parsedHandler struct {
	config           optionDigests
	origin, basePath string
	clears           bool // gives clearances
}

// parsedHandlers returns the handlers that were parsed so far, by policy.
func parsedHandlers(h httpcaddyfile.Helper) map[string]parsedHandler {
	const key = "captcha.handlers"
	handlers, ok := h.State[key].(map[string]parsedHandler)
	if !ok {
		handlers = make(map[string]parsedHandler)
		h.State[key] = handlers
	}
	return handlers
}

// compareWithEarlier reports a policy that is configured in two ways, or two
// policies whose endpoints are in each other's way, while file and line are
// known. The app finds what this cannot see: named routes are adapted apart
// from sites, and JSON has no lines.
func compareWithEarlier(h httpcaddyfile.Helper, c *Captcha) error {
	earlier := parsedHandlers(h)
	config, err := c.written()
	if err != nil {
		return err
	}
	origin := fmt.Sprintf("%s:%d", h.File(), h.Line())
	name := cmp.Or(c.Policy, defaultPolicy)
	if first, ok := earlier[name]; ok {
		return sameConfig(first.config, config, first.origin, origin)
	}
	for _, other := range earlier {
		if err := gate.Apart(c.basePath(), other.basePath, other.origin); err != nil {
			return err
		}
	}
	earlier[name] = parsedHandler{config, origin, c.basePath(), c.Clearance != nil}
	return nil
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	captcha [<matcher>] [<policy>] {
//		verifier <provider> {
//			...
//		}
//		from       header|form|json|query|cookie...
//		field      <parameter> <name>...
//		header     <parameter> <Header-Name>
//		body_limit <size>
//		strip      header|query|cookie...
//		clearance  <ttl> {
//			max_uses <n>
//			bind_to  client_ip|user_agent...|none
//			domain   <name>
//		}
//		refusal       auto|page|problem|error
//		page_template <file>
//		base_path     <path>
//		preflight     refuse|forward
//		max_concurrent_verifications <n> [<per client>]
//		max_failures <per minute and client>
//		on_outage    deny|allow|pow [<difficulty>]
//		outage_rate  <per minute and client> [<in all>]
//		answers    private|keep
//		mode       enforce|monitor
//	}
//
// The options field and header may be repeated.
func (c *Captcha) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the directive's name
	if d.NextArg() {
		c.Policy = d.Val()
	}
	if d.NextArg() {
		return d.Errf("unexpected argument %q; a captcha directive takes a matcher and a policy name", d.Val())
	}
	var parameters []verifier.Parameter
	given := make(map[string]bool)
	if err := c.check(); err != nil {
		return d.WrapErr(err)
	}
	for d.NextBlock(0) {
		option := d.Val()
		if given["verifier"] && option == "verifier" {
			return d.Err("verifier is given twice; for a second captcha add another captcha directive, with a matcher and a policy name of its own")
		}
		if given[option] && option != "field" && option != "header" {
			return d.Errf("%s is given twice", option)
		}
		given[option] = true
		if option == "verifier" {
			guest, raw, err := setting.Guest(d, "http.captcha.verifiers", "provider")
			if err != nil {
				return err
			}
			c.VerifierRaw = raw
			if v, ok := guest.(verifier.Verifier); ok {
				parameters = v.Parameters()
			}
		} else if option == "clearance" {
			var err error
			if c.Clearance, err = unmarshalClearance(d); err != nil {
				return err
			}
		} else if err := c.unmarshalOption(d, option); err != nil {
			return err
		}
		// Everything is checked after each option, so that an error carries
		// the line of the option that brought it in.
		if err := errors.Join(c.check(), c.checkParameters(parameters)); err != nil {
			return d.WrapErr(err)
		}
	}
	if err := c.checkWhole(); err != nil {
		return d.WrapErr(err)
	}
	if c.VerifierRaw == nil {
		return d.Err("captcha needs a verifier: add `verifier geetest_v4|geetest_v3|tencent { ... }`, or `verifier altcha`")
	}
	return nil
}

// options are the options of the captcha directive.
var options = []string{
	"verifier", "from", "field", "header", "body_limit", "strip", "clearance",
	"refusal", "page_template", "base_path", "preflight",
	"max_concurrent_verifications", "max_failures", "on_outage", "outage_rate", "answers", "mode",
}

func (c *Captcha) unmarshalOption(d *caddyfile.Dispenser, option string) error {
	args := d.RemainingArgs()
	if d.NextBlock(1) {
		return d.Errf("%s takes no block", option)
	}
	one := func() (string, error) {
		if len(args) != 1 {
			return "", d.Errf("%s takes one argument, got %d", option, len(args))
		}
		return args[0], nil
	}
	var err error
	switch option {
	case "from":
		c.From = args
		if len(args) == 0 {
			err = d.Err("from takes at least one of header, form, json, query, cookie")
		}
	case "strip":
		c.Strip = args
		if len(args) == 0 {
			err = d.Err("strip takes at least one of header, query, cookie")
		}
	case "field":
		err = unmarshalFields(d, args, &c.Fields)
	case "header":
		err = unmarshalHeader(d, args, &c.Headers)
	case "body_limit":
		var text string
		if text, err = one(); err == nil {
			c.BodyLimit, err = setting.Size(d, option, text, maxBodyLimit)
		}
	case "refusal":
		c.Refusal, err = one()
	case "page_template":
		c.PageTemplate, err = one()
	case "base_path":
		c.BasePath, err = one()
	case "preflight":
		c.Preflight, err = one()
	case "answers":
		c.Answers, err = one()
	case "mode":
		c.Mode, err = one()
	case "max_failures":
		var text string
		if text, err = one(); err == nil {
			c.MaxFailures, err = setting.Count(d, option, text)
		}
	case "on_outage":
		if len(args) < 1 || len(args) > 2 || len(args) == 2 && args[0] != string(gate.OutagePoW) {
			return d.Err("on_outage takes deny, allow or pow, and pow perhaps a difficulty")
		}
		c.OnOutage = args[0]
		if len(args) == 2 {
			c.OutageDifficulty, err = setting.Count(d, "the difficulty of on_outage pow", args[1])
		}
	case "outage_rate":
		if len(args) < 1 || len(args) > 2 {
			return d.Errf("%s takes a number per minute and client, and a number per minute in all", option)
		}
		c.OutageRate, err = setting.Count(d, option, args[0])
		if err == nil && len(args) == 2 {
			c.OutageRateInAll, err = setting.Count(d, option, args[1])
		}
	case "max_concurrent_verifications":
		if len(args) < 1 || len(args) > 2 {
			return d.Errf("%s takes a number, and a number per client", option)
		}
		c.MaxConcurrentVerifications, err = setting.Count(d, option, args[0])
		if err == nil && len(args) == 2 {
			c.MaxConcurrentVerificationsPerClient, err = setting.Count(d, option, args[1])
		}
	default:
		err = setting.Unrecognized(d, option, "captcha", options...)
	}
	return err
}

// unmarshalClearance reads the option clearance.
func unmarshalClearance(d *caddyfile.Dispenser) (*Clearance, error) {
	args := d.RemainingArgs()
	if len(args) != 1 {
		return nil, d.Errf("clearance takes how long it is valid, such as 30m, got %d arguments", len(args))
	}
	ttl, err := caddy.ParseDuration(args[0])
	if err != nil {
		return nil, d.Errf("clearance must be a duration such as 30m, not %q", args[0])
	}
	o := &Clearance{TTL: caddy.Duration(ttl)}
	for d.NextBlock(1) {
		option, args := d.Val(), d.RemainingArgs()
		switch option {
		case "max_uses":
			if o.MaxUses != 0 {
				return nil, d.Err("max_uses is given twice")
			}
			if len(args) != 1 {
				return nil, d.Errf("max_uses takes one argument, got %d", len(args))
			}
			if o.MaxUses, err = setting.Count(d, option, args[0]); err != nil {
				return nil, err
			}
		case "bind_to":
			if o.BindTo != nil {
				return nil, d.Err("bind_to is given twice; put everything on one line")
			}
			if o.BindTo = args; len(args) == 0 {
				return nil, d.Err("bind_to takes client_ip, user_agent or both, or none")
			}
		case "domain":
			if o.Domain != "" {
				return nil, d.Err("domain is given twice")
			}
			if len(args) != 1 || args[0] == "" {
				return nil, d.Err("domain takes one name such as example.com")
			}
			o.Domain = args[0]
		default:
			return nil, setting.Unrecognized(d, option, "clearance", "max_uses", "bind_to", "domain")
		}
		if err := o.check(); err != nil {
			return nil, d.WrapErr(err)
		}
	}
	return o, nil
}

// unmarshalFields reads a parameter and its names.
func unmarshalFields(d *caddyfile.Dispenser, args []string, fields *map[string][]string) error {
	if len(args) < 2 {
		return d.Err("field takes a parameter of the proof and at least one name for it")
	}
	if _, ok := (*fields)[args[0]]; ok {
		return d.Errf("field %s is given twice; put all its names on one line", args[0])
	}
	if *fields == nil {
		*fields = make(map[string][]string)
	}
	(*fields)[args[0]] = args[1:]
	return nil
}

// unmarshalHeader reads a parameter and the request header that carries it.
func unmarshalHeader(d *caddyfile.Dispenser, args []string, headers *map[string]string) error {
	if len(args) != 2 {
		return d.Errf("header takes two arguments, a parameter of the proof and a name, got %d", len(args))
	}
	if _, ok := (*headers)[args[0]]; ok {
		return d.Errf("header %s is given twice", args[0])
	}
	if *headers == nil {
		*headers = make(map[string]string)
	}
	(*headers)[args[0]] = args[1]
	return nil
}

// parseInject makes a handler of a captcha_inject directive.
func parseInject(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	i := new(Inject)
	if err := i.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	name := cmp.Or(i.Policy, defaultPolicy)
	if known, ok := parsedHandlers(h)[name]; ok && !known.clears {
		return nil, h.WrapErr(errNoClearance(name, known.origin))
	}
	return i, nil
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	captcha_inject [<matcher>] [<policy>] {
//		form <css selector>
//		fetched
//	}
func (i *Inject) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the directive's name
	if d.NextArg() {
		i.Policy = d.Val()
	}
	if d.NextArg() {
		return d.Errf("unexpected argument %q; a captcha_inject directive takes a matcher and a policy name", d.Val())
	}
	for d.NextBlock(0) {
		option, args := d.Val(), d.RemainingArgs()
		if d.NextBlock(1) {
			return d.Errf("%s takes no block", option)
		}
		switch option {
		case "form":
			if i.Form != "" {
				return d.Err("form is given twice; a CSS selector can list several, as in `form \"#login, #register\"`")
			}
			if len(args) != 1 {
				return d.Errf("form takes one CSS selector, in quotes if it holds spaces or begins with #, got %d arguments", len(args))
			}
			i.Form = args[0]
		case "fetched":
			if i.Fetched {
				return d.Err("fetched is given twice")
			}
			if len(args) != 0 {
				return d.Errf("fetched takes no argument, got %d", len(args))
			}
			i.Fetched = true
		default:
			return setting.Unrecognized(d, option, "captcha_inject", "form", "fetched")
		}
	}
	if err := i.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

var (
	_ caddyfile.Unmarshaler = (*Captcha)(nil)
	_ caddyfile.Unmarshaler = (*Inject)(nil)
	_ caddyfile.Unmarshaler = (*App)(nil)
)
