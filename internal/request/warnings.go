package request

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Warnings says of each matcher what it leaves out that may be the same page
// to an application, or what a client can make it mean, and what to write
// instead.
func (m *Matchers) Warnings() (warnings []string) {
	for _, set := range m.sets {
		for _, matcher := range set {
			warnings = append(warnings, warn(matcher)...)
		}
	}
	return warnings
}

func warn(matcher any) (warnings []string) {
	add := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	switch m := value(matcher).(type) {
	case caddyhttp.MatchPath:
		for _, pattern := range m {
			switch {
			case covered(pattern, m):
			case pattern != "/" && !strings.ContainsAny(pattern, "*?[{"):
				add("%s is matched exactly: %[1]s/, %[1]s.php and what begins with it otherwise are not protected, and may be the same page to the application; match %[1]s*", pattern)
			case strings.Contains(pattern, "*") && extensionOf(pattern) != "":
				add("path %s goes by how a path ends, which a client chooses: /x%[2]s/y may be the same script to the application as /x%[2]s, and so may /x without the ending; match the beginnings of the paths to protect, such as /login*", pattern, extensionOf(pattern))
			}
		}
	case caddyhttp.MatchPathRE:
		if !strings.HasPrefix(strings.TrimPrefix(m.Pattern, "^"), "(?i)") {
			add("path_regexp %s tells upper from lower case, which the application may not; write (?i) in front of it", m.Pattern)
		}
		if endsInDollar.MatchString(m.Pattern) {
			add("path_regexp %s ends in $: a path that goes on, such as with a slash, .php or a parameter, may be the same page to the application; leave the $ out", m.Pattern)
		}
	case caddyhttp.MatchMethod:
		text := fmt.Sprintf("only the methods %s are matched: to the application others may do the same", strings.Join(m, ", "))
		if overridable(m) {
			text += ", and a POST whose body names one of them (_method=PUT) does it to many"
		}
		add("%s; match `not method GET HEAD OPTIONS` instead", text)
	case caddyhttp.MatchQuery:
		if len(m) == 0 {
			add("an empty query is matched: a client adds any parameter to pass by; match a path instead")
			break
		}
		add("query is matched: the application may take the same parameter from the body or a cookie, in another order or under another name; match a path instead")
	case caddyhttp.MatchNot:
		for _, matchers := range m.MatcherSets {
			for _, nested := range matchers {
				warnings = append(warnings, warnNot(nested)...)
			}
		}
	case caddyhttp.MatchExpression:
		if slices.ContainsFunc(m.Placeholders(), clientChooses) {
			add("expression %s compares what the client writes as it stands: the application may read another path out of it; use path('/login*') in it instead of placeholders of the URI", shorten(m.Expr))
		}
	case caddyhttp.VarsMatcher:
		for name := range m {
			warnings = append(warnings, warnVariable("vars", name)...)
		}
	case caddyhttp.MatchVarsRE:
		for name := range m {
			warnings = append(warnings, warnVariable("vars_regexp", name)...)
		}
	}
	return warnings
}

// endsInDollar finds an end of the text at the end of a regular expression.
var endsInDollar = regexp.MustCompile(`(^|[^\\])\$\)*$`)

// warnVariable warns of a variable that is compared. A map in front of the
// handler makes one out of the URI, as a placeholder does.
func warnVariable(matcher, name string) []string {
	placeholder := strings.Trim(name, "{}")
	switch {
	case name != placeholder && clientChooses(placeholder):
		return []string{fmt.Sprintf("%s %s compares what the client writes as it stands: the application may read another path out of it; match a path instead", matcher, name)}
	case name != placeholder && strings.HasPrefix(placeholder, "http.") && !strings.HasPrefix(placeholder, "http.vars."):
		return nil
	default:
		return []string{fmt.Sprintf("%s %s is compared: if a map or vars directive makes it out of the URI, the application may read another path than was compared; match a path instead", matcher, name)}
	}
}

// warnNot warns of what is let out by a matcher in a `not`. What such a
// matcher does not match is protected, so only what a client can make it match
// is worth a word.
func warnNot(matcher any) (warnings []string) {
	add := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	switch m := value(matcher).(type) {
	case caddyhttp.MatchPath:
		for _, pattern := range m {
			if strings.HasPrefix(pattern, "*") {
				add("not path %s leaves out what ends in it, and a client chooses how a path ends: /login/x%s may be the login to the application; leave out directories, such as /static/*", pattern, strings.Trim(pattern, "*"))
			}
		}
	case caddyhttp.MatchPathRE:
		if !strings.HasPrefix(strings.TrimPrefix(m.Pattern, "(?i)"), "^") {
			add("not path_regexp %s leaves out every path that has this in it, which a client can write anywhere; begin it with ^", m.Pattern)
		}
	case caddyhttp.MatchQuery:
		add("not query leaves out requests by a parameter that every client can add; leave out paths instead")
	case caddyhttp.MatchExpression, caddyhttp.VarsMatcher, caddyhttp.MatchVarsRE:
		warnings = append(warnings, warn(matcher)...)
	case caddyhttp.MatchNot:
		for _, matchers := range m.MatcherSets {
			for _, nested := range matchers {
				warnings = append(warnings, warn(nested)...)
			}
		}
	}
	return warnings
}

// covered reports whether another of the patterns matches everything that
// begins with the path.
func covered(path string, patterns []string) bool {
	for _, pattern := range patterns {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && pattern != path && !strings.Contains(prefix, "*") && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// overridable reports whether the methods hold one that a POST can be taken
// for, and not POST.
func overridable(methods []string) bool {
	return !slices.Contains(methods, "POST") && slices.ContainsFunc(methods, func(method string) bool {
		return method != "GET" && method != "HEAD" && method != "OPTIONS"
	})
}

// clientChooses reports whether a placeholder holds the URI, or a part of it,
// as the client wrote it, or one whose name is not known.
func clientChooses(placeholder string) bool {
	return placeholder == "" ||
		strings.HasPrefix(placeholder, "http.request.uri") ||
		strings.HasPrefix(placeholder, "http.request.orig_uri") ||
		strings.HasPrefix(placeholder, "http.request.method") ||
		strings.HasPrefix(placeholder, "http.request.orig_method")
}

// shorten cuts an expression to what fits into a log line.
func shorten(text string) string {
	const limit = 80
	if len(text) <= limit {
		return text
	}
	return text[:limit] + "..."
}
