package placement

import (
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// rewriter is a handler that changes the path or the method of requests.
type rewriter struct {
	*rewrite.Rewrite
	route caddyhttp.MatcherSets // of its route, in which a file matcher finds what it rewrites to
}

// unknownPath stands for a path that depends on more than the line.
const unknownPath = "?"

// line is what a rewriter changes of a request.
type line struct{ method, path string }

// String names the rewriter as in a Caddyfile.
func (w rewriter) String() string {
	switch {
	case w.StripPathPrefix != "":
		return "uri strip_prefix " + w.StripPathPrefix + " (handle_path)"
	case w.StripPathSuffix != "":
		return "uri strip_suffix " + w.StripPathSuffix
	case len(w.URISubstring) > 0:
		return "uri replace " + w.URISubstring[0].Find + " " + w.URISubstring[0].Replace
	case len(w.PathRegexp) > 0:
		return "uri path_regexp " + w.PathRegexp[0].Find + " " + w.PathRegexp[0].Replace
	case strings.Contains(w.URI, fileMatched) && len(w.files()) > 0:
		return "try_files " + caddyfileSpelling.Replace(strings.Join(w.files(), " "))
	case w.URI != "":
		return "rewrite " + caddyfileSpelling.Replace(w.URI)
	case w.Method != "":
		return "method " + w.Method
	}
	return "rewrite"
}

// changesLine reports whether the rewriter changes anything but the query.
func (w rewriter) changesLine() bool {
	uri, _, _ := strings.Cut(w.URI, "?")
	return uri != "" || w.Method != "" || w.StripPathPrefix != "" || w.StripPathSuffix != "" ||
		len(w.URISubstring) > 0 || len(w.PathRegexp) > 0
}

// fileMatched begins the placeholders that a file matcher sets.
const fileMatched = "{http.matchers.file."

// caddyfileSpelling writes placeholders as one would in a Caddyfile.
var caddyfileSpelling = strings.NewReplacer(
	"{http.request.uri.path}", "{path}",
	"{http.request.uri.query}", "{query}",
	"{http.request.uri}", "{uri}",
	"{http.matchers.file.relative}", "{file_match.relative}",
)

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// files returns what the file matcher of the route tries.
func (w rewriter) files() []string {
	for _, set := range w.route {
		for _, matcher := range set {
			switch m := matcher.(type) {
			case *fileserver.MatchFile:
				return m.TryFiles
			case fileserver.MatchFile:
				return m.TryFiles
			}
		}
	}
	return nil
}

// outputs returns what the rewriter may make of the line, and whether that is
// all. It is not where the result depends on more of a request than the line.
func (w rewriter) outputs(in line) (out []line, all bool) {
	uris := []string{w.URI}
	if strings.Contains(w.URI, fileMatched) {
		uris = w.files()
	}
	// No path tells what a regular expression makes of others.
	all = len(uris) > 0 && len(w.PathRegexp) == 0
	for _, uri := range uris {
		uri, _, _ := strings.Cut(uri, "?")
		switch {
		case strings.HasPrefix(uri, "="): // an error, to try_files
		case known(uri):
			out = append(out, w.output(uri, in))
		default:
			all = false
		}
	}
	return out, all
}

// known reports whether all placeholders of the URI are those of the line.
func known(uri string) bool {
	for _, name := range placeholder.FindAllString(uri, -1) {
		if name != "{http.request.uri.path}" && name != "{http.request.uri}" {
			return false
		}
	}
	return true
}

// output is what the rewriter makes of the line with the URI.
func (w rewriter) output(uri string, in line) line {
	r := &http.Request{Method: in.method, URL: &url.URL{Path: in.path}, Header: make(http.Header)}
	r.RequestURI = r.URL.RequestURI()
	with := *w.Rewrite
	with.URI = uri
	if uri != "" && uri[0] != '/' && uri[0] != '{' {
		with.URI = "/" + uri // as a file is named that was found
	}
	with.Rewrite(r, caddyhttp.NewTestReplacer(r))
	return line{r.Method, caddyhttp.CleanPath("/"+r.URL.Path, true)}
}

// leads returns a line that the captcha does not match, but what the rewriter
// makes of it, if there is one.
func (w rewriter) leads(g *gate) (from, to line, ok bool) {
	for _, in := range w.inputs(g) {
		if protects(g, in) != no {
			continue
		}
		// The index of a directory is served at the path with a slash, to which
		// php_fastcgi and file_server redirect.
		if directory := (line{in.method, in.path + "/"}); len(w.files()) > 0 && protects(g, directory) != no {
			continue
		}
		outs, all := w.outputs(in)
		for _, out := range outs {
			if protects(g, out) != no {
				return in, out, true
			}
		}
		if !all && w.mayReach(g) {
			return in, line{in.method, unknownPath}, true
		}
	}
	return line{}, line{}, false
}

// protects says whether the captcha's own matchers match requests with the
// line.
func protects(g *gate, l line) answer {
	return requests{target: &l.path, method: l.method}.matchesAny(g.Matchers, false)
}

// mayReach reports whether a URI, of which some is unknown, can be a path that
// the captcha asks for.
func (w rewriter) mayReach(g *gate) bool {
	if len(w.PathRegexp) > 0 {
		return true
	}
	uri, _, _ := strings.Cut(w.URI, "?")
	pattern := placeholder.ReplaceAllString(uri, "*")
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	wanted := ownPatterns(g)
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(p string) bool {
		meet, _ := patternsMeet(strings.ToLower(pattern), p)
		return meet
	})
}

// inputs returns lines that tell whether the rewriter crosses the border of
// what the captcha matches: paths that become one on it, by each of the
// rewriter's means, and such as are changed into nothing else.
func (w rewriter) inputs(g *gate) []line {
	const elsewhere = "/elsewhere"
	paths := []string{"/", elsewhere}
	add := func(path string) { paths = append(paths, path) }
	for _, p := range patterns(w.route) {
		add(example(p))
	}
	own := ownPatterns(g)
	for i, p := range append(own, exemptPatterns(g)...) {
		at := example(p)
		if prefix := strings.TrimSuffix(w.StripPathPrefix, "/"); i < len(own) || !within(at, prefix) {
			add(prefix + at) // an exemption that has the prefix is another spelling already
		}
		add(at)
		for i := range at {
			add("/" + strings.TrimPrefix(at[:i], "/"))
			add("/" + strings.TrimPrefix(at[i:], "/"))
		}
		add(at + w.StripPathSuffix)
		for _, r := range w.URISubstring {
			if r.Replace != "" {
				add(strings.ReplaceAll(at, r.Replace, r.Find))
			} else {
				add("/" + strings.TrimPrefix(r.Find, "/") + at)
			}
		}
		if p := strings.TrimSuffix(p, "*"); w.StripPathPrefix != "" && strings.HasPrefix(p, w.StripPathPrefix) {
			add(p + elsewhere)
		}
	}
	if w.StripPathPrefix != "" {
		add(strings.TrimSuffix(w.StripPathPrefix, "/") + elsewhere)
	}
	var lines []line
	for _, path := range slices.Compact(slices.Sorted(slices.Values(paths))) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if l := (line{method, path}); w.sees(l) {
				lines = append(lines, l)
			}
		}
	}
	return lines
}

// sees reports whether the rewriter's route may match the line. What a regular
// expression matches has no example among the inputs, so it stands for any.
func (w rewriter) sees(l line) bool {
	q := requests{target: &l.path, method: l.method}
	return len(w.route) == 0 || slices.ContainsFunc(w.route, func(set caddyhttp.MatcherSet) bool {
		return !slices.ContainsFunc(set, func(matcher any) bool {
			matcher = plain(matcher)
			_, expression := matcher.(caddyhttp.MatchPathRE)
			return !expression && q.matchesOne(matcher, false) == no
		})
	})
}

// within reports whether the path is the base or lies under it.
func within(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && base != "" && (rest == "" || rest[0] == '/')
}

// patterns returns the patterns of the path matchers in the sets.
func patterns(sets caddyhttp.MatcherSets) (all []string) {
	for _, set := range sets {
		for _, matcher := range set {
			if m, ok := plain(matcher).(caddyhttp.MatchPath); ok {
				all = append(all, m...)
			}
		}
	}
	return all
}

// ownPatterns returns the patterns of the paths that the captcha asks for.
func ownPatterns(g *gate) []string { return patterns(g.Matchers) }

// exemptPatterns returns the patterns of the paths that it leaves out.
func exemptPatterns(g *gate) (all []string) {
	for _, set := range g.Matchers {
		for _, matcher := range set {
			if not, ok := plain(matcher).(caddyhttp.MatchNot); ok {
				all = append(all, patterns(not.MatcherSets)...)
			}
		}
	}
	return all
}

// example returns a path that the pattern matches, if it has no placeholder.
func example(pattern string) string {
	if head, ok := strings.CutSuffix(pattern, "*"); ok && !strings.HasSuffix(head, "/") {
		pattern = head
	}
	return path.Clean("/" + strings.ReplaceAll(pattern, "*", "x"))
}
