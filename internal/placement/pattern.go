package placement

import (
	"path"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// The functions of this file compare what matchers match without a request.
// They follow Caddy's matchers: see caddyhttp.MatchPath for the kinds of path
// patterns, and caddyhttp.MatchHost for those of hosts.

// patternIn reports whether everything that the path pattern p matches is
// matched by q, too. When it cannot tell it says no.
func patternIn(p, q string) bool {
	if p == q || q == "*" {
		return true
	}
	if opaquePattern(p) || opaquePattern(q) {
		return false
	}
	inner, starred := strings.CutPrefix(q, "*")
	inner, starredToo := strings.CutSuffix(inner, "*")
	switch {
	case strings.Contains(inner, "*"), strings.ContainsAny(q, `?[\`):
		return isExact(p) && matchesGlob(q, p)
	case starred && starredToo:
		return strings.Contains(head(p), inner) || strings.Contains(tail(p), inner) ||
			!globbed(p) && strings.Contains(strings.Trim(p, "*"), inner)
	case starred:
		return strings.HasSuffix(tail(p), inner)
	case starredToo:
		return inner == "/" || strings.HasPrefix(head(p), inner)
	}
	return false // q is exact and not p
}

// patternsMeet reports whether some path is matched by both patterns, and
// whether it is sure of that.
func patternsMeet(p, q string) (meet, sure bool) {
	switch {
	case patternIn(p, q) || patternIn(q, p):
		return true, !opaquePattern(p)
	case opaquePattern(p) || opaquePattern(q):
		return true, false
	case isExact(p) || isExact(q):
		if globbed(p) || globbed(q) {
			return matchesGlob(p, q) || matchesGlob(q, p), true
		}
		return false, true // or one were in the other
	}
	meet = (strings.HasPrefix(head(p), head(q)) || strings.HasPrefix(head(q), head(p))) &&
		(strings.HasSuffix(tail(p), tail(q)) || strings.HasSuffix(tail(q), tail(p)))
	return meet, !globbed(p) && !globbed(q)
}

// opaquePattern reports whether only a request can tell what the pattern
// matches: it has a placeholder, or is about the path as it was encoded, or
// about one whose double slashes are kept.
func opaquePattern(p string) bool { return strings.ContainsAny(p, "{%") || strings.Contains(p, "//") }

// head returns what all that the pattern matches begins with.
func head(p string) string {
	if i := strings.IndexAny(p, `*?[\`); i >= 0 {
		return p[:i]
	}
	return p
}

// tail returns what all of it ends in.
func tail(p string) string { return p[strings.LastIndexAny(p, `*?]\`)+1:] }

func isExact(p string) bool { return !strings.ContainsAny(p, `*?[\`) }

// globbed reports whether the pattern is one of path.Match, whose star ends at
// a slash.
func globbed(p string) bool {
	inner := strings.TrimSuffix(strings.TrimPrefix(p, "*"), "*")
	return strings.ContainsAny(inner, `*?[\`)
}

func matchesGlob(pattern, name string) bool {
	matched, err := path.Match(pattern, name)
	return err == nil && matched
}

// hostIn reports whether every host that p stands for is matched by q.
func hostIn(p, q string) bool {
	if strings.Contains(p, "{") || strings.Contains(q, "{") {
		return p == q
	}
	if strings.EqualFold(p, q) {
		return true
	}
	if !strings.Contains(q, "*") {
		return false
	}
	labelsP, labelsQ := strings.Split(p, "."), strings.Split(q, ".")
	if len(labelsP) != len(labelsQ) {
		return false
	}
	for i := range labelsQ {
		if labelsQ[i] != "*" && !strings.EqualFold(labelsP[i], labelsQ[i]) {
			return false
		}
	}
	return true
}

// hostsMeet reports whether some host is matched by both.
func hostsMeet(p, q string) bool {
	if strings.Contains(p, "{") || strings.Contains(q, "{") {
		return true
	}
	labelsP, labelsQ := strings.Split(p, "."), strings.Split(q, ".")
	if len(labelsP) != len(labelsQ) {
		return false
	}
	for i := range labelsP {
		if labelsP[i] != "*" && labelsQ[i] != "*" && !strings.EqualFold(labelsP[i], labelsQ[i]) {
			return false
		}
	}
	return true
}

// alternatives returns what a matcher is made of, if it is one of paths, hosts
// or methods, of which any may match, and how two of them compare.
func alternatives(matcher any) (kind string, values []string, in func(p, q string) bool, meet func(p, q string) bool) {
	equal := func(p, q string) bool { return p == q }
	switch m := matcher.(type) {
	case caddyhttp.MatchPath:
		return "path", m, patternIn, func(p, q string) bool { meet, _ := patternsMeet(p, q); return meet }
	case caddyhttp.MatchHost:
		return "host", m, hostIn, hostsMeet
	case caddyhttp.MatchMethod:
		if slices.ContainsFunc(m, func(method string) bool { return strings.Contains(method, "{") }) {
			return "", nil, nil, nil
		}
		return "method", m, equal, equal
	}
	return "", nil, nil, nil
}
