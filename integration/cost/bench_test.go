// Package cost measures what the handler adds to a request.
package cost

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// BenchmarkUnmatched shows what the handler adds to a request that it does not
// protect: the difference between handler and matcher.
func BenchmarkUnmatched(b *testing.B) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: b.Context()})
	b.Cleanup(cancel)
	module, err := ctx.LoadModuleByID("http.matchers.path", json.RawMessage(`["/login*"]`))
	if err != nil {
		b.Fatal(err)
	}
	matcher := caddyhttp.MatcherSets{caddyhttp.MatcherSet{module.(caddyhttp.RequestMatcherWithError)}}
	handler := harness.Provision(b, `{"match": [{"path": ["/login*"]}], `+harness.CaptchaJSON("http://127.0.0.1:1")[1:])

	w := httptest.NewRecorder()
	plain := httptest.NewRequest("GET", "/other", nil)
	// A request each time, as the handler leaves something with its replacer.
	request := func() *http.Request { return caddyhttp.PrepareRequest(plain, caddy.NewReplacer(), w, nil) }
	b.Run("matcher", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if matched, err := matcher.AnyMatchWithError(request()); matched || err != nil {
				b.Fatal(matched, err)
			}
		}
	})
	b.Run("handler", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := handler.ServeHTTP(w, request(), harness.Nothing); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMissing is the refusal of a request without a proof.
func BenchmarkMissing(b *testing.B) {
	handler := harness.Provision(b, harness.CaptchaJSON("http://127.0.0.1:1"))
	r := httptest.NewRequest("GET", "/login", nil)
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := handler.ServeHTTP(httptest.NewRecorder(), r, harness.Nothing); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPassed is a request with a fresh proof in its header, the call to a
// provider on loopback included.
func BenchmarkPassed(b *testing.B) {
	provider := httptest.NewServer(harness.Vouch)
	b.Cleanup(provider.Close)
	handler := harness.Provision(b, harness.CaptchaJSON(provider.URL))
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		r := harness.V4Request(harness.FreshProofs(1), "192.0.2.1")
		if err := handler.ServeHTTP(w, r, harness.Nothing); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCleared is a request with a clearance among a browser's cookies. It
// is the same request each time, made to forget that it was cleared before.
func BenchmarkCleared(b *testing.B) {
	for name, clearance := range map[string]string{
		"any number of uses": `{"ttl": "30m"}`,
		"counted uses":       `{"ttl": "30m", "max_uses": 2147483647}`,
		"user agent too":     `{"ttl": "30m", "bind_to": ["client_ip", "user_agent"]}`,
	} {
		b.Run(name, func(b *testing.B) {
			handler, cookie := harness.HandlerWithClearance(b, clearance)
			r, w := harness.Prepared("GET", "/login", ""), httptest.NewRecorder()
			cookies := []string{"PHPSESSID=0123456789abcdef0123456789abcdef; theme=dark; " + cookie + "; _ga=GA1.2.3456789012.1234567890"}
			forwarded := 0
			next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { forwarded++; return nil })
			b.ReportAllocs()
			requests := 0
			for b.Loop() {
				requests++
				r.Header["Cookie"] = cookies
				caddyhttp.SetVar(r.Context(), "captcha", nil)
				caddyhttp.SetVar(r.Context(), "captcha_cookies", nil)
				if err := handler.ServeHTTP(w, r, next); err != nil {
					b.Fatal(err)
				}
			}
			if forwarded != requests {
				b.Fatalf("%d of %d requests were forwarded", forwarded, requests)
			}
		})
	}
}
