package browser

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"regexp"
	"strings"
	"testing"
)

// TestScriptsAreSmall keeps to the budget that people pay for with every first
// visit. The texts are not in it.
func TestScriptsAreSmall(t *testing.T) {
	const budget = 16 << 10
	adapters := 0
	for _, kind := range providerKinds {
		adapters = max(adapters, len(gzipped([]byte(adapterOf(t, kind)))))
	}
	page, widget, injected := len(gzipped(slim(pageSource))), len(gzipped(slim(widgetSource))), len(InjectedScript.Gzipped())
	t.Logf("compressed: page %d, widget %d and adapter %d, inject %d bytes", page, widget, adapters, injected)
	if total := page + widget + adapters + injected; total > budget {
		t.Errorf("the scripts take %d bytes compressed, which is more than %d", total, budget)
	}
}

// allScripts are those of a widget's pages, in all languages.
func allScripts(w *Widget) []*Script {
	all := []*Script{InjectedScript}
	for lang := range texts {
		all = append(all, pageScripts[lang], w.scripts[lang])
	}
	return all
}

func TestScriptsAreNamedByTheirContent(t *testing.T) {
	w, other := NewWidget("self.captchaAdapter = 1", nil, nil), NewWidget("self.captchaAdapter = 2", nil, nil)
	names := map[string]bool{}
	for _, script := range allScripts(w) {
		names[script.Name] = true
		sum := sha256.Sum256(script.Content)
		if want := "sha256-" + base64.StdEncoding.EncodeToString(sum[:]); script.Integrity != want {
			t.Errorf("%s: got integrity %s, want %s", script.Name, script.Integrity, want)
		}
		if !regexp.MustCompile(`^(inject|(page|widget)-[a-z]{2}(-[A-Z]{2})?)-[0-9a-f]{16}\.js$`).MatchString(script.Name) {
			t.Errorf("got the name %q, want one that needs no escaping in a URL", script.Name)
		}
		r, err := gzip.NewReader(bytes.NewReader(script.Gzipped()))
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(r); err != nil || !bytes.Equal(content, script.Content) {
			t.Errorf("%s: what is compressed is not the script (%v)", script.Name, err)
		}
		if got, current, ok := w.ScriptNamed(script.Name); got != script || !current || !ok {
			t.Errorf("%s: got %v, current %t, ok %t", script.Name, got, current, ok)
		}
		old := script.Name[:len(script.Name)-19] + "0123456789abcdef.js"
		if got, current, ok := w.ScriptNamed(old); got != script || current || !ok {
			t.Errorf("%s: got %v, current %t, ok %t, want what is current now", old, got, current, ok)
		}
		_, current, ok := other.ScriptNamed(script.Name)
		if want := !strings.HasPrefix(script.Name, "widget"); !ok || current != want {
			t.Errorf("%s: got current %t, ok %t at another widget", script.Name, current, ok)
		}
	}
	if len(names) != 1+2*len(texts) {
		t.Errorf("got %d names, want one for each script", len(names))
	}
	for _, name := range []string{"", "-", "inject", "inject.js", "page-1.js", "page-xx-1.js", "inject-en-1.js", "page-en", "x-1.js", "widget--1.js", "-1.js"} {
		if _, _, ok := w.ScriptNamed(name); ok {
			t.Errorf("there is a script named %q", name)
		}
	}
	if _, _, ok := (*Widget)(nil).ScriptNamed("widget-en-1.js"); ok {
		t.Error("without a widget there is its script")
	}
}

// What slim takes out is no part of a text: none begins a line, or spans two.
func TestScriptsCanBeSlimmed(t *testing.T) {
	for name, source := range map[string][]byte{"page.js": pageSource, "widget.js": widgetSource, "inject": joined(inject, "inject")} {
		for n, line := range strings.Split(string(source), "\n") {
			if strings.Count(line, "`")%2 != 0 || strings.Count(line, "/*") != strings.Count(line, "*/") || strings.HasSuffix(line, "\\") {
				t.Errorf("%s: line %d does not end where its text or comment does: %s", name, n+1, line)
			}
		}
	}
	if got := string(slim([]byte("  a(); // b\n\n  // c\n\td(\"//\");\n// e"))); got != "a(); // b\nd(\"//\");\n" {
		t.Errorf("got %q", got)
	}
}

// Each script is whole: its texts, and for the widget page the adapter, come
// before what uses them.
func TestScriptsAreWhole(t *testing.T) {
	w := NewWidget("ADAPTER", nil, nil)
	for lang, text := range texts {
		for script, parts := range map[*Script][]string{
			pageScripts[lang]: {"self.captchaText = " + text.json + ";", string(slim(pageSource))},
			w.scripts[lang]:   {"self.captchaText = " + text.json + ";", "ADAPTER", string(slim(widgetSource))},
		} {
			if want := strings.Join(parts, "\n"); string(script.Content) != want {
				t.Errorf("got %.100q…, want %.100q…", script.Content, want)
			}
		}
	}
}

// TestFiles: a widget's own files are served by names that change with them.
func TestFiles(t *testing.T) {
	w := NewWidget("", nil, map[string][]byte{"altcha.js": []byte("a()"), "altcha-worker.js": []byte("b()"), "page-en.js": []byte("mine()")})
	for file, content := range map[string]string{"altcha.js": "a()", "altcha-worker.js": "b()"} {
		name := w.urls[file]
		script, current, ok := w.ScriptNamed(name)
		if !ok || !current || string(script.Content) != content || !strings.HasPrefix(name, strings.TrimSuffix(file, ".js")+"-") {
			t.Errorf("%s is served as %s: %t, %t", file, name, current, ok)
		}
		older := strings.TrimSuffix(file, ".js") + "-0123456789abcdef.js"
		if script, current, ok := w.ScriptNamed(older); !ok || current || string(script.Content) != content {
			t.Errorf("%s is served as %s: %t, %t", file, older, current, ok)
		}
	}
	if script, _, _ := w.ScriptNamed("page-en-0123456789abcdef.js"); script != pageScripts["en"] {
		t.Error("a file takes the place of the page's script")
	}
	if _, _, ok := NewWidget("", nil, nil).ScriptNamed("altcha-0123456789abcdef.js"); ok {
		t.Error("there is a file where there is none")
	}
}

func TestNoncesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		nonce := Nonce()
		if seen[nonce] || !regexp.MustCompile(`^[A-Za-z0-9+/_=-]{22,}$`).MatchString(nonce) {
			t.Fatalf("got nonce %q twice, or it is no nonce", nonce)
		}
		seen[nonce] = true
	}
}
