package readings_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// grammar makes requests. Most begin as one that runs a login, and are changed
// a little, so that a good part still runs one somewhere.
type grammar struct{ *rand.Rand }

// newGrammar returns the grammar of the nth request of a run.
func newGrammar(seed, n uint64) grammar {
	return grammar{rand.New(rand.NewPCG(seed, n))} //nolint:gosec // no secret
}

func (g grammar) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g grammar, values []T) T { return values[g.IntN(len(values))] }

// some picks the first value in most cases.
func some(g grammar, percent int, values []string) string {
	if g.chance(percent) {
		return values[0]
	}
	return pick(g, values)
}

var (
	methods    = []string{"GET", "POST", "PUT", "HEAD", "post", "get", "Post", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "CONNECT"}
	overrides  = []string{"PUT", "POST", "GET", "put", "Post", "DELETE", "PUT ", " POST", "PUT, GET", "HEAD", "%50UT"}
	bases      = []string{"/login", "/login/", "/login/x", "/loginx", "/wp-login.php", "/wp-login.php/x", "/login.jsp", "/index.php/login", "/public/x", "/login/index.php", "/app/login", "/LOGIN", "/"}
	parameters = []string{"action", "do_action", "do.action", "do action", "do[action", "_method", ".method", "ACTION", "action[]", "x", "route"}
	hosts      = []string{
		"localhost", "login.example.com", "login.example.com.", "LOGIN.Example.com", "login.example.com:80", "login.example.com.:8080",
		"login.example.com..", "login.example.com:", "login.example.com.:", "www.example.com", "login.example.com:80:80", "Login.example.com.", "login%2eexample.com", "ｌogin.example.com",
		"x@login.example.com", "[::1]", "", "login.example.com:x", "login.example.com/", "login.example.com/x", "xn--login.example.com", "login.example.com:0080",
	}
	// segments that go between two slashes, and what ends a segment.
	segments = []string{"", ".", "..", "x/..", "x/../..", ";", ";x", "x;y/..", "..;", "..;x", ".;", "%2e", "%2e%2e", "x/%2e%2e", "x/..;/", "%2e;", "x/.%2e", "x/%2E.", "public/..", "public/..;", "public", "app", "index.php", "x.css/..", "x%2f..", "x%5c..", "x\\..", "%2f", "%5c", "\\", "%252e%252e", "x/%252e%252e", "\u2025", "%00", "%20", "+"}
	endings  = []string{";", ";x", ";x.css", ";a=b", "/", "//", ".", "%2e", "%20", "%09", "%0a", "%0d", "%00", "%00.css", "%00/x", "%2500", "\\", "%5c", "%2f", "%3b", "%3bx.css", "%3f", "%3Fx.css", "%23", "%2523", ".css", "/x.css", "/..", "/../x", "/..;/x", "%2f..%2fx", "\\..\\x", "%5c..%5cx", "/%2e%2e/x", "::$DATA", "~1", ".php", "/x.php", "%c0%80", "%e3%80%82", "%ef%bc%8fx", "/.;/", "/%2e", "%0a/x", "*", "#", "#x", "%", "%zz", ":80", "@x", "%25", "%252f..%252fx", "\u00a0", "%c2%a0", "%ff"}
	// authorities and schemes that go before a path.
	prefixes = []string{"//x", "//x:80", "//x@y", "//", "///", "///x", "/\\x", "/\\", "\\\\x", "//x;y", "//x%2f", "/%2fx", "//[::1]", "//x:x", "//user:pass@x", "http://x", "HTTP://x", "https://x:80", "http://login.example.com", "http://Login.example.com.", "http://ｌogin.example.com", "http://%ef%bd%8cogin.example.com", "http://login。example.com", "http://login.example%e3%80%82com", "http://x@login.example.com", "http://login.example.com:080", "http://l\u00adogin.example.com", "http://login.example.com:", "x://x", "x:", "x:/", "x:http://x", "http:", "http:/", "http:///", "http:////x", "x:x", "x:%2f", "x:*", "a+b.c:http://x", ":", "://x", "http://", "http://x@y", "http:x:", "javascript:", "/x", "/app", "/public", "*", "."}
	// spellings of one character.
	spellings = map[byte][]string{
		'/': {"%2f", "%2F", "%5c", "\\", "%252f", "%c0%af", "%ef%bc%8f", "\uff0f", "//", "/./", "%e2%81%84", "/;/", "%2f%2f"},
		'.': {"%2e", "%2E", "%252e", "%c0%ae", "%ef%bc%8e", "\uff0e", "%e3%80%82", "%25252e"},
		'l': {"L", "%6c", "%6C", "%4c", "%256c", "%c1%ac", "%ef%bd%8c", "\uff4c"},
		'o': {"O", "%6f", "%6F", "%256F", "%c1%af", "%ef%bd%8f", "\u00ba"},
		'g': {"G", "%67", "%2567", "%ef%bd%87"},
		'i': {"I", "%69", "%49", "%c4%b1", "\u0131", "%c4%b0", "\u0130", "%e2%85%b0", "%2569"},
		'n': {"N", "%6e", "%6E", "%ef%bd%8e", "%256e"},
		'p': {"P", "%70", "%50"}, 'h': {"H", "%68"}, 'j': {"J", "%6a"}, 's': {"S", "%73", "%c5%bf", "\u017f"},
		'-': {"%2d", "%2D"}, 'w': {"W", "%77"},
	}
	separators = []string{"&", ";", "&&", "&amp;", "%26", "?", "#", "\u0026", "%3b"}
	junk       = []string{"x=%zz", "%", "%z=1", "x=%", "=", "", "x", "a;b", "%00", "x=%00", "\xff", "x=\u00e9", "[", "x[", "x[a]=b", "x=+", "+"}
)

// next makes a request.
func (g grammar) next() request {
	r := request{method: some(g, 55, methods), host: some(g, 70, hosts)}
	r.target = g.path()
	if g.chance(35) {
		r.target += "?" + g.query()
	}
	if g.chance(12) {
		r.target = pick(g, prefixes) + r.target
	}
	if g.chance(1) {
		r.target = pick(g, []string{"*", "login", "x:80", "login.example.com:443", "?action=login", "/?", "//", "/\\", "x:login", "%2flogin"})
	}
	for g.chance(20) {
		r.lines = append(r.lines, g.line())
	}
	r.target = strings.NewReplacer(" ", "%20", "\r", "", "\n", "").Replace(r.target)
	return r
}

// path makes a path of a base.
func (g grammar) path() string {
	path := some(g, 50, bases)
	for g.chance(55) {
		switch g.IntN(6) {
		case 0: // another segment before
			path = "/" + pick(g, segments) + path
		case 1: // something behind
			path += pick(g, endings)
		case 2: // a segment somewhere
			i := g.IntN(len(path) + 1)
			if slash := strings.IndexByte(path[i:], '/'); slash >= 0 {
				i += slash
			}
			path = path[:i] + "/" + pick(g, segments) + path[i:]
		case 3: // behind a segment
			i := strings.LastIndexByte(path, '/')
			path = path[:max(i, 0)] + pick(g, endings) + path[max(i, 0):]
		default: // a character spelled otherwise
			path = g.respell(path)
		}
	}
	return path
}

// respell spells a character otherwise.
func (g grammar) respell(text string) string {
	if text == "" {
		return text
	}
	i := g.IntN(len(text))
	c := text[i]
	spelled, ok := spellings[c]
	if !ok || g.chance(10) {
		spelled = []string{fmt.Sprintf("%%%02x", c), fmt.Sprintf("%%%02X", c), fmt.Sprintf("%%25%02x", c), strings.ToUpper(string(rune(c)))}
	}
	return text[:i] + pick(g, spelled) + text[i+1:]
}

// query makes a query.
func (g grammar) query() string {
	pairs := []string{some(g, 50, parameters) + "=" + some(g, 80, []string{"login", "LOGIN", "login ", "Login", "PUT", "POST", "/login", "x", ""})}
	for g.chance(40) {
		pairs = append(pairs, pick(g, parameters)+"="+pick(g, []string{"login", "x", "", "PUT", "POST", "%zz"}))
	}
	for g.chance(25) {
		pairs = append(pairs, pick(g, junk))
	}
	g.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	var b strings.Builder
	for i, pair := range pairs {
		if i > 0 {
			b.WriteString(some(g, 75, separators))
		}
		if g.chance(12) {
			b.WriteString(pick(g, []string{"%20", "+", " ", "%09", "%0a", "%00", "%e2%80%8b", "%c2%a0", "[", "_"}))
		}
		for g.chance(20) {
			pair = g.respell(pair)
		}
		if name, value, ok := strings.Cut(pair, "="); ok && g.chance(12) {
			pair = name + pick(g, []string{"%00", "%00z", "[", "[]", "%5b", "%5B%5D", "%20", "+", ".", "%00=x&y", "%3d", ";"}) + "=" + value
		}
		b.WriteString(pair)
		if g.chance(8) {
			b.WriteString(pick(g, []string{"%00", "%00x", "%20", "+", "&", ";", "#", "%", "%zz"}))
		}
	}
	if g.chance(1) { // more pairs than readers take
		many := strings.Repeat(pick(g, []string{"&", "&x", ";", "&x=1"}), pick(g, []int{999, 1001, 10001}))
		if g.chance(50) {
			return b.String() + many
		}
		return many[1:] + "&" + b.String()
	}
	return b.String()
}

// line makes a header line.
func (g grammar) line() string {
	switch g.IntN(10) {
	case 0, 1, 2, 3:
		return pick(g, []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x-http-method-override", "X_HTTP_Method_Override", "X.HTTP.Method.Override"}) + ": " + pick(g, overrides)
	case 4, 5, 6, 7:
		target := g.path()
		if g.chance(25) {
			target += "?" + g.query()
		}
		if g.chance(20) {
			target = pick(g, prefixes) + target
		}
		return pick(g, []string{"X-Original-URL", "X-Rewrite-URL", "x-rewrite-url", "X_Rewrite_URL", "X.Original.URL"}) + ": " + strings.NewReplacer("\r", "", "\n", "").Replace(target)
	case 8:
		return pick(g, []string{"X-Forwarded-Host: login.example.com", "Forwarded: host=login.example.com", "X-Forwarded-Prefix: /login", "X-Host: login.example.com", "X-Forwarded-Uri: /login", "X-Original-Host: login.example.com"})
	default:
		return "Connection: " + pick(g, []string{"X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "Host", "close", "keep-alive"})
	}
}
