package placement

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// matchesPath asks Caddy's matcher.
func matchesPath(t testing.TB, pattern, path string) bool {
	m := caddyhttp.MatchPath{pattern}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	r := &http.Request{URL: &url.URL{Path: path}}
	matched, err := m.MatchWithError(r.WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())))
	if err != nil {
		t.Fatal(err)
	}
	return matched
}

// checkPatterns compares what is said of two patterns with what Caddy's matcher
// says of a path.
func checkPatterns(t testing.TB, p, q, path string) {
	byP, byQ := matchesPath(t, p, path), matchesPath(t, q, path)
	if byP && !byQ && patternIn(p, q) {
		t.Errorf("%q is said to be in %q, but %q is not", p, q, path)
	}
	if meet, _ := patternsMeet(p, q); byP && byQ && !meet {
		t.Errorf("%q and %q are said not to meet, but do in %q", p, q, path)
	}
}

// TestPatterns asks about every pair of patterns and every path of a few
// characters.
func TestPatterns(t *testing.T) {
	patterns := []string{"*", "/*", "/", "/a", "/a/", "/a*", "/a/*", "/ab*", "/b", "/b*", "*a", "*b", "*/a", "*ab", "*a*", "*b*", "/*a", "/*/a", "/a*b", "/*b/*", "/?", "/[ab]", "/a/*/b", "/A", "//a*", "*.b", "/a.b"}
	paths := []string{"/"}
	for previous := paths; len(previous[0]) < 5; {
		var longer []string
		for _, path := range previous {
			for _, c := range "ab/." {
				longer = append(longer, path+string(c))
			}
		}
		paths, previous = append(paths, longer...), longer
	}
	paths = append(paths, "/a/a/b") // for the longest pattern
	for _, p := range patterns {
		for _, q := range patterns {
			p, q := strings.ToLower(p), strings.ToLower(q)
			for _, path := range paths {
				checkPatterns(t, p, q, path)
			}
			if meet, sure := patternsMeet(p, q); meet && sure && !strings.Contains(p+q, "//") {
				found := false
				for _, path := range paths {
					found = found || matchesPath(t, p, path) && matchesPath(t, q, path)
				}
				if !found {
					t.Errorf("%q and %q are said to meet for sure, but in none of the paths", p, q)
				}
			}
		}
	}
}

func FuzzPatterns(f *testing.F) {
	for _, seed := range [][3]string{
		{"/login*", "/log*", "/login/x"},
		{"*.php", "/wp-login.php", "/wp-login.php"},
		{"/a*", "*b", "/axb"},
		{"/*/a", "/x/a", "/x/a"},
		{"*a*", "/xax", "/xax"},
		{"/a//b*", "/a/b*", "/a//b"},
		{"/%2f*", "/*", "//"},
		{"/[a-c]", "/b", "/b"},
		{`/\a`, "/a", "/a"},
		{"/a/../b", "/b", "/b"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, p, q, path string) {
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(p+q, "{") || p == "" || q == "" {
			t.Skip("no pattern of Caddy's that can be asked, or no path")
		}
		checkPatterns(t, strings.ToLower(p), strings.ToLower(q), path)
	})
}

// TestHostPatterns is the same for hosts.
func TestHostPatterns(t *testing.T) {
	patterns := []string{"a.test", "A.test", "b.test", "*.test", "x.a.test", "*.a.test", "*.*.test", "*", "test"}
	hosts := []string{"a.test", "b.test", "x.a.test", "x.y.test", "test", "x.b.test", "a.b.c.test"}
	matches := func(pattern, host string) bool {
		m := caddyhttp.MatchHost{pattern}
		if err := m.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Host: host}
		matched, err := m.MatchWithError(r.WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())))
		if err != nil {
			t.Fatal(err)
		}
		return matched
	}
	for _, p := range patterns {
		for _, q := range patterns {
			for _, host := range hosts {
				byP, byQ := matches(p, host), matches(q, host)
				if byP && !byQ && hostIn(p, q) {
					t.Errorf("%q is said to be in %q, but %q is not", p, q, host)
				}
				if byP && byQ && !hostsMeet(p, q) {
					t.Errorf("%q and %q are said not to meet, but do in %q", p, q, host)
				}
			}
		}
	}
}
