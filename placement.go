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
		for c := range unreachable(server.Routes, nil) {
			a.logger.Warn("the captcha's endpoints are under a path that the routes around its handler do not match: put captcha at the level of the site, or set base_path to a path that they match, as the client sees it",
				zap.String("policy", c.Policy), zap.String("base_path", c.BasePath))
		}
	}
}

// unreachable yields the handlers among the routes whose endpoints a path
// matcher around them keeps away.
func unreachable(routes caddyhttp.RouteList, around []caddyhttp.MatcherSets) iter.Seq[*Captcha] {
	return func(yield func(*Captcha) bool) {
		for _, route := range routes {
			around := append(slices.Clip(around), route.MatcherSets)
			for _, handler := range route.Handlers {
				switch h := handler.(type) {
				case *Captcha:
					if !admits(around, h.BasePath+"/"+endpointChallenge) && !yield(h) {
						return
					}
				case *caddyhttp.Subroute:
					for c := range unreachable(h.Routes, around) {
						if !yield(c) {
							return
						}
					}
				}
			}
		}
	}
}

// admits reports whether the path matchers among the matchers, one list of
// sets inside the other, match the path.
func admits(around []caddyhttp.MatcherSets, path string) bool {
	for _, sets := range around {
		if len(sets) > 0 && !anyAdmits(sets, path) {
			return false
		}
	}
	return true
}

func anyAdmits(sets caddyhttp.MatcherSets, path string) bool {
	for _, set := range sets {
		if admitsAll(set, path) {
			return true
		}
	}
	return false
}

func admitsAll(set caddyhttp.MatcherSet, path string) bool {
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}}
	r = r.WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
	for _, matcher := range set {
		var paths caddyhttp.MatchPath
		switch m := matcher.(type) {
		case caddyhttp.MatchPath:
			paths = m
		case *caddyhttp.MatchPath:
			paths = *m
		default:
			continue // such as a host: not about paths
		}
		if matched, err := paths.MatchWithError(r); err == nil && !matched {
			return false
		}
	}
	return true
}
