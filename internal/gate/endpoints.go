package gate

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/encode"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
)

// The endpoints under a policy's base path.
const (
	endpointChallenge = "challenge" // what the widget needs
	endpointVerify    = "verify"    // a proof for a clearance
	endpointPage      = "page"      // the widget page
	endpointNeeded    = "needed"    // what a submission will need
)

// endpoint is what stands under one name.
type endpoint struct {
	methods []string
	serve   func(*Gate, http.ResponseWriter, *http.Request)

	// needsClearance: it is there only in policies that give clearances.
	needsClearance bool

	// needsWidget: it is there only if the verifier has a widget.
	needsWidget bool

	// public: pages of other origins may load it, and it says nothing about
	// the client.
	public bool
}

var (
	reads  = []string{http.MethodGet, http.MethodHead}
	writes = []string{http.MethodPost}
)

var endpoints = map[string]endpoint{
	endpointChallenge: {methods: reads, serve: (*Gate).serveChallenge, needsWidget: true},
	endpointVerify:    {methods: writes, serve: (*Gate).serveVerify, needsClearance: true},
	endpointPage:      {methods: reads, serve: (*Gate).servePage, needsClearance: true, needsWidget: true},
	endpointNeeded:    {methods: writes, serve: (*Gate).serveNeeded, needsClearance: true},
}

// scripts is what stands under the names of our scripts, which change with
// them.
var scripts = endpoint{methods: reads, serve: (*Gate).serveScript, public: true}

// ServeEndpoint answers a request under the base path. Nothing there is ever
// forwarded.
func (g *Gate) ServeEndpoint(w http.ResponseWriter, r *http.Request, name string) {
	e, ok := endpoints[name]
	if _, _, isScript := g.scriptNamed(name); isScript {
		e, ok = scripts, true
	}
	closeUnread(w.Header(), r, name != endpointVerify && name != endpointNeeded && r.ContentLength != 0)
	switch {
	case !ok, e.needsClearance && g.issuer == nil, e.needsWidget && g.challenger == nil:
		writeProblem(w, r, problem{Status: http.StatusNotFound, Detail: "There is no such endpoint."})
	case !slices.Contains(e.methods, r.Method):
		w.Header().Set("Allow", strings.Join(e.methods, ", "))
		writeProblem(w, r, problem{Status: http.StatusMethodNotAllowed, Detail: "The method must be " + strings.Join(e.methods, " or ") + "."})
	case !e.public && !request.IsSameOrigin(r):
		writeProblem(w, r, problem{Status: http.StatusForbidden, Detail: "This endpoint is for pages of its own origin only."})
	case !e.public && request.IsEarly(r):
		writeProblem(w, r, problem{Status: http.StatusTooEarly, Detail: "The TLS handshake is not complete."})
	default:
		e.serve(g, w, r)
	}
}

// scriptNamed returns the script that is served under a name (see
// browser.Widget).
func (g *Gate) scriptNamed(name string) (script *browser.Script, current, ok bool) {
	if work := g.outage.work; work != nil {
		if script, current, _ = work.captcha.widget.ScriptNamed(name); current {
			return script, true, true
		}
	}
	if script, current, ok = g.widget.ScriptNamed(name); ok || g.outage.work == nil {
		return script, current, ok
	}
	return g.outage.work.captcha.widget.ScriptNamed(name)
}

// shown is the captcha that people are asked for now.
func (g *Gate) shown() *captcha {
	if work := g.outage.work; work != nil && g.isDown() {
		return work.captcha
	}
	return &g.captcha
}

// serveScript serves a script, by a name that makes it cacheable for ever.
// Under that of another version it is the current one, for once.
func (g *Gate) serveScript(w http.ResponseWriter, r *http.Request) {
	script, current, _ := g.scriptNamed(path.Base(request.Original(r).URL.Path))
	cache := noStore
	if current {
		cache = "public, max-age=31536000, immutable"
	}
	fields := http.Header{
		"Content-Type":                 {"text/javascript; charset=utf-8"},
		"X-Content-Type-Options":       {"nosniff"},
		"Cross-Origin-Resource-Policy": {"same-origin"},
		"Cache-Control":                {cache},
		"Vary":                         {"Accept-Encoding"},
	}
	content := script.Content
	if slices.Contains(encode.AcceptedEncodings(r, []string{"gzip"}), "gzip") {
		fields["Content-Encoding"] = []string{"gzip"}
		content = script.Gzipped()
	}
	answer(w, r, http.StatusOK, fields, content)
}

// serveChallenge answers with what the provider's widget needs.
func (g *Gate) serveChallenge(w http.ResponseWriter, r *http.Request) {
	fields := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {noStore}}
	if r.Method == http.MethodHead { // which must not cost a challenge
		answer(w, r, http.StatusOK, fields, nil)
		return
	}
	challenge, failure := g.visitForChallenge(r)
	if challenge == nil {
		g.refuseVisit(w, r, failure)
		return
	}
	body, err := json.Marshal(challenge)
	if err != nil {
		writeProblem(w, r, problem{Status: http.StatusInternalServerError, Detail: "The challenge is not JSON."})
		return
	}
	answer(w, r, http.StatusOK, fields, append(body, '\n'))
}

// visitForChallenge is challenge for a client that may have one. The slot is
// free again before the answer is written: who gets it may be read to the end.
func (g *Gate) visitForChallenge(r *http.Request) (challenge any, failure Decision) {
	visit, ok := g.visits.Acquire(limit.NewClient(request.ClientIP(r)))
	if !ok {
		return nil, Decision{Outcome: Overloaded, Reason: reasonLimit}
	}
	defer visit.Release(true) // each counts
	return g.challenge(r)
}

// challenge returns what a page needs to show the widget, or the decision that
// follows.
func (g *Gate) challenge(r *http.Request) (challenge any, failure Decision) {
	if g.isDown() {
		return g.outageChallenge(r)
	}
	return g.askForChallenge(r, &g.captcha)
}

func (g *Gate) askForChallenge(r *http.Request, c *captcha) (challenge any, failure Decision) {
	client := c.clientOf(r)
	challenge, verdict := c.challenger.Challenge(r.Context(), client, g.userID(request.ClientPrefix(client.IP)))
	if challenge != nil {
		return challenge, Decision{}
	}
	if d, gone := left(r.Context()); gone {
		return nil, d
	}
	g.alert(verdict)
	g.suspect(verdict)
	return nil, judge(verdict)
}

// refuseVisit refuses a challenge or page, and lets the operator know.
func (g *Gate) refuseVisit(w http.ResponseWriter, r *http.Request, d Decision) {
	g.Record(r, d, true)
	g.refuseEndpoint(w, r, d)
}

// serveVerify takes a proof and gives a clearance for it. It enforces in
// monitor mode, too.
func (g *Gate) serveVerify(w http.ResponseWriter, r *http.Request) {
	d := g.proveAtVerify(w, r)
	var cookies []string
	if d.Outcome.Forwards {
		var failure Decision
		if cookies, failure = g.issueClearance(r, d.Outcome == OutageAllowed); cookies == nil {
			d = failure
			d.proof = ProofSpent // whatever the outcome
		}
	}
	g.Record(r, d, true)
	if !d.Outcome.Forwards {
		g.refuseEndpoint(w, r, d)
		return
	}
	fields := g.fields(d)
	fields["Set-Cookie"] = cookies
	answer(w, r, http.StatusNoContent, fields, nil)
}

// proveAtVerify takes the proof of the captcha that stands in for another, or
// else that one's.
func (g *Gate) proveAtVerify(w http.ResponseWriter, r *http.Request) Decision {
	if work := g.outage.work; work != nil {
		if d := work.prove(w, r, nil); d.Outcome != Missing {
			return d
		}
	}
	return g.atVerify.prove(w, r, nil)
}

// servePage serves the widget page, which the challenge page and the dialog
// frame. One in a page that is isolated from other origins has to be so, too.
func (g *Gate) servePage(w http.ResponseWriter, r *http.Request) {
	visit, ok := g.visits.Acquire(limit.NewClient(request.ClientIP(r)))
	if !ok {
		g.refuseVisit(w, r, Decision{Outcome: Overloaded, Reason: reasonLimit})
		return
	}
	visit.Release(true) // each counts, and is done in a moment
	g.unshown.shown()
	shown := g.shown()
	data := browser.WidgetData{
		Lang:     browser.Language(r.Header.Get("Accept-Language")),
		Nonce:    browser.Nonce(),
		Base:     g.BasePath,
		Policy:   g.Policy,
		Provider: shown.provider,
	}
	data.Cleared, data.Reason = g.peekClearance(r)
	page, err := shown.widget.Render(data)
	if err != nil {
		writeProblem(w, r, problem{Status: http.StatusInternalServerError, Detail: "The page cannot be made."})
		return
	}
	fields := http.Header{"Captcha-Policy": {g.Policy}}
	shown.widget.SetHeader(fields, data.Nonce)
	if r.URL.Query().Has("isolated") {
		// The provider's files come without credentials then, which they do
		// not need. A frame of the provider's own cannot come at all.
		fields["Cross-Origin-Embedder-Policy"] = []string{"credentialless"}
	}
	answer(w, r, http.StatusOK, fields, page)
}

// ScriptURL and FramePath are what captcha_inject puts into pages: the URL of
// the script for the application's pages, and the path of the page that the
// script frames.
func (g *Gate) ScriptURL() string {
	return g.BasePath + "/" + browser.InjectedScript.Name
}

// FramePath is the path of the page that the script frames.
func (g *Gate) FramePath() string { return g.BasePath + "/" + endpointPage }

// CallPath is the path of the endpoint that the script calls.
func (g *Gate) CallPath() string { return g.BasePath + "/" + endpointNeeded }

// userID is what a provider is told the client by: nothing that tells who it
// is, and another text at every policy. There is none without clearances, for
// which a key is at hand.
func (g *Gate) userID(prefix netip.Prefix) string {
	if g.issuer == nil {
		return ""
	}
	keys, err := g.Keys.Derive(clearance.PurposeUserID, g.Policy)
	if err != nil {
		return ""
	}
	mac := keys[0].MAC([]byte(prefix.String()))
	return hex.EncodeToString(mac[:16])
}
