package browser

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func defaultPage(t testing.TB) *Page {
	t.Helper()
	page, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func render(t *testing.T, data Data) string {
	t.Helper()
	text, err := defaultPage(t).Render(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPageSpeaksTheLanguage(t *testing.T) {
	for lang, heading := range map[string]string{english: "Confirm that you are human", simplifiedChinese: "请确认您是真人", traditionalChinese: "請確認您是真人"} {
		page := render(t, Data{Lang: lang, Nonce: "N", Base: "/b"})
		for _, want := range []string{`<html lang="` + lang + `" dir="ltr">`, ">" + heading + "</h1>", texts[lang]["noscript"] + "</noscript>"} {
			if !strings.Contains(page, want) {
				t.Errorf("the page in %s lacks %q", lang, want)
			}
		}
	}
}

func TestEveryLanguageHasEveryText(t *testing.T) {
	want := slices.Sorted(maps.Keys(texts[english]))
	for lang, text := range texts {
		if got := slices.Sorted(maps.Keys(text)); !slices.Equal(got, want) {
			t.Errorf("got texts %v in %s, want %v", got, lang, want)
		}
		for name, value := range text {
			if strings.TrimSpace(value) == "" {
				t.Errorf("no text %s in %s", name, lang)
			}
		}
	}
}

// The script and the page use no text that is not there, and none is there
// without use.
func TestTextsAreThoseThatAreUsed(t *testing.T) {
	source, err := os.ReadFile("widget.js")
	if err != nil {
		t.Fatal(err)
	}
	all := string(source) + builtIn
	for _, match := range regexp.MustCompile(`\b(?:say|stop|offer|leave)\("(\w+)"`).FindAllStringSubmatch(all, -1) {
		if texts[english][match[1]] == "" {
			t.Errorf("there is no text %q, which the script shows", match[1])
		}
	}
	served := []string{"overloaded", "outage", "misconfigured", "risky", "rejected", "expired", "replayed"} // outcomes
	for name := range texts[english] {
		used := strings.Contains(all, `"`+name+`"`) || strings.Contains(all, ".Text."+name+"}}") ||
			strings.HasPrefix(name, "lost_") || slices.Contains(served, name)
		if !used {
			t.Errorf("the text %q is not used", name)
		}
	}
}

func TestSettings(t *testing.T) {
	data := Data{Lang: "zh-TW", Base: "/b", Policy: "login", Outcome: "missing", Reason: "binding", Reload: true}
	settings, err := data.Settings()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(settings), &got); err != nil {
		t.Fatal(err)
	}
	text := got["text"].(map[string]any)
	delete(got, "text")
	want := map[string]any{"lang": "zh-TW", "base": "/b", "policy": "login", "outcome": "missing", "reason": "binding", "reload": true, "cleared": false}
	if !maps.Equal(got, want) || text["retry"] != "重試" {
		t.Errorf("got %v and texts %v, want %v", got, text, want)
	}
}

// Whatever an operator names things, nothing but the template makes markup.
func TestPageEscapesItsData(t *testing.T) {
	const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>{{.Nonce}}` + "`\u2028</style>--><!--javascript:alert(1)"
	plain := render(t, Data{Lang: "en", Nonce: "N", Base: "/b", Policy: "p", Provider: "v", Outcome: "o", Reason: "r"})
	page := render(t, Data{Lang: hostile, Nonce: hostile, Base: "/" + hostile, Policy: hostile, Provider: hostile, Outcome: hostile, Reason: hostile})
	for _, mark := range []string{"<", ">", `"`, "'"} {
		if got, want := strings.Count(page, mark), strings.Count(plain, mark); got != want {
			t.Errorf("got %d of %q, want %d as without hostile data", got, mark, want)
		}
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Error("the template filters a value instead of escaping it")
	}
}

func TestPageLoadsNothingButTheScript(t *testing.T) {
	page := render(t, Data{Lang: "en", Nonce: "N", Base: "/b"})
	if got := regexp.MustCompile(`(?:src|href|url\(|action)=?"?([^" )]*)`).FindAllString(page, -1); len(got) != 1 || !strings.HasPrefix(got[0], `src="/b/page-`) {
		t.Errorf("got %q, want one script", got)
	}
	if strings.Contains(page, "://") || regexp.MustCompile(`\s(?:on\w+|style)=`).MatchString(page) {
		t.Error("the page holds a URL of another host, or an attribute that its policy forbids")
	}
}

const minimal = `<script src="{{.Script}}" integrity="{{.Integrity}}" nonce="{{.Nonce}}" data-captcha="page" data-settings="{{.Settings}}" defer></script>
<p id="captcha-status"></p>
<div id="captcha-widget"></div>
<button id="captcha-button"></button>`

func TestOperatorsPage(t *testing.T) {
	page, err := ParsePage("own.html", minimal+`{{if .Reload}}{{.Text.lead}}{{end}}{{.Policy}}{{.Provider}}{{.Outcome}}{{.Reason}}{{.Cleared}}{{.Lang}}{{.Dir}}`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := page.Render(Data{Lang: "en", Nonce: "N", Base: "/b", Policy: "login", Reload: true})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), texts["en"]["lead"]+"login") {
		t.Errorf("got %s", got)
	}
}

func TestBrokenTemplates(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"syntax":           {minimal + "\n{{if}}", "own.html:5"},
		"unclosed":         {minimal + "\n{{if .Reload}}", "own.html:5"},
		"unknown field":    {minimal + "\n{{.Nonsense}}", "own.html:5"},
		"in one case":      {minimal + "\n{{if .Cleared}}{{if .Reload}}{{.Nonsense}}{{end}}{{end}}", "own.html:5"},
		"unknown text":     {minimal + "\n\n{{.Text.nonsense}}", "own.html:6"},
		"unknown func":     {minimal + "\n{{nonsense}}", "own.html:5"},
		"ends in script":   {minimal + "\n<script>var a = '{{.Policy}}", "own.html"},
		"endless":          {minimal + `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`, "own.html"},
		"empty":            {"", "own.html: the page lacks a script element"},
		"no settings":      {strings.Replace(minimal, "data-settings", "data-setting", 1), "the attribute data-settings"},
		"no nonce":         {strings.Replace(minimal, "{{.Nonce}}", "", 1), "the attribute nonce"},
		"no src":           {strings.Replace(minimal, "{{.Script}}", "/other.js", 1), "the attribute src"},
		"no widget":        {strings.Replace(minimal, "captcha-widget", "widget", 1), `id="captcha-widget"`},
		"no status":        {strings.Replace(minimal, "captcha-status", "status", 1), `id="captcha-status"`},
		"in one language":  {minimal + `{{if eq .Lang "zh-CN"}}{{index .Text 1}}{{end}}`, "own.html"},
		"for one outcome":  {minimal + `{{if eq .Outcome "replayed"}}{{.Text.no.such}}{{end}}`, "own.html"},
		"with a clearance": {minimal + `{{if .Cleared}}{{index .Text 1}}{{end}}`, "own.html"},
		"no button":        {strings.Replace(minimal, "captcha-button", "button", 1), `id="captcha-button"`},
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
		if _, err := page.Render(Data{Lang: "en", Nonce: Nonce(), Base: "/.captcha/login", Policy: "login", Reload: true}); err != nil {
			b.Fatal(err)
		}
	}
}
