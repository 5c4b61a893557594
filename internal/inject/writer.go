package inject

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// pageWriter takes the answer to a request for a page, on its way to the client.
type pageWriter struct {
	caddyhttp.ResponseWriterWrapper
	injector *Injector
	request  *http.Request

	fetched     bool // by a script, which may not want a page
	vary        []string
	revalidates bool // next was asked for a 304 of a page with our element

	phase    phase
	status   int
	declared int64 // what the Content-Length was, or -1
	received int64
	amended  bool // the header
	nonce    string

	first    []byte      // of a body whose type is not known
	frozen   http.Header // as next wrote it, while it is not sent
	trailers http.Header // that next has set meanwhile

	scanner *scanner
	decoder *decoder
}

// phase is how far the response is:
//
//	           WriteHeader              the place is found, or Flush
//	(waiting) ─────────────▶ (held) ──────────────────────────────▶ (sent)
//	    │                      │                                       │
//	    │ not a page for us    │ no place, and not decoded             │ scanned
//	    ▼                      ▼                                       ▼
//	(passing)              (passing)                         (passing), if not decoded
type phase uint8

const (
	waiting    phase = iota
	untyped          // the status is known, the Content-Type follows from the body
	held             // neither header nor body are sent
	sent             // the header is sent, the body is not yet scanned or is decoded
	passing          // what comes is passed on as it is
	discarding       // the answer to a HEAD
	hijacked         // there is none
)

// WriteHeader implements http.ResponseWriter.
func (w *pageWriter) WriteHeader(status int) {
	if status < 200 {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if w.phase != waiting {
		return
	}
	w.status = status
	h := w.Header()
	if _, typed := h["Content-Type"]; !typed && hasBody(status) && h["Content-Encoding"] == nil && w.request.Method != http.MethodHead {
		w.phase = untyped
		w.frozen = h.Clone()
		return
	}
	w.decide()
}

// thaw makes the header what it was when next wrote it: what next did to it
// since counts only if it is a trailer, which the answer has after the header.
func (w *pageWriter) thaw() {
	if w.frozen == nil {
		return
	}
	h := w.Header()
	w.trailers = make(http.Header)
	for key, values := range h {
		if strings.HasPrefix(key, http.TrailerPrefix) || httpguts.HeaderValuesContainsToken(w.frozen["Trailer"], key) {
			w.trailers[key] = values
		}
	}
	clear(h)
	maps.Copy(h, w.frozen)
	w.frozen = nil
}

// writeHeader sends the header.
func (w *pageWriter) writeHeader() {
	w.thaw()
	w.ResponseWriter.WriteHeader(w.status)
	maps.Copy(w.Header(), w.trailers)
	w.trailers = nil
}

// decide decides, by the header alone, whether this is a page for us.
func (w *pageWriter) decide() {
	h := w.Header()
	switch w.begin(h) {
	case held:
		w.phase = held
		w.scanner = newScanner(w, w.fetched)
		w.frozen = h.Clone()
	case discarding:
		w.amendHeader()
		w.phase = discarding
		w.writeHeader()
	default:
		w.phase = passing
		w.writeHeader()
	}
}

// begin returns the phase in which a response with this header begins.
func (w *pageWriter) begin(h http.Header) phase {
	switch {
	case w.status == http.StatusNotModified && w.revalidates:
		// It updates the header of a page with our element.
		w.amendHeader()
		return passing
	case !isHTML(h):
		return passing
	}
	addVary(h, w.vary)
	if !isShown(w.status, h) {
		return passing
	}
	if reason := obstacle(h); reason != "" {
		w.leave(reason)
		return passing
	}
	if w.request.Method == http.MethodHead {
		return discarding
	}
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil {
		w.declared = n
	}
	if encoding := contentEncoding(h); encoding != "" {
		w.decoder = newDecoder(decoders[encoding], w.document)
	}
	return held
}

// amendHeader makes the header that of a page with our element.
func (w *pageWriter) amendHeader() {
	w.thaw()
	h := w.Header()
	for _, key := range [...]string{"Accept-Ranges", "Content-Encoding", "Content-Length"} {
		delete(h, key)
	}
	w.deleteDigests("")
	if tag := h.Get("ETag"); tag != "" {
		h.Set("ETag", suffixTag(tag, w.injector.tagSuffix))
	}
	if nonce := w.csp().amendHeader(h); nonce != "" {
		w.nonce = nonce
	}
	w.amended = true
}

func (w *pageWriter) csp() cspSources { return w.injector.csp.on(w.request.Host) }

// element returns our element, which from now on the page has.
func (w *pageWriter) element() string {
	if !w.amended {
		w.amendHeader()
	}
	return w.injector.script(w.nonce, isIsolated(w.Header()))
}

// amendMeta returns the meta tag to put in the place of this one, if any.
func (w *pageWriter) amendMeta(tag []byte) []byte {
	amended, nonce := w.csp().amendMeta(tag)
	if w.nonce == "" {
		w.nonce = nonce
	}
	return amended
}

// deleteDigests deletes what was computed over the body without our element.
func (w *pageWriter) deleteDigests(prefix string) {
	for _, key := range [...]string{"Content-Digest", "Content-Md5", "Digest", "Repr-Digest"} {
		delete(w.Header(), prefix+key)
	}
}

func (w *pageWriter) leave(reason Reason) {
	if reason != "" && !w.fetched && w.injector.options.Log != nil {
		w.injector.options.Log(w.request, reason)
	}
}

// Write implements http.ResponseWriter.
func (w *pageWriter) Write(p []byte) (int, error) {
	if w.phase == waiting {
		w.WriteHeader(http.StatusOK)
	}
	if w.phase == untyped {
		w.first = append(w.first, p...)
		if len(w.first) < sniffed {
			return len(p), nil
		}
		return len(p), w.sniff()
	}
	switch w.phase {
	case passing:
		return w.ResponseWriter.Write(p)
	case discarding:
		return len(p), nil
	case hijacked:
		return 0, http.ErrHijacked
	default:
	}
	// Where the Content-Length is not known any more, net/http cannot hold next
	// to it.
	if w.declared >= 0 && w.received+int64(len(p)) > w.declared {
		return 0, http.ErrContentLength
	}
	w.received += int64(len(p))
	if w.decoder != nil {
		return w.decoder.Write(p)
	}
	if err := w.document(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sniffed is how much of a body net/http looks at for its type.
const sniffed = 512

// sniff decides by the first bytes of the body, as net/http does where there is
// no Content-Type. It does not wait for them when it is told to flush, either.
func (w *pageWriter) sniff() error {
	w.thaw()
	if len(w.first) == 0 {
		w.phase = passing
		w.writeHeader()
		return nil
	}
	w.phase = waiting
	if kind := http.DetectContentType(w.first); strings.HasPrefix(kind, "text/html") {
		w.Header().Set("Content-Type", kind)
	}
	w.decide()
	first := w.first
	w.first = nil
	_, err := w.Write(first)
	return err
}

// document takes a piece of the page.
func (w *pageWriter) document(p []byte) error {
	if w.scanner == nil {
		_, err := w.ResponseWriter.Write(p)
		return err
	}
	rest := w.scanner.feed(p)
	if w.phase == held && !w.scanner.inserted && !w.scanner.done {
		return nil
	}
	return w.send(rest)
}

// send sends what was scanned, and the rest if the scan is over. It sends the
// header before.
func (w *pageWriter) send(rest []byte) error {
	s := w.scanner
	if w.phase == held {
		w.phase = sent
		if !w.amended && (!s.done || w.decoder != nil) {
			w.amendHeader()
		}
		if w.amended && s.done && w.decoder == nil && w.declared >= 0 {
			grown := int64(len(s.buf)+len(rest)) - w.received
			w.Header()["Content-Length"] = []string{strconv.FormatInt(w.declared+grown, 10)}
			w.declared = -1
		}
		w.writeHeader()
	}
	if !s.done {
		n := s.ready()
		if n == 0 {
			return nil
		}
		_, err := w.ResponseWriter.Write(s.buf[:n])
		s.drop(n)
		return err
	}
	w.leave(s.reason)
	w.scanner = nil
	defer s.release()
	if w.decoder == nil && (w.declared < 0 || !w.amended) {
		w.phase = passing
	}
	// What was scanned goes out in one write, since encode judges a page by the
	// length of its first write.
	for _, p := range [...][]byte{s.buf, rest} {
		if len(p) > 0 {
			if _, err := w.ResponseWriter.Write(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// FlushError lets http.ResponseController flush. While the place for our
// element is sought, all that is before it goes out, if there is a page yet.
func (w *pageWriter) FlushError() error {
	switch w.phase {
	case untyped:
		if err := w.sniff(); err != nil {
			return err
		}
		return w.FlushError()
	case held:
		if !w.scanner.begun() {
			return nil
		}
		if err := w.send(nil); err != nil {
			return err
		}
	case waiting:
		w.WriteHeader(http.StatusOK)
		return w.FlushError()
	default:
	}
	return http.NewResponseController(w.ResponseWriter).Flush() //nolint:bodyclose
}

// Flush implements http.Flusher.
func (w *pageWriter) Flush() { _ = w.FlushError() }

// Hijack lets http.ResponseController hijack the connection, after which there
// is no answer of which this could say anything.
func (w *pageWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack() //nolint:bodyclose // it is the caller's
	if err == nil {
		w.phase = hijacked
	}
	return conn, rw, err
}

// ReadFrom implements io.ReaderFrom: what is not for us, or comes after our
// element, may be sent without being copied.
func (w *pageWriter) ReadFrom(r io.Reader) (n int64, err error) {
	if w.phase == waiting {
		w.WriteHeader(http.StatusOK)
	}
	if w.phase != passing {
		buf := make([]byte, 32<<10)
		for w.phase != passing {
			m, err := r.Read(buf)
			if m > 0 {
				k, err := w.Write(buf[:m])
				n += int64(k)
				if err != nil {
					return n, err
				}
			}
			if err == io.EOF {
				return n, nil
			}
			if err != nil {
				return n, err
			}
		}
	}
	m, err := w.ResponseWriterWrapper.ReadFrom(r)
	return n + m, err
}

// end ends the response when next has returned.
func (w *pageWriter) end(err error) error {
	if w.phase == untyped {
		_ = w.sniff() // an error of the client's connection
	}
	switch w.phase {
	case waiting:
		if err == nil && w.request.Method == http.MethodHead {
			w.WriteHeader(http.StatusOK)
		}
	case held, sent:
		if err == nil && w.decoder != nil {
			if err := w.decoder.Close(); err != nil {
				return w.broken(err)
			}
		}
		if err == nil && w.received < w.declared {
			return w.broken(io.ErrUnexpectedEOF)
		}
		if s := w.scanner; s != nil {
			if err == nil {
				s.end()
			} else {
				s.stop("")
			}
			_ = w.send(nil) // an error of the client's connection
		}
	case untyped, passing, discarding, hijacked:
	}
	if w.amended { // trailers
		w.deleteDigests("")
		w.deleteDigests(http.TrailerPrefix)
	}
	return err
}

// broken ends a response whose page is not whole.
func (w *pageWriter) broken(err error) error {
	if w.phase == held {
		return caddyhttp.Error(http.StatusBadGateway, fmt.Errorf("the application's page: %w", err))
	}
	if w.request.Context().Err() == nil { // else it is the client that left
		w.leave(Broken)
	}
	panic(http.ErrAbortHandler) // or the client would take it for whole
}

// abandon gives back what a response holds that did not end as it should.
func (w *pageWriter) abandon() {
	if w.decoder != nil {
		w.decoder.abandon()
	}
	if w.scanner != nil {
		w.scanner.release()
	}
}
