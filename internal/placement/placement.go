// Package placement checks where the captcha handlers of a config stand among
// the other handlers. A captcha behind a handler that answers, or before one
// that rewrites, leaves a site open without a word; one whose endpoints no
// request reaches can never be solved. Neither can be seen by the handler
// itself, so the package walks all routes of the http app once, when the
// config starts.
//
// A walk follows a set of requests, such as those that a captcha protects,
// from the top of a server's routes. Whether a matcher matches them has three
// answers: yes for all of them, no for all of them, and perhaps. Only what
// follows from the first two is certain.
package placement

import (
	"cmp"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Kind says which of our handlers a handler is.
type Kind int

// The kinds of handlers.
const (
	Captcha Kind = iota + 1 // refuses requests without a proof
	Inject                  // puts a script into pages
)

// Handler is what the check needs to know of one of our handlers.
type Handler struct {
	Kind   Kind
	Policy string
	Named  bool // whether the policy was given a name

	// The following are of a Captcha.
	BasePath string                // of the policy's endpoints
	Matchers caddyhttp.MatcherSets // its own, provisioned; none matches every request
	Clears   bool                  // gives clearances, for which browsers need the endpoints
}

// Finding is something that is wrong with a config.
type Finding struct {
	// Certain is whether it is wrong whatever the requests are; the config
	// should be refused then. Otherwise it could be wrong, or meant.
	Certain bool

	Server  string // the name of the server in the config
	Policy  string // of the handler that it is about
	Message string // what is wrong, where, and what to do
}

// Check returns what is wrong with the placement of our handlers in the
// provisioned app: first what is certain, then by server, policy and message,
// each once. identify says of each handler whether it is one of ours.
func Check(app *caddyhttp.App, identify func(handler any) (Handler, bool)) []Finding {
	c := &checker{identify: identify, found: make(map[Finding]struct{})}
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		c.collect(name, app.Servers[name])
	}
	for _, g := range c.gates {
		switch g.Kind {
		case Captcha:
			c.checkCaptcha(g)
		case Inject:
			c.checkInject(g)
		}
	}
	return slices.SortedFunc(maps.Keys(c.found), func(a, b Finding) int {
		switch {
		case a.Certain && !b.Certain:
			return -1
		case b.Certain && !a.Certain:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Message, b.Message))
	})
}

// checker gathers the findings of one config.
type checker struct {
	identify func(any) (Handler, bool)
	gates    []*gate
	found    map[Finding]struct{}
}

// gate is one of our handlers at one place. A handler in a named route has as
// many places as the route is invoked from.
type gate struct {
	Handler
	handler any
	server  string
	named   map[string]*caddyhttp.Route
	entry   caddyhttp.RouteList // where requests that can come here begin
	around  []around            // the routes that it stands in, the outermost first
	onError bool                // stands in routes that handle errors
	late    bool                // stands in routes that handle a response
}

// around is a route that a handler stands in.
type around struct {
	route *caddyhttp.Route
	list  caddyhttp.RouteList // in which the route is
}

// maxDepth is how deep routes are followed into each other. Routes that invoke
// each other would have no end; nor have they when they are served.
const maxDepth = 50

// collect finds our handlers in the routes of the server.
func (c *checker) collect(name string, server *caddyhttp.Server) {
	in := gate{server: name, named: server.NamedRoutes}
	in.entry = server.Routes
	c.collectIn(server.Routes, in)
	if server.Errors != nil {
		in.entry, in.onError = server.Errors.Routes, true
		c.collectIn(server.Errors.Routes, in)
	}
}

// collectIn finds our handlers in the routes. What is known of their place so
// far is in.
func (c *checker) collectIn(routes caddyhttp.RouteList, in gate) {
	if len(in.around) >= maxDepth {
		return
	}
	for i := range routes {
		route := &routes[i]
		in := in
		in.around = append(slices.Clip(in.around), around{route, routes})
		for _, handler := range route.Handlers {
			if known, ok := c.identify(handler); ok {
				g := in
				g.Handler, g.handler = known, handler
				c.gates = append(c.gates, &g)
				continue
			}
			for _, inner := range routesIn(handler, in.named) {
				in := in
				switch inner.when {
				case always:
				case onError:
					in.entry, in.onError, in.around = inner.routes, true, nil
				case onResponse:
					in.late = true
				}
				c.collectIn(inner.routes, in)
			}
		}
	}
}

func (c *checker) report(g *gate, certain bool, message string) {
	c.found[Finding{Certain: certain, Server: g.server, Policy: g.Policy, Message: message}] = struct{}{}
}
