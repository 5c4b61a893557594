package inject

import (
	"mime"
	"net/http"
	"strings"
)

// obstacle returns why our element must not be put into a page, if the header
// says so.
func obstacle(h http.Header) Reason {
	_, parameters, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if !containsASCII(parameters["charset"]) {
		return NotASCII
	}
	if encoding := contentEncoding(h); encoding != "" && decoders[encoding] == nil {
		return Encoded
	}
	if isSandboxed(h) {
		return Sandboxed
	}
	return ""
}

// isIsolated reports whether a page is isolated from other origins, if they do
// not agree to be in it.
func isIsolated(h http.Header) bool {
	switch policy, _, _ := strings.Cut(h.Get("Cross-Origin-Embedder-Policy"), ";"); strings.TrimSpace(policy) {
	case "require-corp", "credentialless":
		return true
	}
	return false
}

// isHTML reports whether the Content-Type is that of HTML. XHTML is not for us:
// whoever makes a mistake in it gets an error instead of a page.
func isHTML(h http.Header) bool {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "text/html")
}

// isShown reports whether a browser shows the HTML that it navigated to. What
// has our own outcome is the challenge page.
func isShown(status int, h http.Header) bool {
	if !hasBody(status) || 300 <= status && status <= 399 || h["Content-Range"] != nil || h["Captcha-Policy"] != nil {
		return false
	}
	disposition, _, _ := strings.Cut(h.Get("Content-Disposition"), ";")
	return !strings.EqualFold(strings.TrimSpace(disposition), "attachment")
}

// hasBody reports whether a response of that status has a whole body.
func hasBody(status int) bool {
	switch status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent, http.StatusNotModified:
		return false
	}
	return true
}

func contentEncoding(h http.Header) string {
	encoding := strings.ToLower(strings.Join(h["Content-Encoding"], ", "))
	if encoding == "identity" {
		return ""
	}
	return encoding
}

// containsASCII reports whether the bytes of ASCII characters, and they alone,
// stand for themselves in the charset, as far as tags are made of them. All
// charsets that browsers know are like that but these; of the ones they do not
// know they take another.
func containsASCII(charset string) bool {
	charset = strings.ToLower(strings.TrimSpace(charset))
	for _, prefix := range [...]string{
		"utf-16", "utf16", "unicode", "csunicode", "ucs-2", "iso-10646-ucs", "utf-32", "utf-7",
		"iso-2022", "csiso2022", "hz-gb",
	} {
		if strings.HasPrefix(charset, prefix) && !strings.HasPrefix(charset, "unicode-1-1-utf-8") &&
			!strings.HasPrefix(charset, "unicode11utf8") && !strings.HasPrefix(charset, "unicode20utf8") {
			return false
		}
	}
	return true
}
