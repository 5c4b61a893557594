package placement

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// checkCaptcha checks the place of a captcha.
func (c *checker) checkCaptcha(g *gate) {
	if g.late {
		c.report(g, true, fmt.Sprintf("%s stands in the handle_response of intercept, where the application has answered already: put it before the application, at the level of the site", g))
		return
	}
	c.checkMatcherless(g)
	if !g.onError {
		c.checkEndpoints(g)
	}
	if c.checkContradiction(g) {
		return
	}
	var arrived []branch
	var behind []answerer
	for _, part := range g.protected() {
		w := c.follow(g, part)
		c.checkOpen(g, part, w)
		arrived, behind = append(arrived, w.arrived...), append(behind, w.behind...)
	}
	c.checkHost(g, arrived)
	c.checkExemptions(g, arrived)
	c.checkCrossings(g, behind)
	c.checkBlock(g, behind)
}

// way is what becomes of a set of requests on the way to a captcha and behind
// it.
type way struct {
	arrived  []branch // at the captcha
	gated    bool     // some met another captcha that protects them
	openings []opening
	behind   []answerer // what answers those that have passed
}

// opening is a handler that answers requests before the captcha.
type opening struct {
	answerer
	branch
}

// serves reports whether something is given away that a captcha could protect.
func (w way) serves() (answerer, bool) {
	for _, o := range w.openings {
		if o.answerer.serves != nothing {
			return o.answerer, true
		}
	}
	return answerer{}, false
}

// follow follows the requests to the captcha and beyond.
func (c *checker) follow(g *gate, q requests) (w way) {
	c.walk(g, q, &flow{
		meet: func(known Handler, handler any, b *branch) bool {
			switch {
			case handler == g.handler:
				w.arrived = append(w.arrived, *b)
				b.passed = true
			case !b.passed && known.Kind == Captcha && q.matchesAny(known.Matchers, false) == yes:
				w.gated = true
				return false
			}
			return true
		},
		answer: func(a answerer, b branch) {
			if b.passed {
				w.behind = append(w.behind, a)
			} else {
				w.openings = append(w.openings, opening{a, b})
			}
		},
	})
	return w
}

// walk lets the flow follow the requests from where those to the gate begin.
func (c *checker) walk(g *gate, q requests, f *flow) {
	f.checker, f.requests, f.named, f.around = c, q, g.named, g.around
	f.routes(g.entry, []branch{{}})
}

// facts returns what is known of the requests that reach the gate's place, of
// which keep is true.
func (g *gate) facts(keep func(matcher any) bool) (q requests) {
	for _, a := range g.around {
		if len(a.route.MatcherSets) != 1 {
			continue
		}
		for _, matcher := range a.route.MatcherSets[0] {
			// Where one contradicts another there is a rewriter between them.
			if matcher = plain(matcher); keep(matcher) && !q.excludes(matcher, false) {
				q = q.with(matcher)
			}
		}
	}
	return q
}

func everything(any) bool { return true }

// ofClient reports whether the matcher is about neither path nor method nor
// query, which other requests of the same client to the same site share.
func ofClient(matcher any) bool { return !looksAtLine(matcher) }

// protected returns the requests that the captcha protects, in parts.
func (g *gate) protected() (parts []requests) {
	base := g.facts(everything)
	if len(g.Matchers) == 0 {
		return []requests{base}
	}
	for _, set := range g.Matchers {
		fill := base
		var paths caddyhttp.MatchPath
		for _, matcher := range set {
			switch m := plain(matcher).(type) {
			case caddyhttp.MatchPath:
				paths = append(paths, m...)
			default:
				fill = fill.with(m)
			}
		}
		for _, pattern := range paths {
			path := caddyhttp.MatchPath{pattern}
			if base.excludes(path, false) {
				continue // there is a rewriter between, or another pattern that fits
			}
			part := fill.with(path)
			part.own = []any{path}
			parts = append(parts, part)
		}
		if len(paths) == 0 || len(parts) == 0 {
			parts = append(parts, fill)
		}
	}
	return parts
}

// checkMatcherless finds a captcha whose only argument is a policy's name.
func (c *checker) checkMatcherless(g *gate) {
	if len(g.Matchers) > 0 || !g.Named || g.onError {
		return
	}
	for _, a := range g.around {
		for _, set := range a.route.MatcherSets {
			if slices.ContainsFunc(set, func(matcher any) bool { return !isHost(plain(matcher)) }) {
				return
			}
		}
	}
	c.report(g, false, fmt.Sprintf("%s has no matcher, so it protects everything, pictures and style sheets included: if %q was meant as a path, write `captcha /%s* {`, or `captcha /%s* %s {` to keep the policy's name; if everything is meant, write `captcha * %s {` or leave it", g, g.Policy, g.Policy, g.Policy, g.Policy, g.Policy))
}

// checkContradiction finds a captcha that asks for what never comes to its
// place.
func (c *checker) checkContradiction(g *gate) bool {
	if len(g.Matchers) == 0 {
		return false
	}
	base := g.facts(everything)
	for _, set := range g.Matchers {
		if !slices.ContainsFunc(set, func(matcher any) bool { return base.excludes(plain(matcher), false) }) {
			return false
		}
	}
	for _, b := range c.follow(g, base).arrived {
		if len(b.moved) > 0 || b.host != no {
			return false // they may come as something else
		}
	}
	c.report(g, true, fmt.Sprintf("%s protects nothing: the routes around it admit %s only, and none of that is matched by %s; put it at the level of the site", g, g.blocks(), describeSets(g.Matchers)))
	return true
}

// checkOpen finds what answers the requests before the captcha.
func (c *checker) checkOpen(g *gate, part requests, w way) {
	what := "the requests that it protects"
	if len(part.own) > 0 {
		what = "requests for " + describe(part.own[0])[len("path "):]
	}
	const advice = "put captcha before it: at the level of the site without an `order` of its own, or in a `route` in front of what answers"
	if len(w.arrived) == 0 && !w.gated {
		if a, ok := w.serves(); ok {
			c.report(g, true, fmt.Sprintf("%s never sees %s, the site is open: %s answers them before; %s", g, what, a.name, advice))
		} else if len(w.openings) > 0 {
			c.checkTurnedAway(g, part, w.openings[0].answerer, what)
		}
		return
	}
	for _, o := range w.openings {
		meant := o.aside || o.answerer.serves == content && o.beside
		if o.answerer.serves != nothing && !meant {
			c.report(g, false, fmt.Sprintf("%s does not see all of %s, the site may be open: %s may answer some before; %s, or exclude from the captcha's matcher what needs none", g, what, o.answerer.name, advice))
		}
	}
}

// checkTurnedAway finds a captcha before which all requests are turned away.
// That opens nothing. It is worth a word if something would be served behind
// the captcha; a site that does nothing but redirect is in order.
func (c *checker) checkTurnedAway(g *gate, part requests, by answerer, what string) {
	served := false
	c.walk(g, part, &flow{
		passAway: true,
		meet: func(_ Handler, handler any, b *branch) bool {
			b.passed = b.passed || handler == g.handler
			return true
		},
		answer: func(a answerer, b branch) { served = served || b.passed },
	})
	if served {
		c.report(g, false, fmt.Sprintf("%s never sees %s: %s answers all of them before, and what stands behind the captcha is never reached", g, what, by.name))
	}
}

// checkHost finds a handler that changes the Host before a captcha that looks
// at it. Caddy does not keep the one that the client sent.
func (c *checker) checkHost(g *gate, arrived []branch) {
	expression := false
	host := looksAt(g.Matchers, func(matcher any) bool {
		if m, ok := matcher.(*caddyhttp.MatchExpression); ok && strings.Contains(m.Expr, "host") {
			expression = true
		}
		return isHost(matcher)
	})
	if !host && !expression {
		return
	}
	certain, changed, by := host, false, ""
	for _, b := range arrived {
		certain = certain && b.host == yes
		if b.host != no {
			changed, by = true, b.hostBy
		}
	}
	if !changed {
		return
	}
	sees := "may see another host than the client sent"
	if certain {
		sees = "never sees the host that the client sent"
	}
	c.report(g, certain, fmt.Sprintf("%s looks at the host but %s: %s changes it before; put captcha before that, or the host into the address of the site and not into the captcha's matcher", g, sees, by))
}

// checkExemptions finds rewriters before a captcha that exempts paths: it sees
// the path as it was and as it is, and either protects.
func (c *checker) checkExemptions(g *gate, arrived []branch) {
	if len(exemptPatterns(g)) == 0 {
		return
	}
	for _, b := range arrived {
		for _, w := range b.moved {
			if in, out, ok := w.spellings(g); ok {
				c.report(g, false, fmt.Sprintf("%s exempts paths behind %s, which makes %s of %s: a request is exempt only if both paths are, for either protects; write both spellings into the `not path`", g, w, out.path, in.path))
			}
		}
	}
}

// spellings returns a line that is exempt before the rewriter or behind it,
// but not both.
func (w rewriter) spellings(g *gate) (in, out line, ok bool) {
	for _, in := range w.inputs(g) {
		outs, _ := w.outputs(in)
		for _, out := range outs {
			if exempts(g, in) && protects(g, out) != no || exempts(g, out) && protects(g, in) != no {
				return in, out, true
			}
		}
	}
	return line{}, line{}, false
}

// exempts reports whether a `not path` is what keeps the captcha from the line.
func exempts(g *gate, l line) bool {
	q := requests{target: &l.path, method: l.method}
	return len(g.Matchers) > 0 && !slices.ContainsFunc(g.Matchers, func(set caddyhttp.MatcherSet) bool {
		return !slices.ContainsFunc(set, func(matcher any) bool {
			not, ok := plain(matcher).(caddyhttp.MatchNot)
			return ok && looksAt(not.MatcherSets, isPath) && q.matchesOne(not, false) == no
		})
	})
}

// checkEndpoints finds a captcha whose endpoints no captcha gets requests for.
func (c *checker) checkEndpoints(g *gate) {
	const advice = "a browser cannot solve the captcha there; put captcha at the level of the site, or set base_path to a path under that of the block, as the client sees it"
	arrived, openings := c.endpoint(g, g.BasePath+"/challenge")
	if arrived {
		for _, o := range openings {
			if o.answerer.serves != nothing && !o.beside {
				c.report(g, false, fmt.Sprintf("the endpoints of %s, under %s, may be out of reach: %s may answer requests for them before; put captcha before it", g, g.BasePath, o.answerer.name))
			}
		}
		return
	}
	if !slices.ContainsFunc(g.protected(), func(part requests) bool { return len(c.follow(g, part).arrived) > 0 }) &&
		!slices.ContainsFunc(openings, func(o opening) bool { return o.answerer.serves != nothing }) &&
		len(openings) > 0 {
		return // everything is turned away
	}
	why := "the routes around it, " + g.blocks() + ", do not match them"
	if g.admits(g.BasePath + "/challenge") {
		why = "no captcha gets requests for them"
		if len(openings) > 0 {
			why = openings[0].answerer.name + " answers requests for them before"
		}
	}
	c.report(g, g.Clears, fmt.Sprintf("the endpoints of %s, under %s, are out of reach: %s; %s", g, g.BasePath, why, advice))
}

// admits reports whether the routes around the gate match requests for the
// path, as far as they are about paths.
func (g *gate) admits(path string) bool {
	q := requests{target: &path, method: http.MethodGet}
	return !slices.ContainsFunc(g.around, func(a around) bool { return q.matchesAny(a.route.MatcherSets, false) == no })
}

// endpoint follows requests that a page at the gate's place makes for the path.
func (c *checker) endpoint(g *gate, path string) (arrived bool, openings []opening) {
	q := g.facts(ofClient)
	q.target, q.method = &path, http.MethodGet
	c.walk(g, q, &flow{
		meet: func(known Handler, _ any, _ *branch) bool {
			arrived = arrived || known.Kind == Captcha
			return known.Kind != Captcha
		},
		answer: func(a answerer, b branch) { openings = append(openings, opening{a, b}) },
	})
	return arrived, openings
}
