// Package response gives this module the last word on the header of an answer.
//
// Caddy's directive header can defer its operations until an answer is written.
// It wraps the response writer for that, so whatever a handler behind it says
// can be overwritten: a site-wide Cache-Control would make refusals cacheable.
// The writers of this package stand beneath such wrappers. [Final] is for our
// own answers, and [Private] for those of the application.
package response

import (
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// writer settles the header of an answer once, before the first of it is passed
// on, and is transparent in everything else. Hijacking, deadlines and full
// duplex reach the writer beneath by Unwrap.
type writer struct {
	caddyhttp.ResponseWriterWrapper // has the writer beneath

	rule    rule
	settled bool
}

// rule changes a header that is about to be written.
type rule interface {
	apply(header http.Header)
}

func (w *writer) settle() {
	if !w.settled {
		w.settled = true
		w.rule.apply(w.Header())
	}
}

// WriteHeader settles the header of a final answer. One that is only
// informational passes as it is, and another answer follows it.
func (w *writer) WriteHeader(status int) {
	if status < 100 || status > 199 {
		w.settle()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.settle()
	return w.ResponseWriter.Write(p)
}

// ReadFrom lets the connection read from a file by itself (sendfile).
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	w.settle()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what [http.ResponseController] calls to flush.
func (w *writer) FlushError() error {
	w.settle()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

var (
	_ http.ResponseWriter = (*writer)(nil)
	_ http.Pusher         = (*writer)(nil)
	_ io.ReaderFrom       = (*writer)(nil)
)
