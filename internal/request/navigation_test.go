package request

import (
	"net/http"
	"testing"
)

// TestIsNavigation goes through what browsers and programs send.
func TestIsNavigation(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		want   bool
	}{
		{"nothing", http.Header{}, false},
		{"a browser navigates", http.Header{"Sec-Fetch-Mode": {"navigate"}}, true},
		{"a browser navigates and accepts nothing of ours", http.Header{"Sec-Fetch-Mode": {"navigate"}, "Accept": {"image/png"}}, true},
		{"fetch", http.Header{"Sec-Fetch-Mode": {"cors"}, "Accept": {"text/html"}}, false},
		{"an older browser", http.Header{"Accept": {"text/html,application/xhtml+xml,*/*;q=0.8"}}, true},
		{"in capitals", http.Header{"Accept": {"TEXT/HTML"}}, true},
		{"on a second line", http.Header{"Accept": {"application/json", "text/html"}}, true},
		{"with a weight", http.Header{"Accept": {"application/json, text/html ; q=0.1"}}, true},
		{"with a weight of zero", http.Header{"Accept": {"application/json, text/html;q=0"}}, false},
		{"with a longer weight of zero", http.Header{"Accept": {"text/html; level=1; Q=0.000"}}, false},
		{"a zero on one line and not on the other", http.Header{"Accept": {"text/html;q=0", "text/html;q=1"}}, true},
		{"a type that begins so", http.Header{"Accept": {"text/html5"}}, false},
		{"a program that takes all", http.Header{"Accept": {"*/*"}}, false},
		{"jQuery", http.Header{"Accept": {"text/html, */*"}, "X-Requested-With": {"XMLHttpRequest"}}, false},
		{"an Android WebView's package name", http.Header{"Accept": {"text/html"}, "X-Requested-With": {"com.example"}}, false},
		{"htmx", http.Header{"Accept": {"text/html"}, "Hx-Request": {"true"}}, false},
		{"an Android WebView that navigates", http.Header{"Sec-Fetch-Mode": {"navigate"}, "X-Requested-With": {"com.example"}}, true},
	} {
		if got := IsNavigation(c.header); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestIsPrefetch(t *testing.T) {
	for purpose, want := range map[string]bool{
		"":                              false,
		"prefetch":                      true,
		"Prefetch":                      true,
		"prefetch;prerender":            true,
		"prefetch; anonymous-client-ip": true,
		" prefetch, x":                  true,
		"prefetcher":                    false,
		"x;prefetch":                    false,
	} {
		header := http.Header{}
		if purpose != "" {
			header.Set("Sec-Purpose", purpose)
		}
		if got := IsPrefetch(header); got != want {
			t.Errorf("%q: %v, want %v", purpose, got, want)
		}
	}
}
