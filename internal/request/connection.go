package request

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// IsSecure reports whether the client uses https: to us, or to a trusted proxy
// that says so.
func IsSecure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if !trusted {
		return false
	}
	scheme, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return strings.EqualFold(strings.TrimSpace(scheme), "https")
}

// IsEarly reports whether the request came before the TLS handshake was
// complete (0-RTT). Until then the client's address may be forged.
func IsEarly(r *http.Request) bool { return r.TLS != nil && !r.TLS.HandshakeComplete }
