package browser

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestScriptsAreSmall keeps to the budget that people pay for with every first
// visit, and to what a coding promises.
func TestScriptsAreSmall(t *testing.T) {
	const budget = 16 << 10
	total := 0
	for name, script := range map[string]Script{"widget.js": PageScript, "inject.js": InjectedScript} {
		total += len(script.Gzipped)
		r, err := gzip.NewReader(bytes.NewReader(script.Gzipped))
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(r); err != nil || !bytes.Equal(content, script.Content) {
			t.Errorf("%s: what is compressed is not the script (%v)", name, err)
		}
	}
	if total > budget {
		t.Errorf("the scripts take %d bytes compressed, which is more than %d", total, budget)
	}
}

func TestScriptsAreNamedByTheirContent(t *testing.T) {
	for pattern, script := range map[string]Script{"widget.js": PageScript, "inject/*.js": InjectedScript} {
		content, name := []byte(nil), pattern
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for n, file := range files {
			part, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				content = append(content, '\n')
			}
			content = append(content, part...)
		}
		sum := sha256.Sum256(content)
		if want := "sha256-" + base64.StdEncoding.EncodeToString(sum[:]); script.Integrity != want || !bytes.Equal(script.Content, content) {
			t.Errorf("%s: got integrity %s, want %s", name, script.Integrity, want)
		}
		if !regexp.MustCompile(`^(page|inject)-[0-9a-f]{16}\.js$`).MatchString(script.Name) {
			t.Errorf("%s: got the name %q, want one that needs no escaping in a URL", name, script.Name)
		}
	}
	if PageScript.Name == InjectedScript.Name {
		t.Error("the scripts have the same name")
	}
}

// A browser that cannot parse the page's script shows a page that does nothing.
func TestThePageScriptIsForOldBrowsers(t *testing.T) {
	newer := regexp.MustCompile(`\?\.[a-zA-Z\[(]|\?\?|\|\|=|&&=|\bthis\.#|^\s*#\w|\bstatic\s*\{|\*\*|catch \{`)
	types := regexp.MustCompile(`/\*\*.*?\*/`)
	for n, line := range strings.Split(string(PageScript.Content), "\n") {
		line = types.ReplaceAllString(line, "")
		if found := newer.FindString(line); found != "" && !strings.HasPrefix(strings.TrimSpace(line), "//") {
			t.Errorf("line %d has %q, which is newer than ES2017: %s", n+1, found, line)
		}
	}
}

func TestNoncesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		nonce := Nonce()
		if seen[nonce] || !regexp.MustCompile(`^[A-Za-z0-9+/_=-]{22,}$`).MatchString(nonce) {
			t.Fatalf("got nonce %q twice, or it is no nonce", nonce)
		}
		seen[nonce] = true
	}
}

func TestCSP(t *testing.T) {
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
			map[string][]string{"script-src": {"https://a.test; default-src *", "https://a.test,*", "a b", "a\r\nSet-Cookie: b", "https://a.test\u2028"}},
			"base-uri 'none'; connect-src 'self'; default-src 'none'; " + rest + "img-src 'self'; script-src 'nonce-N'; style-src 'nonce-N'",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for range 10 { // whatever the order of the map
				if got := CSP("N", test.sources); got != test.want {
					t.Fatalf("got\n%s\nwant\n%s", got, test.want)
				}
			}
		})
	}
}

func TestCSPLeavesTheSourcesAlone(t *testing.T) {
	values := append(make([]string, 0, 8), "https://a.test")
	sources := map[string][]string{"font-src": values, "script-src": values}
	first := CSP("N", sources)
	if second := CSP("N", sources); second != first || len(sources) != 2 || len(values) != 1 || values[0] != "https://a.test" {
		t.Errorf("got %s, then %s, and sources %v", first, second, sources)
	}
}

func TestSetHeader(t *testing.T) {
	header := http.Header{"Vary": {"Origin"}}
	SetHeader(header, "default-src 'none'")
	for name, want := range map[string]string{
		"Content-Type":                 "text/html; charset=utf-8",
		"Content-Security-Policy":      "default-src 'none'",
		"Cache-Control":                "no-store",
		"X-Content-Type-Options":       "nosniff",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "strict-origin",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("got %s: %q, want %q", name, got, want)
		}
	}
	if got := strings.Join(header.Values("Vary"), ", "); got != "Origin, Accept-Language" {
		t.Errorf("got Vary: %q", got)
	}
}
