package request

import (
	"net/http"
	"net/url"
	"strings"
)

// IsSameOrigin reports whether a page of the request's own origin made it, as
// far as the browser says: by Sec-Fetch-Site, and where that is missing (over
// http, and in older browsers) by Origin. A browser sends neither with a GET
// over http, which therefore counts as of the same origin.
func IsSameOrigin(r *http.Request) bool {
	sites := r.Header["Sec-Fetch-Site"]
	for _, site := range sites {
		if site != "same-origin" {
			return false
		}
	}
	if origins := r.Header["Origin"]; len(origins) > 0 && len(sites) == 0 {
		return len(origins) == 1 && isOrigin(r, origins[0])
	}
	return true
}

// IsFromOwnPage reports whether a browser says that a page of the request's own
// origin made it. Where it says nothing, IsSameOrigin is true and this is not.
func IsFromOwnPage(r *http.Request) bool {
	return IsSameOrigin(r) && (len(r.Header["Sec-Fetch-Site"]) > 0 || len(r.Header["Origin"]) > 0)
}

// isOrigin reports whether origin is the scheme and host that r was sent to.
func isOrigin(r *http.Request, origin string) bool {
	scheme := "http"
	if IsSecure(r) {
		scheme = "https"
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == scheme && withoutPort(u.Host, scheme) == withoutPort(r.Host, scheme)
}

// withoutPort returns the host in lower case and without the scheme's default
// port, which browsers leave out of Origin and clients may send in Host.
func withoutPort(host, scheme string) string {
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	return strings.ToLower(strings.TrimSuffix(host, port))
}
