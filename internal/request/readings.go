package request

import (
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// reading is one way in which an application may read a request.
type reading struct {
	path   path
	query  string
	method string
	host   string
}

// path is a path and how it is written with percent-encodings, as in
// url.URL.Path and url.URL.RawPath. Where raw is empty, or no encoding of the
// path, net/url's own encoding of it is meant.
type path struct{ decoded, raw string }

func pathOf(u *url.URL) path { return path{u.Path, u.RawPath} }

// escaped returns the path with its percent-encodings.
func (p path) escaped() string {
	u := url.URL{Path: p.decoded, RawPath: p.raw}
	return u.EscapedPath()
}

// values holds the values of one part of a request, equal ones once. The first
// is the request's own. One that has more than are ever evaluated is full.
type values[T comparable] struct {
	list []T
	full bool
}

func (v *values[T]) add(value T) {
	if slices.Contains(v.list, value) {
		return
	}
	if len(v.list) == maxReadings {
		v.full = true
		return
	}
	v.list = append(v.list, value)
}

// readings holds the values that the parts of a request have to applications.
// A part that is not looked at has the request's own value alone.
type readings struct {
	paths   values[path]
	queries values[string]
	methods values[string]
	hosts   values[string]
}

// read finds the values of all parts that are in sight: as the request is now,
// as the client sent it, as a header says, and what becomes of each of them.
func (v *readings) read(s *sight, r *http.Request, sent *Line) {
	v.paths.list = make([]path, 0, 8)
	paths := append(make([]path, 0, 4), pathOf(r.URL), pathOf(sent.URL))
	queries := append(make([]string, 0, 4), r.URL.RawQuery, sent.URL.RawQuery)
	for _, name := range targetHeaders {
		for _, value := range r.Header[name] {
			target := parseTarget(value)
			paths = append(paths, pathOf(target))
			queries = append(queries, target.RawQuery)
		}
	}

	if sent.Method == http.MethodConnect && sent.URL.Path == "" { // to some the authority is the path
		paths = append(paths, path{decoded: "/" + sent.URL.Host})
	}

	v.paths.add(paths[0])
	v.queries.add(queries[0])
	v.methods.add(r.Method)
	v.hosts.add(r.Host)
	if s.parts&pathPart != 0 {
		for i, p := range paths {
			if i == 0 || p != paths[0] {
				s.readPath(&v.paths, p)
			}
		}
	}
	if s.parts&queryPart != 0 {
		for i, query := range queries {
			if i == 0 || query != queries[0] {
				s.readQuery(&v.queries, query)
			}
		}
	}
	if s.parts&methodPart != 0 {
		readMethods(&v.methods, r, sent, queries)
	}
	if s.parts&hostPart != 0 {
		s.readHost(&v.hosts, r.Host)
	}
}

// count returns how many readings there are, or more than maxReadings.
func (v *readings) count() int {
	if v.paths.full || v.queries.full || v.methods.full || v.hosts.full {
		return maxReadings + 1
	}
	return len(v.paths.list) * len(v.queries.list) * len(v.methods.list) * len(v.hosts.list)
}

// others yields all readings but the first, which is the request's own.
func (v *readings) others() iter.Seq[reading] {
	return func(yield func(reading) bool) {
		first := true
		for _, method := range v.methods.list {
			for _, host := range v.hosts.list {
				for _, query := range v.queries.list {
					for _, p := range v.paths.list {
						if !first && !yield(reading{p, query, method, host}) {
							return
						}
						first = false
					}
				}
			}
		}
	}
}

// targetHeaders name the target that front controllers of old PHP frameworks
// read before the request line's.
var targetHeaders = [...]string{"X-Original-Url", "X-Rewrite-Url"}

// parseTarget parses the target that a header names. One that net/url does not
// take is read all the same, as a path and a query.
func parseTarget(target string) *url.URL {
	if u, err := url.ParseRequestURI(target); err == nil && u.Opaque == "" {
		return u
	}
	if scheme, rest, found := strings.Cut(target, "://"); found && !strings.ContainsAny(scheme, "/?#") {
		target = "//" + rest
	} else if !strings.HasPrefix(target, "/") {
		target = "//" + target // what it begins with may be an authority
	}
	p, query, _ := strings.Cut(target, "?")
	return &url.URL{Path: decode(p), RawPath: p, RawQuery: query}
}

// methodHeaders name the method that frameworks take a request for.
var methodHeaders = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// methodField is the query parameter that does the same.
const methodField = "_method"

// readMethods adds the methods that an application may take the request's
// for: in upper case, HEAD and an extended CONNECT as GET, and one that a
// header or the query names.
func readMethods(v *values[string], r *http.Request, sent *Line, queries []string) {
	add := func(method string) {
		v.add(method)
		method = strings.ToUpper(strings.TrimSpace(method))
		v.add(method)
		if method == http.MethodHead {
			v.add(http.MethodGet)
		}
	}
	add(r.Method)
	add(sent.Method)
	if protocol(r) != "" {
		v.add(http.MethodGet)
	}
	for _, name := range methodHeaders {
		for _, value := range r.Header[name] {
			add(value)
			if strings.IndexByte(value, ',') >= 0 { // as several lines are one list
				for method := range strings.SplitSeq(value, ",") {
					add(method)
				}
			}
		}
	}
	for i := 0; i < len(queries); i++ { // the parts of parts included
		if parts := partsOfQuery(queries[i]); parts != nil {
			queries = append(slices.Clip(queries), parts...)
		}
	}
	for _, query := range queries {
		if !mayNameMethod(query) {
			continue
		}
		if tooManyPairs(query) {
			v.full = true
			return
		}
		for _, separators := range []string{"&", "&;"} {
			pairs, _ := parseQuery(query, separators)
			for _, p := range pairs {
				p = lowerNames(phpNames(cutNULs(trimNames(p))))
				if p.name == methodField {
					add(p.value)
				}
			}
		}
	}
}

// oddMethod reports whether a method may have a second reading.
func oddMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions:
		return false
	default:
		return true
	}
}

// mayNameMethod reports whether a query may hold the field that names a
// method. Its name may be encoded, in any case, and begin with a character
// that PHP makes an underscore.
func mayNameMethod(query string) bool {
	if strings.IndexByte(query, '%') >= 0 {
		return true
	}
	const name = "method"
	for i := range len(query) - len(name) {
		if query[i+1]|0x20 == 'm' && strings.EqualFold(query[i+1:i+1+len(name)], name) {
			return true
		}
	}
	return false
}

// readHost adds the host in lower case and without trailing dots.
func (s *sight) readHost(v *values[string], host string) {
	if !s.oddHost(host) {
		return
	}
	plain := withoutDots(host)
	v.add(plain)
	if s.cased&hostPart != 0 {
		v.add(strings.ToLower(host))
		v.add(strings.ToLower(plain))
	}
}

// withoutDots returns the host without the dots that end its name. What more
// than one colon follows on is no port to Caddy, and to others it is nothing.
func withoutDots(host string) string {
	if strings.HasPrefix(host, "[") {
		return host
	}
	name, port, found := strings.Cut(host, ":")
	name = strings.TrimRight(name, ".")
	if !found || strings.IndexByte(port, ':') >= 0 {
		return name
	}
	return name + ":" + port
}

// oddHost reports whether a host may have a second reading.
func (s *sight) oddHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case c == '.':
			if i+1 == len(host) || host[i+1] == ':' {
				return true
			}
		case c == ':':
			if strings.IndexByte(host[i+1:], ':') >= 0 {
				return true
			}
		case 'A' <= c && c <= 'Z' || c >= 0x80:
			if s.cased&hostPart != 0 {
				return true
			}
		}
	}
	return false
}
