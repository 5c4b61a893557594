// Command limit is a Caddy whose directive ask_provider asks the benchmark's
// provider about the proof in each request, by one POST of net/http, and does
// nothing else that a captcha needs: no replay cache, no limits, no readings.
// What that costs is the least that a gate in the same process can cost.
package main

import (
	"errors"
	"net/http"
	"os"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddycaptcha/caddycaptcha/bench/asking"
)

func main() {
	caddy.RegisterModule(handler{})
	httpcaddyfile.RegisterHandlerDirective("ask_provider", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return new(handler), nil
	})
	httpcaddyfile.RegisterDirectiveOrder("ask_provider", httpcaddyfile.After, "basic_auth")
	caddycmd.Main()
}

type handler struct{ asker asking.Asker }

func (handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.ask_provider", New: func() caddy.Module { return new(handler) }}
}

func (h *handler) Provision(caddy.Context) error {
	h.asker = asking.Asker{Client: asking.TunedClient(), Endpoint: "http://127.0.0.1:" + os.Getenv("PROVIDER_PORT")}
	return nil
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !h.asker.Accepts(r) {
		return caddyhttp.Error(http.StatusForbidden, errors.New("the provider does not accept the proof"))
	}
	return next.ServeHTTP(w, r)
}

var (
	_ caddy.Provisioner           = (*handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*handler)(nil)
)
