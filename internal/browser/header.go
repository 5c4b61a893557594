package browser

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// policy is a Content-Security-Policy: sources by directive. One without
// sources is one that the policy does not have.
type policy map[string][]string

// bounds are what both pages have in common. The nonce admits a page's own
// script and style.
func bounds(nonce string) policy {
	return policy{
		"default-src":     {"'none'"},
		"script-src":      {"'nonce-" + nonce + "'"},
		"style-src":       {"'nonce-" + nonce + "'"},
		"img-src":         {"'self'"}, // the site's icon
		"base-uri":        {"'none'"},
		"form-action":     {"'self'"},
		"frame-ancestors": {"'self'"},
	}
}

func (p policy) String() string {
	var text strings.Builder
	for _, directive := range slices.Sorted(maps.Keys(p)) {
		if len(p[directive]) == 0 {
			continue
		}
		if text.Len() > 0 {
			text.WriteString("; ")
		}
		text.WriteString(directive)
		for _, value := range p[directive] {
			text.WriteByte(' ')
			text.WriteString(value)
		}
	}
	return text.String()
}

// admit adds what a provider's widget loads, by directive. A source that could
// end its directive is left out.
func (p policy) admit(sources map[string][]string) {
	if slices.Contains(sources["style-src"], "'unsafe-inline'") {
		// It admits the page's style too, and a nonce would disable it.
		delete(p, "style-src")
	}
	for directive, values := range sources {
		for _, value := range values {
			if !strings.ContainsFunc(value, separates) {
				p[directive] = append(p[directive], value)
			}
		}
	}
}

// separates reports whether a rune cannot be part of a CSP source.
func separates(r rune) bool { return r <= ' ' || r > '~' || r == ';' || r == ',' }

// SetHeader sets the fields of an answer that is the challenge page with data.
func SetHeader(header http.Header, data Data) {
	p := bounds(data.Nonce)
	p["frame-src"] = []string{"'self'"} // the widget page
	referrer := "strict-origin"
	if data.Next == Resend {
		// The answer to what the page sends again may be a redirect to another
		// origin, and the request has to say which origin it is from.
		delete(p, "form-action")
		referrer = "same-origin"
	}
	if data.Framed {
		// Who frames it is seen by the script, which shows no widget to a
		// person whose browser would not let it pass there, but says why.
		delete(p, "frame-ancestors")
	}
	setHeader(header, p, referrer)
}

// setHeader sets the fields of an answer that is a page of ours. One without
// values is one that the answer must not have.
func setHeader(header http.Header, p policy, referrer string) {
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", p.String())
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	header.Set("Referrer-Policy", referrer)
	// What a site sets for its own pages would keep the provider's widget out
	// of ours, or ours out of the frame that shows it.
	header["Cross-Origin-Embedder-Policy"] = nil
	header["X-Frame-Options"] = nil
	header.Add("Vary", "Accept-Language")
}
