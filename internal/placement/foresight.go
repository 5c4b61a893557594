package placement

import (
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// Changed returns the policies of which a captcha may meet requests that a
// handler before it has changed: their method, URL or host. What such a policy
// protects cannot be told from what a client is going to send.
func Changed(app *caddyhttp.App, identify func(handler any) (Handler, bool)) map[string]bool {
	c := &checker{identify: identify}
	for name, server := range app.Servers {
		c.collect(name, server)
	}
	changed := make(map[string]bool)
	for _, g := range c.gates {
		if g.Kind == Captcha && (g.onError || g.late || c.changedBefore(g)) {
			changed[g.Policy] = true
		}
	}
	return changed
}

// changedBefore reports whether a handler in a route before the captcha's may
// change requests, on any level.
func (c *checker) changedBefore(g *gate) bool {
	for _, level := range g.around {
		for i := range level.list {
			route := &level.list[i]
			if route == level.route {
				break
			}
			if c.changes(route, g.named, 0) {
				return true
			}
		}
		for _, handler := range level.route.Handlers {
			if handler == g.handler {
				break
			}
			if len(routesIn(handler, g.named)) == 0 && c.changesOne(handler) {
				return true
			}
		}
	}
	return false
}

// changes reports whether a handler of the route, or of routes in it, may
// change requests.
func (c *checker) changes(route *caddyhttp.Route, named map[string]*caddyhttp.Route, depth int) bool {
	return depth >= maxDepth || slices.ContainsFunc(route.Handlers, func(handler caddyhttp.MiddlewareHandler) bool {
		for _, inner := range routesIn(handler, named) {
			for i := range inner.routes {
				if c.changes(&inner.routes[i], named, depth+1) {
					return true
				}
			}
		}
		return c.changesOne(handler)
	})
}

// changesOne reports whether a handler may change requests by itself. Nobody
// knows what other people's do.
func (c *checker) changesOne(handler any) bool {
	if _, ours := c.identify(handler); ours {
		return false
	}
	if _, ok := handler.(*rewrite.Rewrite); ok || setsHost(handler) != no {
		return true
	}
	kind := reflect.TypeOf(handler)
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	return !strings.HasPrefix(kind.PkgPath()+"/", "github.com/caddyserver/caddy/v2/")
}
