// Package browser makes what a browser gets: the challenge page, which answers
// a refused navigation, the widget page, which it frames as the dialog in an
// application's page does, the scripts of all three, and the header fields of
// the pages. It knows the interface of providers' widgets, but no provider and
// no HTTP handler.
package browser

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"sync"
)

// Script is one of the scripts that are served. They are apart because the
// pages are also for browsers that are too old for what the one in the
// application's pages is written in, and because no provider's script runs in
// the challenge page.
type Script struct {
	// Name is what the script is served as: its kind, the language of its
	// texts if it has any, and a short hash of its content, so that it
	// changes whenever the script does. No name of ours is captcha.js, which a
	// provider's script would take for its own.
	Name string

	Content []byte

	// Integrity is the content's hash as the integrity attribute wants it.
	Integrity string

	// Gzipped returns the content as the coding gzip has it.
	Gzipped func() []byte
}

//go:embed page.js
var pageSource []byte

//go:embed widget.js
var widgetSource []byte

// inject holds the parts of one script, which stand in one function: they are
// put together in the order of their names.
//
//go:embed inject/*.js
var inject embed.FS

// slim takes out of a script what only its readers need: the lines that are
// comments, and the indentation. No text in our scripts spans lines.
func slim(source []byte) []byte {
	kept := make([]byte, 0, len(source))
	for line := range bytes.Lines(source) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && !bytes.HasPrefix(line, []byte("//")) {
			kept = append(append(kept, line...), '\n')
		}
	}
	return kept
}

func joined(files embed.FS, dir string) []byte {
	entries, _ := files.ReadDir(dir) // what is embedded is there
	parts := make([][]byte, 0, len(entries))
	for _, entry := range entries {
		part, _ := files.ReadFile(dir + "/" + entry.Name())
		parts = append(parts, part)
	}
	return bytes.Join(parts, []byte("\n"))
}

// InjectedScript runs in the application's pages.
var InjectedScript = newScript("inject", slim(joined(inject, "inject")))

// pageScripts run on the challenge page, by language.
var pageScripts = inEachLanguage("page", slim(pageSource))

// inEachLanguage returns a script that finds its texts in self.captchaText.
func inEachLanguage(kind string, parts ...[]byte) map[string]*Script {
	scripts := make(map[string]*Script, len(texts))
	for lang, text := range texts {
		content := append([][]byte{[]byte("self.captchaText = " + text.json + ";")}, parts...)
		scripts[lang] = newScript(kind+"-"+lang, bytes.Join(content, []byte("\n")))
	}
	return scripts
}

func newScript(kind string, content []byte) *Script {
	digest := sha256.Sum256(content)
	return &Script{
		Name:      kind + "-" + hex.EncodeToString(digest[:8]) + ".js",
		Content:   content,
		Integrity: "sha256-" + base64.StdEncoding.EncodeToString(digest[:]),
		Gzipped:   sync.OnceValue(func() []byte { return gzipped(content) }),
	}
}

// gzipped returns the content compressed as well as gzip can.
func gzipped(content []byte) []byte {
	var compressed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&compressed, gzip.BestCompression) // the level is one that there is
	w.Write(content)                                               //nolint:errcheck,gosec // a buffer takes all
	w.Close()                                                      //nolint:errcheck,gosec // the same
	return compressed.Bytes()
}

// ScriptNamed returns the script that is served under a name to the pages of a
// widget. It is current unless the name has the hash of another version; there
// is none where the name is of no kind of ours.
func (w *Widget) ScriptNamed(name string) (script *Script, current, ok bool) {
	kind, hash := cutLast(name)
	if !strings.HasSuffix(hash, ".js") {
		return nil, false, false
	}
	of, lang, _ := strings.Cut(kind, "-")
	switch {
	case kind == "inject":
		script = InjectedScript
	case of == "page":
		script = pageScripts[lang]
	case w == nil:
	case of == "widget":
		script = w.scripts[lang]
	default:
		script = w.files[kind]
	}
	return script, script != nil && name == script.Name, script != nil
}

func cutLast(name string) (kind, hash string) {
	i := max(0, strings.LastIndexByte(name, '-'))
	return name[:i], name[i:]
}

// Nonce returns a new random value of at least 128 bits for one answer.
func Nonce() string { return rand.Text() }
