package request

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestIsSameOrigin: what a browser says of itself counts first, and an Origin
// is the same only with its scheme.
func TestIsSameOrigin(t *testing.T) {
	for _, c := range []struct {
		name   string
		https  bool
		host   string
		header http.Header
		want   bool
	}{
		{"nothing is said", false, "shop.example", http.Header{}, true},
		{"same-origin", true, "shop.example", http.Header{"Sec-Fetch-Site": {"same-origin"}}, true},
		{"same-origin, whatever Origin says", true, "shop.example", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"null"}}, true},
		{"same-site", true, "shop.example", http.Header{"Sec-Fetch-Site": {"same-site"}}, false},
		{"typed in", true, "shop.example", http.Header{"Sec-Fetch-Site": {"none"}}, false},
		{"twice, and once another", true, "shop.example", http.Header{"Sec-Fetch-Site": {"same-origin", "cross-site"}}, false},
		{"the same origin", true, "shop.example", http.Header{"Origin": {"https://shop.example"}}, true},
		{"the same origin in capitals", true, "SHOP.example", http.Header{"Origin": {"https://shop.example"}}, true},
		{"the same origin on a port", true, "shop.example:8443", http.Header{"Origin": {"https://shop.example:8443"}}, true},
		{"the default port in Host", true, "shop.example:443", http.Header{"Origin": {"https://shop.example"}}, true},
		{"the default port of the other scheme", true, "shop.example:80", http.Header{"Origin": {"https://shop.example"}}, false},
		{"http to https", true, "shop.example", http.Header{"Origin": {"http://shop.example"}}, false},
		{"https to http", false, "shop.example", http.Header{"Origin": {"https://shop.example"}}, false},
		{"http to http", false, "shop.example", http.Header{"Origin": {"http://shop.example"}}, true},
		{"another host", true, "shop.example", http.Header{"Origin": {"https://evil.example"}}, false},
		{"another port", true, "shop.example", http.Header{"Origin": {"https://shop.example:8443"}}, false},
		{"an opaque origin", true, "shop.example", http.Header{"Origin": {"null"}}, false},
		{"two origins", true, "shop.example", http.Header{"Origin": {"https://shop.example", "https://shop.example"}}, false},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Host, r.Header = c.host, c.header
		if c.https {
			r.TLS = &tls.ConnectionState{HandshakeComplete: true}
		}
		if got := IsSameOrigin(r); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
