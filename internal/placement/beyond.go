package placement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// The checks of this file are about requests that a captcha does not match,
// but which reach the application that it protects.

// anyOf reports whether the answerer may be an application that one of the
// others is. If none of those is an application, any is.
func anyOf(a answerer, others []answerer) bool {
	if a.serves != program {
		return false
	}
	others = slices.DeleteFunc(slices.Clone(others), func(other answerer) bool { return other.serves != program })
	return len(others) == 0 || slices.ContainsFunc(others, func(other answerer) bool {
		return a.application == "" || other.application == "" || a.application == other.application
	})
}

// checkCrossings finds rewriters behind the captcha that lead to what it
// protects.
func (c *checker) checkCrossings(g *gate, behind []answerer) {
	if len(g.Matchers) == 0 {
		return
	}
	known := make(map[*rewrite.Rewrite]*crossing)
	c.walk(g, g.facts(everything), &flow{
		meet: func(known Handler, handler any, b *branch) bool {
			if handler == g.handler {
				b.passed = true
				return b.crossing == nil
			}
			if b.crossing == nil || known.Kind != Captcha {
				return true
			}
			return requests{target: &b.crossing.to.path, method: b.crossing.to.method}.matchesAny(known.Matchers, false) != yes
		},
		rewrite: func(w rewriter, b *branch) {
			if !b.passed || b.crossing != nil {
				return
			}
			found, ok := known[w.Rewrite]
			if !ok {
				if from, to, ok := w.leads(g); ok {
					found = &crossing{w, from, to}
				}
				known[w.Rewrite] = found
			}
			b.crossing = found
		},
		answer: func(a answerer, b branch) {
			if b.crossing == nil || !anyOf(a, behind) {
				return
			}
			x := b.crossing
			way := fmt.Sprintf("makes %s of %s", x.to.path, x.from.path)
			if x.to.path == unknownPath {
				way = "may make such a path of another"
			} else if x.to.method != x.from.method {
				way = fmt.Sprintf("makes %s %s of %s %s", x.to.method, x.to.path, x.from.method, x.from.path)
			}
			c.report(g, false, fmt.Sprintf("%s stands before %s, which %s: such a request has not been matched when it comes to %s; put captcha behind it, or write both paths into the captcha's matcher", g, x.by, way, a.name))
		},
	})
}

// checkBlock finds requests that the routes around the captcha send elsewhere,
// where the same application answers. Matchers of routes look at a request in
// one way, those of a captcha in all the ways that applications do.
func (c *checker) checkBlock(g *gate, behind []answerer) {
	blocks := g.pathBlocks()
	if len(blocks) == 0 || !slices.ContainsFunc(behind, func(a answerer) bool { return a.serves == program }) {
		return
	}
	base := g.facts(func(matcher any) bool { return !isPath(matcher) })
	for _, block := range blocks {
		for _, exact := range exactPaths(block) {
			path := exact + "/"
			q := base
			q.target = &path
			if name, ok := c.elsewhere(g, q, behind); ok {
				c.report(g, false, fmt.Sprintf("%s stands in a block for exactly %s: requests for %s, which may be the same page to the application, go to %s without a captcha; match %s*", g, exact, path, name, exact))
			}
		}
	}
	other := base
	for _, block := range blocks {
		other = other.with(caddyhttp.MatchNot{MatcherSets: block})
	}
	if name, ok := c.elsewhere(g, other, behind); ok {
		c.report(g, false, fmt.Sprintf("%s stands in a block for %s, and %s answers outside of it, too: a path that the application reads as one of the block's but Caddy does not (such as /;/x, //host/x or /x%%2F..%%2Fy) goes there without a captcha; put captcha at the level of the site, with the path as its matcher", g, describeSets(blocks[len(blocks)-1]), name))
	}
	rootless := base
	rootless.target = new(string)
	if name, ok := c.elsewhere(g, rootless, behind); ok {
		c.report(g, false, fmt.Sprintf("%s stands in a block for %s, and requests whose target is no path (such as x:http://x/y) go to %s without a captcha; put captcha at the level of the site, or refuse them there: `@rootless not path /*` and `handle @rootless {`, `error 400`, `}` (or `error @rootless 400` in a `route` before everything that answers)", g, describeSets(blocks[len(blocks)-1]), name))
	}
}

// elsewhere returns what answers requests of the set without a captcha, if it
// may be the application behind the captcha.
func (c *checker) elsewhere(g *gate, q requests, behind []answerer) (name string, found bool) {
	c.walk(g, q, &flow{
		meet: func(known Handler, handler any, _ *branch) bool {
			if known.Kind != Captcha {
				return true
			}
			rootless := q.target != nil && *q.target == "" // which any captcha refuses
			return handler != g.handler && !rootless && q.matchesAny(known.Matchers, false) != yes
		},
		answer: func(a answerer, _ branch) {
			if !found && anyOf(a, behind) {
				name, found = a.name, true
			}
		},
	})
	return name, found
}

// pathBlocks returns the matchers of the routes around the captcha that are
// about paths.
func (g *gate) pathBlocks() (blocks []caddyhttp.MatcherSets) {
	for _, a := range g.around {
		if slices.ContainsFunc(a.route.MatcherSets, func(set caddyhttp.MatcherSet) bool {
			return slices.ContainsFunc(set, func(matcher any) bool { return isPath(plain(matcher)) })
		}) {
			blocks = append(blocks, a.route.MatcherSets)
		}
	}
	return blocks
}

// exactPaths returns the paths that the sets match without what begins with
// them.
func exactPaths(sets caddyhttp.MatcherSets) (exact []string) {
	for _, set := range sets {
		for _, matcher := range set {
			paths, ok := plain(matcher).(caddyhttp.MatchPath)
			if !ok {
				continue
			}
			for _, path := range paths {
				if isExact(path) && !opaquePattern(path) && !strings.HasSuffix(path, "/") {
					exact = append(exact, path)
				}
			}
		}
	}
	return exact
}

// checkInject checks the place of a captcha_inject.
func (c *checker) checkInject(g *gate) {
	of := slices.IndexFunc(c.gates, func(other *gate) bool { return other.Kind == Captcha && other.Policy == g.Policy })
	if of < 0 || g.onError || g.late {
		return // a policy that does not exist is found elsewhere
	}
	base := c.gates[of].BasePath
	if arrived, _ := c.endpoint(g, base+"/page"); !arrived {
		c.report(g, true, fmt.Sprintf("%s puts a script into pages that is out of reach there: no captcha gets requests under %s; put `captcha ... %s` on the same site", g, base, g.Policy))
		return
	}
	hosts := g.facts(isHost)
	if !slices.ContainsFunc(c.gates, func(other *gate) bool {
		return other.Kind == Captcha && other.Policy == g.Policy && other.server == g.server &&
			!slices.ContainsFunc(other.facts(isHost).facts, func(fact any) bool { return hosts.excludes(fact, false) })
	}) {
		c.report(g, false, fmt.Sprintf("%s has no captcha of its policy on the same site: nothing there asks for what a browser gets for solving it; put `captcha ... %s` on the site", g, g.Policy))
	}
	w := c.follow(g, g.facts(everything))
	if a, ok := w.serves(); ok && len(w.arrived) == 0 && !w.gated {
		c.report(g, false, fmt.Sprintf("%s does nothing: %s answers before; put captcha_inject before it", g, a.name))
	}
}

// String says which handler it is and where it stands, as one would write it
// in a Caddyfile.
func (g *gate) String() string {
	name := "captcha"
	if g.Kind == Inject {
		name = "captcha_inject"
	}
	text := fmt.Sprintf("%s of policy %q", name, g.Policy)
	if len(g.Matchers) > 0 {
		text += " (" + describeSets(g.Matchers) + ")"
	}
	if blocks := g.blocks(); blocks != "" {
		return text + " in " + blocks
	}
	return text + " on server " + g.server
}

// blocks describes the matchers of the routes around the gate.
func (g *gate) blocks() string {
	var parts []string
	for _, a := range g.around {
		if len(a.route.MatcherSets) > 0 {
			parts = append(parts, describeSets(a.route.MatcherSets))
		}
	}
	return strings.Join(parts, " > ")
}
