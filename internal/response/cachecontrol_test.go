package response

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMakePrivate(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  string // "" where the lines stay as they are
	}{
		{[]string{"private"}, ""},
		{[]string{"no-store"}, ""},
		{[]string{"NO-STORE"}, ""},
		{[]string{"no-store, no-cache, must-revalidate"}, ""},
		{[]string{"no-cache, private"}, ""},
		{[]string{"max-age=60", "Private"}, ""},
		{[]string{"private, max-age=60, stale-while-revalidate=30"}, ""},
		{[]string{""}, "private"},
		{[]string{"public"}, "private"},
		{[]string{"PUBLIC , Max-Age=60"}, "private, Max-Age=60"},
		{[]string{"max-age=60"}, "private, max-age=60"},
		{[]string{"max-age=60", "public"}, "private, max-age=60"},
		{[]string{"s-maxage=60, max-age=5"}, "private, max-age=5"},
		{[]string{`S-MaxAge="60"`}, "private"},
		{[]string{"no-cache"}, "private, no-cache"},
		{[]string{"public, no-store"}, "no-store"},
		{[]string{"no-store", "s-maxage=9"}, "no-store"},
		{[]string{"must-understand, no-store"}, "private, must-understand, no-store"},
		{[]string{"no-store=1"}, "private, no-store=1"},
		{[]string{`private="set-cookie", max-age=60`}, "private, max-age=60"},
		{[]string{`private, private="set-cookie"`}, "private"},
		{[]string{`no-cache="a, private, b"`}, `private, no-cache="a, private, b"`},
		{[]string{`ext="public, s-maxage=1", private`}, ""},
		{[]string{`ext="\", private, \"public"`}, `private, ext="\", private, \"public"`},
		{[]string{`ext="public, private`}, "private"},
		{[]string{`ext="\`}, `private, ext="\`},
		{[]string{"public max-age=60"}, "private"},
		{[]string{"s-maxage = 60, max-age=5"}, "private, max-age=5"},
		{[]string{"max-age=0; must-revalidate"}, "private, max-age=0; must-revalidate"},
		{[]string{"max-age=60 private"}, "private, max-age=60 private"},
		{[]string{",, ,public,,"}, "private"},
		{[]string{`a="b"c, private`}, `private, a="b"c`},
		{[]string{"a;b, no-store"}, "private, a;b, no-store"},
		{[]string{"public;b, no-store"}, "private, no-store"},
		{[]string{"publication, s-maxage-ext=1"}, "private, publication, s-maxage-ext=1"},
	} {
		if got := isPrivate(test.lines); got != (test.want == "") {
			t.Errorf("isPrivate(%q) = %t", test.lines, got)
		}
		if got := makePrivate(test.lines); test.want != "" && got != test.want {
			t.Errorf("makePrivate(%q) = %q, want %q", test.lines, got, test.want)
		}
	}
}

// FuzzMakePrivate holds the outcome against readers of other kinds.
func FuzzMakePrivate(f *testing.F) {
	for _, seed := range []string{
		"", "public", "private", "no-store", "no-store, must-understand", `private="a"`, "s-maxage=1\npublic",
		`a="b, public`, `a="\`, `"public"`, "max-age=0; must-revalidate", "public\tmax-age=1", `a="b"c,private`, "PRIVATE,pUbLiC", `a="private`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		result := lines
		if !isPrivate(lines) {
			result = []string{makePrivate(lines)}
		}
		for name, read := range map[string]func(string) []string{"strict": readStrictly, "naive": readNaively} {
			var said []string
			for _, line := range result {
				said = append(said, read(line)...)
			}
			if name == "naive" && strings.ContainsRune(text, '"') && !strings.HasPrefix(result[0], "private") {
				continue // a naive reader cannot tell what a quoted string hides, and nothing was changed
			}
			private := slices.Contains(said, "private")
			noStore := slices.Contains(said, "no-store") && !slices.Contains(said, "must-understand")
			if !private && !noStore {
				t.Errorf("%s: %q became %q, which says neither private nor no-store", name, lines, result)
			}
			if name == "strict" && slices.ContainsFunc(said, func(d string) bool {
				return d == "public" || strings.HasPrefix(d, "public=") || strings.HasPrefix(d, "s-maxage=") || strings.HasPrefix(d, "private=")
			}) {
				t.Errorf("%q became %q, which a shared cache may store", lines, result)
			}
		}
		if !isPrivate(result) {
			t.Errorf("%q became %q, which is not private", lines, result)
		}
		// Several lines are one list (RFC 9110, section 5.3).
		before, after := readStrictly(strings.Join(lines, ", ")), readStrictly(strings.Join(result, ", "))
		for _, d := range before {
			name, _, _ := strings.Cut(d, "=")
			if name != "public" && name != "s-maxage" && name != "private" && !slices.Contains(after, d) {
				t.Errorf("%q became %q, which no longer says %s", lines, result, d)
			}
		}
	})
}

// An element of a Cache-Control as RFC 9110 and 9111 write it, between others.
var element = regexp.MustCompile(`^[ \t]*([!#$%&'*+.^_` + "`" + `|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_` + "`" + `|~0-9A-Za-z-]+|"(?:[^"\\]|\\.)*"))?)?[ \t]*(?:,|$)`)

// readStrictly returns the directives up to the first that is malformed.
func readStrictly(line string) (directives []string) {
	for line != "" {
		match := element.FindStringSubmatch(line)
		if match == nil {
			return directives
		}
		if match[1] != "" {
			name, rest, argument := strings.Cut(match[1], "=")
			directive := strings.ToLower(name)
			if argument {
				directive += "=" + rest
			}
			directives = append(directives, directive)
		}
		line = line[len(match[0]):]
	}
	return directives
}

// readNaively returns what stands between commas.
func readNaively(line string) (directives []string) {
	for part := range strings.SplitSeq(line, ",") {
		directives = append(directives, strings.ToLower(strings.Trim(part, " \t")))
	}
	return directives
}
