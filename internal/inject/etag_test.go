package inject

import (
	"slices"
	"strings"
	"testing"
)

const testSuffix = "-captcha-1a2b"

func TestTagsThereAndBack(t *testing.T) {
	for tag, suffixed := range map[string]string{
		`"abc"`:       `"abc-captcha-1a2b"`,
		`W/"abc"`:     `W/"abc-captcha-1a2b"`,
		`""`:          `"-captcha-1a2b"`,
		`"a,b \\ c"`:  `"a,b \\ c-captcha-1a2b"`,
		`"abc-gzip"`:  `"abc-gzip-captcha-1a2b"`,
		`unquoted`:    `unquoted-captcha-1a2b`,
		`"a-captcha"`: `"a-captcha-captcha-1a2b"`,
	} {
		got := suffixTag(tag, testSuffix)
		if got != suffixed {
			t.Errorf("%s became %s, want %s", tag, got, suffixed)
		}
		if back, found := stripTags([]string{got}, testSuffix, true); !found || !slices.Equal(back, []string{tag}) {
			t.Errorf("%s became %q, want %s", got, back, tag)
		}
	}
}

func TestStrippedTags(t *testing.T) {
	for _, test := range []struct {
		values    []string
		all, ours string
		found     bool
	}{
		{[]string{`"a-captcha-1a2b"`}, `"a"`, `"a"`, true},
		{[]string{`"a"`}, `"a"`, ``, false},
		{[]string{`*`}, `*`, ``, false},
		{[]string{``}, ``, ``, false},
		{[]string{` , ,`}, ``, ``, false},
		{[]string{`"a-captcha-0000"`}, `"a-captcha-0000"`, ``, false},
		{[]string{`"a", W/"b-captcha-1a2b" ,"c,d-captcha-1a2b"`, `"e-captcha-1a2b"`}, `"a", W/"b", "c,d", "e"`, `W/"b", "c,d", "e"`, true},
		{[]string{`"a-captcha-1a2b", *`}, `"a", *`, `"a"`, true},
		{[]string{`"unfinished-captcha-1a2b, "b"`}, `"unfinished-captcha-1a2b, "b"`, ``, false},
	} {
		for _, onlyOurs := range []bool{false, true} {
			want := test.all
			if onlyOurs {
				want = test.ours
			}
			got, found := stripTags(test.values, testSuffix, onlyOurs)
			if found != test.found || strings.Join(got, "|") != want || (got == nil) != (want == "") {
				t.Errorf("%q, only ours %t: got %q, %t, want %q, %t", test.values, onlyOurs, got, found, want, test.found)
			}
		}
	}
}

// FuzzTags: what suffixTag makes of a list of tags, stripTags takes back, and
// it leaves nothing with our suffix.
func FuzzTags(f *testing.F) {
	f.Add(`"a", W/"b-captcha-1a2b",*`)
	f.Add(`"a-captcha-1a2b-captcha-1a2b"`)
	f.Fuzz(func(t *testing.T, list string) {
		kept, found := stripTags([]string{list}, testSuffix, false)
		ours, foundOurs := stripTags([]string{list}, testSuffix, true)
		if found != foundOurs || found && !strings.Contains(list, testSuffix) || foundOurs != (ours != nil) {
			t.Fatalf("%q: found %t and %t, %q", list, found, foundOurs, ours)
		}
		if !found && kept != nil && !slices.Equal(elements(kept[0]), elements(list)) {
			t.Fatalf("%q without a tag of ours became %q", list, kept)
		}
		var suffixed []string
		for _, tag := range elements(list) {
			suffixed = append(suffixed, suffixTag(tag, testSuffix))
		}
		back, found := stripTags([]string{strings.Join(suffixed, ",")}, testSuffix, true)
		if len(suffixed) == 0 {
			if back != nil {
				t.Fatalf("nothing became %q", back)
			}
			return
		}
		if !found || !slices.Equal(elements(back[0]), elements(list)) {
			t.Fatalf("%q became %q and then %q", list, suffixed, back)
		}
	})
}

func elements(list string) (tags []string) {
	for list != "" {
		var tag string
		if tag, list = cutTag(list); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}
