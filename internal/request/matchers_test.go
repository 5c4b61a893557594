package request

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// kinds are the matchers that the tests of this package use, by what a
// Caddyfile calls them.
func kinds(t testing.TB) map[string]*Matchers {
	t.Helper()
	return map[string]*Matchers{
		"path /login*":              matching(t, caddyhttp.MatchPath{"/login*"}),
		"path /login":               matching(t, caddyhttp.MatchPath{"/login"}),
		"path /login/*":             matching(t, caddyhttp.MatchPath{"/login/*"}),
		"path *.php":                matching(t, &caddyhttp.MatchPath{"*.php"}),
		"path /a%2Fb*":              matching(t, caddyhttp.MatchPath{"/a%2Fb*"}),
		"path /a//b*":               matching(t, caddyhttp.MatchPath{"/a//b*"}),
		"not path /public/*":        matching(t, matchNot(t, caddyhttp.MatchPath{"/public/*"})),
		"not path *.css":            matching(t, matchNot(t, &caddyhttp.MatchPath{"*.css"})),
		"path_regexp ^/login":       matching(t, pathRegexp("^/login")),
		"path_regexp \\.php$":       matching(t, pathRegexp(`\.php$`)),
		"method POST":               matching(t, caddyhttp.MatchMethod{"POST"}),
		"method PUT":                matching(t, &caddyhttp.MatchMethod{"PUT"}),
		"method GET":                matching(t, caddyhttp.MatchMethod{"GET"}),
		"query user_name=x":         matching(t, caddyhttp.MatchQuery{"user_name": {"x"}}),
		"query action=login":        matching(t, caddyhttp.MatchQuery{"action": {"login"}}),
		"not query action=view":     matching(t, matchNot(t, &caddyhttp.MatchQuery{"action": {"view"}})),
		"host login.example":        matching(t, caddyhttp.MatchHost{"login.example"}),
		"header Host login.example": matching(t, caddyhttp.MatchHeader{"Host": {"login.example"}}),
		"path /login* method POST":  matching(t, caddyhttp.MatchPath{"/login*"}, caddyhttp.MatchMethod{"POST"}),
		"path /wp* query action=login": matching(t, caddyhttp.MatchPath{"/wp*"},
			caddyhttp.MatchQuery{"action": {"login"}}),
		"expression path":  matching(t, &caddyhttp.MatchExpression{Expr: `{http.request.uri.path}.startsWith("/login")`}),
		"expression query": matching(t, &caddyhttp.MatchExpression{Expr: `{http.request.uri.query.action} == "login"`}),
		"vars path":        matching(t, caddyhttp.VarsMatcher{"{http.request.uri.path}": {"/login"}}),
	}
}

// readingTests are requests that somebody reads as one that the matchers
// match. Each was seen to run a login, or its reader is named.
var readingTests = []struct{ kind, request string }{
	// Servlet containers.
	{"path /login*", "GET /;/login"},
	{"path /login*", "GET /a/..;/login"},
	{"path /login*", "GET /a/..;x=y/login"},
	{"path /login*", "GET /%2e;/login"},
	{"path /login*", "GET /;a=b;c/login"},
	{"path /login", "GET /login;jsessionid=1"},
	{"path /login/*", "GET /login;x/y"},
	{"not path /public/*", "GET /public/..;/login"},
	{"not path *.css", "GET /login;x.css"},
	{"not path *.css", "GET /login%3Bx.css"},
	{"path_regexp ^/login", "GET /;/login"},
	{"path /login", "GET /login/%3B/..;"},
	// The WHATWG's URL parser and PHP's.
	{"path /login*", "GET //x/login"},
	{"path /login*", "GET ///x/login"},
	{"expression path", "GET //x/login/.."},
	{"expression path", "GET //x%2f/login/.."},
	{"expression path", "GET //x%2f/login%2f.."},
	{"expression path", "GET //x%2f/l%6fgin/.."},
	{"path /login*", `GET /\x/login`},
	{"path /login*", "GET /%5Cx/login"},
	{"path /login*", "GET /x%2Fy/../login"},
	{"path /login*", "GET /x%2Fy/%2e%2E/login"},
	{"path /login/*", "GET /login/."},
	{"path /login/*", "GET /login/x/.."},
	{"not path *.css", "GET /login#x.css"},
	{"not path *.css", "GET /login%3F.css"},
	{"not path *.css", "GET /login%23.css"},
	{"path /login", "GET /login#x"},
	// IIS and Windows.
	{"path /login/*", `GET /login\x`},
	{"path /login/*", `GET /login%5cx`},
	{"path /login/*", "GET /login./x"},
	{"path /login/*", "GET /login%20/x"},
	{"path /login", "GET /login%20"},
	{"path_regexp ^/login", "GET /LOGIN"},
	{"path_regexp ^/login", "GET /Log%69N"},
	{"expression path", "GET /LOGIN"},
	{"expression path", "GET //login"},
	{"expression path", "GET /x/../login"},
	{"path /login*", "GET /%EF%BC%ACogin"},
	{"path /login*", "GET /%EF%BC%AF/../lo%67in"},
	{"path /login*", "GET /%C0%AFlogin"},
	{"path /login*", "GET /x/..%C0%AFlogin"},
	{"path /login*", "GET /x/..%E0%80%AFlogin"},
	{"path /login*", "GET /log%C4%B1n"},
	{"path /login*", "GET /x%C0%AF..%c0%aflogin"},
	// One decoding more, and the end of a C string.
	{"path /login*", "GET /%256cogin"},
	{"path /login*", "GET /%25256cogin"},
	{"path /login*", "GET /x%252F..%252Flogin"},
	{"path /login", "GET /login%00.x"},
	{"not path *.css", "GET /login%00.css"},
	{"not path *.css", "GET /login%2500.css"},
	// Applications that do not clean.
	{"path /login*", "POST /login/../x"},
	{"path /login*", "GET /login%2F..%2Fx"},
	{"path /login*", "GET /login/%2e%2e/x"},
	{"path /login*", "GET /login//../x"},
	{"not path /public/*", "GET /login/../public/x"},
	{"not path /public/*", "GET /public%2F../public/x"},
	{"path_regexp ^/login", "GET /login/../x"},
	{"path_regexp ^/login", "GET /LOGIN/../x"},
	// PATH_INFO.
	{"path *.php", "GET /wp-login.php/x"},
	{"path *.php", "GET /wp-login.PHP/x/y"},
	{"path *.php", "GET /wp-login.php;a/x"},
	{"path_regexp \\.php$", "GET /wp-login.php/x"},
	// Encoded and double slashes in patterns.
	{"path /a%2Fb*", "GET /x/../a%2Fb"},
	{"path /a%2Fb*", "GET /;x/a%2fb"},
	{"path /a//b*", "GET /a//b;x"},
	{"path /a//b*", "GET /a//b;c"},
	{"path /a//b*", `GET /a/%5Cb`},
	// No path at all.
	{"not path /public/*", "GET http://a.example"},
	// Headers that name another target.
	{"path /login*", "GET /public\nX-Rewrite-URL: /login"},
	{"path /login*", "GET /public\nX-Original-URL: /login?x"},
	{"path /login*", "GET /public\nX-Original-URL: http://b/login"},
	{"path /login*", "GET /public\nX-Original-URL: login"},
	{"path /login*", "GET /public\nX-Original-URL: x:login\nX-Original-URL: /a/..;/login"},
	{"query action=login", "GET /\nX-Rewrite-URL: /wp?action=login"},
	{"path /wp* query action=login", "GET /\nX-Rewrite-URL: /wp?action=login"},
	// Methods.
	{"method GET", "HEAD /"},
	{"method POST", "post /"},
	{"method PUT", "POST /\nX-HTTP-Method-Override: PUT"},
	{"method PUT", "POST /\nX-HTTP-Method: put"},
	{"method PUT", "POST /\nX-Method-Override: PUT"},
	{"method PUT", "POST /\nX-Method-Override: DELETE\nX-Method-Override: PUT"},
	{"method PUT", "POST /?_method=PUT"},
	{"method PUT", "POST /?x;_method=put"},
	{"method PUT", "POST /?%5fmethod=PUT"},
	{"method PUT", "POST /?+.Method=PUT"},
	{"method PUT", "POST /?_m%65thod=PUT&y=%zz"},
	{"method PUT", "POST /\nX-Rewrite-URL: /?_method=PUT"},
	{"method PUT", "GET /?_method=PUT#x"},
	{"method PUT", "GET /?_method=PUT?x"},
	{"method PUT", "GET /?x?_method=PUT"},
	{"method PUT", "GET /?x?_method=PUT#y?z"},
	{"path /login* method POST", "GET /LOGIN?_method=POST"},
	{"path /login* method POST", "GET /;/login\nX-HTTP-Method-Override: POST"},
	// Queries.
	{"query action=login", "GET /wp-login.php?action=login&x=%zz"},
	{"query action=login", "GET /?x=%zz;action=login"},
	{"query action=login", "GET /?x;action=login"},
	{"query action=login", "GET /?action=login#x"},
	{"query action=login", "GET /?action=login?x"},
	{"query action=login", "GET /?x?action=login"},
	{"query action=login", "GET /?x?action=login#y?z"},
	{"query action=login", "GET /?%20action=login"},
	{"query action=login", "GET /?+action=login"},
	{"query action=login", "GET /?action%00z=login"},
	{"query action=login", "GET /?action=login%00"},
	{"query action=login", "GET /?ACTION=Login"},
	{"query action=login", "GET /?action=login" + strings.Repeat("&", maxPairs)},
	{"query action=login", "GET /?" + strings.Repeat("a;", maxPairs) + "&action=login"},
	{"query user_name=x", "GET /?user.name=x"},
	{"query user_name=x", "GET /?user+name=x"},
	{"query user_name=x", "GET /?user%5bname=x"},
	{"query user_name=x", "GET /?%20User.NAME=X%00"},
	{"not query action=view", "GET /?action=login&action=view"},
	{"not query action=view", "GET /?action=view&action=login"},
	{"expression query", "GET /?action=x&action=login"},
	{"expression query", "GET /?action=login&action="},
	{"expression query", "GET /?action=login&%zz"},
	// Hosts.
	{"host login.example", "GET /\nHost: login.example."},
	{"host login.example", "GET /\nHost: login.example.:443"},
	{"host login.example", "GET /\nHost: LOGIN.example.."},
	{"host login.example", "GET http://login.example./x\nHost: b"},
	{"header Host login.example", "GET /\nHost: Login.example"},
	{"header Host login.example", "GET /\nHost: Login.example."},
	// More than is ever evaluated, and what never comes to rest.
	{"path /login*", "GET /x" + many("X-Rewrite-URL: /b", 40)},
	{"path /login*", "GET /x%" + strings.Repeat("25", 20) + "41"},
	{"path /login* method POST", "GET /x" + many("X-Method-Override: A", 40)},
}

// TestReadings: no reading that some application has of a request gets past a
// matcher.
func TestReadings(t *testing.T) {
	kinds := kinds(t)
	for _, test := range readingTests {
		kind, ok := kinds[test.kind]
		if !ok {
			t.Fatalf("no kind %q", test.kind)
		}
		if !mustMatch(t, kind, parse(t, test.request)) {
			t.Errorf("%s does not match %.200q", test.kind, test.request)
		}
	}
}

// many returns lines that differ in their last character.
func many(line string, count int) string {
	var b strings.Builder
	for i := range count {
		b.WriteString("\n" + line + string(rune('a'+i%26)) + string(rune('a'+i/26)))
	}
	return b.String()
}

// TestRewrites: what a request was before a handler rewrote it is as good as
// what it is now, in every mixture of its parts.
func TestRewrites(t *testing.T) {
	kinds := kinds(t)
	for _, test := range []struct {
		kind, request string
		rewrite       func(*http.Request)
		want          bool
	}{
		{"path /login*", "GET /login", func(r *http.Request) { r.URL.Path = "/index.php" }, true},
		{"path /login*", "GET /;/login", func(r *http.Request) { r.URL.Path = "/index.php" }, true},
		{"path /login*", "GET /other", func(r *http.Request) { r.URL.Path = "/index.php" }, false},
		{"path /login* method POST", "POST /form", func(r *http.Request) { r.Method, r.URL.Path = "PUT", "/login" }, true},
		{"path /login* method POST", "PUT /login", func(r *http.Request) { r.Method, r.URL.Path = "POST", "/form" }, true},
		{"path /login* method POST", "PUT /form", func(r *http.Request) { r.Method, r.URL.Path = "GET", "/login" }, false},
		{"method PUT", "POST /?_method=PUT", func(r *http.Request) { r.URL.RawQuery = "" }, true},
		{"query action=login", "GET /?action=login", func(r *http.Request) { r.URL.RawQuery = "" }, true},
		{"path /wp* query action=login", "GET /wp?action=view", func(r *http.Request) { r.URL.Path, r.URL.RawQuery = "/x", "action=login" }, true},
		{"expression path", "GET /login", func(r *http.Request) { r.URL.Path = "/index.php" }, true},
		{"vars path", "GET /login", func(r *http.Request) { r.URL.Path = "/index.php" }, true},
		{"path /a%2Fb*", "GET /a%2Fb", func(r *http.Request) { r.URL.RawPath = "" }, true},
	} {
		r := parse(t, test.request)
		test.rewrite(r)
		if got := mustMatch(t, kinds[test.kind], r); got != test.want {
			t.Errorf("%s for %q, now %s %s: matched %t", test.kind, test.request, r.Method, r.URL, got)
		}
	}
}

// TestOrdinaryRequests: what sites see every day is not taken for what it is
// not.
func TestOrdinaryRequests(t *testing.T) {
	kinds := kinds(t)
	stripped := matching(t, matchNot(t, caddyhttp.MatchPath{"/public*", "/app/public*"}))
	requests := []string{
		"GET /", "HEAD /", "GET /favicon.ico", "GET /index.html", "GET /a/b/c?x=1&y=2", "POST /api/v1/users/42",
		"PATCH /repos/o/r/issues/7", "DELETE /session", "PROPFIND /dav/", "GET /api/v4/projects/group%2Fproject/repository/files/src%2Fmain.go/raw?ref=main",
		"GET /maps/@48.85,2.35,12z/data=!3m1!4b1", "GET /matrix;color=red;size=1/items;sort=name", "GET /cars;color=red,blue",
		"GET /caf%C3%A9/men%C3%BC", "GET /%D0%BA%D0%B0%D1%82%D0%B0%D0%BB%D0%BE%D0%B3/%D1%82%D0%BE%D0%B2%D0%B0%D1%80", "GET /%E6%97%A5%E6%9C%AC%E8%AA%9E",
		"GET /kay%C4%B1t", "GET /wiki/C%2B%2B", "GET /wiki/C%23", "GET /wiki/What%3F", "GET /wiki/AC/DC", "GET /wiki/100%25", "GET /wiki/Foo_(bar)", "GET /wiki/Inc.",
		"GET /files/My%20Document%20(1).pdf", "GET /~user/", "GET /.well-known/acme-challenge/x-y_z", "GET /a/.hidden/..x/...", "GET /v1.2/x",
		"GET /search?q=hello+world&page=2", "GET /search?q=a%26b%3Dc%3Bd", "GET /?filter[status]=open&filter%5Bkind%5D=bug", "GET /?openid.mode=check&openid.ns=x",
		"GET /?utm_source=x&utm_medium=Y&ids=1&ids=2&ids=3", "GET /?q=100%", "GET /?a;b", "GET /?" + strings.Repeat("key=value&", 500),
		"GET /?redirect=https%3A%2F%2Fa.example%2Flogin", "GET /?next=/login", "GET /static/app.3f2a.js", "GET /blog/how-to-login", "GET /docs//api", "GET /user.profile/edit",
		"OPTIONS /api\nOrigin: https://b.example\nAccess-Control-Request-Method: PUT", "GET /ws\nUpgrade: websocket\nConnection: Upgrade",
		"GET http://a.example/x", "GET /x\nHost: A.example", "GET /x\nHost: a.example:8443", "GET /x\nHost: [2001:db8::1]:80", "POST /x\nX-HTTP-Method-Override: PATCH",
		"GET /x\nX-Original-URL: /x", "GET /x?method=card", "GET /x?payment_method=PUTATIVE",
	}
	for name, kind := range kinds {
		if strings.HasPrefix(name, "not ") || strings.HasPrefix(name, "method ") {
			continue
		}
		for _, request := range requests {
			if mustMatch(t, kind, parse(t, request)) {
				t.Errorf("%s matches %q", name, request)
			}
		}
	}
	for _, request := range []string{
		"GET /public/x", "GET /public/a;b/c", "GET /public/caf%C3%A9", "GET /public/group%2Fproject", "GET /public/../public/x", "GET /public/a.b/c?x=%zz",
		"GET /public/What%3F", "GET /public/C%23", "GET /public/My%20File.", "GET /public/a%5Cb", "GET /public/kay%C4%B1t",
	} {
		if mustMatch(t, kinds["not path /public/*"], parse(t, request)) {
			t.Errorf("not path /public/* matches %q", request)
		}
		request = strings.Replace(request, "/public", "/app/public", 1)
		r := parse(t, request)
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/app")
		r.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, "/app")
		r.RequestURI = strings.TrimPrefix(r.RequestURI, "/app")
		if !strings.Contains(request, "..") && mustMatch(t, stripped, r) {
			t.Errorf("not path /public* /app/public* matches %q without /app", request)
		}
	}
}

// failing is a matcher that errs for every path but one.
type failing struct{ fine string }

var errFailing = errors.New("the matcher fails")

func (m failing) MatchWithError(r *http.Request) (bool, error) {
	if r.URL.Path == m.fine {
		return false, nil
	}
	return false, errFailing
}

// TestErrors: an error of the request's own evaluation is returned; in another
// reading it is a match.
func TestErrors(t *testing.T) {
	m := matching(t, failing{"/a;b"})
	if matched, err := m.Match(parse(t, "GET /c")); matched || !errors.Is(err, errFailing) {
		t.Errorf("the request's own error: %t, %v", matched, err)
	}
	if !mustMatch(t, m, parse(t, "GET /a;b")) {
		t.Error("an error in another reading is no match")
	}
}

// TestNoMatchers: without a matcher every request matches.
func TestNoMatchers(t *testing.T) {
	if !mustMatch(t, NewMatchers(nil), parse(t, "GET /")) {
		t.Error("not matched")
	}
}

// TestSetsAreAlternatives: a request matches if one of several sets does, and
// no set's half is joined to another's.
func TestSetsAreAlternatives(t *testing.T) {
	m := NewMatchers(caddyhttp.MatcherSets{
		matcherSet(t, caddyhttp.MatchPath{"/login*"}, caddyhttp.MatchMethod{"POST"}),
		matcherSet(t, caddyhttp.MatchPath{"/signup*"}),
		matcherSet(t, caddyhttp.MatchHost{"login.example"}),
	})
	for request, want := range map[string]bool{
		"POST /;/login": true, "GET /;/login": false, "GET /;/signup": true, "GET /;/x": false, "GET /;/x\nHost: login.example.": true,
	} {
		if got := mustMatch(t, m, parse(t, request)); got != want {
			t.Errorf("%q: matched %t", request, got)
		}
	}
}

// counting counts how often it is evaluated, and never matches.
type counting struct{ calls *int }

func (m counting) MatchWithError(*http.Request) (bool, error) {
	*m.calls++
	return false, nil
}

// TestEvaluations: an ordinary request is evaluated once, and no request more
// than 32 times.
func TestEvaluations(t *testing.T) {
	calls := 0
	m := matching(t, counting{&calls})
	for request, most := range map[string]int{
		"GET /": 1, "POST /a/b?x": 1, "GET /;/x": maxReadings, "HEAD /a.;/%25/x?A=B": maxReadings, "HEAD /": maxReadings,
		"GET /x" + many("X-Rewrite-URL: /b", 12): maxReadings, "GET /x" + many("X-Rewrite-URL: /b;", 60): 1,
	} {
		calls = 0
		mustMatch(t, m, parse(t, request))
		if calls > most || calls == 0 {
			t.Errorf("%.60q: %d evaluations, want at most %d", request, calls, most)
		}
	}
}
