package caddycaptcha

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// warnUnreachable warns of handlers that stand inside others, such as `handle
// /app/*`, which keep requests for the policy's endpoints from them: a browser
// could never solve the captcha.
func (a *App) warnUnreachable() {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return
	}
	for _, server := range app.(*caddyhttp.App).Servers {
		for c := range unreachable(server.Routes, nil, server.NamedRoutes) {
			a.logger.Warn("the captcha's endpoints are under a path that the routes around its handler do not match: put captcha at the level of the site, or set base_path to a path that they match, as the client sees it",
				zap.String("policy", c.Policy), zap.String("base_path", c.BasePath))
		}
	}
}

// unreachable yields the handlers among the routes whose endpoints a path
// matcher around them keeps away.
func unreachable(routes caddyhttp.RouteList, around []caddyhttp.MatcherSets, named map[string]*caddyhttp.Route) iter.Seq[*Captcha] {
	return func(yield func(*Captcha) bool) {
		for _, route := range routes {
			around := append(slices.Clip(around), route.MatcherSets)
			for _, handler := range route.Handlers {
				var inner caddyhttp.RouteList
				switch h := handler.(type) {
				case *Captcha:
					if !admits(around, h.BasePath+"/challenge") && !yield(h) {
						return
					}
				case *caddyhttp.Subroute:
					inner = h.Routes
				case *caddyhttp.Invoke:
					// A route that invokes itself would not end; nor does it when
					// it is served.
					if route := named[h.Name]; route != nil && len(around) < 100 {
						inner = caddyhttp.RouteList{*route}
					}
				}
				for c := range unreachable(inner, around, named) {
					if !yield(c) {
						return
					}
				}
			}
		}
	}
}

// admits reports whether the matchers, one list of sets inside the other, match
// the path, as far as they are about paths.
func admits(around []caddyhttp.MatcherSets, path string) bool {
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}}
	r = r.WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
	for _, sets := range around {
		if len(sets) > 0 && !slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool { return matches(set, r) != no }) {
			return false
		}
	}
	return true
}

// answer is that of matchers of which some are not about paths.
type answer int

const (
	no answer = iota
	perhaps
	yes
)

// matches says whether all matchers of the set match the request.
func matches(set caddyhttp.MatcherSet, r *http.Request) answer {
	all := yes
	for _, matcher := range set {
		all = min(all, matchesOne(matcher, r))
	}
	return all
}

func matchesOne(matcher any, r *http.Request) answer {
	switch m := matcher.(type) {
	case caddyhttp.MatchPath, *caddyhttp.MatchPath, caddyhttp.MatchPathRE, *caddyhttp.MatchPathRE:
		matched, err := m.(caddyhttp.RequestMatcherWithError).MatchWithError(r)
		switch {
		case err != nil:
			return perhaps
		case matched:
			return yes
		}
		return no
	case caddyhttp.MatchNot:
		any := no
		for _, set := range m.MatcherSets {
			any = max(any, matches(set, r))
		}
		return yes - any
	case *caddyhttp.MatchNot:
		return matchesOne(*m, r)
	}
	return perhaps // such as a host
}
