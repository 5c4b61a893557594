package browser

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"sync"
)

// Data is what a template of the challenge page gets, as {{.Nonce}} and so on.
// Nothing in it comes from the request but Lang, which is one of a few, and ID, which Caddy makes.
type Data struct {
	// Lang is the language of the page: zh-CN, zh-TW or en.
	Lang string

	// Nonce belongs into the nonce attribute of every script and style
	// element: the Content-Security-Policy admits no other.
	Nonce string

	// Base is the path under which the policy's endpoints are.
	Base string

	// Policy and Provider name what this page guards, and with which widget.
	Policy, Provider string

	// Outcome and Reason say why the request was refused. Outcome is empty
	// when none was: the page was asked for by the dialog that the script
	// opens in the application's pages.
	Outcome, Reason string

	// Reload is true when the refused request was a GET, which the page sends
	// again, by reloading itself once, when the captcha is solved.
	Reload bool

	// Cleared is true when this browser has a valid clearance already.
	Cleared bool

	// ID is the id of the refused request, which a person can quote and an
	// operator finds in the log. It may be empty.
	ID string
}

// Script returns the URL of the script that the page must load.
func (d Data) Script() string { return d.Base + "/" + PageScript.Name }

// Integrity returns the value of that script element's integrity attribute.
func (d Data) Integrity() string { return PageScript.Integrity }

// Dir returns the direction of the page's language.
func (d Data) Dir() string { return "ltr" }

// Text returns the page's texts in its language, by name.
func (d Data) Text() map[string]string {
	if text := texts[d.Lang]; text != nil {
		return text
	}
	return texts[english]
}

// Settings returns what the script needs to know, as the value of that script
// element's data-settings attribute.
func (d Data) Settings() (string, error) {
	settings, err := json.Marshal(struct {
		Lang    string            `json:"lang"`
		Base    string            `json:"base"`
		Policy  string            `json:"policy"`
		Outcome string            `json:"outcome"`
		Reason  string            `json:"reason"`
		Reload  bool              `json:"reload"`
		Cleared bool              `json:"cleared"`
		Text    map[string]string `json:"text"`
	}{d.Lang, d.Base, d.Policy, d.Outcome, d.Reason, d.Reload, d.Cleared, d.Text()})
	return string(settings), err
}

// Page is a template of the challenge page. Its methods are safe for
// concurrent use.
type Page struct {
	template *template.Template
}

//go:embed page.html
var builtIn string

// Default returns the built-in page. The tests show that there is no error.
var Default = sync.OnceValues(func() (*Page, error) { return ParsePage("page.html", builtIn) })

// required is what the script needs to find in the page, and what is missing
// when it is not there.
var required = []struct{ text, what string }{
	{`data-captcha="page"`, `a script element with src="{{.Script}}", integrity="{{.Integrity}}", nonce="{{.Nonce}}", data-captcha="page" and data-settings="{{.Settings}}"`},
	{`data-settings="{&#34;`, `the attribute data-settings="{{.Settings}}" of the script element`},
	{`nonce="trial-nonce"`, `the attribute nonce="{{.Nonce}}" of the script element`},
	{`src="/trial-base/page-`, `the attribute src="{{.Script}}" of the script element`},
	{`id="captcha-widget"`, `an element with id="captcha-widget", for the provider's widget`},
	{`id="captcha-status"`, `an element with id="captcha-status", for what the page has to say`},
	{`id="captcha-button"`, `a button with id="captcha-button"`},
}

// ParsePage parses a template of html/template and executes it on trial, so
// that an error in it shows now. Errors name the template and the line.
func ParsePage(name, text string) (*Page, error) {
	parsed, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("page template: %w", err)
	}
	page := &Page{parsed}
	for trial := range trials {
		result, err := page.Render(trial)
		if err != nil {
			return nil, err
		}
		for _, r := range required {
			if !strings.Contains(string(result), r.text) {
				return nil, fmt.Errorf("page template: %s: the page lacks %s; take the built-in page as a model", name, r.what)
			}
		}
	}
	return page, nil
}

// trials yields what a page may have to show, so that a template that cannot
// is found when it is parsed.
func trials(yield func(Data) bool) {
	for lang := range texts {
		for _, outcome := range []string{"", "missing", "rejected", "expired", "replayed"} {
			for flags := range 4 {
				data := Data{
					Lang: lang, Nonce: "trial-nonce", Base: "/trial-base", Policy: "trial",
					Provider: "geetest_v4", Outcome: outcome, Reason: "none", ID: "00000000-0000-4000-8000-000000000000",
					Reload: flags&1 != 0, Cleared: flags&2 != 0,
				}
				if !yield(data) {
					return
				}
			}
		}
	}
}

// Render returns the page.
func (p *Page) Render(data Data) ([]byte, error) {
	var page bytes.Buffer
	if err := p.template.Execute(&page, data); err != nil {
		return nil, fmt.Errorf("page template: %w", err)
	}
	return page.Bytes(), nil
}
