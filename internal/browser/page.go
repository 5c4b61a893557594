package browser

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"sync"

	"github.com/caddycaptcha/caddycaptcha/internal/form"
)

// Next is what the challenge page does when the captcha is solved.
type Next string

// What a page may do next.
const (
	// Reload: it reloads itself. The refused request was a GET.
	Reload Next = "reload"
	// Resend: it sends the form again, as it was.
	Resend Next = "resend"
	// Back: it asks the person to go back and send it again.
	Back Next = "back"
	// Home: it offers the site's root. The request was one that another site
	// sent, whose repetition would not be what it was.
	Home Next = "home"
)

// Data is what a template of the challenge page gets, as {{.Nonce}} and so on.
// Nothing in it comes from the request but Lang, which is one of a few, ID,
// which Caddy makes, and Form.
type Data struct {
	// Lang is the language of the page, such as en or zh-CN.
	Lang string

	// Nonce belongs into the nonce attribute of every script and style
	// element: the Content-Security-Policy admits no other.
	Nonce string

	// Base is the path under which the policy's endpoints are.
	Base string

	// Policy and Provider name what this page guards, and with which widget.
	Policy, Provider string

	// Outcome and Reason say why the request was refused.
	Outcome, Reason string

	// ID is the id of the refused request, which a person can quote and an
	// operator finds in the log. It may be empty.
	ID string

	// Next is what the page does when the captcha is solved.
	Next Next

	// Form is what the page sends again where Next is Resend. The page's
	// script has it from Settings; a template has no use for it.
	Form form.Form

	// Framed says that a frame asks for the page.
	Framed bool
}

// Script returns the URL of the script that the page must load.
func (d Data) Script() string { return d.Base + "/" + d.script().Name }

// Integrity returns the value of that script element's integrity attribute.
func (d Data) Integrity() string { return d.script().Integrity }

func (d Data) script() *Script { return inLanguage(pageScripts, d.Lang) }

func inLanguage(scripts map[string]*Script, lang string) *Script {
	if script := scripts[lang]; script != nil {
		return script
	}
	return scripts[english]
}

// Text returns the texts in the page's language, by name: those of the
// built-in page, and dir, the language's direction.
func (d Data) Text() map[string]string { return textIn(d.Lang) }

// Settings returns what the script needs to know, as the value of that script
// element's data-settings attribute.
func (d Data) Settings() (string, error) {
	return asJSON(struct {
		Base    string       `json:"base"`
		Policy  string       `json:"policy"`
		ID      string       `json:"id"`
		Reason  string       `json:"reason"`
		Next    Next         `json:"next"`
		Entries []form.Entry `json:"entries,omitzero"`
		Enctype string       `json:"enctype,omitempty"`
	}{d.Base, d.Policy, d.ID, d.Reason, d.Next, d.Form.Entries, d.Form.Enctype})
}

func asJSON(settings any) (string, error) {
	text, err := json.Marshal(settings)
	return string(text), err
}

// Page is a template of the challenge page. Its methods are safe for
// concurrent use.
type Page struct {
	template *template.Template
}

//go:embed challenge.html
var challengePage string

//go:embed look.css
var look string

//go:embed shield.svg
var shield string

// Default returns the built-in page. The tests show that there is no error.
var Default = sync.OnceValues(func() (*Page, error) { return ParsePage("challenge.html", challengePage) })

// parse parses a template, in which {{template "look"}} is the style of the
// built-in page and {{template "shield"}} its picture.
func parse(name, page string) (*template.Template, error) {
	t := template.New(name).Option("missingkey=error")
	parts := []*template.Template{t.New("look"), t.New("shield"), t}
	for i, text := range []string{look, strings.TrimSpace(shield), page} {
		if _, err := parts[i].Parse(text); err != nil {
			return nil, fmt.Errorf("page template: %w", err)
		}
	}
	return t, nil
}

// required is what the script needs to find in the page, and what is missing
// when it is not there.
var required = []struct{ text, what string }{
	{`data-captcha="page"`, `a script element with src="{{.Script}}", integrity="{{.Integrity}}", nonce="{{.Nonce}}", data-captcha="page" and data-settings="{{.Settings}}"`},
	{`data-settings="{&#34;`, `the attribute data-settings="{{.Settings}}" of the script element`},
	{`nonce="trial-nonce"`, `the attribute nonce="{{.Nonce}}" of the script element`},
	{`src="/trial-base/page-`, `the attribute src="{{.Script}}" of the script element`},
	{`id="captcha-status"`, `an element with id="captcha-status", for what the page has to say`},
	{`id="captcha-button"`, `a button with id="captcha-button"`},
}

// ParsePage parses a template of html/template and executes it on trial, so
// that an error in it shows now. Errors name the template and the line.
func ParsePage(name, text string) (*Page, error) {
	parsed, err := parse(name, text)
	if err != nil {
		return nil, err
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
		for _, outcome := range []string{"missing", "rejected", "expired", "replayed"} {
			for _, next := range []Next{Reload, Resend, Back, Home} {
				data := Data{
					Lang: lang, Nonce: "trial-nonce", Base: "/trial-base", Policy: "trial",
					Provider: "geetest_v4", Outcome: outcome, Reason: "none", ID: "00000000-0000-4000-8000-000000000000",
					Next: next,
				}
				if !yield(data) {
					return
				}
			}
		}
	}
}

// Render returns the page.
func (p *Page) Render(data Data) ([]byte, error) { return render(p.template, data) }

func render(t *template.Template, data any) ([]byte, error) {
	var page bytes.Buffer
	if err := t.Execute(&page, data); err != nil {
		return nil, fmt.Errorf("page template: %w", err)
	}
	return page.Bytes(), nil
}
