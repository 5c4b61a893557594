package request

import (
	stdpath "path"
	"strings"
)

// clean is the path as it is cleaned by most: slashes merged, dot segments
// resolved, a slash at the end kept.
func clean(p string) string {
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	cleaned := stdpath.Clean(p)
	if len(cleaned) > 1 && strings.HasSuffix(p, "/") {
		cleaned += "/"
	}
	return cleaned
}

// resolveDots resolves dot segments as RFC 3986, section 5.2.4, says: slashes
// are not merged, and a dot segment at the end leaves a slash. An encoded dot
// counts as one, as in the WHATWG's standard.
func resolveDots(p string) string {
	if !strings.Contains(p, "/.") && !strings.Contains(p, "/%2") { // no dot segment
		return p
	}
	segments := strings.Split(strings.TrimPrefix(p, "/"), "/")
	resolved := segments[:0]
	for i, segment := range segments {
		last := i == len(segments)-1
		switch dots(segment) {
		case 1:
		case 2:
			if len(resolved) > 0 {
				resolved = resolved[:len(resolved)-1]
			}
		default:
			resolved = append(resolved, segment)
			continue
		}
		if last {
			resolved = append(resolved, "")
		}
	}
	return "/" + strings.Join(resolved, "/")
}

// dots returns how many dots an encoded segment consists of, and 0 if it is no
// dot segment.
func dots(segment string) int {
	n := 0
	for segment != "" {
		switch {
		case segment[0] == '.':
			segment = segment[1:]
		case len(segment) >= 3 && strings.EqualFold(segment[:3], "%2e"):
			segment = segment[3:]
		default:
			return 0
		}
		n++
	}
	if n > 2 {
		return 0
	}
	return n
}

func isDots(segment string) bool { return segment == "." || segment == ".." }

// hasDots reports whether the path has a dot segment.
func hasDots(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if isDots(segment) {
			return true
		}
	}
	return false
}

// inert replaces every dot segment by a name, because Caddy cleans whatever
// path it is given. What an application reads that does not clean stays.
func inert(p string) string {
	if !hasDots(p) {
		return p
	}
	return eachSegment(p, func(segment string) string {
		if isDots(segment) {
			return "..-"
		}
		return segment
	})
}
