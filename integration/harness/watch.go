package harness

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// watch is a handler that tells when a client leaves.
type watch struct{}

// Departures tells of each client that left a handler `watch`.
var Departures = make(chan struct{}, 1)

func (watch) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.watch", New: func() caddy.Module { return new(watch) }}
}

func (watch) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	stop := context.AfterFunc(r.Context(), func() { Departures <- struct{}{} })
	defer stop()
	return next.ServeHTTP(w, r)
}

func init() {
	caddy.RegisterModule(watch{})
	httpcaddyfile.RegisterHandlerDirective("watch", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return watch{}, nil })
	httpcaddyfile.RegisterDirectiveOrder("watch", httpcaddyfile.Before, "basic_auth")
}
