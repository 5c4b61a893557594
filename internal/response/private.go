package response

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Private serves a GET or HEAD request with next so that what it is answered
// with is for this client only: a shared cache in front would hand it to
// clients that have proved nothing. The site's header directives do not change
// that, with the one exception that [Final] has. Other requests, whose answers
// caches do not store by themselves, are served as they are.
//
//   - In Cache-Control, private takes the place of public and s-maxage. What
//     else is said there stays, and so does no-store.
//   - Fields that are for some shared caches only, and mean more to them than
//     Cache-Control, are removed: CDN-Cache-Control, Surrogate-Control and such.
//
// It allocates nothing but one writer, unless a Cache-Control has to be
// rewritten.
func Private(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return next.ServeHTTP(w, r)
	}
	place := find(w, isDeferred)
	if _, ok := place.beneath.(*private); ok {
		return next.ServeHTTP(w, r) // another handler has seen to it
	}
	ours := new(private)
	ours.ResponseWriter, ours.rule = place.beneath, ours
	err := next.ServeHTTP(place.put(ours), r)
	// Where nothing was written, the server writes the header after this, or an
	// error route does.
	ours.settle()
	return err
}

// private is the writer for the answer to a gated GET or HEAD, and its rule.
type private struct {
	writer

	// line is the value of Cache-Control where there was none.
	line [1]string
}

func (p *private) apply(header http.Header) {
	lines, misspelled := header["Cache-Control"], false
	for name, values := range header {
		switch {
		case isTargeted(name):
			delete(header, name)
		case name != "Cache-Control" && strings.EqualFold(name, "Cache-Control"):
			lines = append(slices.Clip(lines), values...)
			delete(header, name)
			misspelled = true
		}
	}
	switch {
	case len(lines) == 0:
		p.line[0] = "private"
		header["Cache-Control"] = p.line[:]
	case misspelled || !isPrivate(lines):
		header["Cache-Control"] = []string{makePrivate(lines)}
	}
}

// isTargeted tells the fields that only some shared caches read, and that these
// follow instead of Cache-Control.
func isTargeted(name string) bool {
	const suffix = "CDN-Cache-Control" // RFC 9213; the prefix names the cache
	if n := len(name) - len(suffix); n >= 0 && strings.EqualFold(name[n:], suffix) {
		return n == 0 || name[n-1] == '-'
	}
	for _, other := range []string{
		"Surrogate-Control",         // Edge Architecture: Varnish, Fastly
		"X-Accel-Expires",           // nginx
		"X-Litespeed-Cache-Control", // LiteSpeed
		"Edge-Control",              // Akamai
	} {
		if strings.EqualFold(name, other) {
			return true
		}
	}
	return false
}
