package caddycaptcha

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// protects reports whether the handler's matchers match the request as it is
// now or, where an earlier handler changed its method or URI, as the client
// sent it. Either match protects: a rewrite must not open the gate.
func (c *Captcha) protects(r *http.Request) (bool, error) {
	if len(c.matcherSets) == 0 {
		return true, nil
	}
	matched, err := c.matcherSets.AnyMatchWithError(r)
	if matched || err != nil {
		return matched, err
	}
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || !rewritten(r, &original) {
		return false, nil
	}
	return c.matchesOriginal(r, &original)
}

// matchesOriginal evaluates the matchers with the original's method and URI.
// They are put into r itself, and the URL into what r.URL points to, because
// Caddy's placeholders read from the request that the server made, and r may
// be a shallow copy of that one. Nothing else reads it meanwhile.
func (c *Captcha) matchesOriginal(r, original *http.Request) (bool, error) {
	method, target, uri := r.Method, *r.URL, r.RequestURI
	defer func() { r.Method, *r.URL, r.RequestURI = method, target, uri }()
	r.Method, *r.URL, r.RequestURI = original.Method, *original.URL, original.RequestURI
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok && method != original.Method {
		const placeholder = "http.request.method" // of which a copy has no share
		repl.Set(placeholder, original.Method)
		defer repl.Delete(placeholder)
	}
	return c.matcherSets.AnyMatchWithError(r)
}

// rewritten reports whether an earlier handler changed the method or URI.
func rewritten(r, original *http.Request) bool {
	return r.Method != original.Method ||
		r.URL.Path != original.URL.Path ||
		r.URL.RawPath != original.URL.RawPath ||
		r.URL.RawQuery != original.URL.RawQuery ||
		r.RequestURI != original.RequestURI
}

// loopholes says what the matchers leave out that may be the same page to an
// application: other spellings of an exact path, and other methods.
func loopholes(sets caddyhttp.MatcherSets) (warnings []string) {
	for _, set := range sets {
		for _, matcher := range set {
			switch m := matcher.(type) {
			case caddyhttp.MatchMethod:
				warnings = append(warnings, "only the methods "+strings.Join(m, ", ")+" are matched: to the application others, or these in lower case, may do the same; match `not method GET HEAD OPTIONS` instead")
			case *caddyhttp.MatchMethod:
				warnings = append(warnings, loopholes(caddyhttp.MatcherSets{{*m}})...)
			case caddyhttp.MatchPath:
				for _, path := range m {
					if !strings.Contains(path, "*") && path != "/" && !covered(path, m) {
						warnings = append(warnings, path+" is matched exactly: "+path+"/, "+path+";x and "+path+".php are not protected, and may be the same page to the application; match "+path+"*")
					}
				}
			case *caddyhttp.MatchPath:
				warnings = append(warnings, loopholes(caddyhttp.MatcherSets{{*m}})...)
			}
		}
	}
	return warnings
}

// covered reports whether one of the patterns matches everything that begins
// with the exact path.
func covered(path string, patterns []string) bool {
	for _, pattern := range patterns {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}
