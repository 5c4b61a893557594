package simulator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

// maxBody is how much of a request body is read, in bytes. The largest
// genuine call is well below 2 kB.
const maxBody = 64 << 10

// Call is a request to a provider's endpoint as it arrived.
type Call struct {
	Method string
	Host   string
	Path   string
	Header http.Header
	Query  url.Values // the parameters in the URL
	Form   url.Values // the parameters in an urlencoded body
	Body   []byte
}

// readCall reads the whole request. The error says that the body was too long
// or broke off; the call then holds what there was.
func readCall(w http.ResponseWriter, r *http.Request) (Call, error) {
	call := Call{
		Method: r.Method,
		Host:   r.Host,
		Path:   r.URL.Path,
		Header: r.Header.Clone(),
		Query:  r.URL.Query(),
		Form:   url.Values{},
	}
	var err error
	call.Body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return call, err
	}
	mediaType, _, _ := mime.ParseMediaType(call.Header.Get("Content-Type"))
	if mediaType == "application/x-www-form-urlencoded" {
		// As a form decoder of PHP would, keep what can be decoded.
		call.Form, _ = url.ParseQuery(string(call.Body))
	}
	return call, nil
}

// param returns a parameter from the body or else from the URL: GeeTest takes
// either.
func (c Call) param(name string) string {
	if c.Form.Has(name) {
		return c.Form.Get(name)
	}
	return c.Query.Get(name)
}

// recorder counts the calls by path and keeps the last of each. Only the
// providers' own paths have a record of their own, so it stays small.
type recorder struct {
	mu      sync.Mutex
	total   int
	counts  map[string]int
	last    map[string]Call
	changed chan struct{} // closed and replaced at every call
}

func (rec *recorder) record(call Call) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.total++
	if slices.Contains(providerPaths, call.Path) {
		if rec.counts == nil {
			rec.counts = make(map[string]int)
			rec.last = make(map[string]Call)
		}
		rec.counts[call.Path]++
		rec.last[call.Path] = call
	}
	if rec.changed != nil {
		close(rec.changed)
		rec.changed = nil
	}
}

// Calls returns how many requests arrived at the paths, or, without paths, at
// any path but /solve and /fault, whatever their method, merit and answer.
func (s *Simulator) Calls(paths ...string) int {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	if len(paths) == 0 {
		return s.calls.total
	}
	n := 0
	for _, path := range paths {
		n += s.calls.counts[path]
	}
	return n
}

// LastCall returns the last request that arrived at one of the providers'
// paths, and whether there was one.
func (s *Simulator) LastCall(path string) (Call, bool) {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	call, ok := s.calls.last[path]
	if !ok {
		return Call{}, false
	}
	call.Header = call.Header.Clone()
	call.Query = cloneValues(call.Query)
	call.Form = cloneValues(call.Form)
	call.Body = bytes.Clone(call.Body)
	return call, true
}

func cloneValues(values url.Values) url.Values {
	return url.Values(http.Header(values).Clone())
}

// AwaitCalls returns when at least n requests have arrived at the path. The
// error is that of a context that ends first.
func (s *Simulator) AwaitCalls(ctx context.Context, path string, n int) error {
	for {
		s.calls.mu.Lock()
		got := s.calls.counts[path]
		if s.calls.changed == nil {
			s.calls.changed = make(chan struct{})
		}
		changed := s.calls.changed
		s.calls.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d calls of %s arrived: %w", got, n, path, context.Cause(ctx))
		}
	}
}
