package inject

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	enforcedCSP   = "Content-Security-Policy"
	reportOnlyCSP = "Content-Security-Policy-Report-Only"
)

// cspSources are what a content security policy must allow for our element to
// work: the script, the frame that the script opens, and the endpoint that it
// calls.
type cspSources struct {
	host                            string // "" if the page's host cannot be written as a source
	scriptPath, framePath, callPath string
	hash                            string
}

func newCSPSources(options Options) cspSources {
	script, _, _ := strings.Cut(options.ScriptURL, "?")
	return cspSources{
		scriptPath: sourcePath(script),
		framePath:  sourcePath(options.FramePath),
		callPath:   sourcePath(options.CallPath),
		hash:       "'" + options.Integrity + "'",
	}
}

// sourcePath writes a path such that it ends neither a directive nor a policy.
func sourcePath(path string) string {
	if decoded, err := url.PathUnescape(path); err == nil {
		path = (&url.URL{Path: decoded}).EscapedPath()
	}
	return strings.NewReplacer(";", "%3B", ",", "%2C", "'", "%27").Replace(path)
}

// on returns the sources for a page of the host.
func (s cspSources) on(host string) cspSources {
	s.host = ""
	if isSourceHost(host) {
		s.host = host
	}
	return s
}

// isSourceHost reports whether a Host header can be a host source: the sender
// of the request chose it, and addresses in brackets are not in the grammar.
func isSourceHost(host string) bool {
	name, port, hasPort := strings.Cut(host, ":")
	if name == "" || hasPort && port == "" {
		return false
	}
	for _, c := range []byte(name) {
		if !isAlphanumeric(c) && c != '-' && c != '.' {
			return false
		}
	}
	for _, c := range []byte(port) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// source is the host source of a path. It has no scheme, which lets it match
// pages over http and over https.
func (s cspSources) source(path string) string {
	if s.host == "" {
		return "'self'"
	}
	return s.host + path
}

// amendHeader amends the policies in the headers of a page, those that are
// only reported included, which would else report every page. It returns the
// nonce for our element, if a policy asks for one.
func (s cspSources) amendHeader(h http.Header) (nonce string) {
	for _, key := range [...]string{enforcedCSP, reportOnlyCSP} {
		lines := h[key]
		if len(lines) == 0 {
			continue
		}
		amended := make([]string, len(lines))
		for n, line := range lines {
			policies := strings.Split(line, ",")
			for m, policy := range policies {
				var its string
				policies[m], its = s.amend(policy)
				if nonce == "" {
					nonce = its
				}
			}
			amended[n] = strings.Join(policies, ",")
		}
		h[key] = amended
	}
	return nonce
}

// amend returns the policy with what our element needs and it did not yet
// allow, and the nonce that our element should have.
//
// Nothing else is weakened. The script is allowed by its hash, which is that of
// its integrity attribute. A path would be no bound: browsers do not look at it
// after a redirect, so that one on an origin that is allowed could lead to
// anything on ours. It is added only where 'unsafe-inline' rules, which any
// hash would switch off. The frame and the call are allowed by path.
func (s cspSources) amend(policy string) (amended, nonce string) {
	directives := parseCSP(policy)
	if n := directives.governing("script-src-elem", "script-src", "default-src"); n >= 0 {
		sources := directives[n].sources
		nonce = nonceOf(sources)
		switch strict := hasKeyword(sources, "'strict-dynamic'"); {
		case slices.Contains(sources, s.hash), !strict && allowsOwnOrigin(sources):
		case !strict && allowsInline(sources):
			directives = directives.allow(n, "script-src", s.source(s.scriptPath))
		default:
			// The nonce alone would do for this policy, but another policy of the
			// page may want another one, and an element has only one.
			directives = directives.allow(n, "script-src", s.hash)
		}
	}
	if n := directives.governing("connect-src", "default-src"); n >= 0 && !allowsOwnOrigin(directives[n].sources) {
		directives = directives.allow(n, "connect-src", s.source(s.callPath))
	}
	// Only frame-src itself is amended: child-src is about workers too.
	if n := directives.governing("frame-src", "child-src", "default-src"); n >= 0 {
		if !allowsOwnOrigin(directives[n].sources) {
			directives = directives.allow(n, "frame-src", s.source(s.framePath))
		}
	}
	return directives.String(), nonce
}

// isSandboxed reports whether an enforced policy sandboxes the page such that
// our element cannot work.
func isSandboxed(h http.Header) bool {
	for _, line := range h[enforcedCSP] {
		for policy := range strings.SplitSeq(line, ",") {
			directives := parseCSP(policy)
			if n := directives.governing("sandbox"); n >= 0 {
				flags := directives[n].sources
				if !hasKeyword(flags, "allow-scripts") || !hasKeyword(flags, "allow-same-origin") {
					return true
				}
			}
		}
	}
	return false
}

// directive is one directive of a policy. Its text is as it was written.
type directive struct {
	text    string
	name    string // in lower case
	sources []string
}

type csp []directive

func parseCSP(policy string) csp {
	var directives csp
	for text := range strings.SplitSeq(policy, ";") {
		d := directive{text: text}
		if fields := strings.FieldsFunc(text, isSpaceRune); len(fields) > 0 {
			d.name, d.sources = strings.ToLower(fields[0]), fields[1:]
		}
		directives = append(directives, d)
	}
	return directives
}

func (c csp) String() string {
	texts := make([]string, len(c))
	for n, d := range c {
		texts[n] = d.text
	}
	return strings.Join(texts, ";")
}

// governing returns the index of the first of the named directives that the
// policy has, or -1. If it has one twice, browsers ignore the second.
func (c csp) governing(names ...string) int {
	for _, name := range names {
		if n := slices.IndexFunc(c, func(d directive) bool { return d.name == name }); n >= 0 {
			return n
		}
	}
	return -1
}

// allow adds a source to the directive at n. If that is only what the wanted
// one falls back to, the wanted one is added, with the same sources.
func (c csp) allow(n int, wanted, source string) csp {
	d := c[n]
	fallback := d.name != wanted && d.name != wanted+"-elem"
	if fallback {
		d.name = wanted
	}
	if len(d.sources) == 1 && strings.EqualFold(d.sources[0], "'none'") {
		d.sources = nil
	}
	d.sources = append(slices.Clone(d.sources), source)
	text := d.name + " " + strings.Join(d.sources, " ")
	if !fallback {
		if d.text = text; isSpace(c[n].text[0]) {
			d.text = " " + text
		}
		c[n] = d
		return c
	}
	if last := len(c) - 1; last >= 0 && c[last].name == "" {
		c = c[:last] // after a final semicolon
	}
	d.text = " " + text
	return append(c, d)
}

// allowsOwnOrigin reports whether the sources allow every URL of the page's
// own origin. For sources that it does not look at, such as hosts, the answer
// is no: then ours is added beside one that allows the same.
func allowsOwnOrigin(sources []string) bool {
	return hasKeyword(sources, "'self'") || slices.Contains(sources, "*")
}

// allowsInline reports whether inline scripts are allowed, whatever they say: a
// nonce, a hash or 'strict-dynamic' switches 'unsafe-inline' off.
func allowsInline(sources []string) bool {
	return hasKeyword(sources, "'unsafe-inline'") && !slices.ContainsFunc(sources, func(source string) bool {
		source = strings.ToLower(source)
		return source == "'strict-dynamic'" || strings.HasPrefix(source, "'nonce-") ||
			strings.HasPrefix(source, "'sha256-") || strings.HasPrefix(source, "'sha384-") || strings.HasPrefix(source, "'sha512-")
	})
}

func hasKeyword(sources []string, keyword string) bool {
	return slices.ContainsFunc(sources, func(source string) bool {
		return strings.EqualFold(source, keyword)
	})
}

// nonceOf returns the first nonce of the sources.
func nonceOf(sources []string) string {
	const prefix = "'nonce-"
	for _, source := range sources {
		if len(source) > len(prefix)+1 && strings.EqualFold(source[:len(prefix)], prefix) && source[len(source)-1] == '\'' {
			return source[len(prefix) : len(source)-1]
		}
	}
	return ""
}

func isSpaceRune(r rune) bool { return r < 0x80 && isSpace(byte(r)) }

func isAlphanumeric(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9'
}
