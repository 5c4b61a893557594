package request

import (
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// TestClientPrefix: an address that its owner can change for free stays in one
// prefix, and IPv4 is IPv4 however it is written.
func TestClientPrefix(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7":              "192.0.2.0/24",
		"::ffff:192.0.2.9":       "192.0.2.0/24",
		"2001:db8:1:2:3:4:5:6":   "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::1":   "2001:db8:1:2::/64",
		"fe80::1%eth0":           "fe80::/64",
		"10.0.0.5":               "10.0.0.0/24", // no exemption for private networks
		"127.0.0.1":              "127.0.0.0/24",
		"":                       "invalid Prefix",
		"@":                      "invalid Prefix",
		"192.0.2.7, 203.0.113.9": "invalid Prefix",
	} {
		r := caddyhttp.PrepareRequest(httptest.NewRequest("GET", "/", nil), caddy.NewReplacer(), nil, nil)
		r.Header.Set("X-Forwarded-For", "203.0.113.1")
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, address)
		if got := ClientPrefix(ClientIP(r)).String(); got != want {
			t.Errorf("%q is in %s, want %s", address, got, want)
		}
	}
}
