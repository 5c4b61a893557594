package request

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// agree compares Matchers with the model on one request. One that has too many
// readings has to match, whatever the model would say in the end.
func agree(t *testing.T, kinds map[string]*Matchers, kind modelKind, r *http.Request, said string) {
	t.Helper()
	m := kinds[kind.name]
	got, err := m.Match(r)
	if err != nil {
		return // of the request's own evaluation
	}
	want := tooMany(m, r) || modelMatches(kind, m.sets, r)
	if got == want {
		return
	}
	t.Fatalf("%s: %s: now %s %s: matched %t, the model says %t", kind.name, said, r.Method, r.URL, got, want)
}

// tooMany reports whether the request has more readings than are evaluated.
func tooMany(m *Matchers, r *http.Request) bool {
	if matched, err := m.sets.AnyMatchWithError(r); matched || err != nil {
		return false
	}
	sent, total := Original(r), 1
	for i := range m.groups {
		var v readings
		v.read(&m.groups[i].sight, r, &sent)
		total += v.count() - 1
	}
	return total > maxReadings
}

// FuzzModel: whatever a request says, and whatever it was rewritten to, it
// matches where the model says so, and nowhere else.
func FuzzModel(f *testing.F) {
	for _, test := range readingTests {
		line, fields, _ := strings.Cut(test.request, "\n")
		kind := slices.IndexFunc(modelKinds, func(kind modelKind) bool { return kind.name == test.kind })
		f.Add(uint8(kind), line, fields, "", "")
	}
	f.Add(uint8(17), "POST /form", "", "PUT", "/login")
	f.Add(uint8(6), "GET /app/public/x", "", "", "/public/x")
	f.Add(uint8(3), "GET /x.php", "", "GET", "/x")
	kinds := kinds(f)
	f.Fuzz(func(t *testing.T, kind uint8, line, fields, method, target string) {
		if len(line)+len(fields)+len(target) > 300 {
			return // the model takes its time
		}
		r, err := parseRequest(line + "\n" + fields)
		if err != nil {
			return
		}
		if method != "" {
			r.Method = method
		}
		if target != "" {
			u := parseTarget(target)
			r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		}
		agree(t, kinds, modelKinds[int(kind)%len(modelKinds)], r, fmt.Sprintf("%q %q %q %q", line, fields, method, target))
	})
}

// words are what targets are made of in TestModel.
var words = struct{ paths, queries, methods, fields []string }{
	paths: []string{
		"/", "/", "/", "//", "login", "login", "LOGIN", "public", "a", "b", "x.php", "X.PHP", ".css", ".", "..", "...", ";", ";x=y", "..;", `\`, "%5c",
		"%2f", "%2F", "%2e", "%2E%2e", "%252e", "%252F", "%25", "%00", "%2500", "%3f", "%23", "#", "%20", "%3b", "%C0%AF", "%c0%ae", "%E0%80%AF", "%EF%BC%8F", "%EF%BD%8C",
		"log%69n", "%6Cogin", "%256cogin", "%C4%B1", "caf%C3%A9", "a%2Fb", "a//b", "./", "../", "/..", "+", ":", "@", "*",
	},
	queries: []string{
		"action=login", "action=view", "ACTION=Login", "&", "&", ";", "%20", "+", "%00", "action", "=", "login", "%zz", "%", "_method=PUT", "_method=post", "%5fmethod=PUT",
		".method=put", "[", "]", "a.b=c", "user.name=x", "user[name=x", "x", "act%69on=login", "caf%C3%A9", "?", "#", "?x", "#x",
	},
	methods: []string{"GET", "GET", "POST", "HEAD", "PUT", "post", "Head", "FOO", "OPTIONS"},
	fields: []string{
		"", "", "", "", "", "Host: login.example.", "Host: LOGIN.example:80", "Host: Login.Example.:443", "X-Rewrite-URL: /login", "X-Original-URL: /x;/public?action=login",
		"X-HTTP-Method-Override: PUT", "X-Method-Override: head", "X-HTTP-Method: post", "X-Rewrite-URL: x:y", "X-Original-URL: %zz?%zz",
	},
}

// TestModel compares with the model on requests that are made at random. The
// seed is printed with what fails.
func TestModel(t *testing.T) {
	kinds := kinds(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(words []string) string { return words[random.IntN(len(words))] }
	join := func(words []string, most int) string {
		var b strings.Builder
		for range random.IntN(most) {
			b.WriteString(pick(words))
		}
		return b.String()
	}
	requests := 0
	for range 2_000 {
		line := pick(words.methods) + " /" + join(words.paths, 8)
		if random.IntN(3) == 0 {
			line += "?" + join(words.queries, 6)
		}
		fields := pick(words.fields)
		method, target := "", ""
		if random.IntN(5) == 0 {
			method, target = pick(words.methods), "/"+join(words.paths, 4)
		}
		for range 4 {
			kind := modelKinds[random.IntN(len(modelKinds))]
			r, err := parseRequest(line + "\n" + fields)
			if err != nil {
				break
			}
			requests++
			if method != "" {
				u := parseTarget(target)
				r.Method, r.URL.Path, r.URL.RawPath = method, u.Path, u.RawPath
			}
			agree(t, kinds, kind, r, fmt.Sprintf("seed %d: %q %q %q %q", seed, line, fields, method, target))
		}
	}
	if requests < 1_000 {
		t.Errorf("only %d requests of seed %d could be parsed", requests, seed)
	}
}
