package request

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// parts is a set of the parts of a request that can be read in several ways.
type parts uint8

const (
	pathPart parts = 1 << iota
	queryPart
	methodPart
	hostPart

	allParts = pathPart | queryPart | methodPart | hostPart
)

// sight is what a matcher can see of a request, as far as it can be known when
// the config is loaded.
type sight struct {
	parts      parts
	cased      parts    // of them, those in which upper and lower case differ
	escapes    bool     // whether it compares the path's percent-encodings
	slashes    bool     // whether two slashes in a path differ from one
	repeats    bool     // whether it makes a difference that a query has a name twice
	extensions []string // that its path patterns name, in lower case, such as ".php"
	scripts    bool     // whether it may mean what a script is handed as PATH_INFO
	writes     bool     // whether it may write placeholders or variables, or reads them
	body       bool     // whether it reads a body placeholder
}

// everything is what a matcher may see that is not known.
var everything = sight{parts: allParts, cased: allParts, escapes: true, slashes: true, repeats: true, extensions: []string{".php"}, scripts: true, writes: true}

// with returns what both can see.
func (s sight) with(other sight) sight {
	s.parts |= other.parts
	s.cased |= other.cased
	s.escapes = s.escapes || other.escapes
	s.slashes = s.slashes || other.slashes
	s.repeats = s.repeats || other.repeats
	s.writes = s.writes || other.writes
	s.body = s.body || other.body
	s.scripts = s.scripts || other.scripts
	s.extensions = slices.Concat(s.extensions, other.extensions)
	slices.Sort(s.extensions)
	s.extensions = slices.Compact(s.extensions)
	return s
}

func (s sight) equal(other sight) bool {
	return s.parts == other.parts && s.cased == other.cased && s.escapes == other.escapes &&
		s.slashes == other.slashes && s.scripts == other.scripts && s.repeats == other.repeats && s.writes == other.writes && slices.Equal(s.extensions, other.extensions)
}

// extensionOf returns the extension that a path pattern names: the end of the
// pattern from its last dot on, or nothing.
func extensionOf(pattern string) string {
	dot := strings.LastIndexByte(pattern, '.')
	if dot < 0 || strings.ContainsAny(pattern[dot:], "/*?[\\%{") {
		return ""
	}
	return strings.ToLower(pattern[dot:])
}

// regexpExtension finds the extension in which a regular expression ends.
var regexpExtension = regexp.MustCompile(`\\(\.\w+)[)]*\$[)]*$`)

// look returns what a matcher can see. A matcher that is not known sees
// everything, and so does a pattern with a placeholder in it.
func look(matcher any) sight {
	switch m := value(matcher).(type) {
	case caddyhttp.MatchPath:
		if hasPlaceholder(m...) {
			return everything
		}
		seen := sight{parts: pathPart, scripts: true}
		for _, pattern := range m {
			seen.escapes = seen.escapes || strings.Contains(pattern, "%")
			seen.slashes = seen.slashes || strings.Contains(pattern, "//")
			if extension := extensionOf(pattern); extension != "" {
				seen.extensions = append(seen.extensions, extension)
			}
		}
		return sight{}.with(seen)
	case caddyhttp.MatchPathRE:
		seen := sight{parts: pathPart, cased: pathPart, scripts: true, writes: true} // what it captures
		if found := regexpExtension.FindStringSubmatch(m.Pattern); found != nil {
			seen.extensions = []string{strings.ToLower(found[1])}
		}
		return seen
	case caddyhttp.MatchMethod:
		return sight{parts: methodPart}
	case caddyhttp.MatchQuery:
		for name, values := range m {
			if hasPlaceholder(name) || hasPlaceholder(values...) {
				return everything
			}
		}
		return sight{parts: queryPart, cased: queryPart}
	case caddyhttp.MatchHost:
		if hasPlaceholder(m...) {
			return everything
		}
		return sight{parts: hostPart}
	case caddyhttp.MatchHeader:
		var seen sight
		for name, values := range m {
			if hasPlaceholder(values...) {
				return everything
			}
			seen = seen.with(lookAtHeader(name))
		}
		return seen
	case caddyhttp.MatchHeaderRE:
		seen := sight{writes: true} // what it captures
		for name := range m {
			seen = seen.with(lookAtHeader(name))
		}
		return seen
	case caddyhttp.MatchProtocol, caddyhttp.MatchTLS, caddyhttp.MatchRemoteIP, caddyhttp.MatchClientIP:
		return sight{}
	case caddyhttp.MatchNot:
		var seen sight
		for _, matchers := range m.MatcherSets {
			for _, matcher := range matchers {
				seen = seen.with(look(matcher))
			}
		}
		seen.repeats = seen.parts&queryPart != 0
		seen.scripts = false // what it leaves out may have scripts of its own
		return seen
	default:
		seen := everything
		seen.body = readsBody(matcher)
		return seen
	}
}

// lookAtHeader returns what a header matcher sees by a field's name. Caddy
// serves the Host under it, too.
func lookAtHeader(name string) sight {
	if http.CanonicalHeaderKey(name) == "Host" {
		return sight{parts: hostPart, cased: hostPart}
	}
	return sight{}
}

// value returns the matcher that a pointer to one of Caddy's own points to.
// Caddy's modules are loaded as pointers; matchers made by other means are
// values.
func value(matcher any) any {
	switch m := matcher.(type) {
	case *caddyhttp.MatchPath:
		return *m
	case *caddyhttp.MatchPathRE:
		return *m
	case *caddyhttp.MatchMethod:
		return *m
	case *caddyhttp.MatchQuery:
		return *m
	case *caddyhttp.MatchHost:
		return *m
	case *caddyhttp.MatchHeader:
		return *m
	case *caddyhttp.MatchHeaderRE:
		return *m
	case *caddyhttp.MatchProtocol:
		return *m
	case *caddyhttp.MatchTLS:
		return *m
	case *caddyhttp.MatchRemoteIP:
		return *m
	case *caddyhttp.MatchClientIP:
		return *m
	case *caddyhttp.MatchNot:
		return *m
	case *caddyhttp.MatchExpression:
		return *m
	case *caddyhttp.VarsMatcher:
		return *m
	case *caddyhttp.MatchVarsRE:
		return *m
	default:
		return matcher
	}
}

// hasPlaceholder reports whether a pattern may hold a placeholder.
func hasPlaceholder(patterns ...string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return strings.Contains(pattern, "{") })
}

// bodyPlaceholder begins the names of the placeholders that read the body.
const bodyPlaceholder = "http.request.body"

// readsBody reports whether the matcher's config names a body placeholder. One
// whose name an expression makes up while it runs is not found here; a reading
// in which it is read counts as a match.
func readsBody(matcher any) bool {
	if expression, ok := value(matcher).(caddyhttp.MatchExpression); ok {
		return slices.ContainsFunc(expression.Placeholders(), func(name string) bool {
			return strings.HasPrefix(name, bodyPlaceholder)
		})
	}
	config, err := json.Marshal(matcher)
	return err == nil && strings.Contains(string(config), bodyPlaceholder)
}
