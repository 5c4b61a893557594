package request

import (
	"encoding/hex"
	"net/http"
	"net/url"
	stdpath "path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// The model says the same as Matchers in the plainest way there is: it makes
// every value by every transformation, whether or not there is anything to
// transform, and evaluates the matchers on every combination, each on a
// request of its own. It knows no limit, and shares no code with what it
// checks.

// modelKind is a kind of matchers, with what it can tell apart, by hand.
type modelKind struct {
	name       string
	parts      string // p(ath), q(uery), m(ethod), h(ost)
	extensions []string
	excludes   bool // it is about what it leaves out, where scripts are the application's own
}

var modelKinds = []modelKind{
	{"path /login*", "p", nil, false},
	{"path /login", "p", nil, false},
	{"path /login/*", "p", nil, false},
	{"path *.php", "p", []string{".php"}, false},
	{"path /a%2Fb*", "p", nil, false},
	{"path /a//b*", "p", nil, false},
	{"not path /public/*", "p", nil, true},
	{"not path *.css", "p", []string{".css"}, true},
	{"path_regexp ^/login", "p", nil, false},
	{"path_regexp \\.php$", "p", []string{".php"}, false},
	{"method POST", "m", nil, false},
	{"method PUT", "m", nil, false},
	{"method GET", "m", nil, false},
	{"query action=login", "q", nil, false},
	{"query user_name=x", "q", nil, false},
	{"not query action=view", "q", nil, false},
	{"host login.example", "h", nil, false},
	{"header Host login.example", "h", nil, false},
	{"path /login* method POST", "pm", nil, false},
	{"path /wp* query action=login", "pq", nil, false},
	{"expression path", "p", []string{".php"}, false},
	{"expression query", "q", nil, false},
	{"vars path", "p", []string{".php"}, false},
}

// modelMatches evaluates the sets on every reading of the request.
func modelMatches(kind modelKind, sets caddyhttp.MatcherSets, r *http.Request) bool {
	original := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	urls := []*url.URL{r.URL, original.URL}
	for name, values := range r.Header {
		if strings.EqualFold(name, "X-Original-URL") || strings.EqualFold(name, "X-Rewrite-URL") {
			for _, value := range values {
				urls = append(urls, modelTarget(value))
			}
		}
	}
	paths, queries := []path{{r.URL.Path, r.URL.RawPath}}, []string{r.URL.RawQuery}
	methods, hosts := []string{r.Method}, []string{r.Host}
	if strings.Contains(kind.parts, "p") {
		for _, u := range urls {
			paths = append(paths, modelPaths(u, kind.extensions, !kind.excludes)...)
		}
	}
	if original.Method == "CONNECT" && original.URL.Path == "" && strings.Contains(kind.parts, "p") {
		paths = append(paths, modelPaths(&url.URL{Path: "/" + original.URL.Host}, kind.extensions, !kind.excludes)...)
	}
	var allQueries []string
	for _, u := range urls {
		if strings.Count(u.RawQuery, "&")+strings.Count(u.RawQuery, ";") >= 10_000 && strings.ContainsAny(kind.parts, "qm") {
			return true
		}
		allQueries = append(allQueries, modelQueries(u.RawQuery)...)
	}
	if strings.Contains(kind.parts, "q") {
		queries = append(queries, allQueries...)
	}
	if strings.Contains(kind.parts, "m") {
		methods = append(methods, modelMethods(r, &original, allQueries)...)
	}
	if strings.Contains(kind.parts, "h") {
		for _, host := range []string{r.Host, strings.ToLower(r.Host)} {
			hosts = append(hosts, host, regexp.MustCompile(`^([^\[:]*?)\.*(:[^:]*)?$`).ReplaceAllString(host, "$1$2"),
				regexp.MustCompile(`^([^\[:]*?)\.*:.*:.*$`).ReplaceAllString(host, "$1"))
		}
	}
	once(&paths)
	once(&queries)
	once(&methods)
	once(&hosts)
	for _, p := range paths {
		for _, query := range queries {
			for _, method := range methods {
				for _, host := range hosts {
					u := *r.URL
					u.Path, u.RawPath, u.RawQuery = p.decoded, p.raw, query
					reading := serve(&http.Request{
						Method: method, URL: &u, Host: host, Header: r.Header, RequestURI: u.RequestURI(),
						Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor, RemoteAddr: r.RemoteAddr, Body: http.NoBody,
					})
					if matched, err := sets.AnyMatchWithError(reading); matched || err != nil {
						return true
					}
				}
			}
		}
	}
	return false
}

func once[T comparable](list *[]T) {
	seen := make(map[T]bool)
	*list = slices.DeleteFunc(*list, func(value T) bool {
		known := seen[value]
		seen[value] = true
		return known
	})
}

func modelTarget(target string) *url.URL {
	u, err := url.ParseRequestURI(target)
	if err == nil && u.Opaque == "" {
		return u
	}
	if target == "" || target[0] != '/' {
		if replaced := replace(`^[^/?#]*://`, "//")(target); replaced != target {
			target = replaced
		} else {
			target = "//" + target
		}
	}
	p, query, _ := strings.Cut(target, "?")
	return &url.URL{Path: modelDecode(p), RawPath: p, RawQuery: query}
}

// replace returns a transformation that replaces what the pattern matches.
func replace(pattern, by string) func(string) string {
	expression := regexp.MustCompile(pattern)
	return func(text string) string { return expression.ReplaceAllLiteralString(text, by) }
}

var modelDecode = func() func(string) string {
	expression := regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	return func(text string) string {
		return expression.ReplaceAllStringFunc(text, func(code string) string {
			decoded, err := hex.DecodeString(code[1:])
			if err != nil {
				panic(err)
			}
			return string(decoded)
		})
	}
}()

// modelPlain knows by heart every sequence that some take for ASCII.
var modelPlain = func() func(string) string {
	var table []string
	for c := range byte(0x80) {
		table = append(table,
			string([]byte{0xC0 | c>>6, 0x80 | c&0x3F}), string(c),
			string([]byte{0xE0, 0x80 | c>>6, 0x80 | c&0x3F}), string(c),
			string([]byte{0xF0, 0x80, 0x80 | c>>6, 0x80 | c&0x3F}), string(c))
	}
	for c := '!'; c <= '~'; c++ {
		table = append(table, string(c-'!'+0xFF01), string(c))
	}
	for c := rune(0x80); c <= unicode.MaxRune; c++ {
		if other := unicode.ToLower(unicode.ToUpper(c)); other < 0x80 {
			table = append(table, string(c), string(other))
		}
	}
	return strings.NewReplacer(table...).Replace
}()

func modelClean(p string) string {
	slash := strings.HasSuffix(p, "/")
	p = stdpath.Clean("/" + p)
	if slash && p != "/" {
		p += "/"
	}
	return p
}

// modelResolve is RFC 3986, section 5.2.4, word for word.
func modelResolve(p string) string {
	p = regexp.MustCompile(`(?i)/(\.|%2e){1,2}(/|$)`).ReplaceAllStringFunc(p, modelDecode)
	p = regexp.MustCompile(`(?i)/(\.|%2e){1,2}(/|$)`).ReplaceAllStringFunc(p, modelDecode) // those that overlap
	input, output := p, ""
	for input != "" {
		switch {
		case strings.HasPrefix(input, "/./"):
			input = input[2:]
		case input == "/.":
			input = "/"
		case strings.HasPrefix(input, "/../"):
			input = input[3:]
			output = output[:max(0, strings.LastIndexByte(output, '/'))]
		case input == "/..":
			input = "/"
			output = output[:max(0, strings.LastIndexByte(output, '/'))]
		default:
			end := strings.IndexByte(input[1:], '/') + 1
			if end == 0 {
				end = len(input)
			}
			output, input = output+input[:end], input[end:]
		}
	}
	return output
}

// modelInert replaces dot segments by a name.
func modelInert(p string) string {
	segments := strings.Split(p, "/")
	for i, segment := range segments {
		if segment == "." || segment == ".." {
			segments[i] = "a-name"
		}
	}
	return strings.Join(segments, "/")
}

func modelAuthority(p string) string {
	p = replace(`^//+[^/]*`, "")(p)
	if p == "" {
		return "/"
	}
	return p
}

func modelTrim(p string) string {
	segments := strings.Split(p, "/")
	for i, segment := range segments {
		if segment != "." && segment != ".." {
			segments[i] = strings.TrimRight(segment, ". ")
		}
	}
	return strings.Join(segments, "/")
}

var modelSteps = []func(string) string{
	modelDecode,
	modelPlain,
	replace(`\\`, "/"),
	replace(`(?s)\x00.*`, ""),
	replace(`(?s)[?#].*`, ""),
	modelAuthority,
	replace(`;[^/]*`, ""),
	modelTrim,
	strings.ToLower,
}

func modelPaths(u *url.URL, extensions []string, scripts bool) []path {
	p, raw := u.Path, u.EscapedPath()
	if p == "" {
		p, raw = "/", "/"
	}
	paths := []path{{u.Path, u.RawPath}, {p, raw}, {modelClean(p), modelClean(raw)}}
	for _, step := range modelSteps {
		paths = append(paths, path{modelClean(step(p)), modelClean(step(raw))}, path{step(p), ""}, path{modelInert(step(p)), ""})
		if sent := step(raw); sent != raw && p != modelInert(p) {
			paths = append(paths, path{modelInert(sent), ""}, path{modelInert(modelDecode(sent)), ""})
		}
	}
	rawURL := replace(`#.*`, "")(raw)
	rawURL = replace(`\\|%5C`, "/")(rawURL)
	rawURL = modelResolve(modelAuthority(rawURL))
	paths = append(paths, path{modelDecode(rawURL), rawURL}, path{modelInert(modelDecode(rawURL)), ""})
	rawServlet := replace(`;[^/]*`, "")(raw)
	paths = append(paths, path{modelClean(strings.ReplaceAll(modelDecode(rawServlet), `\`, "/")), modelClean(rawServlet)})
	paths = append(paths, path{modelInert(p), modelInert(raw)})
	if p != modelInert(p) {
		paths = append(paths, path{modelInert(raw), ""}, path{modelInert(modelDecode(modelClean(raw))), ""})
		paths = append(paths, path{replace(`//+`, "/")(modelInert(p)), ""})
	}
	for _, last := range []func(string) string{modelClean, modelInert} {
		all := p
		for before := ""; all != before; {
			before = all
			for _, step := range modelSteps {
				all = step(all)
			}
			all = last(all)
		}
		paths = append(paths, path{all, ""})
	}
	all := paths[len(paths)-2].decoded
	script := regexp.MustCompile(`(?is)^.*?\.(php5?|phtml|f?cgi|p[ly]|aspx?|ashx|cfm)(/.*)$`)
	if scripts {
		paths = append(paths,
			path{script.ReplaceAllString(modelClean(p), "$2"), script.ReplaceAllString(modelClean(raw), "$2")},
			path{script.ReplaceAllString(all, "$2"), ""})
	}
	for _, extension := range extensions {
		cut := regexp.MustCompile(`(?is)^(.*?` + regexp.QuoteMeta(extension) + `)/.*$`)
		paths = append(paths,
			path{cut.ReplaceAllString(modelClean(p), "$1"), cut.ReplaceAllString(modelClean(raw), "$1")},
			path{cut.ReplaceAllString(all, "$1"), ""})
	}
	for _, p := range paths {
		paths = append(paths, path{strings.ToLower(p.decoded), strings.ToLower(p.raw)})
	}
	return paths
}

func modelQueries(query string) []string {
	queries := []string{query}
	for _, cut := range []string{`#.*`, `\?.*`, `.*\?`} {
		if part := replace(`(?s)`+cut, "")(query); part != query {
			queries = append(queries, modelQueries(part)...)
		}
	}
	for _, separator := range []string{"&", "[&;]"} {
		var pairs [][2]string
		for _, text := range regexp.MustCompile(separator).Split(query, -1) {
			if text != "" {
				name, value, _ := strings.Cut(strings.ReplaceAll(text, "+", "%20"), "=")
				pairs = append(pairs, [2]string{modelDecode(name), modelDecode(value)})
			}
		}
		both := func(change func(string) string) func([2]string) [2]string {
			return func(p [2]string) [2]string { return [2]string{change(p[0]), change(p[1])} }
		}
		name := func(change func(string) string) func([2]string) [2]string {
			return func(p [2]string) [2]string { return [2]string{change(p[0]), p[1]} }
		}
		steps := []func([2]string) [2]string{
			name(func(name string) string { return name }),
			name(replace(`^ +`, "")),
			both(replace(`(?s)\x00.*`, "")),
			name(modelPHP),
			func(p [2]string) [2]string { return [2]string{p[0], strings.Trim(p[1], " \t\n\r\v\x00")} },
			both(strings.ToLower),
		}
		all := slices.Clone(pairs)
		for _, step := range steps {
			alone := slices.Clone(pairs)
			for i := range pairs {
				alone[i], all[i] = step(pairs[i]), step(all[i])
			}
			queries = append(queries, modelEncode(alone))
		}
		queries = append(queries, modelEncode(all))
		var first, last [][2]string
		for i, p := range pairs {
			same := func(other [2]string) bool { return other[0] == p[0] }
			if !slices.ContainsFunc(pairs[:i], same) {
				first = append(first, p)
			}
			if !slices.ContainsFunc(pairs[i+1:], same) {
				last = append(last, p)
			}
		}
		queries = append(queries, modelEncode(first), modelEncode(last))
	}
	return queries
}

// modelPHP is what PHP 8 makes of a variable's name.
func modelPHP(name string) string {
	head, index, indexed := strings.Cut(name, "[")
	head = replace(`[. ]`, "_")(head)
	switch {
	case !indexed:
		return head
	case head == "" || !strings.Contains(index, "]"):
		return head + "_" + index
	default:
		return head + "[" + index
	}
}

func modelEncode(pairs [][2]string) string {
	var fields []string
	for _, p := range pairs {
		fields = append(fields, url.QueryEscape(p[0])+"="+url.QueryEscape(p[1]))
	}
	return strings.Join(fields, "&")
}

func modelMethods(r, original *http.Request, queries []string) []string {
	methods := []string{r.Method, original.Method}
	for name, values := range r.Header {
		switch strings.ToLower(name) {
		case "x-http-method-override", "x-http-method", "x-method-override":
			methods = append(methods, values...)
			for _, value := range values {
				methods = append(methods, strings.Split(value, ",")...)
			}
		}
	}
	for _, query := range queries {
		fields, err := url.ParseQuery(query)
		if err == nil {
			for name, values := range fields {
				if strings.ToLower(modelPHP(strings.TrimLeft(strings.Split(name, "\x00")[0], " "))) == "_method" {
					for _, value := range values {
						methods = append(methods, strings.Split(value, "\x00")[0], value)
					}
				}
			}
		}
	}
	for _, method := range slices.Clone(methods) {
		method = strings.ToUpper(strings.TrimSpace(method))
		methods = append(methods, method)
		if method == "HEAD" {
			methods = append(methods, "GET")
		}
	}
	return methods
}
