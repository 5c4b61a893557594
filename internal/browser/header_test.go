package browser

import (
	"net/http"
	"strings"
	"testing"
)

// policyOf returns the policy of the widget page of a provider.
func policyOf(sources map[string][]string) string {
	header := http.Header{}
	NewWidget("", sources, nil).SetHeader(header, "N")
	return header.Get("Content-Security-Policy")
}

func TestPolicyOfTheWidgetPage(t *testing.T) {
	const rest = "form-action 'self'; frame-ancestors 'self'; "
	tests := []struct {
		name    string
		sources map[string][]string
		want    string
	}{
		{"no provider", nil, "base-uri 'none'; connect-src 'self'; default-src 'none'; " + rest + "img-src 'self'; script-src 'nonce-N'; style-src 'nonce-N'"},
		{
			"provider",
			map[string][]string{"script-src": {"https://a.test", "https://*.b.test"}, "style-src": {"https://a.test"}, "worker-src": {"blob:"}, "img-src": {"data:"}, "connect-src": {"https://a.test"}},
			"base-uri 'none'; connect-src 'self' https://a.test; default-src 'none'; " + rest + "img-src 'self' data:; script-src 'nonce-N' https://a.test https://*.b.test; style-src 'nonce-N' https://a.test; worker-src blob:",
		},
		{
			"inline styles of the provider",
			map[string][]string{"style-src": {"https://a.test", "'unsafe-inline'"}},
			"base-uri 'none'; connect-src 'self'; default-src 'none'; " + rest + "img-src 'self'; script-src 'nonce-N'; style-src https://a.test 'unsafe-inline'",
		},
		{
			"sources that are none",
			map[string][]string{"font-src": {"a b"}, "script-src": {"https://a.test; default-src *", "https://a.test,*", "a b", "a\r\nSet-Cookie: b", "https://a.test\u2028"}},
			"base-uri 'none'; connect-src 'self'; default-src 'none'; " + rest + "img-src 'self'; script-src 'nonce-N'; style-src 'nonce-N'",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for range 10 { // whatever the order of the map
				if got := policyOf(test.sources); got != test.want {
					t.Fatalf("got\n%s\nwant\n%s", got, test.want)
				}
			}
		})
	}
}

func TestPolicyLeavesTheSourcesAlone(t *testing.T) {
	values := append(make([]string, 0, 8), "https://a.test")
	sources := map[string][]string{"font-src": values, "script-src": values}
	first := policyOf(sources)
	if second := policyOf(sources); second != first || len(sources) != 2 || len(values) != 1 || values[0] != "https://a.test" {
		t.Errorf("got %s, then %s, and sources %v", first, second, sources)
	}
}

// No provider's host is in the policy of the challenge page, which asks the
// server nothing by itself.
func TestPolicyOfTheChallengePage(t *testing.T) {
	const common = "base-uri 'none'; default-src 'none'; "
	const rest = "frame-src 'self'; img-src 'self'; script-src 'nonce-N'; style-src 'nonce-N'"
	for name, test := range map[string]struct {
		data             Data
		policy, referrer string
	}{
		"reload": {Data{Next: Reload}, common + "form-action 'self'; frame-ancestors 'self'; " + rest, "strict-origin"},
		"back":   {Data{Next: Back}, common + "form-action 'self'; frame-ancestors 'self'; " + rest, "strict-origin"},
		// The form may lead anywhere, and its request has to name its origin.
		"resend": {Data{Next: Resend}, common + "frame-ancestors 'self'; " + rest, "same-origin"},
		"framed": {Data{Next: Reload, Framed: true}, common + "form-action 'self'; " + rest, "strict-origin"},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			test.data.Nonce = "N"
			SetHeader(header, test.data)
			if got := header.Get("Content-Security-Policy"); got != test.policy {
				t.Errorf("got\n%s\nwant\n%s", got, test.policy)
			}
			if got := header.Get("Referrer-Policy"); got != test.referrer {
				t.Errorf("got Referrer-Policy %s, want %s", got, test.referrer)
			}
		})
	}
}

func TestHeaderOfThePages(t *testing.T) {
	for name, set := range map[string]func(http.Header){
		"challenge": func(header http.Header) { SetHeader(header, Data{Nonce: "N"}) },
		"widget":    func(header http.Header) { NewWidget("", nil, nil).SetHeader(header, "N") },
	} {
		header := http.Header{"Vary": {"Origin"}}
		set(header)
		for field, want := range map[string]string{
			"Content-Type":                 "text/html; charset=utf-8",
			"Cache-Control":                "no-store",
			"X-Content-Type-Options":       "nosniff",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := header.Get(field); got != want {
				t.Errorf("%s: got %s: %q, want %q", name, field, got, want)
			}
		}
		for _, field := range []string{"X-Frame-Options", "Cross-Origin-Embedder-Policy"} {
			if values, ok := header[field]; !ok || values != nil {
				t.Errorf("%s: got %s: %q, want it taken away", name, field, values)
			}
		}
		if got := strings.Join(header.Values("Vary"), ", "); got != "Origin, Accept-Language" {
			t.Errorf("%s: got Vary: %q", name, got)
		}
	}
}
