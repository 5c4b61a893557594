package request_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/request"
)

// from is a request from the peer with the headers, whose proxy is trusted or
// not.
func from(peer string, trusted bool, header ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = peer
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	vars := map[string]any{caddyhttp.TrustedProxyVarKey: trusted}
	return r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars))
}

func TestUntrustedForwarded(t *testing.T) {
	forwardedFor, proto := []string{"X-Forwarded-For", "203.0.113.5"}, []string{"X-Forwarded-Proto", "https"}
	for _, c := range []struct {
		name string
		r    *http.Request
		want bool
	}{
		{"no headers", from("10.0.0.1:1234", false), false},
		{"For from a private peer", from("10.0.0.1:1234", false, forwardedFor...), true},
		{"Proto from a private peer", from("192.168.1.1:1234", false, proto...), true},
		{"from a trusted one", from("10.0.0.1:1234", true, forwardedFor...), false},
		{"from the internet", from("203.0.113.9:1234", false, forwardedFor...), false},
		{"from the internet by IPv6", from("[2001:db8::1]:1234", false, forwardedFor...), false},
		{"from loopback", from("127.0.0.1:1234", false, forwardedFor...), true},
		{"from loopback by IPv6", from("[::1]:1234", false, forwardedFor...), true},
		{"mapped into IPv6", from("[::ffff:10.0.0.1]:1234", false, forwardedFor...), true},
		{"from a unique local address", from("[fd00::1]:1234", false, forwardedFor...), true},
		{"from a link-local address", from("[fe80::1%eth0]:1234", false, forwardedFor...), true},
		{"from a load balancer", from("100.64.3.4:1234", false, forwardedFor...), true},
		{"over a Unix socket", from("@", false, forwardedFor...), true},
		{"over a trusted Unix socket", from("@", true, forwardedFor...), false},
		{"from nowhere", from("", false, forwardedFor...), false},
		{"another header", from("10.0.0.1:1234", false, "X-Real-Ip", "203.0.113.5"), false},
	} {
		if got := request.UntrustedForwarded(c.r); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
	if request.UntrustedForwarded(&http.Request{}) {
		t.Error("a request without anything counts")
	}
}

// TestUntrustedForwardedCosts: it allocates nothing, whatever it finds.
func TestUntrustedForwardedCosts(t *testing.T) {
	for _, r := range []*http.Request{
		from("203.0.113.9:1234", false),
		from("10.0.0.1:1234", false, "X-Forwarded-For", "203.0.113.5"),
		from("10.0.0.1:1234", true, "X-Forwarded-For", "203.0.113.5"),
	} {
		if n := testing.AllocsPerRun(100, func() { request.UntrustedForwarded(r) }); n != 0 {
			t.Errorf("%v allocations for %s", n, r.RemoteAddr)
		}
	}
}

func BenchmarkUntrustedForwarded(b *testing.B) {
	for name, r := range map[string]*http.Request{
		"ordinary":  from("203.0.113.9:1234", false),
		"forwarded": from("10.0.0.1:1234", false, "X-Forwarded-For", "203.0.113.5"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request.UntrustedForwarded(r)
			}
		})
	}
}
