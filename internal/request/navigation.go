package request

import (
	"net/http"
	"strconv"
	"strings"
)

// IsNavigation reports whether a browser is about to show the answer as a
// document. A browser that says how it will use the answer (Sec-Fetch-Mode) is
// believed. Of others, one that accepts HTML navigates, unless a script made
// the request.
func IsNavigation(header http.Header) bool {
	if mode := header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	if len(header["X-Requested-With"]) > 0 || len(header["Hx-Request"]) > 0 {
		return false
	}
	for _, line := range header["Accept"] {
		for item := range strings.SplitSeq(line, ",") {
			if acceptsHTML(item) {
				return true
			}
		}
	}
	return false
}

// IsFramed reports whether a browser says that it will show the answer in a
// frame, or the like.
func IsFramed(header http.Header) bool {
	switch header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "object", "embed":
		return true
	}
	return false
}

// acceptsHTML reports whether an item of Accept (RFC 9110, 12.5.1) is
// text/html with a weight above zero.
func acceptsHTML(item string) bool {
	mediaType, parameters, _ := strings.Cut(item, ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), "text/html") {
		return false
	}
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err != nil || weight > 0
		}
	}
	return true
}

// IsPrefetch reports whether a browser asks for what nobody may ever look at:
// Sec-Purpose begins with the token prefetch, as it does for a prerendered
// page, too (prefetch;prerender).
func IsPrefetch(header http.Header) bool {
	purpose := header.Get("Sec-Purpose")
	if purpose == "" {
		return false
	}
	token, _, _ := strings.Cut(purpose, ";")
	token, _, _ = strings.Cut(token, ",")
	return strings.EqualFold(strings.TrimSpace(token), "prefetch")
}
