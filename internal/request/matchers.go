package request

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// maxReadings is how many readings of one request are evaluated, the request's
// own included. A request that has more counts as matched.
const maxReadings = 32

// Matchers says which requests are protected. An application does not always
// read a request as Caddy does, so the matchers are evaluated on every reading
// of it, and one that matches protects.
type Matchers struct {
	sets   caddyhttp.MatcherSets
	groups []group
	sight  sight // of all groups together

	foreseeable bool
}

// group holds the matcher sets that can see the same parts of a request, and
// so are evaluated on the same readings.
type group struct {
	sight sight
	sets  []set
}

// set is a matcher set in two halves.
type set struct {
	varied caddyhttp.MatcherSet // are evaluated on every reading
	fixed  caddyhttp.MatcherSet // are evaluated once, on the request itself
}

// NewMatchers returns the matchers of provisioned sets. It asks each matcher
// what it can see, so that a request is read only in ways that can make a
// difference. Without a set every request matches.
func NewMatchers(sets caddyhttp.MatcherSets) *Matchers {
	m := &Matchers{sets: sets, foreseeable: true}
	for _, matchers := range sets {
		m.foreseeable = m.foreseeable && foreseeable(matchers)
		var seen sight
		var s set
		for _, matcher := range matchers {
			switch what := look(matcher); {
			case what.parts == 0 || what.body:
				s.fixed = append(s.fixed, matcher)
				seen.writes = seen.writes || what.writes
			default:
				s.varied = append(s.varied, matcher)
				seen = seen.with(what)
			}
		}
		if seen.parts != 0 {
			m.add(seen, s)
			m.sight = m.sight.with(seen)
		}
	}
	return m
}

// Sets returns the matcher sets as they were given.
func (m *Matchers) Sets() caddyhttp.MatcherSets { return m.sets }

// Foreseeable reports whether method, host and URL alone decide what matches.
func (m *Matchers) Foreseeable() bool { return m.foreseeable }

// LooksAtQuery reports whether the query can make a difference.
func (m *Matchers) LooksAtQuery() bool { return m.sight.parts&queryPart != 0 }

// foreseeable reports whether the matchers look at nothing but path, method,
// host and query.
func foreseeable(matchers caddyhttp.MatcherSet) bool {
	for _, matcher := range matchers {
		switch m := value(matcher).(type) {
		case caddyhttp.MatchPath, caddyhttp.MatchMethod, caddyhttp.MatchHost, caddyhttp.MatchQuery:
			if look(matcher).equal(everything) { // it has a placeholder
				return false
			}
		case caddyhttp.MatchNot:
			for _, set := range m.MatcherSets {
				if !foreseeable(set) {
					return false
				}
			}
		default:
			return false
		}
	}
	return true
}

// add puts the set into the group that sees the same, or makes one.
func (m *Matchers) add(seen sight, s set) {
	for i := range m.groups {
		if m.groups[i].sight.equal(seen) {
			m.groups[i].sets = append(m.groups[i].sets, s)
			return
		}
	}
	m.groups = append(m.groups, group{seen, []set{s}})
}

// Match reports whether the request, or a reading of it, matches. The request
// as it is comes first: an error of that evaluation is returned as it is, and
// only that evaluation leaves anything behind in the request's placeholders
// and variables. An error in another reading counts as a match, and so does a
// request with too many readings.
func (m *Matchers) Match(r *http.Request) (bool, error) {
	matched, err := m.sets.AnyMatchWithError(r)
	if matched || err != nil || m.sight.parts == 0 {
		return matched, err
	}
	sent := Original(r)
	if !m.sight.differs(r, &sent) {
		return false, nil
	}
	return m.matchesReading(r, &sent), nil
}

// matchesReading evaluates all readings but the request's own.
func (m *Matchers) matchesReading(r *http.Request, sent *Line) bool {
	groups := make([]readings, len(m.groups))
	total := 1
	for i := range m.groups {
		groups[i].read(&m.groups[i].sight, r, sent)
		count := groups[i].count()
		if count > maxReadings {
			return true
		}
		total += count - 1
	}
	if total > maxReadings {
		return true
	}
	if total == 1 {
		return false
	}
	s := newStage(r)
	defer s.restore()
	for i := range groups {
		for reading := range groups[i].others() {
			for j := range m.groups[i].sets {
				if s.shows(&reading, &m.groups[i].sets[j], m.groups[i].sight.writes) {
					return true
				}
			}
		}
	}
	return false
}

// differs is the one scan that an ordinary request pays for: it reports whether
// any part of the request that is seen may have a second reading. It may say
// yes where there is none, never no where there is one.
func (s *sight) differs(r *http.Request, sent *Line) bool {
	if s.parts&pathPart != 0 {
		if r.URL.Path != sent.URL.Path || s.oddPath(r.URL.Path) ||
			s.escapes && r.URL.RawPath != sent.URL.RawPath {
			return true
		}
	}
	if s.parts&queryPart != 0 && (r.URL.RawQuery != sent.URL.RawQuery || s.oddQuery(r.URL.RawQuery)) {
		return true
	}
	if s.parts&(pathPart|queryPart|methodPart) != 0 && namesAny(r.Header, targetHeaders[:]) {
		return true
	}
	if s.parts&hostPart != 0 && s.oddHost(r.Host) {
		return true
	}
	return s.parts&methodPart != 0 &&
		(r.Method != sent.Method || oddMethod(r.Method) || namesAny(r.Header, methodHeaders[:]) ||
			mayNameMethod(r.URL.RawQuery) || r.URL.RawQuery != sent.URL.RawQuery)
}

func namesAny(header http.Header, names []string) bool {
	for _, name := range names {
		if _, ok := header[name]; ok {
			return true
		}
	}
	return false
}
