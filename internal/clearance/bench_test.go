package clearance

import (
	"net/http"
	"testing"
)

// browserHeader is what a browser sends beside the clearance.
func browserHeader(t testing.TB, i *Issuer, s Subject) http.Header {
	return http.Header{"Cookie": {"PHPSESSID=0123456789abcdef0123456789abcdef; theme=dark; " + pair(mustIssue(t, i, s)) + "; _ga=GA1.2.3456789012.1234567890"}}
}

func BenchmarkCheck(b *testing.B) {
	for name, options := range map[string]Options{"unbound": unbound(), "ip": byIP(), "ip and user agent": byBoth()} {
		b.Run(name, func(b *testing.B) {
			i := New(testKeys(first, second), options)
			header := browserHeader(b, i, browser)
			b.ReportAllocs()
			for b.Loop() {
				if _, state, err := i.Check(header, browser, testNow, nil); state != Valid || err != nil {
					b.Fatal(state, err)
				}
			}
		})
	}
}
