package request

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
)

// TestLook: what each matcher can see, as a value and as a pointer to one.
func TestLook(t *testing.T) {
	for _, test := range []struct {
		name    string
		matcher any
		want    sight
	}{
		{"path", caddyhttp.MatchPath{"/login*", "/x.d/*"}, sight{parts: pathPart, scripts: true}},
		{"path that ends", caddyhttp.MatchPath{"/login", "*.PHP", "/a/*.aspx", "/x.php"}, sight{parts: pathPart, scripts: true, extensions: []string{".aspx", ".php"}}},
		{"path with escapes", caddyhttp.MatchPath{"/a%2Fb"}, sight{parts: pathPart, scripts: true, escapes: true}},
		{"path with slashes", caddyhttp.MatchPath{"/a//b"}, sight{parts: pathPart, scripts: true, slashes: true}},
		{"path with placeholder", caddyhttp.MatchPath{"/{http.vars.x}"}, everything},
		{"path_regexp", *pathRegexp(`^/x\.php$`), sight{parts: pathPart, scripts: true, cased: pathPart, writes: true, extensions: []string{".php"}}},
		{"method", caddyhttp.MatchMethod{"POST"}, sight{parts: methodPart}},
		{"query", caddyhttp.MatchQuery{"a": {"b"}}, sight{parts: queryPart, cased: queryPart}},
		{"query with placeholder", caddyhttp.MatchQuery{"a": {"{http.request.method}"}}, everything},
		{"host", caddyhttp.MatchHost{"a.example"}, sight{parts: hostPart}},
		{"host with placeholder", caddyhttp.MatchHost{"{http.request.uri.path}"}, everything},
		{"header", caddyhttp.MatchHeader{"X-A": {"b"}}, sight{}},
		{"header Host", caddyhttp.MatchHeader{"host": {"b"}}, sight{parts: hostPart, cased: hostPart}},
		{"header with placeholder", caddyhttp.MatchHeader{"X-A": {"{http.request.uri}"}}, everything},
		{"header_regexp", caddyhttp.MatchHeaderRE{"Host": {Pattern: "b"}}, sight{parts: hostPart, cased: hostPart, writes: true}},
		{"protocol", caddyhttp.MatchProtocol("https"), sight{}},
		{"tls", caddyhttp.MatchTLS{}, sight{}},
		{"remote_ip", caddyhttp.MatchRemoteIP{}, sight{}},
		{"client_ip", caddyhttp.MatchClientIP{}, sight{}},
		{"not path", matchNot(t, caddyhttp.MatchPath{"/a"}, caddyhttp.MatchMethod{"GET"}), sight{parts: pathPart | methodPart}},
		{"not query", matchNot(t, caddyhttp.MatchQuery{"a": {"b"}}), sight{parts: queryPart, cased: queryPart, repeats: true}},
		{"expression", *expression(t, `path('/login*')`), everything},
		{"vars", caddyhttp.VarsMatcher{"{http.vars.x}": {"y"}}, everything},
		{"vars_regexp", caddyhttp.MatchVarsRE{"x": {Pattern: "y"}}, everything},
		{"file", fileserver.MatchFile{}, everything},
		{"a third party's", never{}, everything},
	} {
		pointer := reflect.New(reflect.TypeOf(test.matcher))
		pointer.Elem().Set(reflect.ValueOf(test.matcher))
		for form, matcher := range map[string]any{"value": test.matcher, "pointer": pointer.Interface()} {
			if got := look(matcher); !got.equal(test.want) || got.body {
				t.Errorf("%s as a %s sees %+v, want %+v", test.name, form, got, test.want)
			}
		}
	}
}

// TestLookAtBody: matchers whose config names a body placeholder.
func TestLookAtBody(t *testing.T) {
	for _, matcher := range []any{
		expression(t, `{http.request.body}.contains("x")`),
		*expression(t, `{http.request.body_base64} == ""`),
		caddyhttp.VarsMatcher{"{http.request.body}": {"x"}},
		&caddyhttp.VarsMatcher{"x": {"{http.request.body}"}},
		&caddyhttp.MatchVarsRE{"{http.request.body}": {Pattern: "x"}},
		fileserver.MatchFile{TryFiles: []string{"/{http.request.body}"}},
		matchNot(t, caddyhttp.VarsMatcher{"{http.request.body}": {"x"}}),
	} {
		if !look(matcher).body {
			t.Errorf("%T is not seen to read the body", matcher)
		}
	}
}

func expression(t testing.TB, text string) *caddyhttp.MatchExpression {
	return matcherSet(t, &caddyhttp.MatchExpression{Expr: text})[0].(*caddyhttp.MatchExpression)
}

// TestWarnings: each matcher that leaves out what may be the same page, or
// that a client can turn, says so, and what to write instead. Matchers that do
// not have no warning.
func TestWarnings(t *testing.T) {
	for _, test := range []struct {
		name    string
		matcher any
		want    []string // a part of each warning
	}{
		{"exact", caddyhttp.MatchPath{"/login"}, []string{"/login is matched exactly: /login/, /login.php and"}},
		{"exact and below", &caddyhttp.MatchPath{"/login", "/login/*"}, []string{"/login is matched exactly"}},
		{"covered", caddyhttp.MatchPath{"/login", "/login*"}, nil},
		{"prefix", caddyhttp.MatchPath{"/login*"}, nil},
		{"root", caddyhttp.MatchPath{"/"}, nil},
		{"everything", caddyhttp.MatchPath{"*", "/login"}, nil},
		{"suffix", caddyhttp.MatchPath{"*.php"}, []string{"path *.php goes by how a path ends"}},
		{"suffix in a directory", caddyhttp.MatchPath{"/a/*.php"}, []string{"path /a/*.php goes by how a path ends"}},
		{"substring", caddyhttp.MatchPath{"*login*"}, nil},
		{"path_regexp", pathRegexp("^/login"), []string{"write (?i) in front of it"}},
		{"path_regexp, any case", pathRegexp("(?i)^/login"), nil},
		{"path_regexp with an end", pathRegexp("(?i)^/(login|signup)$"), []string{"ends in $"}},
		{"path_regexp with ends in a group", pathRegexp(`(?i)^/login(/|$)`), []string{"ends in $"}},
		{"path_regexp with a dollar", pathRegexp(`(?i)^/login\$`), nil},
		{"method", caddyhttp.MatchMethod{"POST"}, []string{"only the methods POST are matched"}},
		{"method of a body", caddyhttp.MatchMethod{"PUT"}, []string{"a POST whose body names one of them"}},
		{"not method", matchNot(t, caddyhttp.MatchMethod{"GET", "HEAD", "OPTIONS"}), nil},
		{"not path", matchNot(t, caddyhttp.MatchPath{"/public/*"}), nil},
		{"not a suffix", matchNot(t, &caddyhttp.MatchPath{"*.css", "*.js"}), []string{"not path *.css leaves out", "not path *.js leaves out"}},
		{"not path_regexp", matchNot(t, pathRegexp(`\.css$`)), []string{"begin it with ^"}},
		{"not path_regexp, anchored", matchNot(t, pathRegexp(`(?i)^/public/`)), nil},
		{"not not", matchNot(t, matchNot(t, caddyhttp.MatchPath{"/login"})), []string{"/login is matched exactly"}},
		{"query", caddyhttp.MatchQuery{"action": {"login"}}, []string{"query is matched: "}},
		{"no query", caddyhttp.MatchQuery{}, []string{"an empty query is matched"}},
		{"not query", matchNot(t, caddyhttp.MatchQuery{"a": {"b"}}), []string{"not query leaves out"}},
		{"expression of a path", expression(t, `path('/login*') && method('POST')`), nil},
		{"expression of the URI", expression(t, `{http.request.uri.path}.startsWith("/login")`), []string{"use path('/login*') in it"}},
		{"expression of a made-up name", expression(t, `string(ph(req, "http." + "request.uri")) == "x"`), []string{"use path('/login*') in it"}},
		{"expression of something else", expression(t, `{http.request.remote.host} == "192.0.2.1"`), nil},
		{"vars of the URI", caddyhttp.VarsMatcher{"{http.request.uri.path}": {"/login"}}, []string{"compares what the client writes"}},
		{"vars", caddyhttp.VarsMatcher{"kind": {"login"}}, []string{"if a map or vars directive"}},
		{"vars of a map", &caddyhttp.VarsMatcher{"{kind}": {"login"}}, []string{"if a map or vars directive"}},
		{"vars of a header", caddyhttp.VarsMatcher{"{http.request.header.X}": {"y"}}, nil},
		{"vars_regexp", caddyhttp.MatchVarsRE{"{http.request.uri}": {Pattern: "^/login"}}, []string{"vars_regexp {http.request.uri} compares what"}},
		{"host", caddyhttp.MatchHost{"login.example"}, nil},
		{"a third party's", never{}, nil},
	} {
		got := NewMatchers(caddyhttp.MatcherSets{{test.matcher}}).Warnings()
		if len(got) != len(test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
			continue
		}
		for i, part := range test.want {
			if !strings.Contains(got[i], part) {
				t.Errorf("%s: %q, want %q", test.name, got[i], part)
			}
		}
	}
}
