package placement_test

import (
	"slices"
	"strings"
	"testing"
)

// TestFindingsAreDeterministic: each is found once, and always in the same
// order, however Caddy's maps of matchers and sites come out.
func TestFindingsAreDeterministic(t *testing.T) {
	w := newWorld(t)
	const gate = "captcha @login login {\nCAPTCHA\n}\n"
	site := "@login {\npath /login* /register*\nnot method GET\nhost a.test b.test\n}\nroute {\n@x header X-App 1\nrequest_header @x Host b\nreverse_proxy @x API\n" + gate + gate +
		"rewrite /signin /login\nrewrite /signup /register\nreverse_proxy APP\n}\n"
	file := w.file("", "http://a.test:0 {\nbind 127.0.0.1\n"+site+"}\nhttp://b.test:0 {\nbind 127.0.0.1\n"+site+"}\n")
	var first []string
	for i := range 10 {
		if err := w.load(file); err != nil {
			t.Fatal(err)
		}
		found := w.warnings()
		if i == 0 {
			first = found
		}
		if !slices.Equal(found, first) {
			t.Fatalf("found\n%s\nand then\n%s", strings.Join(first, "\n"), strings.Join(found, "\n"))
		}
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(first))); len(unique) != len(first) || len(first) < 6 {
		t.Errorf("found %d, of which %d differ:\n%s", len(first), len(unique), strings.Join(first, "\n"))
	}
}

// TestRoutesWithoutEnd: named routes that invoke each other end the walk, not
// Caddy.
func TestRoutesWithoutEnd(t *testing.T) {
	w := newWorld(t)
	if err := w.load(w.file("", "&(a) {\nroute {\ncaptcha /login* {\nCAPTCHA\n}\ninvoke b\n}\n}\n&(b) {\ninvoke a\n}\nhttp://:0 {\nbind 127.0.0.1\ninvoke a\n}\n")); err != nil {
		t.Fatal(err)
	}
	if !w.refused("POST", "/login") {
		t.Error("the captcha does not protect")
	}
}
