package request

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

// ID returns the request's id, {http.request.uuid}, which Caddy makes when it
// is first asked for and then adds to the access log. It is empty outside of a
// Caddy server.
func ID(r *http.Request) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	id, _ := repl.GetString("http.request.uuid")
	return id
}
