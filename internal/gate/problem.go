package gate

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	"github.com/caddycaptcha/caddycaptcha/internal/request"
)

// problem is the body of a refusal: problem details as of RFC 9457.
type problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Outcome string `json:"outcome,omitempty"`

	// Reason is one short word from a fixed set.
	Reason   string `json:"reason,omitempty"`
	Policy   string `json:"policy,omitempty"`
	Provider string `json:"provider,omitempty"`

	// Challenge is the URL of the endpoint that has what the provider's widget
	// needs. A verifier without a widget has none.
	Challenge string `json:"challenge,omitempty"`

	// Proof says what a client may do with the proof it sent. There is none
	// when no proof was sent.
	Proof ProofState `json:"proof,omitempty"`
}

// writeProblem answers with problem details that are about no outcome.
func writeProblem(w http.ResponseWriter, r *http.Request, p problem) {
	closeUnread(w.Header(), r, r.ContentLength != 0)
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte("{}") // strings and a number always have a JSON form
	}
	answer(w, r, p.Status, problemFields(), append(body, '\n'))
}

// problemFields are the header fields of problem details.
func problemFields() http.Header {
	return http.Header{"Content-Type": {"application/problem+json"}, "Cache-Control": {noStore}}
}

// problems are the problem details of a policy's refusals, by what they say,
// less the request's id. There are as many as there are outcomes with their
// reasons, so each is made once.
type problems struct{ made sync.Map }

// of returns the problem details for a decision about r.
func (ps *problems) of(g *Gate, r *http.Request, d Decision) []byte {
	type key struct {
		outcome *Outcome
		reason  string
		proof   ProofState
	}
	k := key{d.Outcome, d.Reason, d.proof}
	made, ok := ps.made.Load(k)
	if !ok {
		made = ps.make(g, d)
		ps.made.Store(k, made)
	}
	return withID(made.([]byte), request.ID(r))
}

func (*problems) make(g *Gate, d Decision) []byte {
	p := problem{
		Type:     "about:blank",
		Title:    http.StatusText(d.Outcome.Status),
		Status:   d.Outcome.Status,
		Detail:   d.Outcome.Detail,
		Outcome:  d.Outcome.Name,
		Reason:   d.Reason,
		Policy:   g.Policy,
		Provider: g.provider,
		Proof:    cmp.Or(d.proof, d.Outcome.Proof),
	}
	if g.challenger != nil {
		p.Challenge = g.BasePath + "/" + endpointChallenge
	}
	if d.Reason == reasonTarget { // which no captcha cures
		p.Detail, p.Challenge, p.Proof = "The target of this request is neither a path nor a URL with one.", "", ProofReusable
	}
	body, err := json.Marshal(p)
	if err != nil {
		return []byte("{}") // strings and a number always have a JSON form
	}
	return body
}

// withID returns the JSON object with the member id added, and a line break.
// An id is a UUID, which needs no escaping.
func withID(object []byte, id string) []byte {
	if id == "" {
		return append(slices.Clip(object), '\n')
	}
	const member = `,"id":"`
	body := make([]byte, 0, len(object)+len(member)+len(id)+3)
	body = append(body, object[:len(object)-1]...)
	body = append(body, member...)
	body = append(body, id...)
	return append(body, "\"}\n"...)
}
