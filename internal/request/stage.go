package request

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// stage shows readings of a request to matchers. A reading is put into the
// request itself, and its URL into what r.URL points to, because Caddy's
// placeholders read from the request that the server made, and r may be a
// shallow copy of that one. Nothing else reads it meanwhile. Matchers that
// write anything get a copy of the request with a replacer of its own, and the
// variables are put back behind each.
type stage struct {
	r          *http.Request
	method     string
	target     *url.URL
	url        url.URL
	requestURI string
	host       string
	body       io.ReadCloser

	guard    guard
	ctx      context.Context // for matchers that write; made when one needs it
	replacer *caddy.Replacer // in it
	server   *caddy.Replacer // the request's own
	vars     map[string]any
	before   map[string]any // what was in vars
	detached bool           // whether placeholders read from a request that is not r
	blind    bool           // whether they read from another URL, too

	overridden map[string]any // what placeholders were before override
	fixed      map[*set]bool  // what the fixed matchers said
}

func newStage(r *http.Request) *stage {
	return &stage{r: r, method: r.Method, target: r.URL, url: *r.URL, requestURI: r.RequestURI, host: r.Host, body: r.Body}
}

// shows reports whether a matcher set matches the reading. An error counts as
// a match, and so does an attempt to read the body.
func (s *stage) shows(v *reading, to *set, writes bool) bool {
	matched, err := s.evaluate(v, to.varied, writes)
	if err != nil || s.guard.read {
		return true
	}
	return matched && s.matchesFixed(to, writes)
}

// matchesFixed evaluates the matchers that look at the request itself, once.
func (s *stage) matchesFixed(of *set, writes bool) bool {
	if len(of.fixed) == 0 {
		return true
	}
	matched, known := s.fixed[of]
	if !known {
		var err error
		matched, err = s.evaluate(nil, of.fixed, writes)
		matched = matched || err != nil
		if s.fixed == nil {
			s.fixed = make(map[*set]bool)
		}
		s.fixed[of] = matched
	}
	return matched
}

// evaluate evaluates matchers on the reading, or on the request itself where
// that is nil.
func (s *stage) evaluate(v *reading, matchers caddyhttp.MatcherSet, writes bool) (bool, error) {
	if !writes {
		s.put(v)
		return matchers.MatchWithError(s.r)
	}
	if s.ctx == nil {
		s.makeContext()
	}
	s.put(v)
	if v != nil {
		if s.blind {
			return true, nil // the matchers would not see the reading
		}
		s.r.RequestURI = s.r.URL.RequestURI()
		if s.detached {
			s.override(v)
		}
	}
	defer s.takeBack()
	r := s.r.WithContext(s.ctx)
	matched, err := matchers.MatchWithError(r)
	if v == nil { // the body may have been read, and be a buffer now
		if r.Body != s.body {
			s.r.Body = r.Body
		}
		s.body = s.r.Body
	}
	return matched, err
}

// takeBack takes back what matchers wrote.
func (s *stage) takeBack() {
	s.replacer.DeleteByPrefix("")
	if s.vars != nil {
		clear(s.vars)
		maps.Copy(s.vars, s.before)
	}
	s.uncover()
}

// put makes the request say what the reading says, or what it itself says.
func (s *stage) put(v *reading) {
	r := s.r
	r.URL = s.target
	*r.URL = s.url
	r.Method, r.RequestURI, r.Host, r.Body = s.method, s.requestURI, s.host, s.body
	if v == nil {
		return
	}
	r.Method, r.Host = v.method, v.host
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = v.path.decoded, v.path.raw, v.query
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &s.guard
	}
}

// restore leaves the request as it was.
func (s *stage) restore() { s.put(nil) }

// makeContext makes the context for matchers that write placeholders. Its
// replacer falls through to the request's own.
func (s *stage) makeContext() {
	ctx := s.r.Context()
	s.vars, _ = ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	s.before = maps.Clone(s.vars)
	s.replacer = caddy.NewEmptyReplacer()
	s.server, _ = ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if s.server != nil {
		s.replacer.Map(s.server.Get)
		s.probe()
	}
	s.ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, s.replacer)
}

// probe finds out whether the request's placeholders read from s.r. They do
// not where a handler made a copy of the server's request.
func (s *stage) probe() {
	const marker = "probe" // no method, and no path
	s.put(nil)
	s.r.Method, s.r.URL.Path = marker, marker
	method, known := s.server.Get(placeholderMethod)
	s.detached = known && method != any(marker)
	path, known := s.server.Get("http.request.uri.path")
	s.blind = known && path != any(marker)
	s.put(nil)
}

// The placeholders of which a shallow copy of a request has no share.
const (
	placeholderMethod   = "http.request.method"
	placeholderHost     = "http.request.host"
	placeholderHostPort = "http.request.hostport"
	placeholderPort     = "http.request.port"
	placeholderLabels   = "http.request.host.labels."
)

// override sets the placeholders that read from a request which the reading
// cannot be put into.
func (s *stage) override(v *reading) {
	host, port, err := net.SplitHostPort(v.host)
	if err != nil {
		host = v.host
	}
	s.set(placeholderMethod, v.method)
	s.set(placeholderHost, host)
	s.set(placeholderHostPort, v.host)
	s.set(placeholderPort, port)
	labels := strings.Split(host, ".")
	for i := range max(len(labels), strings.Count(s.host, ".")+1) {
		label := ""
		if i < len(labels) {
			label = strings.ToLower(labels[len(labels)-1-i])
		}
		s.set(placeholderLabels+strconv.Itoa(i), label)
	}
}

// set sets a placeholder of the server's request, and keeps what it was.
func (s *stage) set(name, value string) {
	if _, known := s.overridden[name]; !known {
		if s.overridden == nil {
			s.overridden = make(map[string]any)
		}
		s.overridden[name], _ = s.server.Get(name)
	}
	s.server.Set(name, value)
}

// uncover removes what override has set. A value that a handler had set before
// is set again; the others are read from the server's request as ever.
func (s *stage) uncover() {
	for name, before := range s.overridden {
		s.server.Delete(name)
		if now, _ := s.server.Get(name); caddy.ToString(now) != caddy.ToString(before) {
			s.server.Set(name, before)
		}
	}
	clear(s.overridden)
}

// guard stands in for the body while a reading is evaluated: the body belongs
// to the application.
type guard struct{ read bool }

var errGuarded = errors.New("the body is not to be read while a request is matched")

func (g *guard) Read([]byte) (int, error) {
	g.read = true
	return 0, errGuarded
}

func (*guard) Close() error { return nil }
