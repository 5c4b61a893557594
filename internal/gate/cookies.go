package gate

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/extract"
)

// cookieLines are the Cookie header that a client sent, kept for a captcha
// handler of another policy that the request meets after our cookies were
// removed from it.
type cookieLines []string

// String keeps `{http.vars.captcha_cookies}` from showing anything.
func (cookieLines) String() string { return "" }

const cookiesVar = "captcha_cookies"

// RemoveCookies removes the cookies of all policies from a request that is
// forwarded: the application has no use for them.
func (gs *Gates) RemoveCookies(r *http.Request) {
	lines := r.Header["Cookie"]
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "captcha") }) {
		return
	}
	extract.RemoveCookies(r.Header, gs.isCookie)
	if len(r.Header["Cookie"]) == len(lines) && slices.Equal(r.Header["Cookie"], lines) {
		return
	}
	if _, ok := caddyhttp.GetVar(r.Context(), cookiesVar).(cookieLines); !ok {
		caddyhttp.SetVar(r.Context(), cookiesVar, cookieLines(lines))
	}
}

// isCookie reports whether a cookie of this name is one of ours.
func (gs *Gates) isCookie(name string) bool {
	return slices.ContainsFunc(gs.all, func(g *Gate) bool { return g.issuer != nil && g.issuer.IsCookie(name) })
}

// sentCookies returns a header with the cookies that the client sent.
func sentCookies(r *http.Request) http.Header {
	if lines, ok := caddyhttp.GetVar(r.Context(), cookiesVar).(cookieLines); ok {
		return http.Header{"Cookie": lines}
	}
	return r.Header
}
