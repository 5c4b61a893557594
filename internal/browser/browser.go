// Package browser makes what a browser gets: the challenge page, with its
// Content-Security-Policy, and the scripts that run there and in the
// application's pages. It knows the providers' widgets but no HTTP handler.
package browser

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Script is one of the scripts that are served. They are apart because the
// challenge page is also for browsers that are too old for what the one in the
// application's pages is written in.
type Script struct {
	// Name is what the script is served as: its kind and a short hash of its
	// content, so that it changes whenever the script does. No name of ours
	// is captcha.js, which a provider's script would take for its own.
	Name string

	Content []byte

	// Gzipped is the content as the coding gzip has it.
	Gzipped []byte

	// Integrity is the content's hash as the integrity attribute wants it.
	Integrity string
}

//go:embed widget.js
var widget []byte

// inject holds the parts of one script, which stand in one function: they are
// put together in the order of their names.
//
//go:embed inject/*.js
var inject embed.FS

func joined(files embed.FS, dir string) []byte {
	entries, _ := files.ReadDir(dir) // what is embedded is there
	parts := make([][]byte, 0, len(entries))
	for _, entry := range entries {
		part, _ := files.ReadFile(dir + "/" + entry.Name())
		parts = append(parts, part)
	}
	return bytes.Join(parts, []byte("\n"))
}

// PageScript runs on the challenge page and InjectedScript in the
// application's pages.
var (
	PageScript     = newScript("page", widget)
	InjectedScript = newScript("inject", joined(inject, "inject"))
)

func newScript(kind string, content []byte) Script {
	digest := sha256.Sum256(content)
	return Script{
		Name:      kind + "-" + hex.EncodeToString(digest[:8]) + ".js",
		Content:   content,
		Gzipped:   gzipped(content),
		Integrity: "sha256-" + base64.StdEncoding.EncodeToString(digest[:]),
	}
}

// gzipped returns the content compressed as well as gzip can. It is done once,
// when the program starts.
func gzipped(content []byte) []byte {
	var compressed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&compressed, gzip.BestCompression) // the level is one that there is
	w.Write(content)                                               //nolint:errcheck,gosec // a buffer takes all
	w.Close()                                                      //nolint:errcheck,gosec // the same
	return compressed.Bytes()
}

// ScriptNamed returns the script that is served under a name. It is current
// unless the name has the hash of another version; there is none where the name
// is of no kind of ours.
func ScriptNamed(name string) (script Script, current, ok bool) {
	for _, script := range []Script{PageScript, InjectedScript} {
		kind, _, _ := strings.Cut(script.Name, "-")
		if asked, _, found := strings.Cut(name, "-"); found && asked == kind && strings.HasSuffix(name, ".js") {
			return script, name == script.Name, true
		}
	}
	return Script{}, false, false
}

// Nonce returns a new random value of at least 128 bits for one answer.
func Nonce() string { return rand.Text() }

// CSP returns the Content-Security-Policy of the challenge page. The nonce
// admits the page's own script and style, sources (by directive) what the
// provider's widget loads. A source that could end its directive is left out.
func CSP(nonce string, sources map[string][]string) string {
	own := map[string][]string{
		"default-src":     {"'none'"},
		"script-src":      {"'nonce-" + nonce + "'"},
		"style-src":       {"'nonce-" + nonce + "'"},
		"connect-src":     {"'self'"},
		"img-src":         {"'self'"}, // the site's icon
		"base-uri":        {"'none'"},
		"form-action":     {"'self'"},
		"frame-ancestors": {"'self'"},
	}
	if slices.Contains(sources["style-src"], "'unsafe-inline'") {
		// It admits the page's style too, and a nonce would disable it.
		delete(own, "style-src")
	}
	for directive, values := range sources {
		for _, value := range values {
			if !strings.ContainsFunc(value, separates) {
				own[directive] = append(own[directive], value)
			}
		}
	}
	var policy strings.Builder
	for _, directive := range slices.Sorted(maps.Keys(own)) {
		if policy.Len() > 0 {
			policy.WriteString("; ")
		}
		policy.WriteString(directive)
		for _, value := range own[directive] {
			policy.WriteByte(' ')
			policy.WriteString(value)
		}
	}
	return policy.String()
}

// separates reports whether a rune cannot be part of a CSP source.
func separates(r rune) bool { return r <= ' ' || r > '~' || r == ';' || r == ',' }

// SetHeader sets the fields of an answer that is the challenge page. One without
// values is one that the answer must not have.
func SetHeader(header http.Header, csp string) {
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", csp)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	// What a site sets for its own pages would keep the provider's widget out
	// of this one, or this one out of the frame that shows it.
	header["Cross-Origin-Embedder-Policy"] = nil
	header["X-Frame-Options"] = nil
	// Providers may look at the origin that shows their widget. The rest of
	// the URL is the application's.
	header.Set("Referrer-Policy", "strict-origin")
	header.Add("Vary", "Accept-Language")
}
