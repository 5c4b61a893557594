package request

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// messy is a matcher that writes whatever it can reach, and reports what it
// saw. It matches, errs and panics by what it is asked for.
type messy struct {
	saw    *[]string
	answer func(r *http.Request) (bool, error)
}

func (m messy) MatchWithError(r *http.Request) (bool, error) {
	ctx := r.Context()
	repl := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	*m.saw = append(*m.saw, repl.ReplaceAll("{http.request.method} {http.request.hostport} {http.request.uri} {http.request.host.labels.0} {http.messy}{http.vars.messy}", "-"))
	repl.Set("http.messy", "left")
	caddyhttp.SetVar(ctx, "messy", "left")
	caddyhttp.SetVar(ctx, "client_ip", nil)
	r.Method, r.Host, r.RequestURI = "MESSY", "messy", "/messy"
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.Host, r.URL.User = "/messy", "/messy", "messy", "messy", url.User("messy")
	r.URL = &url.URL{Path: "/other"}
	r.Body = http.NoBody
	return m.answer(r)
}

// state is all that Match has to leave as it is.
type state struct {
	request http.Request
	body    io.ReadCloser
	target  *url.URL
	url     url.URL
	vars    map[string]any
	said    string
}

func stateOf(r *http.Request, server *http.Request) state {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	vars := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	s := state{request: *r, body: r.Body, target: r.URL, url: *r.URL, vars: maps.Clone(vars)}
	for _, name := range []string{
		"http.request.method", "http.request.host", "http.request.hostport", "http.request.port", "http.request.host.labels.0", "http.request.host.labels.1",
		"http.request.host.labels.2", "http.request.host.labels.3", "http.request.uri", "http.request.orig_uri", "http.messy", "http.vars.messy", "http.regexp.0", "http.vars.client_ip",
	} {
		value, known := repl.Get(name)
		s.said += fmt.Sprintf("%s=%v,%t\n", name, value, known)
	}
	s.said += fmt.Sprintf("%s %s %s %s %p", server.Method, server.URL, server.Host, server.RequestURI, server.Body)
	return s
}

// sameAs compares, and says what differs.
func (s state) sameAs(other state) string {
	switch {
	case s.said != other.said:
		return fmt.Sprintf("placeholders:\n%s\nare now\n%s", s.said, other.said)
	case !reflect.DeepEqual(s.vars, other.vars):
		return fmt.Sprintf("vars %v are now %v", s.vars, other.vars)
	case s.target != other.target || s.url != other.url:
		return fmt.Sprintf("URL %+v is now %+v", s.url, other.url)
	case s.body != other.body:
		return "the body is another one"
	case !reflect.DeepEqual(s.request, other.request):
		return "the request differs"
	}
	return ""
}

// TestNothingIsLeftBehind: whatever matchers do in other readings, also if
// they panic, the request is as it was. The request that the server made, and
// a copy that an earlier handler made of it, are the same in this.
func TestNothingIsLeftBehind(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	evaluated := 0
	for range 3_000 {
		line := words.methods[random.IntN(len(words.methods))] + " /"
		for range random.IntN(6) {
			line += words.paths[random.IntN(len(words.paths))]
		}
		server, err := parseRequest(line + "\n" + words.fields[random.IntN(len(words.fields))])
		if err != nil {
			continue
		}
		server.Body = io.NopCloser(strings.NewReader("body"))
		r := server
		if random.IntN(2) == 0 {
			r = server.WithContext(context.WithValue(server.Context(), caddy.CtxKey("copy"), true))
		}
		if random.IntN(3) == 0 {
			r.Method, r.URL.Path, r.Host = "POST", "/index.php", "Login.Example."
		}
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		if random.IntN(4) == 0 {
			repl.Set("http.request.host", "set by a handler")
		}

		var saw []string
		calls, end := 0, 1+random.IntN(10)
		how := random.IntN(4)
		before := stateOf(r, server)
		answer := func(*http.Request) (bool, error) {
			if calls++; calls < end {
				return false, nil
			}
			switch how {
			case 0:
				panic("messy")
			case 1:
				return false, errFailing
			case 2:
				return true, nil
			}
			return false, nil
		}
		m := NewMatchers(caddyhttp.MatcherSets{{messy{&saw, answer}}})
		m.sets = caddyhttp.MatcherSets{{never{}}} // the request's own evaluation may leave anything behind
		func() {
			defer func() {
				if p := recover(); p != nil && p != "messy" {
					panic(p)
				}
			}()
			if _, err := m.Match(r); err != nil {
				t.Errorf("seed %d: %s: %v", seed, line, err)
			}
		}()
		evaluated += len(saw)
		if difference := before.sameAs(stateOf(r, server)); difference != "" {
			t.Fatalf("seed %d: %s (%d evaluations, end %d): %s", seed, line, len(saw), how, difference)
		}
		for _, text := range saw {
			if strings.Contains(text, "left") || strings.Contains(text, "MESSY") {
				t.Fatalf("seed %d: %s: a reading saw what another had left: %s", seed, line, text)
			}
		}
	}
	if evaluated < 3_000 {
		t.Errorf("seed %d: only %d evaluations", seed, evaluated)
	}
}

// never never matches.
type never struct{}

func (never) MatchWithError(*http.Request) (bool, error) { return false, nil }

// placeholders is a matcher that compares what placeholders say.
type placeholders struct{ text, want string }

func (m placeholders) MatchWithError(r *http.Request) (bool, error) {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	return repl.ReplaceAll(m.text, "") == m.want, nil
}

// TestPlaceholdersSeeReadings: placeholders say what the reading says, and so
// do those of a map in front of the gate, whether the request is the server's
// or a copy.
func TestPlaceholdersSeeReadings(t *testing.T) {
	for _, test := range []struct{ text, want, request string }{
		{"{http.request.method}", "GET", "HEAD /"},
		{"{http.request.uri.path}", "/login", "GET /;/login"},
		{"{http.request.uri.query.action}", "login", "GET /?ACTION=LOGIN"},
		{"{http.request.host}", "login.example", "GET /\nHost: Login.Example.:80"},
		{"{http.request.hostport}", "login.example:80", "GET /\nHost: Login.Example.:80"},
		{"{http.request.port}", "80", "GET /;\nHost: Login.Example.:80"},
		{"{http.request.host.labels.1}", "login", "GET /\nHost: Login.Example."},
		{"{http.request.host.labels.2}", "", "GET /\nHost: Login.Example."},
		{"{mapped}", "GET login.example /login", "HEAD /;/login\nHost: login.example."},
	} {
		for _, form := range []string{"server's", "copy", "clone"} {
			r := parse(t, test.request)
			repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
			repl.Map(func(key string) (any, bool) { // as Caddy's map does
				return repl.ReplaceAll("{http.request.method} {http.request.host} {http.request.uri.path}", ""), key == "mapped"
			})
			switch form {
			case "copy":
				r = r.WithContext(context.WithValue(r.Context(), caddy.CtxKey("copy"), true))
			case "clone":
				r = r.Clone(r.Context())
			}
			if !mustMatch(t, matching(t, placeholders{test.text, test.want}), r) {
				t.Errorf("%s of the %s request %q is not seen to be %q", test.text, form, test.request, test.want)
			}
		}
	}
}

// TestBodyIsReadOnce: a matcher that looks at the body looks at the request
// itself, once, and only if the rest of its set matches. The body stays whole.
func TestBodyIsReadOnce(t *testing.T) {
	body := func(want string) any {
		return &caddyhttp.MatchExpression{Expr: `{http.request.body}.contains("` + want + `")`}
	}
	for _, test := range []struct {
		name     string
		matchers []any
		request  string
		want     bool
	}{
		{"its own match", []any{body("action=login")}, "POST /", true},
		{"a reading of the path", []any{caddyhttp.MatchPath{"/login*"}, body("action=login")}, "POST /;/login", true},
		{"another body", []any{caddyhttp.MatchPath{"/login*"}, body("action=view")}, "POST /;/login", false},
		{"another path", []any{caddyhttp.MatchPath{"/login*"}, body("action=login")}, "POST /;/x", false},
		{"vars", []any{caddyhttp.MatchPath{"/login*"}, caddyhttp.VarsMatcher{"{http.request.body}": {"action=login"}}}, "POST /;/login", true},
		{"in a not", []any{caddyhttp.MatchPath{"/login*"}, matchNot(t, body("action=login"))}, "POST /;/login", false},
		{"a name that is made up", []any{&caddyhttp.MatchExpression{Expr: `string(ph(req, "http.request." + "bo" + "dy")) == "x"`}}, "POST /;/login", true},
	} {
		r := parse(t, test.request)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("action=login")), 12
		if got := mustMatch(t, matching(t, test.matchers...), r); got != test.want {
			t.Errorf("%s: matched %t", test.name, got)
		}
		if text, err := io.ReadAll(r.Body); err != nil || string(text) != "action=login" {
			t.Errorf("%s: the body is now %q, %v", test.name, text, err)
		}
	}
}

// bodyCounting is a matcher that reads the body, by what its config says, and
// counts how often it is evaluated.
type bodyCounting struct {
	Placeholder string
	calls       *int
}

func (m bodyCounting) MatchWithError(*http.Request) (bool, error) {
	*m.calls++
	return false, nil
}

// TestBodyMatcherIsEvaluatedOnce: however many readings match the rest of its
// set.
func TestBodyMatcherIsEvaluatedOnce(t *testing.T) {
	calls := 0
	m := matching(t, caddyhttp.MatchPath{"/login*"}, caddyhttp.MatchMethod{"GET", "HEAD"}, bodyCounting{"{http.request.body}", &calls})
	if mustMatch(t, m, parse(t, "HEAD /;/login")) {
		t.Error("matched")
	}
	if calls != 1 {
		t.Errorf("%d evaluations", calls)
	}
}
