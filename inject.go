package caddycaptcha

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/gate"
	"github.com/caddycaptcha/caddycaptcha/internal/inject"
)

func init() { caddy.RegisterModule(Inject{}) }

// Inject is a handler that brings the captcha into the application's own
// pages. It adds one script element to the HTML that the next handlers answer
// with. In the browser, the script holds back submits of the selected forms,
// and catches calls by fetch and XMLHttpRequest that the policy's captcha
// handler refused; it shows the captcha in a dialog, gets a clearance for it,
// and lets the submit or call go on. What is submitted is not touched.
//
// The policy needs a clearance, and the requests that the pages make must meet
// its captcha handler.
type Inject struct {
	// The captcha handlers' policy. Default: `default`.
	Policy string `json:"policy,omitempty"`

	// A CSS selector of the forms to hold back. Default:
	// `form[method=post]`.
	Form string `json:"form,omitempty"`

	// Whether whole documents that scripts and service workers fetch get the
	// script too: the shell of a progressive web app that a service worker
	// keeps, or the pages of Turbo and htmx boosts. Fragments of HTML stay as
	// they are. Default: off
	Fetched bool `json:"fetched,omitempty"`

	app      *App
	injector func() (*inject.Injector, error)
	logger   *zap.Logger
}

const defaultForm = "form[method=post]"

// CaddyModule returns the Caddy module information.
func (Inject) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.captcha_inject",
		New: func() caddy.Module { return new(Inject) },
	}
}

// Provision sets up the handler.
func (i *Inject) Provision(ctx caddy.Context) error {
	if err := i.check(); err != nil {
		return fmt.Errorf("captcha_inject: %w", err)
	}
	i.Policy = cmp.Or(i.Policy, defaultPolicy)
	i.Form = cmp.Or(i.Form, defaultForm)
	i.logger = gate.Throttled(ctx.Logger())
	app, err := ctx.App("captcha")
	if err != nil {
		return err
	}
	i.app = app.(*App)
	i.app.injected = append(i.app.injected, i)
	i.injector = sync.OnceValues(i.makeInjector)
	return nil
}

func (i *Inject) check() error {
	if err := checkPolicyName(i.Policy); err != nil {
		return err
	}
	if i.Form != "" && strings.TrimSpace(i.Form) == "" || strings.ContainsFunc(i.Form, unicode.IsControl) {
		return errors.New("form must be a CSS selector such as " + defaultForm)
	}
	return nil
}

// makeInjector finds the policy, whose handlers may be set up later than this
// one.
func (i *Inject) makeInjector() (*inject.Injector, error) {
	g := i.app.gates.Named(i.Policy)
	if g == nil {
		known := slices.Sorted(maps.Keys(i.app.policies))
		return nil, fmt.Errorf("captcha_inject: there is no captcha of policy %q; there is %s", i.Policy, cmp.Or(strings.Join(known, ", "), "none"))
	}
	if !g.GivesClearances() {
		return nil, errNoClearance(i.Policy, i.app.policies[i.Policy].origin)
	}
	return inject.New(inject.Options{
		ScriptURL: g.ScriptURL(),
		Integrity: browser.InjectedScript.Integrity,
		FramePath: g.FramePath(),
		CallPath:  g.CallPath(),
		Policy:    i.Policy,
		Forms:     i.Form,
		Fetched:   i.Fetched,
		Log:       i.leftAlone,
	}), nil
}

func errNoClearance(policy, origin string) error {
	return fmt.Errorf("captcha_inject: policy %q (%s) has no clearance, which is what a browser gets for solving the captcha: add `clearance 30m` to it", policy, origin)
}

// leftAlone tells the operator of a page in which the captcha will be missing.
func (i *Inject) leftAlone(r *http.Request, reason inject.Reason) {
	i.logger.Warn("captcha_inject left a page as it was, and the captcha will be missing there: see the reason",
		zap.String("policy", i.Policy),
		zap.String("reason", string(reason)),
		zap.String("path", r.URL.Path))
}

// ServeHTTP injects the script into the answer of the next handlers, if it is
// a page.
func (i *Inject) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	injector, err := i.injector()
	if err != nil {
		return err
	}
	return injector.ServeHTTP(w, r, next)
}

var (
	_ caddy.Module                = (*Inject)(nil)
	_ caddy.Provisioner           = (*Inject)(nil)
	_ caddyhttp.MiddlewareHandler = (*Inject)(nil)
)
