// Package request states facts about a request as Caddy sees it: what the
// client sent before any handler changed it, who the client is, and what it
// asks for.
package request

import (
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Line is what a request line says (RFC 9112, section 3).
type Line struct {
	Method     string
	RequestURI string
	URL        *url.URL // parsed from RequestURI; not to be changed
}

// Original returns the request line that the client sent, before any handler
// changed the method or URI. Outside of a Caddy server it is the request's own.
func Original(r *http.Request) Line {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return Line{original.Method, original.RequestURI, original.URL}
	}
	return Line{r.Method, r.RequestURI, r.URL}
}
