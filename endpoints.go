package caddycaptcha

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

// The endpoints under a policy's base path.
const (
	endpointChallenge = "challenge"  // GET: what the widget needs
	endpointVerify    = "verify"     // POST: a proof for a clearance
	endpointPage      = "page"       // GET: the challenge page, for the dialog in an application's page
	endpointScript    = "captcha.js" // GET: our script
)

// challengesPerMinute is how many challenges and pages one client prefix may
// have per minute. A GeeTest v3 challenge costs a call to the provider.
const challengesPerMinute = 600

// endpoint finds the policy whose endpoint a request asks for, by the path that
// the client sent, and the endpoint's name.
func (a *App) endpoint(r *http.Request) (p *policy, name string, ok bool) {
	asked := path.Clean(originalURL(r).Path)
	for _, p := range a.policies {
		if within(asked, p.basePath) {
			return p, strings.TrimPrefix(asked[len(p.basePath):], "/"), true
		}
	}
	return nil, "", false
}

// serveEndpoint answers a request under the base path. Nothing there is ever
// forwarded.
func (c *Captcha) serveEndpoint(w http.ResponseWriter, r *http.Request, name string) error {
	var serve func(http.ResponseWriter, *http.Request) error
	methods := []string{http.MethodGet, http.MethodHead}
	switch name {
	case endpointScript:
		serve = c.serveScript
	case endpointChallenge:
		serve = c.serveChallenge
	case endpointPage:
		serve = c.servePage
	case endpointVerify:
		serve, methods = c.serveVerify, []string{http.MethodPost}
	}
	closeUnread(w.Header(), r, name != endpointVerify && r.ContentLength != 0)
	browsing := name == endpointPage || name == endpointVerify
	switch {
	case serve == nil, browsing && c.issuer == nil:
		return c.answer(w, r, problem{Status: http.StatusNotFound, Detail: "There is no such endpoint."})
	case !slices.Contains(methods, r.Method):
		w.Header().Set("Allow", strings.Join(methods, ", "))
		return c.answer(w, r, problem{Status: http.StatusMethodNotAllowed, Detail: "The method must be " + strings.Join(methods, " or ") + "."})
	case name == endpointScript:
		return serve(w, r)
	case !fromSameOrigin(r):
		return c.answer(w, r, problem{Status: http.StatusForbidden, Detail: "This endpoint is for pages of its own origin only."})
	case isEarly(r):
		return c.answer(w, r, problem{Status: http.StatusTooEarly, Detail: "The TLS handshake is not complete."})
	}
	return serve(w, r)
}

// fromSameOrigin reports whether a page of our own origin made the request, as
// far as the browser says. Over http, and in older browsers, only Origin may
// say so, and that not of a GET.
func fromSameOrigin(r *http.Request) bool {
	sites := r.Header["Sec-Fetch-Site"]
	for _, site := range sites {
		if site != "same-origin" {
			return false
		}
	}
	if origin := r.Header.Get("Origin"); origin != "" && len(sites) == 0 {
		u, err := url.Parse(origin)
		return err == nil && strings.EqualFold(u.Host, r.Host)
	}
	return true
}

// answer answers with problem details that are about no outcome.
func (c *Captcha) answer(w http.ResponseWriter, r *http.Request, p problem) error {
	header := w.Header()
	closeUnread(header, r, r.ContentLength != 0)
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	w.Write(p.encode()) //nolint:errcheck,gosec // the body is made of fixed words; when the client has gone there is nobody to tell
	return nil
}

// serveScript serves the script whose hash is in the URL, which makes it
// cacheable for ever. Without the right one it is the current script for the
// application's pages, for once.
func (c *Captcha) serveScript(w http.ResponseWriter, r *http.Request) error {
	header := w.Header()
	header.Set("Content-Type", "text/javascript; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	script, cache := browser.InjectedScript, "no-store"
	switch r.URL.Query().Get("v") {
	case browser.PageScript.Hash:
		script = browser.PageScript
		fallthrough
	case browser.InjectedScript.Hash:
		cache = "public, max-age=31536000, immutable"
	}
	header.Set("Cache-Control", cache)
	w.Write(script.Content) //nolint:errcheck,gosec // when the client has gone there is nobody to tell
	return nil
}

// serveChallenge answers with what the provider's widget needs.
func (c *Captcha) serveChallenge(w http.ResponseWriter, r *http.Request) error {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead { // which must not cost a challenge
		header.Set("Content-Type", "application/json")
		return nil
	}
	client := clientOf(r)
	prefix := prefixOf(client.IP)
	if !c.policy.challenges.Acquire(prefix) {
		return c.refuseChallenge(w, r, decision{outcome: Overloaded, reason: "limit"})
	}
	defer c.policy.challenges.Release(prefix, true) // each counts
	challenge, failure := c.verifier.Challenge(r.Context(), client, c.userID(prefix))
	if challenge == nil {
		if r.Context().Err() != nil {
			return c.refuseChallenge(w, r, decision{outcome: Canceled, err: r.Context().Err()})
		}
		c.alert(failure)
		return c.refuseChallenge(w, r, judge(failure))
	}
	body, err := json.Marshal(challenge)
	if err != nil {
		return c.answer(w, r, problem{Status: http.StatusInternalServerError, Detail: "The challenge is not JSON."})
	}
	header.Set("Content-Type", "application/json")
	w.Write(append(body, '\n')) //nolint:errcheck,gosec // when the client has gone there is nobody to tell
	return nil
}

// refuseChallenge refuses a challenge or page, and lets the operator know.
func (c *Captcha) refuseChallenge(w http.ResponseWriter, r *http.Request, d decision) error {
	c.record(r, d, true)
	return c.refuseHere(w, r, d)
}

// serveVerify takes a proof and gives a clearance for it.
func (c *Captcha) serveVerify(w http.ResponseWriter, r *http.Request) error {
	d := c.prove(w, r, c.atVerify)
	if d.outcome == Passed {
		if err := c.issueClearance(w, r); err != nil {
			d = c.undecided(r, err)
			d.proof = proofSpent // whatever the outcome
		}
	}
	c.record(r, d, true)
	if !d.outcome.forwards() {
		return c.refuseHere(w, r, d)
	}
	header := w.Header()
	header.Set("Captcha-Outcome", string(d.outcome))
	header.Set("Captcha-Policy", c.Policy)
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// servePage serves the challenge page by itself, for the dialog.
func (c *Captcha) servePage(w http.ResponseWriter, r *http.Request) error {
	prefix := prefixOf(clientOf(r).IP)
	if !c.policy.challenges.Acquire(prefix) {
		return c.refuseChallenge(w, r, decision{outcome: Overloaded, reason: "limit"})
	}
	defer c.policy.challenges.Release(prefix, true) // each counts
	w.Header().Set("Captcha-Policy", c.Policy)
	cleared, reason := c.peekClearance(r)
	return c.writePage(w, r, http.StatusOK, browser.Data{Cleared: cleared, Reason: reason})
}

// refuseHere answers a call of an endpoint that is refused. What the option
// refusal says is about the application's requests: an error route could
// forward them.
func (c *Captcha) refuseHere(w http.ResponseWriter, r *http.Request, d decision) error {
	closeUnread(w.Header(), r, d.unread)
	switch d.outcome {
	case Canceled:
		w.WriteHeader(statusClientClosedRequest) // for the log: there is nobody to answer
		return nil
	case Failed:
		status := http.StatusBadRequest
		if e := (caddyhttp.HandlerError{}); errors.As(d.err, &e) {
			status = e.StatusCode
		}
		return c.answer(w, r, problem{Status: status, Detail: "The request body could not be read."})
	default:
		c.writeProblem(w, d)
		return nil
	}
}

// writePage writes the challenge page with what data says of the request.
func (c *Captcha) writePage(w http.ResponseWriter, r *http.Request, status int, data browser.Data) error {
	data.Lang = browser.Language(r.Header.Get("Accept-Language"))
	data.Nonce = browser.Nonce()
	data.Base = c.BasePath
	data.Policy = c.Policy
	data.Provider = c.provider
	page, err := c.page.Render(data)
	if err != nil {
		// An error route could forward the request, so it must not come to that.
		c.alarm.Error("the page template fails, the built-in page is shown: " + err.Error())
		if page, err = browser.Default().Render(data); err != nil {
			page = nil
		}
	}
	browser.SetHeader(w.Header(), browser.CSP(data.Nonce, c.verifier.Sources()))
	w.WriteHeader(status)
	w.Write(page) //nolint:errcheck,gosec // the template escapes; when the client has gone there is nobody to tell
	return nil
}

// userID is what a provider is told the client by: nothing that tells who it
// is, and another text at every policy. There is none without clearances, for
// which a key is at hand.
func (c *Captcha) userID(prefix netip.Prefix) string {
	if c.issuer == nil {
		return ""
	}
	keys, err := c.app.keys.Derive(clearance.PurposeUserID, c.Policy)
	if err != nil {
		return ""
	}
	mac := keys[0].MAC([]byte(prefix.String()))
	return hex.EncodeToString(mac[:16])
}

// loadPage returns the page in the file, or the built-in one.
func loadPage(file string) (*browser.Page, error) {
	if file == "" {
		return browser.Default(), nil
	}
	file, err := setting.Expand("page_template", file)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("page_template: %w", err)
	}
	return browser.ParsePage(file, string(text))
}
