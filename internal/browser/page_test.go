package browser

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/form"
)

func defaultPage(t testing.TB) *Page {
	t.Helper()
	page, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// challengePageOf renders the built-in page.
func challengePageOf(t *testing.T, data Data) string {
	t.Helper()
	text, err := defaultPage(t).Render(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func widgetPageOf(t *testing.T, data WidgetData) string {
	t.Helper()
	text, err := NewWidget("", nil, nil).Render(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPagesSpeakTheLanguage(t *testing.T) {
	for lang, dir := range map[string]string{"en": "ltr", "zh-CN": "ltr", "zh-TW": "ltr", "de": "ltr", "ar": "rtl", "th": "ltr"} {
		for name, text := range map[string]string{
			"challenge": challengePageOf(t, Data{Lang: lang, Nonce: "N", Base: "/b"}),
			"widget":    widgetPageOf(t, WidgetData{Lang: lang, Nonce: "N", Base: "/b"}),
		} {
			for _, want := range []string{`<html lang="` + lang + `" dir="` + dir + `">`, ">" + textIn(lang)["heading"] + "</h1>", textIn(lang)["noscript"] + "</noscript>"} {
				if !strings.Contains(text, want) {
					t.Errorf("the %s page in %s lacks %q", name, lang, want)
				}
			}
		}
	}
}

func TestEveryLanguageHasEveryText(t *testing.T) {
	if got := slices.Sorted(maps.Keys(texts)); !slices.Equal(got, []string{"ar", "de", "en", "es", "fr", "id", "ja", "ko", "pt", "ru", "th", "vi", "zh-CN", "zh-TW"}) {
		t.Errorf("got languages %v", got)
	}
	want := slices.Sorted(maps.Keys(textIn(english)))
	for lang, text := range texts {
		if got := slices.Sorted(maps.Keys(text.byName)); !slices.Equal(got, want) {
			t.Errorf("got texts %v in %s, want %v", got, lang, want)
		}
		for name, value := range text.byName {
			if strings.TrimSpace(value) == "" || strings.ContainsAny(value, `<>&"`) {
				t.Errorf("got text %s in %s: %q", name, lang, value)
			}
			if lang != english && name != "dir" && value == textIn(english)[name] {
				t.Errorf("the text %s in %s is in English", name, lang)
			}
		}
		if strings.Count(text.byName["by"], "%s") != 1 {
			t.Errorf("got %q in %s, want a place for a name", text.byName["by"], lang)
		}
	}
}

// The scripts and the pages use no text that is not there, and none is there
// without use.
func TestTextsAreThoseThatAreUsed(t *testing.T) {
	scripts := string(pageSource) + string(widgetSource)
	all := scripts + challengePage + widgetPage
	for _, match := range regexp.MustCompile(`\b(?:say|stop|offer)\("(\w+)"|\btext\.(\w+)`).FindAllStringSubmatch(scripts, -1) {
		if name := match[1] + match[2]; textIn(english)[name] == "" {
			t.Errorf("there is no text %q, which a script shows", name)
		}
	}
	served := []string{"overloaded", "outage", "misconfigured", "risky", "rejected", "expired", "replayed"} // outcomes
	told := []string{"close", "note", "look", "late"}                                                       // the dialog
	for name := range textIn(english) {
		used := strings.Contains(all, `"`+name+`"`) || strings.Contains(all, ".Text."+name+"}}") || strings.Contains(all, "text."+name) ||
			strings.HasPrefix(name, "lost_") || slices.Contains(served, name) || slices.Contains(told, name)
		if !used {
			t.Errorf("the text %q is not used", name)
		}
	}
}

func TestSettings(t *testing.T) {
	entries := []form.Entry{{Name: "a", Value: "1"}, {Name: "f", NoFile: true}}
	for want, data := range map[string]interface{ Settings() (string, error) }{
		`{"base":"/b","policy":"login","id":"i","reason":"none","next":"reload"}`: Data{Lang: "zh-TW", Base: "/b", Policy: "login", Outcome: "missing", Reason: "none", ID: "i", Next: Reload},
		`{"base":"/b","policy":"login","id":"","reason":"","next":"resend","entries":[["a","1"],["f",null]],"enctype":"multipart/form-data"}`: Data{
			Base: "/b", Policy: "login", Next: Resend, Form: form.Form{Enctype: form.Multipart, Entries: entries},
		},
		`{"lang":"zh-TW","base":"/b","policy":"login","provider":"p","files":{"a.js":"/b/a-993cadadfd90b2c6.js"},"reason":"binding","cleared":false}`: widgetView{
			WidgetData{Lang: "zh-TW", Base: "/b", Policy: "login", Provider: "p", Reason: "binding"},
			NewWidget("", nil, map[string][]byte{"a.js": []byte("hello()")}),
		},
	} {
		if got, err := data.Settings(); err != nil || got != want {
			t.Errorf("got %s and error %v, want %s", got, err, want)
		}
	}
}

// Whatever an operator names things, nothing but the template makes markup.
func TestPageEscapesItsData(t *testing.T) {
	const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>{{.Nonce}}` + "`\u2028</style>--><!--javascript:alert(1)"
	plain := challengePageOf(t, Data{Lang: "en", Nonce: "N", Base: "/b", Policy: "p", Provider: "v", Outcome: "o", Reason: "r"})
	text := challengePageOf(t, Data{Lang: hostile, Nonce: hostile, Base: "/" + hostile, Policy: hostile, Provider: hostile, Outcome: hostile, Reason: hostile})
	for _, mark := range []string{"<", ">", `"`, "'"} {
		if got, want := strings.Count(text, mark), strings.Count(plain, mark); got != want {
			t.Errorf("got %d of %q, want %d as without hostile data", got, mark, want)
		}
	}
	if strings.Contains(text, "ZgotmplZ") {
		t.Error("the template filters a value instead of escaping it")
	}
}

func TestPageLoadsNothingButTheScript(t *testing.T) {
	text := challengePageOf(t, Data{Lang: "en", Nonce: "N", Base: "/b"})
	if got := regexp.MustCompile(`(?:src|href|url\(|action)=?"?([^" )]*)`).FindAllString(text, -1); len(got) != 1 || !strings.HasPrefix(got[0], `src="/b/page-`) {
		t.Errorf("got %q, want one script", got)
	}
	if strings.Contains(text, "://") || regexp.MustCompile(`\s(?:on\w+|style)=`).MatchString(text) {
		t.Error("the page holds a URL of another host, or an attribute that its policy forbids")
	}
}

const minimal = `<script src="{{.Script}}" integrity="{{.Integrity}}" nonce="{{.Nonce}}" data-captcha="page" data-settings="{{.Settings}}" defer></script>
<p id="captcha-status"></p>
<button id="captcha-button"></button>`

func TestOperatorsPage(t *testing.T) {
	page, err := ParsePage("own.html", minimal+`{{if eq .Next "reload"}}{{.Text.lead}}{{end}}{{.Policy}}{{.Provider}}{{.Outcome}}{{.Reason}}{{.Next}}{{.ID}}{{.Lang}}{{.Text.dir}}{{template "look"}}{{template "shield"}}`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := page.Render(Data{Lang: "en", Nonce: "N", Base: "/b", Policy: "login", Next: Reload})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), textIn("en")["lead"]+"login") {
		t.Errorf("got %s", got)
	}
}

func TestBrokenTemplates(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"syntax":          {minimal + "\n{{if}}", "own.html:4"},
		"unclosed":        {minimal + "\n{{if .Next}}", "own.html:4"},
		"unknown field":   {minimal + "\n{{.Nonsense}}", "own.html:4"},
		"in one case":     {minimal + "\n{{if .Outcome}}{{if .Next}}{{.Nonsense}}{{end}}{{end}}", "own.html:4"},
		"unknown text":    {minimal + "\n\n{{.Text.nonsense}}", "own.html:5"},
		"unknown func":    {minimal + "\n{{nonsense}}", "own.html:4"},
		"ends in script":  {minimal + "\n<script>var a = '{{.Policy}}", "own.html"},
		"endless":         {minimal + `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`, "own.html"},
		"empty":           {"", "own.html: the page lacks a script element"},
		"no settings":     {strings.Replace(minimal, "data-settings", "data-setting", 1), "the attribute data-settings"},
		"no nonce":        {strings.Replace(minimal, "{{.Nonce}}", "", 1), "the attribute nonce"},
		"no src":          {strings.Replace(minimal, "{{.Script}}", "/other.js", 1), "the attribute src"},
		"no status":       {strings.Replace(minimal, "captcha-status", "status", 1), `id="captcha-status"`},
		"in one language": {minimal + `{{if eq .Lang "zh-CN"}}{{index .Text 1}}{{end}}`, "own.html"},
		"for one outcome": {minimal + `{{if eq .Outcome "replayed"}}{{.Text.no.such}}{{end}}`, "own.html"},
		"for one next":    {minimal + `{{if eq .Next "home"}}{{index .Text 1}}{{end}}`, "own.html"},
		"no button":       {strings.Replace(minimal, "captcha-button", "button", 1), `id="captcha-button"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParsePage("own.html", test.text); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func BenchmarkRender(b *testing.B) {
	b.ReportAllocs()
	page := defaultPage(b)
	for b.Loop() {
		if _, err := page.Render(Data{Lang: "en", Nonce: Nonce(), Base: "/.captcha/login", Policy: "login", Next: Reload}); err != nil {
			b.Fatal(err)
		}
	}
}
