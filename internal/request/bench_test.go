package request

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// BenchmarkOrdinary measures a request that has one reading, in pairs: what
// the matchers take by themselves, and what they take with the search for
// other readings. The difference is what a gate costs a request that it does
// not protect.
func BenchmarkOrdinary(b *testing.B) {
	for _, kind := range []struct {
		name     string
		matchers []any
	}{
		{"path", []any{caddyhttp.MatchPath{"/login*"}}},
		{"method", []any{caddyhttp.MatchMethod{"POST"}}},
		{"path and method", []any{caddyhttp.MatchPath{"/login*"}, caddyhttp.MatchMethod{"POST"}}},
		{"query", []any{caddyhttp.MatchQuery{"action": {"login"}}}},
		{"host", []any{caddyhttp.MatchHost{"login.example"}}},
		{"path_regexp", []any{pathRegexp("^/login")}},
	} {
		m := matching(b, kind.matchers...)
		r := parse(b, "GET /articles/2026/how-to-write?page=2\nAccept: text/html\nUser-Agent: Mozilla/5.0\nCookie: a=b\nAccept-Language: en")
		bare := func() (bool, error) { return m.sets.AnyMatchWithError(r) }
		b.Run(kind.name+"/matchers alone", func(b *testing.B) { repeat(b, bare) })
		b.Run(kind.name+"/Match", func(b *testing.B) { repeat(b, func() (bool, error) { return m.Match(r) }) })
	}
}

// BenchmarkReadings measures requests that have something to read differently.
func BenchmarkReadings(b *testing.B) {
	kinds := kinds(b)
	for _, test := range []struct{ name, kind, request string }{
		{"path, parameters", "path /login*", "GET /articles;jsessionid=0A1B2C/2026"},
		{"path, dots", "path /login*", "GET /articles/../2026/%2e%2e/x"},
		{"path, everything", "path /login*", `GET //x/a;b/%2e%2e/LOG%254FUT%00/..;/\y./z%3F#q`},
		{"path, not ASCII", "path /login*", "GET /kay%C4%B1t/%D0%BA%D0%B0"},
		{"not path", "not path /public/*", "GET /public/;a/b"},
		{"method, HEAD", "method POST", "HEAD /articles"},
		{"method, override", "method PUT", "POST /articles?_method=PATCH\nX-HTTP-Method-Override: PATCH"},
		{"path_regexp", "path_regexp ^/login", "GET /Articles;a/b"},
		{"query", "query action=login", "GET /?filter[status]=Open&q=caf%C3%A9+au+lait"},
		{"expression", "expression path", "GET /Articles/b"},
	} {
		m, r := kinds[test.kind], parse(b, test.request)
		b.Run(test.name, func(b *testing.B) { repeat(b, func() (bool, error) { return m.Match(r) }) })
	}
}

func repeat(b *testing.B, match func() (bool, error)) {
	b.ReportAllocs()
	for b.Loop() {
		if matched, err := match(); matched || err != nil {
			b.Fatal(matched, err)
		}
	}
}

func BenchmarkIsTarget(b *testing.B) {
	r := parse(b, "GET /articles")
	b.ReportAllocs()
	for b.Loop() {
		if !IsTarget(r) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkRemoveUpgrade(b *testing.B) {
	r := parse(b, "GET /articles\nAccept: text/html")
	b.ReportAllocs()
	for b.Loop() {
		if RemoveUpgrade(r, nil) != "" || r.Method != http.MethodGet {
			b.Fatal("removed")
		}
	}
}
