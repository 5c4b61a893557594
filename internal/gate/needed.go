package gate

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
)

// maxQuestion bounds the body of a question. URLs are shorter.
const maxQuestion = 16 << 10

// question is what captcha_inject's script asks before a form is submitted. The
// URL is in the body, as it may hold secrets, and ours are in logs.
type question struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

// foresight is the answer.
type foresight struct {
	// Needed is "no" where the request will surely not need a captcha, and
	// "unknown" everywhere else.
	Needed string `json:"needed"`

	// Cleared is whether this browser has a clearance now.
	Cleared bool `json:"cleared"`
}

// Protects notes the matchers of a handler of this policy. It is called before
// the gate serves.
func (g *Gate) Protects(matchers *request.Matchers) {
	g.protected = append(g.protected, matchers)
}

// Foresee says that the requests which meet the handlers of this policy are
// those that clients send: no handler before them changes any.
func (g *Gate) Foresee() { g.foresees.Store(true) }

// serveNeeded says what a submission will need, so that the script holds
// nothing that needs no holding. It takes no use of a clearance.
func (g *Gate) serveNeeded(w http.ResponseWriter, r *http.Request) {
	answered, err := g.answerQuestion(w, r)
	if errors.Is(err, errLimit) {
		g.refuseEndpoint(w, r, Decision{Outcome: Overloaded, Reason: reasonLimit})
		return
	}
	if err != nil {
		closeUnread(w.Header(), r, true)
		writeProblem(w, r, problem{Status: http.StatusBadRequest, Detail: "The body must be a JSON object with a method and a URL."})
		return
	}
	body, err := json.Marshal(answered)
	if err != nil {
		body = []byte("{}") // a text and a truth value always have a JSON form
	}
	answer(w, r, http.StatusOK, http.Header{"Content-Type": {"application/json"}, "Cache-Control": {noStore}}, append(body, '\n'))
}

// answerQuestion reads the question and answers it, for a client that may ask
// one. The slot is free again before the answer is written: who gets it may be
// read to the end.
func (g *Gate) answerQuestion(w http.ResponseWriter, r *http.Request) (foresight, error) {
	slot, ok := g.questions.Acquire(limit.NewClient(request.ClientIP(r)))
	if !ok {
		return foresight{}, errLimit
	}
	defer slot.Release(true) // each counts
	var q question
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion)).Decode(&q); err != nil {
		return foresight{}, err
	}
	answered := foresight{Needed: "unknown"}
	if g.surelyOpen(r, q) {
		answered.Needed = "no"
	}
	answered.Cleared, _ = g.peekClearance(r)
	return answered, nil
}

// surelyOpen reports whether no handler of the policy will match the request
// that is asked about, however an application reads it.
func (g *Gate) surelyOpen(r *http.Request, q question) bool {
	target, err := url.Parse(q.URL)
	if err != nil || !g.foresees.Load() || target.Host != r.Host || target.Opaque != "" {
		return false
	}
	method := strings.ToUpper(q.Method)
	if method != http.MethodGet && method != http.MethodPost { // what forms can send
		return false
	}
	target.Scheme, target.Host, target.User, target.Fragment, target.RawFragment = "", "", nil, "", ""
	asked := (&http.Request{
		Method: method, URL: target, RequestURI: target.RequestURI(), Host: r.Host,
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		Header: make(http.Header), Body: http.NoBody, RemoteAddr: r.RemoteAddr, TLS: r.TLS,
	}).WithContext(r.Context())
	asked = caddyhttp.PrepareRequest(asked, caddy.NewReplacer(), nil, nil)
	for _, matchers := range g.protected {
		// Of a GET the form's fields will be the query.
		if !matchers.Foreseeable() || method == http.MethodGet && matchers.LooksAtQuery() {
			return false
		}
		if matched, err := matchers.Match(asked); matched || err != nil {
			return false
		}
	}
	return true
}
