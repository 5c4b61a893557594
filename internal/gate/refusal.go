package gate

import (
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/form"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
)

// Refusal is how the application's requests are refused.
type Refusal string

// The ways to refuse.
const (
	RefusalAuto    Refusal = "auto"    // the page where it can help, else the problem
	RefusalPage    Refusal = "page"    // the same, and a policy that gives no clearance is an error
	RefusalProblem Refusal = "problem" // problem details
	RefusalError   Refusal = "error"   // an error, for the site's error routes
)

// Refuse answers a request that is not forwarded, as the option refusal says.
func (g *Gate) Refuse(w http.ResponseWriter, r *http.Request, d Decision) error {
	if g.showsPage(r, d) {
		g.writePage(w, r, d)
		return nil
	}
	g.unshown.note(g, r, d)
	closeUnread(w.Header(), r, d.unread)
	switch {
	case d.Outcome == Failed:
		return d.err
	case d.Outcome == Canceled:
		return caddyhttp.Error(Canceled.Status, d.err)
	case g.Refusal == RefusalError:
		maps.Copy(w.Header(), g.fields(d))
		return caddyhttp.Error(d.Outcome.Status, errors.New("captcha "+d.String()))
	}
	g.writeRefusal(w, r, d)
	return nil
}

// RefuseTarget refuses a request whose target is none, matched or not and in
// monitor mode, too. It always answers with the problem: an error route could
// forward the request.
func (g *Gate) RefuseTarget(w http.ResponseWriter, r *http.Request) {
	d := Decision{Outcome: Malformed, Reason: reasonTarget}
	g.Record(r, d, true)
	closeUnread(w.Header(), r, true)
	g.writeRefusal(w, r, d)
}

// refuseEndpoint answers a call of an endpoint that is refused. What the option
// refusal says is about the application's requests: an error route could
// forward them.
func (g *Gate) refuseEndpoint(w http.ResponseWriter, r *http.Request, d Decision) {
	closeUnread(w.Header(), r, d.unread)
	switch d.Outcome {
	case Canceled:
		answer(w, r, Canceled.Status, http.Header{"Cache-Control": {noStore}}, nil) // for the log: there is nobody to answer
	case Failed:
		status := http.StatusBadRequest
		if e := (caddyhttp.HandlerError{}); errors.As(d.err, &e) {
			status = e.StatusCode
		}
		writeProblem(w, r, problem{Status: status, Detail: "The request body could not be read."})
	default:
		g.writeRefusal(w, r, d)
	}
}

// showsPage reports whether a person could solve the captcha on a page. What a
// browser fetches in advance nobody may ever look at.
func (g *Gate) showsPage(r *http.Request, d Decision) bool {
	return g.Refusal != RefusalProblem && g.Refusal != RefusalError && g.issuer != nil && d.Outcome.Curable &&
		d.Reason != reasonPrefetch && request.IsNavigation(r.Header)
}

// boost makes htmx navigate where it would put the answer into the page: to the
// request's own URL, which then brings the challenge page.
func (g *Gate) boost(fields http.Header, r *http.Request, d Decision) {
	if !d.Outcome.Curable || g.issuer == nil || r.Method != http.MethodGet || r.Header.Get("Hx-Boosted") != "true" {
		return
	}
	// Two slashes would begin the name of another host.
	target := request.Original(r).URL
	fields.Set("HX-Redirect", "/"+strings.TrimLeft(target.EscapedPath(), `/\`)+query(target.RawQuery))
}

func query(raw string) string {
	if raw == "" {
		return ""
	}
	return "?" + raw
}

// fields returns the header fields by which every answer to a decision says
// what it is about.
func (g *Gate) fields(d Decision) http.Header {
	fields := http.Header{
		"Captcha-Outcome": {d.Outcome.Name},
		"Captcha-Policy":  {g.Policy},
		"Cache-Control":   {noStore},
	}
	if seconds := d.Outcome.RetryAfter; seconds > 0 {
		fields["Retry-After"] = []string{strconv.Itoa(seconds)}
	}
	return fields
}

// writeRefusal answers with the problem details of a decision.
func (g *Gate) writeRefusal(w http.ResponseWriter, r *http.Request, d Decision) {
	fields := g.fields(d)
	fields["Content-Type"] = []string{"application/problem+json"}
	g.boost(fields, r, d)
	g.removeHint(fields, r, d)
	answer(w, r, d.Outcome.Status, fields, g.problems.of(g, r, d))
}

// writePage answers with the challenge page.
func (g *Gate) writePage(w http.ResponseWriter, r *http.Request, d Decision) {
	data := browser.Data{
		Lang:     browser.Language(r.Header.Get("Accept-Language")),
		Nonce:    browser.Nonce(),
		Base:     g.BasePath,
		Policy:   g.Policy,
		Provider: g.provider,
		Outcome:  d.Outcome.Name,
		Reason:   d.Reason,
		ID:       request.ID(r),
		Framed:   request.IsFramed(r.Header),
	}
	g.setNext(w, r, &data, &d)
	closeUnread(w.Header(), r, d.unread)
	page, err := g.Page.Render(data)
	if err != nil {
		// An error route could forward the request, so it must not come to that.
		g.alarm.Error("the page template fails and the built-in page is shown: see the error",
			zap.String("policy", g.Policy), zap.Error(err))
		if builtIn, err := browser.Default(); err == nil {
			page, _ = builtIn.Render(data) // which the tests do with all kinds of data
		}
	}
	fields := g.fields(d)
	g.removeHint(fields, r, d)
	browser.SetHeader(fields, data)
	answer(w, r, d.Outcome.Status, fields, page)
}

// setNext says what the challenge page does when the captcha is solved. A form
// of the site's own is sent again by the page, which for that has to be able to
// make the same body of it. What another site has sent would not be the same
// if it came from here: cookies would be with it that it did not have.
func (g *Gate) setNext(w http.ResponseWriter, r *http.Request, data *browser.Data, d *Decision) {
	switch {
	case r.Method == http.MethodGet:
		data.Next = browser.Reload
	case !request.IsSameOrigin(r):
		data.Next = browser.Home
	default:
		data.Next = browser.Back
		if r.Method != http.MethodPost || !request.IsFromOwnPage(r) {
			return
		}
		memory := g.Memory.For(limit.NewClient(request.ClientIP(r)))
		body, complete, ok := g.OnRequest.ReadForm(w, r, bodyTimeout, memory)
		d.unread = !complete
		if !ok {
			return
		}
		if sent, ok := form.Parse(r.Header.Get("Content-Type"), body); ok {
			data.Next, data.Form = browser.Resend, sent
		}
	}
}
