package placement

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// occasion says when a handler hands a request to routes that it holds.
type occasion int

const (
	always     occasion = iota
	onError             // another handler has failed
	onResponse          // another handler has answered
)

// inner are routes that a handler holds.
type inner struct {
	routes caddyhttp.RouteList
	when   occasion
}

// routesIn returns the routes that the handler holds.
func routesIn(handler any, named map[string]*caddyhttp.Route) (all []inner) {
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		all = append(all, inner{h.Routes, always})
		if h.Errors != nil {
			all = append(all, inner{h.Errors.Routes, onError})
		}
	case *caddyhttp.Invoke:
		if route := named[h.Name]; route != nil {
			all = append(all, inner{caddyhttp.RouteList{*route}, always})
		}
	case *reverseproxy.Handler:
		for _, response := range h.HandleResponse {
			all = append(all, inner{response.Routes, always}) // they may go on to the next handler
		}
	case *intercept.Intercept:
		for _, response := range h.HandleResponse {
			all = append(all, inner{response.Routes, onResponse})
		}
	}
	return all
}

// serving says what a handler that answers gives away.
type serving int

const (
	nothing serving = iota // it turns requests away: a redirect, an error
	content                // files or a text
	program                // an application
)

// answerer is a handler that calls no other one after it.
type answerer struct {
	serves serving
	name   string // as in a Caddyfile
	// application is the same for handlers that forward to the same one; it is
	// empty where that depends on the request.
	application string
}

// answers returns what is known of a handler that always answers.
func answers(handler any) (a answerer, ok bool) {
	switch h := handler.(type) {
	case *reverseproxy.Handler:
		return proxy(h), true
	case *fileserver.FileServer:
		return answerer{serves: content, name: "file_server"}, !h.PassThru
	case *caddyhttp.StaticResponse:
		return static(h)
	case *caddyhttp.StaticError:
		return answerer{name: "error"}, true
	}
	if module, ok := handler.(caddy.Module); ok && module.CaddyModule().ID == "http.handlers.metrics" {
		return answerer{serves: content, name: "metrics"}, true
	}
	return answerer{}, false
}

func static(h *caddyhttp.StaticResponse) (a answerer, ok bool) {
	status, err := strconv.Atoi(h.StatusCode.String())
	switch {
	case h.Abort:
		return answerer{name: "abort"}, true
	case h.StatusCode != "" && err == nil && status == 103:
		return answerer{}, false // early hints come before the answer
	case len(h.Headers["Location"]) > 0:
		return answerer{name: "redir"}, true
	case err == nil && status >= 300:
		return answerer{name: "respond"}, true
	}
	return answerer{serves: content, name: "respond"}, true
}

// proxy tells the applications of proxies apart by what they dial.
func proxy(h *reverseproxy.Handler) answerer {
	dials := make([]string, 0, len(h.Upstreams))
	dynamic := h.DynamicUpstreams != nil
	for _, upstream := range h.Upstreams {
		dials = append(dials, upstream.Dial)
		dynamic = dynamic || strings.Contains(upstream.Dial, "{")
	}
	slices.Sort(dials)
	a := answerer{serves: program, name: strings.Join(append([]string{"reverse_proxy"}, dials...), " ")}
	if !dynamic {
		a.application = strings.Join(slices.Compact(dials), " ")
	}
	return a
}

// setsHost says whether the handler changes the Host of requests: yes if it
// gives all the same one.
func setsHost(handler any) answer {
	h, ok := handler.(*headers.Handler)
	if !ok || h.Request == nil {
		return no
	}
	named := func(name string) bool { return strings.EqualFold(name, "Host") }
	for name, values := range h.Request.Set {
		if named(name) {
			if slices.ContainsFunc(values, func(value string) bool { return strings.Contains(value, "{") }) {
				return perhaps
			}
			return yes
		}
	}
	for name := range h.Request.Add {
		if named(name) {
			return perhaps
		}
	}
	for name := range h.Request.Replace {
		if named(name) || name == "*" {
			return perhaps
		}
	}
	for _, name := range h.Request.Delete {
		if named(name) || name == "*" {
			return yes
		}
		if inner := strings.Trim(name, "*"); inner != name && strings.Contains("host", strings.ToLower(inner)) {
			return perhaps
		}
	}
	return no
}

// describeSets writes matchers as one would in a Caddyfile, as far as they are
// simple.
func describeSets(sets caddyhttp.MatcherSets) string {
	texts := make([]string, 0, len(sets))
	for _, set := range sets {
		parts := make([]string, 0, len(set))
		for _, matcher := range set {
			parts = append(parts, describe(plain(matcher)))
		}
		slices.Sort(parts) // Caddy has them in a map
		texts = append(texts, strings.Join(parts, ", "))
	}
	return strings.Join(texts, " or ")
}

func describe(matcher any) string {
	switch m := matcher.(type) {
	case caddyhttp.MatchPath:
		return "path " + strings.Join(m, " ")
	case caddyhttp.MatchHost:
		return "host " + strings.Join(m, " ")
	case caddyhttp.MatchMethod:
		return "method " + strings.Join(m, " ")
	case caddyhttp.MatchNot:
		return "not " + describeSets(m.MatcherSets)
	case caddyhttp.MatchPathRE:
		return "path_regexp " + m.Pattern
	}
	name := strings.TrimPrefix(reflect.TypeOf(matcher).String(), "*")
	if module, ok := matcher.(caddy.Module); ok {
		name = module.CaddyModule().ID.Name()
	}
	if text, err := json.Marshal(matcher); err == nil && len(text) <= 80 {
		return fmt.Sprintf("%s %s", name, text)
	}
	return name
}
