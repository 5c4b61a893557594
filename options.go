package caddycaptcha

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/publicsuffix"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/extract"
	"github.com/caddycaptcha/caddycaptcha/internal/gate"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

var policyName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// check finds what is wrong with the options that are set, as far as they can
// be judged without loading modules or expanding placeholders.
func (c *Captcha) check() error {
	if err := checkPolicyName(c.Policy); err != nil {
		return err
	}
	for _, option := range []struct {
		name, value string
		words       []string
	}{
		{"refusal", c.Refusal, words(gate.RefusalAuto, gate.RefusalPage, gate.RefusalProblem, gate.RefusalError)},
		{"preflight", c.Preflight, []string{preflightRefuse, preflightForward}},
		{"on_outage", c.OnOutage, words(gate.OutageDeny, gate.OutageAllow, gate.OutagePoW)},
		{"answers", c.Answers, []string{answersPrivate, answersKeep}},
		{"mode", c.Mode, []string{modeEnforce, modeMonitor}},
	} {
		if option.value != "" && !slices.Contains(option.words, option.value) {
			return fmt.Errorf("%s must be %s, not %q", option.name, strings.Join(option.words, " or "), option.value)
		}
	}
	if c.Clearance != nil {
		if err := c.Clearance.check(); err != nil {
			return err
		}
	}
	if err := checkBasePath(c.BasePath); err != nil {
		return err
	}
	if err := checkSources("from", c.From, extract.Header, extract.Form, extract.JSON, extract.Query, extract.Cookie); err != nil {
		return err
	}
	if slices.Contains(c.Strip, string(extract.Form)) || slices.Contains(c.Strip, string(extract.JSON)) {
		return fmt.Errorf("strip cannot remove a proof from a body, which is forwarded as it was sent; strip takes header, query and cookie")
	}
	if err := checkSources("strip", c.Strip, extract.Header, extract.Query, extract.Cookie); err != nil {
		return err
	}
	if err := c.checkNames(); err != nil {
		return err
	}
	return c.checkNumbers()
}

func checkPolicyName(name string) error {
	if name != "" && !policyName.MatchString(name) {
		return fmt.Errorf("policy name %q may hold only letters, digits, _ and - (a path begins with /, and several paths need a named matcher)", name)
	}
	return nil
}

// checkWhole finds what is missing once all options are known.
func (c *Captcha) checkWhole() error {
	if c.Clearance == nil && c.Refusal == string(gate.RefusalPage) {
		return errors.New("refusal page needs a clearance, which is what a browser gets for solving the captcha on the page: add `clearance 30m`")
	}
	if c.Clearance == nil && c.PageTemplate != "" {
		return errors.New("page_template has no effect without a clearance: add `clearance 30m`")
	}
	if !c.opensInOutage() && c.OutageRate+c.OutageRateInAll > 0 {
		return errors.New("outage_rate has no effect without `on_outage allow` or `on_outage pow`")
	}
	if c.OnOutage != string(gate.OutagePoW) && c.OutageDifficulty > 0 {
		return errors.New("outage_difficulty has no effect without `on_outage pow`")
	}
	if c.OnOutage == string(gate.OutagePoW) && c.Clearance == nil {
		return errors.New("on_outage pow needs a clearance, which is what a browser gets for its work: add `clearance 30m`")
	}
	return nil
}

var basePathShape = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func checkBasePath(base string) error {
	if base != "" && (!basePathShape.MatchString(base) || path.Clean(base) != base) {
		return fmt.Errorf("base_path %q must be a path such as /.captcha/login, without a slash at its end, of letters, digits, - . _ and ~", base)
	}
	return nil
}

func checkSources(option string, given []string, known ...extract.Source) error {
	for i, source := range given {
		if !slices.Contains(known, extract.Source(source)) {
			return fmt.Errorf("%s does not know the source %q; it takes %s", option, source, join(known))
		}
		if slices.Contains(given[:i], source) {
			return fmt.Errorf("%s lists %s twice", option, source)
		}
	}
	return nil
}

func (c *Captcha) checkNames() error {
	if len(c.From) > 0 {
		hasHeader := slices.Contains(c.From, string(extract.Header))
		if len(c.Headers) > 0 && !hasHeader {
			return fmt.Errorf("header has no effect because from does not list header")
		}
		if len(c.Fields) > 0 && hasHeader && len(c.From) == 1 {
			return fmt.Errorf("field has no effect because from lists header only")
		}
	}
	for _, parameter := range slices.Sorted(maps.Keys(c.Headers)) {
		name := c.Headers[parameter]
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("header %s: %q is not a valid header name", parameter, name)
		}
		if strings.ContainsAny(name, "_.") {
			return fmt.Errorf("header %s: Caddy removes request headers whose names contain _ or ., so %q never arrives; use - instead", parameter, name)
		}
	}
	for _, parameter := range slices.Sorted(maps.Keys(c.Fields)) {
		if len(c.Fields[parameter]) == 0 {
			return fmt.Errorf("field %s has no name: give it one, or leave it out to use %q", parameter, parameter)
		}
		for _, name := range c.Fields[parameter] {
			if strings.Contains("."+name+".", "..") {
				return fmt.Errorf("field %s: %q is not a name, nor names with dots between them", parameter, name)
			}
		}
	}
	return nil
}

// checkParameters finds parameters that the provider's proof does not have and
// names that are used for two. It waits for the verifier to be known.
func (c *Captcha) checkParameters(parameters []verifier.Parameter) error {
	if parameters == nil {
		return nil
	}
	var known, fields []string
	owners, headers := make(map[string]string), make(map[string]string)
	for _, p := range parameters {
		known = append(known, p.Name)
		for _, field := range c.fieldsOf(p) {
			if other, ok := owners[field]; ok && other == p.Name {
				return fmt.Errorf("field %s lists the name %q twice", p.Name, field)
			} else if ok {
				return fmt.Errorf("field %s and field %s have the same name %q", other, p.Name, field)
			}
			for _, earlier := range fields {
				if strings.HasPrefix(earlier, field+".") || strings.HasPrefix(field, earlier+".") {
					return fmt.Errorf("field %s and field %s: in JSON %q and %q cannot both be there", owners[earlier], p.Name, earlier, field)
				}
			}
			fields = append(fields, field)
			owners[field] = p.Name
		}
		header := http.CanonicalHeaderKey(cmp.Or(c.Headers[p.Name], p.Header))
		if other, ok := headers[header]; ok {
			return fmt.Errorf("header %s and header %s have the same name %q", other, p.Name, header)
		}
		headers[header] = p.Name
	}
	for _, option := range []struct {
		name  string
		given []string
	}{
		{"field", slices.Sorted(maps.Keys(c.Fields))},
		{"header", slices.Sorted(maps.Keys(c.Headers))},
	} {
		for _, parameter := range option.given {
			if !slices.Contains(known, parameter) {
				return fmt.Errorf("%s: this provider's proof has no parameter %q; it has %s", option.name, parameter, strings.Join(known, ", "))
			}
		}
	}
	return nil
}

// fieldsOf returns the names of a parameter in forms, queries, cookies and
// JSON.
func (c *Captcha) fieldsOf(p verifier.Parameter) []string {
	if names := c.Fields[p.Name]; len(names) > 0 {
		return names
	}
	return []string{p.Name}
}

func (c *Captcha) checkNumbers() error {
	for _, option := range []struct {
		name  string
		value int64
	}{
		{"body_limit", c.BodyLimit},
		{"max_concurrent_verifications", int64(c.MaxConcurrentVerifications)},
		{"max_concurrent_verifications per client", int64(c.MaxConcurrentVerificationsPerClient)},
		{"max_failures", int64(c.MaxFailures)},
		{"outage_difficulty", int64(c.OutageDifficulty)},
		{"outage_rate", int64(c.OutageRate)},
		{"outage_rate in all", int64(c.OutageRateInAll)},
	} {
		if option.value < 0 {
			return fmt.Errorf("%s must not be negative", option.name)
		}
	}
	if c.BodyLimit > maxBodyLimit {
		return fmt.Errorf("body_limit must be at most %d bytes (64 MiB): that much of every body is held in memory", maxBodyLimit)
	}
	if c.OutageDifficulty > 0 {
		if err := verifier.CheckDifficulty(c.OutageDifficulty); err != nil {
			return fmt.Errorf("on_outage pow: %w", err)
		}
	}
	if inAll := c.OutageRateInAll; inAll > 0 && c.OutageRate > inAll {
		return fmt.Errorf("outage_rate: %d per client is more than %d in all", c.OutageRate, inAll)
	}
	if total, perClient := c.MaxConcurrentVerifications, c.MaxConcurrentVerificationsPerClient; total > 0 && perClient > limit.MostPerClient(total) {
		return fmt.Errorf("max_concurrent_verifications: %d per client is more than a quarter of %d in all, so that one client could keep out others; give a client at most %d, or leave its number out",
			perClient, total, limit.MostPerClient(total))
	}
	return nil
}

// opensInOutage reports whether there is a way in while the provider is down.
func (c *Captcha) opensInOutage() bool {
	return c.OnOutage == string(gate.OutageAllow) || c.OnOutage == string(gate.OutagePoW)
}

// outage returns what becomes of proofs while the provider of v is down.
func (c *Captcha) outage(v verifier.Verifier) (gate.OutageOptions, error) {
	o := gate.OutageOptions{Mode: gate.OnOutage(c.OnOutage), Rate: c.OutageRate, RateInAll: c.OutageRateInAll}
	if _, ok := v.(verifier.Local); ok && c.opensInOutage() {
		return o, fmt.Errorf("on_outage %s has no effect: this verifier has no provider that could be down; remove on_outage", c.OnOutage)
	}
	if _, ok := v.(verifier.Prober); !ok && c.opensInOutage() {
		return o, fmt.Errorf("on_outage %s needs a verifier that can tell whether its provider is down, and this one cannot: remove on_outage, or use another verifier", c.OnOutage)
	}
	if o.Mode != gate.OutagePoW {
		return o, nil
	}
	work, err := verifier.NewForOutage(c.OutageDifficulty, c.OutageRate, c.OutageRateInAll)
	if err != nil {
		return o, fmt.Errorf("on_outage pow: %w", err)
	}
	o.Work = work
	_, o.AtVerify = c.extractors(work.Parameters())
	return o, nil
}

func join(sources []extract.Source) string { return strings.Join(words(sources...), ", ") }

// words returns the values as what they are written as.
func words[T ~string](values ...T) []string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return texts
}

// sources turns the checked words of an option into sources.
func sources(words []string) []extract.Source {
	result := make([]extract.Source, len(words))
	for i, word := range words {
		result[i] = extract.Source(word)
	}
	return result
}

// Clearance configures clearances. A clearance is a signed cookie that a
// browser gets for a proof at the endpoint `verify`: with it, requests pass
// without a proof of their own. It is good for one policy and, without
// a `domain`, one host.
type Clearance struct {
	// How long a clearance is valid. Required; at most 30 days.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How many requests pass with one clearance. They are counted
	// in the replay cache, in which each such clearance takes the place of one
	// proof; what a restart makes a memory cache forget is used up. Default:
	// any number.
	MaxUses int `json:"max_uses,omitempty"`

	// What a clearance is bound to: `client_ip` (the client
	// prefix, IPv4 /24 or IPv6 /64), `user_agent`, or only `none`. A browser
	// whose address or name changes has to solve another captcha. Default:
	// `client_ip`.
	BindTo []string `json:"bind_to,omitempty"`

	// A domain, such as `example.com`: a clearance that is got over https from
	// one of its hosts is then good for it and all hosts under it. It must not
	// be a public suffix, under which others have hosts. Over http, and where
	// the host is none of the domain's, a clearance stays good for its host
	// alone, and a warning says so. Default: none, each is good for its host
	Domain string `json:"domain,omitempty"`
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
	if o.Domain == "" {
		return nil
	}
	if err := checkDomain(o.Domain); err != nil {
		return fmt.Errorf("clearance: domain %w", err)
	}
	return nil
}

// checkDomain finds what is wrong with the domain of clearances. Browsers keep
// no cookie for a public suffix; in either section of the list it has hosts of
// people who have nothing to do with each other.
func checkDomain(domain string) error {
	isLabel := func(label string) bool {
		return label != "" && len(label) <= 63 && !strings.ContainsFunc(label, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
		})
	}
	labels := strings.Split(domain, ".")
	if len(domain) > 253 || slices.ContainsFunc(labels, func(label string) bool { return !isLabel(label) }) {
		return fmt.Errorf("must be a name such as example.com, without a scheme, port, path or dot at the ends, and with xn-- for what is not ASCII, not %q", domain)
	}
	if net.ParseIP(domain) != nil {
		return fmt.Errorf("must be a name, not the address %s: browsers have no cookies for all hosts of a network", domain)
	}
	if suffix, _ := publicsuffix.PublicSuffix(strings.ToLower(domain)); suffix == strings.ToLower(domain) {
		return fmt.Errorf("%s is a public suffix, under which others have hosts: name your own domain under it, such as example.%[1]s", domain)
	}
	return nil
}

// options returns the clearances that the gate is to give: none without the
// option.
func (o *Clearance) options() *gate.ClearanceOptions {
	if o == nil {
		return nil
	}
	return &gate.ClearanceOptions{
		TTL:           time.Duration(o.TTL),
		MaxUses:       o.MaxUses,
		BindIP:        len(o.BindTo) == 0 || slices.Contains(o.BindTo, bindClientIP),
		BindUserAgent: slices.Contains(o.BindTo, bindUserAgent),
		Domain:        strings.ToLower(o.Domain),
	}
}
