package placement

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// answer is that of matchers about a set of requests.
type answer int

const (
	no      answer = iota // they match none of them
	perhaps               // they match some of them, or nobody knows
	yes                   // they match all of them
)

// requests is a set of requests, by what is known of all of them.
type requests struct {
	facts []any // matchers that match them all
	own   []any // those of the facts that the captcha itself asks for

	// target is the path that all of them ask for, if it is one; it may be
	// empty, as that of an opaque target is.
	target *string
	method string // of all, if it is one
}

// with returns the requests of the set that the matchers match, too.
func (q requests) with(matchers ...any) requests {
	q.facts = append(slices.Clip(q.facts), matchers...)
	return q
}

// matchesAny says whether any of the sets matches the requests; none matches
// all. If moved, their paths and methods are no longer those of the facts.
func (q requests) matchesAny(sets caddyhttp.MatcherSets, moved bool) answer {
	if len(sets) == 0 {
		return yes
	}
	any := no
	for _, set := range sets {
		any = max(any, q.matches(set, moved))
	}
	return any
}

func (q requests) matches(set caddyhttp.MatcherSet, moved bool) answer {
	all := yes
	for _, matcher := range set {
		all = min(all, q.matchesOne(plain(matcher), moved))
	}
	return all
}

func (q requests) matchesOne(matcher any, moved bool) answer {
	switch m := matcher.(type) {
	case caddyhttp.MatchNot:
		any := no
		for _, set := range m.MatcherSets {
			any = max(any, q.matches(set, moved))
		}
		if any == perhaps && q.implies(matcher, moved) {
			return yes
		}
		return yes - any
	case caddyhttp.MatchPath:
		if slices.Contains(m, "*") {
			return yes
		}
		if q.target != nil && !moved {
			return q.evaluate(m)
		}
		if slices.Contains(m, "/*") {
			return yes // but for targets that are none, which have a walk of their own
		}
	case caddyhttp.MatchPathRE:
		if q.target != nil && !moved {
			return q.evaluate(m)
		}
	case caddyhttp.MatchMethod:
		if q.method != "" && !moved {
			return q.evaluate(m)
		}
	}
	switch {
	case q.implies(matcher, moved):
		return yes
	case q.excludes(matcher, moved):
		return no
	}
	return perhaps
}

// implies reports whether the matcher follows from one of the facts.
func (q requests) implies(matcher any, moved bool) bool {
	return slices.ContainsFunc(q.facts, func(fact any) bool {
		return (!moved || !looksAtLine(fact)) && follows(fact, matcher)
	})
}

// excludes reports whether the matcher contradicts one of the facts.
func (q requests) excludes(matcher any, moved bool) bool {
	return slices.ContainsFunc(q.facts, func(fact any) bool {
		return (!moved || !looksAtLine(fact)) && contradict(fact, matcher)
	})
}

// evaluate asks a matcher that looks at nothing but the path and the method.
func (q requests) evaluate(matcher caddyhttp.RequestMatcherWithError) answer {
	r := &http.Request{Method: q.method, Header: make(http.Header), URL: new(url.URL)}
	if q.target != nil {
		r.URL.Path = *q.target
	}
	r = r.WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
	switch matched, err := matcher.MatchWithError(r); {
	case err != nil:
		return perhaps
	case matched:
		return yes
	}
	return no
}

// follows reports whether whatever the fact matches is matched by the matcher.
func follows(fact, matcher any) bool {
	kind, values, in, _ := alternatives(matcher)
	if factKind, facts, _, _ := alternatives(fact); kind != "" && kind == factKind {
		return !slices.ContainsFunc(facts, func(p string) bool {
			return !slices.ContainsFunc(values, func(q string) bool { return in(p, q) })
		})
	}
	// Not what is wider follows from not what is narrower.
	if not, ok := single(matcher); ok {
		if notFact, ok := single(fact); ok {
			return follows(not, notFact)
		}
	}
	return same(fact, matcher)
}

// contradict reports whether nothing is matched by both.
func contradict(fact, matcher any) bool {
	if not, ok := single(fact); ok && follows(matcher, not) {
		return true
	}
	kind, values, _, meet := alternatives(matcher)
	factKind, facts, _, _ := alternatives(fact)
	if kind == "" || kind != factKind {
		return false
	}
	return !slices.ContainsFunc(facts, func(p string) bool {
		return slices.ContainsFunc(values, func(q string) bool { return meet(p, q) })
	})
}

// single returns the matcher that is negated, if it is the only one.
func single(matcher any) (any, bool) {
	not, ok := matcher.(caddyhttp.MatchNot)
	if !ok || len(not.MatcherSets) != 1 || len(not.MatcherSets[0]) != 1 {
		return nil, false
	}
	return plain(not.MatcherSets[0][0]), true
}

// same reports whether two matchers are configured alike. The clock and the
// like may still make them differ, but not for one request.
func same(a, b any) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	textA, errA := json.Marshal(a)
	textB, errB := json.Marshal(b)
	// A matcher that cannot be written says nothing of itself.
	return errA == nil && errB == nil && len(textA) > 2 && string(textA) == string(textB)
}

// plain returns the matcher as a value, where Caddy may have a pointer to one.
func plain(matcher any) any {
	switch m := matcher.(type) {
	case *caddyhttp.MatchPath:
		return *m
	case *caddyhttp.MatchPathRE:
		return *m
	case *caddyhttp.MatchHost:
		return *m
	case *caddyhttp.MatchMethod:
		return *m
	case *caddyhttp.MatchNot:
		return *m
	}
	return matcher
}

// looksAtLine reports whether the matcher may look at the path, the query or
// the method, which rewrites change.
func looksAtLine(matcher any) bool {
	switch m := matcher.(type) {
	case caddyhttp.MatchHost, *caddyhttp.MatchHeader, caddyhttp.MatchHeader,
		*caddyhttp.MatchProtocol, caddyhttp.MatchProtocol,
		*caddyhttp.MatchRemoteIP, *caddyhttp.MatchClientIP:
		return false
	case caddyhttp.MatchNot:
		return slices.ContainsFunc(m.MatcherSets, func(set caddyhttp.MatcherSet) bool {
			return slices.ContainsFunc(set, func(inner any) bool { return looksAtLine(plain(inner)) })
		})
	}
	return true
}

// looksAt reports whether one of the sets holds, at any depth, a matcher for
// which the function returns true.
func looksAt(sets caddyhttp.MatcherSets, is func(matcher any) bool) bool {
	for _, set := range sets {
		for _, matcher := range set {
			matcher = plain(matcher)
			if is(matcher) {
				return true
			}
			if not, ok := matcher.(caddyhttp.MatchNot); ok && looksAt(not.MatcherSets, is) {
				return true
			}
		}
	}
	return false
}

func isHost(matcher any) bool { _, ok := matcher.(caddyhttp.MatchHost); return ok }

// isPath reports whether the matcher asks for paths: not `not path`.
func isPath(matcher any) bool {
	switch matcher.(type) {
	case caddyhttp.MatchPath, caddyhttp.MatchPathRE:
		return true
	}
	return false
}
