package request

import (
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// UntrustedForwarded reports whether the request seems to come through a proxy
// that trusted_proxies does not name: X-Forwarded-For or X-Forwarded-Proto from
// a private address. All clients of such a proxy look like one, and https looks
// like http. A stranger on the internet may send these headers, too; that says
// nothing, because nobody believes them.
func UntrustedForwarded(r *http.Request) bool {
	if len(r.Header["X-Forwarded-For"]) == 0 && len(r.Header["X-Forwarded-Proto"]) == 0 {
		return false
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		return false
	}
	if r.RemoteAddr == "@" { // a Unix socket, at net/http's end of which there is no address
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap()
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || carrierGrade.Contains(addr)
}

// carrierGrade is the range that providers share among their customers (RFC
// 6598), from which load balancers in a cloud also come.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")
