package request

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// ClientIP returns the client's address as Caddy found it, which honours
// trusted_proxies: without a zone, and not as an IPv4-mapped one. It is the
// zero Addr where Caddy has none, as on a Unix socket.
func ClientIP(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	text, _, _ = strings.Cut(text, "%")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// ClientPrefix returns the client prefix of an address, IPv4 /24 or IPv6 /64,
// which bindings go by: another address within it costs its owner nothing. All
// clients without an address share the zero Prefix.
func ClientPrefix(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	prefix, _ := addr.Prefix(bits) // fails for the zero Addr only
	return prefix
}

// IsSpoofable reports whether Caddy took the client's address from a header of
// which the client chose the part that counts: trusted_proxies without
// trusted_proxies_strict uses the left-most address.
func IsSpoofable(r *http.Request) bool {
	proxied, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return proxied && server != nil && server.TrustedProxiesStrict == 0
}
