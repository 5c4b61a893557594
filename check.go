package caddycaptcha

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddycaptcha/caddycaptcha/internal/extract"
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
		{"refusal", c.Refusal, []string{refusalAuto, refusalPage, refusalProblem, refusalError}},
		{"preflight", c.Preflight, []string{preflightRefuse, preflightForward}},
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
	if c.Clearance == nil && c.Refusal == refusalPage {
		return errors.New("refusal page needs a clearance, which is what a browser gets for solving the captcha on the page: add `clearance 30m`")
	}
	if c.Clearance == nil && c.PageTemplate != "" {
		return errors.New("page_template has no effect without a clearance: add `clearance 30m`")
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
		if strings.Contains("."+c.Fields[parameter]+".", "..") {
			return fmt.Errorf("field %s: %q is not a name, nor names with dots between them", parameter, c.Fields[parameter])
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
	var known []string
	fields, headers := make(map[string]string), make(map[string]string)
	for _, p := range parameters {
		known = append(known, p.Name)
		field := nameOr(c.Fields, p.Name, p.Name)
		if other, ok := fields[field]; ok {
			return fmt.Errorf("field %s and field %s have the same name %q", other, p.Name, field)
		}
		for earlier, other := range fields {
			if strings.HasPrefix(earlier, field+".") || strings.HasPrefix(field, earlier+".") {
				return fmt.Errorf("field %s and field %s: in JSON %q and %q cannot both be there", other, p.Name, earlier, field)
			}
		}
		fields[field] = p.Name
		header := http.CanonicalHeaderKey(nameOr(c.Headers, p.Name, p.Header))
		if other, ok := headers[header]; ok {
			return fmt.Errorf("header %s and header %s have the same name %q", other, p.Name, header)
		}
		headers[header] = p.Name
	}
	for option, names := range map[string]map[string]string{"field": c.Fields, "header": c.Headers} {
		for _, parameter := range slices.Sorted(maps.Keys(names)) {
			if !slices.Contains(known, parameter) {
				return fmt.Errorf("%s: this provider's proof has no parameter %q; it has %s", option, parameter, strings.Join(known, ", "))
			}
		}
	}
	return nil
}

// nameOr returns the configured name of a parameter, or its default.
func nameOr(names map[string]string, parameter, def string) string {
	if name, ok := names[parameter]; ok {
		return name
	}
	return def
}

func (c *Captcha) checkNumbers() error {
	for _, option := range []struct {
		name  string
		value int64
	}{
		{"body_limit", c.BodyLimit},
		{"max_concurrent_verifications", int64(c.MaxConcurrentVerifications)},
		{"max_concurrent_verifications per client prefix", int64(c.MaxConcurrentVerificationsPerClient)},
		{"max_failures", int64(c.MaxFailures)},
	} {
		if option.value < 0 {
			return fmt.Errorf("%s must not be negative", option.name)
		}
	}
	if c.BodyLimit > maxBodyLimit {
		return fmt.Errorf("body_limit must be at most %d bytes (64 MiB): that much of every body is held in memory", maxBodyLimit)
	}
	if total := c.MaxConcurrentVerifications; total > 0 && c.MaxConcurrentVerificationsPerClient > total {
		return fmt.Errorf("max_concurrent_verifications: %d per client prefix is more than %d in all", c.MaxConcurrentVerificationsPerClient, total)
	}
	return nil
}

func join(sources []extract.Source) string {
	words := make([]string, len(sources))
	for i, source := range sources {
		words[i] = string(source)
	}
	return strings.Join(words, ", ")
}

// sources turns the checked words of an option into sources.
func sources(words []string) []extract.Source {
	result := make([]extract.Source, len(words))
	for i, word := range words {
		result[i] = extract.Source(word)
	}
	return result
}
