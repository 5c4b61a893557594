// Package inject puts one script element into the HTML pages that another
// handler answers with.
package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"html"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/request"
	"github.com/caddycaptcha/caddycaptcha/internal/response"
)

// Options say what is put into pages.
type Options struct {
	// ScriptURL is the script's URL, FramePath the path of the page that the
	// script frames, and CallPath that of the endpoint that it calls. All are
	// absolute paths of the page's own origin.
	ScriptURL, FramePath, CallPath string

	// Integrity is the script's integrity metadata, such as sha256-….
	Integrity string

	// Policy and Forms are handed to the script.
	Policy, Forms string

	// Fetched has the script put also into whole documents that scripts and
	// service workers fetch.
	Fetched bool

	// Log, if there is one, is called when a page is left as it was though a
	// person might have needed the script there.
	Log func(*http.Request, Reason)
}

// Reason says why a page was left as it was.
type Reason string

// These are the reasons. That an answer is no page is none.
const (
	NotASCII       Reason = "its charset does not contain ASCII"
	Encoded        Reason = "its Content-Encoding is none of gzip, br and zstd"
	Sandboxed      Reason = "its Content-Security-Policy has a sandbox without allow-scripts and allow-same-origin"
	NotHTML        Reason = "it does not begin like HTML, in spite of its Content-Type"
	NoPlace        Reason = "its first 64 KB hold no place for a script"
	Broken         Reason = "it is shorter than its header says, or cannot be decoded, and was cut off"
	EndsUnfinished Reason = "it ends within a tag, a comment or its title"
)

// Injector puts a script element into pages.
type Injector struct {
	options   Options
	element   string // up to where the nonce goes
	tagSuffix string
	csp       cspSources
}

// New returns an injector.
func New(options Options) *Injector {
	var element strings.Builder
	element.WriteString("<script")
	// A page with an Integrity-Policy runs only scripts that are fetched in
	// CORS mode, for which there is crossorigin.
	for _, attribute := range [...][2]string{
		{"src", options.ScriptURL},
		{"integrity", options.Integrity},
		{"crossorigin", "anonymous"},
		{"data-cfasync", "false"}, // Rocket Loader would run it late
		{"data-captcha", "inject"},
		{"data-policy", options.Policy},
		{"data-forms", options.Forms},
	} {
		element.WriteString(" " + attribute[0] + `="` + html.EscapeString(attribute[1]) + `"`)
	}
	digest := sha256.Sum256([]byte(element.String() + " " + options.FramePath))
	return &Injector{
		options:   options,
		element:   element.String(),
		tagSuffix: "-captcha-" + hex.EncodeToString(digest[:6]),
		csp:       newCSPSources(options),
	}
}

// script returns the element, with the nonce that a policy of the page asks
// for, if one does. A page that is isolated from other origins frames only what
// is so too, which the script has to know.
func (i *Injector) script(nonce string, isolated bool) string {
	element := i.element
	if isolated {
		element += " data-isolated"
	}
	if nonce != "" {
		element += ` nonce="` + html.EscapeString(nonce) + `"`
	}
	return element + "></script>"
}

// touched are the request headers that next does not see as the client sent
// them.
var touched = [...]string{"Accept-Encoding", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "Range"}

// ServeHTTP lets next answer the request and puts the script element into the
// answer if it is a page that a browser shows. Errors and panics of next are
// passed on as they are.
//
// Pages are asked for without Content-Encoding: whoever compresses does it
// after the injection, once, and in front of this handler that is Caddy's
// encode. Compressing again what an application has compressed would cost
// more and would do encode's work badly.
func (i *Injector) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Method == http.MethodConnect || isUpgrade(r.Header) || r.URL.Path == i.options.FramePath {
		return next.ServeHTTP(w, r)
	}
	vary := varies(r.Header)
	navigates := request.IsNavigation(r.Header)
	if fetches := i.options.Fetched && fetchesDocument(r); !navigates && !fetches {
		return next.ServeHTTP(response.Amend(w, func(h http.Header) { addVary(h, vary) }), r)
	}
	answer := &pageWriter{
		ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		injector:              i,
		request:               r,
		fetched:               !navigates,
		vary:                  vary,
		declared:              -1,
	}
	defer answer.abandon()

	// The headers are changed in place, since placeholders refer to this very
	// request, and put back for the handlers that come after next.
	var saved [len(touched)][]string
	for n, key := range touched {
		saved[n] = r.Header[key]
	}
	defer func() {
		for n, key := range touched {
			if saved[n] == nil {
				delete(r.Header, key)
			} else {
				r.Header[key] = saved[n]
			}
		}
	}()
	answer.revalidates = i.prepare(r)
	return answer.end(next.ServeHTTP(answer, r))
}

// prepare makes the request ask for a whole page without Content-Encoding, or
// for a 304 only if the client has the page with this very injection. It
// reports whether a 304 is possible.
func (i *Injector) prepare(r *http.Request) (revalidates bool) {
	h := r.Header
	if wantsHTML(h) {
		h["Accept-Encoding"] = []string{"identity"}
	}
	if tags := h["If-Match"]; tags != nil {
		h["If-Match"], _ = stripTags(tags, i.tagSuffix, false)
	}
	whole := (r.Method == http.MethodGet || r.Method == http.MethodHead) && wantsHTML(h)
	if whole {
		delete(h, "If-Modified-Since")
		delete(h, "If-Range")
		delete(h, "Range")
	}
	if tags := h["If-None-Match"]; tags != nil {
		h["If-None-Match"], revalidates = stripTags(tags, i.tagSuffix, whole)
		if h["If-None-Match"] == nil {
			delete(h, "If-None-Match")
		}
	}
	return revalidates
}

// wantsHTML reports whether the answer will probably be a page. Of the rest of
// what scripts fetch, little is, and pages in a Content-Encoding are decoded.
func wantsHTML(h http.Header) bool {
	return request.IsNavigation(h) || slices.ContainsFunc(h["Accept"], func(accept string) bool { return strings.Contains(accept, "text/html") })
}

// fetchesDocument reports whether a script or service worker could make a
// document of the answer. Neither images and such, which browsers say that they
// want, nor parts of files can become one.
func fetchesDocument(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "", "empty", "document", "iframe", "frame":
		return r.Method != http.MethodHead && r.Header["Range"] == nil
	}
	return false
}

// varies returns the request headers that say whether a browser will show the
// answer as a document. Whatever else is loaded is not for us: neither
// subresources nor the fragments of HTML that scripts fetch.
func varies(h http.Header) []string {
	if h.Get("Sec-Fetch-Mode") != "" {
		return varyByMode
	}
	return varyByAccept
}

// Browsers do not send the first one over http.
var (
	varyByMode   = []string{"Sec-Fetch-Mode"}
	varyByAccept = []string{"Sec-Fetch-Mode", "Accept", "X-Requested-With", "HX-Request"}
)

// addVary tells caches that this HTML is not for another use of its URL, where
// it would have the element, or not.
func addVary(h http.Header, names []string) {
	if !isHTML(h) {
		return
	}
	for _, name := range names {
		if !httpguts.HeaderValuesContainsToken(h["Vary"], name) && !httpguts.HeaderValuesContainsToken(h["Vary"], "*") {
			h["Vary"] = append(h["Vary"], name)
		}
	}
}

func isUpgrade(h http.Header) bool {
	return len(h["Upgrade"]) > 0 && httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade")
}
