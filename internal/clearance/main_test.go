package clearance

import (
	"net/http"
	"net/netip"
	"testing"
	"time"
)

var (
	first  = []byte("the first secret, which signs")
	second = []byte("the second secret, for a while")
	other  = []byte("the secret of another gate")

	testNow = time.UnixMilli(1_800_000_000_123)
)

// testKeys returns keys of these secrets.
func testKeys(secrets ...[]byte) *Keys {
	return NewKeys(func() ([][]byte, error) { return secrets, nil })
}

func unbound() Options {
	return Options{
		Purpose:   PurposeClearance,
		Policy:    "login",
		Provider:  "geetest_v4",
		CaptchaID: "0123456789abcdef0123456789abcdef",
		Service:   "https://gcaptcha4.geetest.com",
		TTL:       30 * time.Minute,
	}
}

func byIP() Options {
	o := unbound()
	o.BindIP = true
	return o
}

func byUserAgent() Options {
	o := unbound()
	o.BindUserAgent = true
	return o
}

func byBoth() Options {
	o := byIP()
	o.BindUserAgent = true
	return o
}

var browser = Subject{
	Host:      "shop.example:8443",
	Secure:    true,
	Prefix:    netip.MustParsePrefix("192.0.2.0/24"),
	UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
}

// always finds a use left.
func always(ID) (bool, error) { return true, nil }

// pair is a cookie as browsers send it.
func pair(cookie *http.Cookie) string { return cookie.Name + "=" + cookie.Value }

func mustIssue(t testing.TB, i *Issuer, s Subject) *http.Cookie {
	t.Helper()
	cookie, _, err := i.Issue(s, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

// headerOf is the header of a request with a cookie.
func headerOf(cookie *http.Cookie) http.Header {
	return http.Header{"Cookie": {pair(cookie)}}
}
