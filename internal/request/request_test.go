package request

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// parse returns the request that a Caddy server makes of the text, which
// begins with a request line; the rest of an HTTP/1.1 request is added.
func parse(t testing.TB, text string) *http.Request {
	t.Helper()
	r, err := parseRequest(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return r
}

func parseRequest(text string) (*http.Request, error) {
	line, fields, _ := strings.Cut(text, "\n")
	if !strings.Contains(strings.ToLower(fields), "host:") {
		fields += "\nHost: a.example"
	}
	text = line + " HTTP/1.1\r\n" + strings.ReplaceAll(strings.Trim(fields, "\n"), "\n", "\r\n") + "\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		return nil, err
	}
	r.RemoteAddr = "192.0.2.1:1234"
	return serve(r), nil
}

// serve prepares a request as a Caddy server does before its first handler.
func serve(r *http.Request) *http.Request {
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
}

// matcherSet returns provisioned matchers as one set.
func matcherSet(t testing.TB, matchers ...any) caddyhttp.MatcherSet {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	var set caddyhttp.MatcherSet
	for _, matcher := range matchers {
		if provisioner, ok := matcher.(caddy.Provisioner); ok {
			if err := provisioner.Provision(ctx); err != nil {
				t.Fatal(err)
			}
		}
		set = append(set, matcher)
	}
	return set
}

// matching returns the Matchers of one set.
func matching(t testing.TB, matchers ...any) *Matchers {
	t.Helper()
	return NewMatchers(caddyhttp.MatcherSets{matcherSet(t, matchers...)})
}

// not is Caddy's matcher of that name around provisioned matchers. It is not
// provisioned itself, because it would load them from JSON.
type not = caddyhttp.MatchNot

func matchNot(t testing.TB, matchers ...any) any {
	return not{MatcherSets: []caddyhttp.MatcherSet{matcherSet(t, matchers...)}}
}

func pathRegexp(pattern string) *caddyhttp.MatchPathRE {
	return &caddyhttp.MatchPathRE{MatchRegexp: caddyhttp.MatchRegexp{Pattern: pattern}}
}

// mustMatch fails the test if Match errs, and returns what it says.
func mustMatch(t testing.TB, m *Matchers, r *http.Request) bool {
	t.Helper()
	matched, err := m.Match(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.RequestURI, err)
	}
	return matched
}
