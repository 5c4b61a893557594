package extract

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Strip removes the parameters from the sources of the request, wherever the
// proof came from and however often they are there: Header, Query and Cookie.
// A body stays as it is. Other headers, query parameters and cookies keep
// their bytes and their order.
func (e *Extractor) Strip(r *http.Request, sources []Source) {
	for _, source := range sources {
		switch source {
		case Header:
			for _, parameter := range e.parameters {
				delete(r.Header, parameter.Header)
			}
		case Query:
			e.stripQuery(r)
		case Cookie:
			RemoveCookies(r.Header, func(name string) bool { return e.parameter(name) != none })
		case Form, JSON: // forwarded as it was sent
		}
	}
}

// stripQuery sets r.RequestURI with the query, as Caddy's rewrite handler does.
func (e *Extractor) stripQuery(r *http.Request) {
	pairs := strings.Split(r.URL.RawQuery, "&")
	kept := slices.DeleteFunc(slices.Clone(pairs), func(pair string) bool {
		text, _, _ := strings.Cut(pair, "=")
		return slices.ContainsFunc(e.names, func(n name) bool { return decodesTo(text, n.text) })
	})
	if len(kept) == len(pairs) {
		return
	}
	r.URL.RawQuery = strings.Join(kept, "&")
	r.RequestURI = r.URL.RequestURI()
}

// RemoveCookies removes the cookies whose names match from a request's header.
// The others keep their bytes and their order.
func RemoveCookies(header http.Header, match func(name string) bool) {
	lines := header["Cookie"]
	var kept []string
	for _, line := range lines {
		if rest := withoutCookies(line, match); rest != "" || line == "" {
			kept = append(kept, rest)
		}
	}
	if len(kept) == 0 {
		delete(header, "Cookie")
		return
	}
	header["Cookie"] = kept
}

func withoutCookies(line string, match func(name string) bool) string {
	cookies := strings.Split(line, ";")
	kept := slices.DeleteFunc(slices.Clone(cookies), func(cookie string) bool {
		name, _, _ := strings.Cut(cookie, "=")
		return match(textproto.TrimString(name))
	})
	if len(kept) == len(cookies) {
		return line
	}
	// The space before the cookie that comes first now belonged to the
	// separator.
	return strings.TrimLeft(strings.Join(kept, ";"), " ")
}
