package extract

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// The media types of forms.
const (
	typeURLEncoded = "application/x-www-form-urlencoded"
	typeMultipart  = "multipart/form-data"
)

// statusClientClosedRequest is what Caddy logs when the client has gone.
const statusClientClosedRequest = 499

// hasBody reports whether the request may have a body. Caddy wraps every body,
// so http.NoBody says little. HTTP/3 and chunked bodies have the length -1.
func hasBody(r *http.Request) bool {
	return r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody
}

// searchableType returns the media type of a body that can be searched, in
// lower case, and the empty string when there is none. After CONNECT and
// Upgrade the body may be a live stream, whose end would never come; RFC 10036
// forbids to hold an Incremental one back; a Content-Encoding would have to be
// decoded first, at a length that the client chooses.
func searchableType(r *http.Request) string {
	if !hasBody(r) || r.Method == http.MethodConnect || len(r.Header["Upgrade"]) > 0 || caddyhttp.IsIncremental(r.Header) {
		return ""
	}
	for _, coding := range r.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return ""
		}
	}
	// Of two types the application may believe the other one.
	if len(r.Header["Content-Type"]) != 1 {
		return ""
	}
	// A defect in the parameters (RFC 9110, 8.3.1) must not hide a body that
	// the application reads all the same, so mime.ParseMediaType is left to
	// the one type that depends on them.
	mediaType, _, _ := strings.Cut(r.Header["Content-Type"][0], ";")
	return strings.ToLower(strings.TrimSpace(mediaType))
}

// carriedBy reports whether a body of the media type can be the source.
func (s Source) carriedBy(mediaType string) bool {
	if s == Form {
		return mediaType == typeURLEncoded || mediaType == typeMultipart
	}
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// maxForm is how long a form may be, in bytes, to be read for ReadForm.
const maxForm = 1 << 20

// ReadForm returns the whole body of a form, if it is no longer than what
// Extract searches and than 1 MiB, and puts it back as Extract does, before or
// after which it can be called. It returns false where there is no such body,
// or no memory for it, or where it could not be read within timeout; complete
// says whether all of the body has been read from the client.
func (e *Extractor) ReadForm(w http.ResponseWriter, r *http.Request, timeout time.Duration, memory Memory) (body []byte, complete, ok bool) {
	limit := min(e.bodyLimit, maxForm)
	if r.ContentLength == 0 {
		return nil, true, len(r.Header["Content-Type"]) == 1
	}
	if r.ContentLength > int64(limit) || !Form.carriedBy(searchableType(r)) {
		return nil, false, false
	}
	held := loan{memory: memory}
	defer held.repay()
	read, err := readBody(w, r, limit, timeout, &held)
	if err != nil || read.refused || read.truncated {
		return nil, read.ended, false
	}
	body = make([]byte, 0, read.length)
	for c := read.first; c != nil; c = c.next {
		body = append(body, c.bytes...)
	}
	return body, true, true
}

// searchBody looks for the proof in what was read of the body.
func (e *Extractor) searchBody(mediaType, contentType string, body prefix) proof {
	found := proof{wanted: e}
	switch {
	case body.length == 0: // as over HTTP/3, where a GET has the length -1
	case mediaType == typeURLEncoded:
		searchForm(&found, body)
	case mediaType == typeMultipart:
		searchMultipart(&found, contentType, body)
	default:
		searchJSON(&found, body)
	}
	return found
}

// prefix is what was read of a body.
type prefix struct {
	first     *chunk
	length    int
	truncated bool // the body is longer than the limit
	ended     bool // nothing of the body is left to read
	refused   bool // there was no memory for what is searched of it
}

// start returns the beginning of the body.
func (p prefix) start() cursor { return cursor{next: p.first} }

// readBody reads the body as far as it is searched, one byte more than the
// limit so as to know whether there is more, and puts it back. It reads within
// timeout, if that is positive, and no more than the loan has memory for.
//
// The means of net/http do not leave a request as it was: ParseForm consumes
// the body, MaxBytesReader ends it at the limit, and a GetBody would be used by
// transports even after a later handler has replaced the body.
func readBody(w http.ResponseWriter, r *http.Request, limit int, timeout time.Duration, memory *loan) (prefix, error) {
	control := http.NewResponseController(w)
	ceiling := readTimeout(r)
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
		if !ceiling.IsZero() && ceiling.Before(deadline) {
			deadline = ceiling
		}
		// Where this is not supported, the clock between reads has to do.
		// Caddy's own idle timeout takes it as a ceiling.
		_ = control.SetReadDeadline(deadline)
	}
	first, length, err := readChunks(r.Body, limit+1, r.ContentLength, deadline, memory)
	read := prefix{first: first, length: length, truncated: length > limit, ended: err == io.EOF}
	if err == errMemory {
		read.refused, err = true, nil
	}
	r.Body = restore(read, r.Body, err)
	slow := isTimeout(err)
	if timeout > 0 && !slow {
		// An expired deadline stays: without it, a client that has stopped
		// sending could hold up the server, which drains the rest.
		_ = control.SetReadDeadline(ceiling)
	}
	if err != nil && err != io.EOF {
		if slow && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // RFC 9110, 15.5.9
		}
		return prefix{}, readError(r, err)
	}
	return read, nil
}

// readTimeout returns when the server's read_body timeout ends the request, or
// zero if it has none. With idle timeouts off that deadline is ours to restore.
func readTimeout(r *http.Request) time.Time {
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	start, ok := caddyhttp.GetVar(r.Context(), "start_time").(time.Time)
	if server == nil || !ok || server.ReadTimeout <= 0 {
		return time.Time{}
	}
	return start.Add(time.Duration(server.ReadTimeout))
}

// restored is a body of which a part has been read, and put back. It lets go
// of that part as it is read again.
type restored struct {
	read   cursor
	err    error // what ended the body; nil: there is more to read
	body   io.ReadCloser
	closed atomic.Bool // a transport may close while it reads
}

// restore returns the body from its beginning. err is what reading it ended
// with, if it did.
func restore(read prefix, body io.ReadCloser, err error) io.ReadCloser {
	return &restored{read: read.start(), err: err, body: body}
}

func (b *restored) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.read.fill():
		return b.read.Read(p)
	case b.err != nil:
		return 0, b.err
	}
	return b.body.Read(p)
}

// Close ends all of the body. What was put back must not outlive the rest, or
// a proxy whose first attempt broke off would send it as if it were the whole.
func (b *restored) Close() error {
	b.closed.Store(true)
	return b.body.Close()
}

// readError gives an error of the body the status that it has for the client.
// Caddy takes any other error for the server's own (500, and an error log),
// which clients must not be able to cause.
func readError(r *http.Request, err error) error {
	if _, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		return err // such as the 413 of request_body
	}
	// Such as broken chunks. What net/http says of them can quote the body.
	status, text := http.StatusBadRequest, "its framing is broken"
	_, broken := errors.AsType[*net.OpError](err)
	switch {
	case isTimeout(err): // first, because net/http then cancels the context as well
		status, text = http.StatusRequestTimeout, "it came too slowly"
	case broken, errors.Is(err, io.ErrUnexpectedEOF), r.Context().Err() != nil,
		r.ProtoMajor == 3: // its streams fail when they are reset
		status, text = statusClientClosedRequest, "the client left"
	}
	return caddyhttp.Error(status, bodyError{err, text})
}

// bodyError is an error of reading the body, less its text.
type bodyError struct {
	cause error
	text  string
}

func (e bodyError) Error() string { return "reading the request body: " + e.text }
func (e bodyError) Unwrap() error { return e.cause }

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
