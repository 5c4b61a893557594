package placement

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// flow follows a set of requests through routes. Where a matcher may match
// some of them, it follows both ways.
type flow struct {
	checker  *checker
	requests requests
	named    map[string]*caddyhttp.Route

	// The place of the captcha that is looked at: routes that exclude one of
	// its own are where other requests are meant to go.
	around []around

	// passAway lets requests go on that a handler turns away.
	passAway bool

	meet    func(known Handler, handler any, b *branch) (goesOn bool) // one of ours
	answer  func(a answerer, b branch)
	rewrite func(w rewriter, b *branch) // may be nil

	depth int
}

// branch is one of the ways that the requests may have come so far.
type branch struct {
	groups string // those of whose routes one was taken, each between newlines

	// Whether all requests of the set come this way, as far as is known:
	doubtful bool // some may not, because of a matcher on the way
	unknown  bool // and perhaps none does
	aside    bool // and the matcher is of a route beside the captcha's own, which may be meant
	beside   bool // one of the routes that may be meant is on the way, whatever is known of its matcher

	moved    []rewriter // what may have changed their line
	host     answer     // whether their Host was changed: yes if it was for all
	hostBy   string
	passed   bool // they met the captcha that is looked at
	crossing *crossing
}

// crossing says that a rewriter may have led requests to what a captcha that
// they have passed protects.
type crossing struct {
	by       rewriter
	from, to line
}

// maxBranches bounds how many ways are followed at once. Beyond it, what is
// known of groups is forgotten, which makes certain what was so before.
const maxBranches = 64

// routes follows the branches through the routes and returns those that no
// handler has answered.
func (f *flow) routes(list caddyhttp.RouteList, in []branch) []branch {
	if f.depth >= maxDepth {
		return in
	}
	f.depth++
	defer func() { f.depth-- }()
	for i := range list {
		route := &list[i]
		var out, matched []branch
		for _, b := range in {
			name := "\n" + route.Group + "\n"
			if route.Group != "" && strings.Contains(b.groups, name) {
				out = append(out, b)
				continue
			}
			found := f.requests.matchesAny(route.MatcherSets, len(b.moved) > 0)
			if found != yes {
				out = append(out, b)
			}
			if found == no {
				continue
			}
			if route.Group != "" {
				b.groups += name
			}
			if found == perhaps {
				f.doubt(&b, list, route)
			}
			matched = append(matched, b)
		}
		matched = f.handlers(route, matched)
		if !route.Terminal {
			out = append(out, matched...)
		}
		in = merge(out)
	}
	for i := range in { // groups are of one list
		for j := range list {
			if list[j].Group != "" {
				in[i].groups = strings.ReplaceAll(in[i].groups, "\n"+list[j].Group+"\n", "")
			}
		}
	}
	return merge(in)
}

// doubt notes that a branch has taken a route whose matchers may not match.
func (f *flow) doubt(b *branch, list caddyhttp.RouteList, route *caddyhttp.Route) {
	b.doubtful = true
	unknown := len(b.moved) > 0 || !f.requests.surelyMeet(route.MatcherSets)
	b.unknown = b.unknown || unknown
	if f.excludesOwn(list, route) {
		b.beside = true
		b.aside = b.aside || unknown
	}
}

// excludesOwn reports whether a request that takes the route never takes the
// one, of the same list, that the captcha stands in.
func (f *flow) excludesOwn(list caddyhttp.RouteList, route *caddyhttp.Route) bool {
	return slices.ContainsFunc(f.around, func(a around) bool {
		return a.route != route && len(a.list) > 0 && &a.list[0] == &list[0] &&
			(route.Terminal || route.Group != "" && route.Group == a.route.Group)
	})
}

// surelyMeet reports whether some of the requests that the captcha itself asks
// for are matched by one of the sets, as far as paths say.
func (q requests) surelyMeet(sets caddyhttp.MatcherSets) bool {
	return slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return !slices.ContainsFunc(set, func(matcher any) bool {
			matcher = plain(matcher)
			if q.matchesOne(matcher, false) == yes {
				return false
			}
			m, ok := matcher.(caddyhttp.MatchPath)
			return !ok || !slices.ContainsFunc(q.own, func(own any) bool {
				paths, ok := own.(caddyhttp.MatchPath)
				return ok && slices.ContainsFunc(paths, func(p string) bool {
					return slices.ContainsFunc(m, func(q string) bool { meet, sure := patternsMeet(p, q); return meet && sure })
				})
			})
		})
	})
}

// merge makes one of branches that came the same way, as far as it matters.
func merge(in []branch) []branch {
	type key struct {
		groups   string
		passed   bool
		crossing *crossing
	}
	forget := len(in) > maxBranches
	index := make(map[key]int, len(in))
	out := in[:0:0]
	for _, b := range in {
		if forget {
			b.groups = ""
		}
		k := key{b.groups, b.passed, b.crossing}
		i, ok := index[k]
		if !ok {
			index[k] = len(out)
			out = append(out, b)
			continue
		}
		into := &out[i]
		into.doubtful = into.doubtful && b.doubtful
		into.unknown = into.unknown && b.unknown
		into.aside = into.aside && b.aside
		into.beside = into.beside && b.beside
		if into.host != b.host {
			into.host = perhaps
		}
		if into.hostBy == "" {
			into.hostBy = b.hostBy
		}
		for _, w := range b.moved {
			if !slices.ContainsFunc(into.moved, func(other rewriter) bool { return other.Rewrite == w.Rewrite }) {
				into.moved = append(slices.Clip(into.moved), w)
			}
		}
	}
	return out
}

// handlers follows the branches through the handlers of a route.
func (f *flow) handlers(route *caddyhttp.Route, in []branch) []branch {
	for _, handler := range route.Handlers {
		if len(in) == 0 {
			return nil
		}
		if known, ours := f.checker.identify(handler); ours {
			in = f.each(in, func(b *branch) bool { return f.meet(known, handler, b) })
			continue
		}
		switch h := handler.(type) {
		case *caddyhttp.Subroute:
			in = f.routes(h.Routes, in)
			continue
		case *caddyhttp.Invoke:
			if named := f.named[h.Name]; named != nil {
				in = f.routes(caddyhttp.RouteList{*named}, in)
			}
			continue
		case *rewrite.Rewrite:
			in = f.each(in, func(b *branch) bool { f.rewritten(rewriter{Rewrite: h, route: route.MatcherSets}, b); return true })
			continue
		case *reverseproxy.Handler:
			in = f.proxied(h, in)
			continue
		}
		if by := setsHost(handler); by != no {
			in = f.each(in, func(b *branch) bool { b.host, b.hostBy = by, "request_header Host"; return true })
		}
		if a, ok := answers(handler); ok {
			in = f.each(in, func(b *branch) bool {
				if f.passAway && a.serves == nothing {
					return true
				}
				f.answer(a, *b)
				return false
			})
		}
	}
	return in
}

// each returns the branches for which do returns true, as do leaves them.
func (f *flow) each(in []branch, do func(*branch) (goesOn bool)) []branch {
	out := make([]branch, 0, len(in))
	for _, b := range in {
		if do(&b) {
			out = append(out, b)
		}
	}
	return out
}

// rewritten notes that the branch has met a rewriter.
func (f *flow) rewritten(w rewriter, b *branch) {
	if !w.changesLine() {
		return
	}
	b.moved = append(slices.Clip(b.moved), w)
	if f.rewrite != nil {
		f.rewrite(w, b)
	}
}

// proxied follows the branches through a proxy. One that hands what it got to
// routes which go on, or which hold one of ours, is asked something about the
// request, as by forward_auth; any other is the application.
func (f *flow) proxied(h *reverseproxy.Handler, in []branch) (out []branch) {
	asks := false
	for _, response := range h.HandleResponse {
		if len(response.Routes) == 0 {
			continue
		}
		on := f.routes(response.Routes, in)
		out = append(out, on...)
		asks = asks || len(on) > 0 || f.holdsOurs(response.Routes)
	}
	if asks {
		return merge(out)
	}
	for _, b := range in {
		if h.Rewrite != nil {
			f.rewritten(rewriter{Rewrite: h.Rewrite}, &b)
		}
		f.answer(proxy(h), b)
	}
	return nil
}

// holdsOurs reports whether one of our handlers is in the routes.
func (f *flow) holdsOurs(list caddyhttp.RouteList) bool {
	return slices.ContainsFunc(list, func(route caddyhttp.Route) bool {
		return slices.ContainsFunc(route.Handlers, func(handler caddyhttp.MiddlewareHandler) bool {
			if _, ours := f.checker.identify(handler); ours {
				return true
			}
			subroute, ok := handler.(*caddyhttp.Subroute)
			return ok && f.holdsOurs(subroute.Routes)
		})
	})
}
