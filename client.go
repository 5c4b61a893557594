package caddycaptcha

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// clientOf returns what a provider is told about the client. The address is
// the one that Caddy found, which honours trusted_proxies; it is unknown where
// Caddy has none, as on a Unix socket.
func clientOf(r *http.Request) verifier.Client {
	client := verifier.Client{Type: clientType(r.UserAgent())}
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	text, _, _ = strings.Cut(text, "%") // a zone means nothing to a provider
	if addr, err := netip.ParseAddr(text); err == nil {
		client.IP = addr.Unmap()
	}
	return client
}

// spoofable reports whether Caddy took the client's address from a header of
// which the client chose the part that counts: trusted_proxies without
// trusted_proxies_strict uses the left-most address.
func spoofable(r *http.Request) bool {
	proxied, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return proxied && server != nil && server.TrustedProxiesStrict == 0
}

// prefixOf returns the client prefix, which limits and bindings go by: an
// address within it costs its owner nothing. All clients without an address
// share the zero prefix.
func prefixOf(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	prefix, _ := addr.Prefix(bits) // fails for the zero Addr only
	return prefix
}

// clientType is GeeTest's client_type: "web" for a desktop browser, "h5" for a
// mobile one, "unknown" for anything else.
func clientType(userAgent string) string {
	switch {
	case !strings.HasPrefix(userAgent, "Mozilla/"):
		return "unknown"
	case strings.Contains(userAgent, "Mobi"), strings.Contains(userAgent, "Android"):
		return "h5"
	}
	return "web"
}
