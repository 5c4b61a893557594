package extract

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const urlEncoded = "application/x-www-form-urlencoded"

func TestTheBodyIsSearchedAsWhatItsMediaTypeSays(t *testing.T) {
	const (
		pairs    = "ticket=t&randstr=r"
		document = `{"ticket":"t","randstr":"r"}`
	)
	parts := part("ticket", "t") + part("randstr", "r") + "--b--"
	for _, test := range []struct {
		contentType []string
		body        string
		want        Result
	}{
		{[]string{"application/x-www-form-urlencoded"}, pairs, found(Form, "t", "r")},
		{[]string{"APPLICATION/X-WWW-Form-URLEncoded ; charset=GBK"}, pairs, found(Form, "t", "r")},
		{[]string{"application/x-www-form-urlencoded; charset"}, pairs, found(Form, "t", "r")},
		{[]string{"application/x-www-form-urlencoded;"}, pairs, found(Form, "t", "r")},
		{[]string{"application/json"}, document, found(JSON, "t", "r")},
		{[]string{`Application/JSON; charset="utf-8"`}, document, found(JSON, "t", "r")},
		{[]string{"application/json; charset=utf-8; charset=utf-16"}, document, found(JSON, "t", "r")},
		{[]string{"application/vnd.api+json"}, document, found(JSON, "t", "r")},
		{[]string{"application/problem+JSON"}, document, found(JSON, "t", "r")},
		{[]string{"multipart/form-data; boundary=b"}, parts, found(Form, "t", "r")},
		{[]string{"Multipart/FORM-Data;BOUNDARY=\"b\""}, parts, found(Form, "t", "r")},
		{[]string{"multipart/form-data"}, parts, malformed(Form, ReasonBody)},
		{[]string{"multipart/form-data; boundary"}, parts, malformed(Form, ReasonBody)},

		// The type is a lie: what cannot be read is refused, not overlooked.
		{[]string{"application/json"}, pairs, malformed(JSON, ReasonBody)},
		{[]string{"multipart/form-data; boundary=b"}, document, malformed(Form, ReasonBody)},
		{[]string{"application/x-www-form-urlencoded"}, document, missing(ReasonNone)},
		{[]string{"application/x-www-form-urlencoded"}, parts, missing(ReasonNone)},

		// Not searched.
		{nil, pairs, missing(ReasonNone)},
		{[]string{""}, pairs, missing(ReasonNone)},
		{[]string{"text/plain"}, pairs, missing(ReasonNone)},
		{[]string{"text/json"}, document, missing(ReasonNone)},
		{[]string{"multipart/mixed; boundary=b"}, parts, missing(ReasonNone)},
		{[]string{"application/json, text/plain"}, document, missing(ReasonNone)},
		{[]string{"application/json", "application/json"}, document, missing(ReasonNone)},
		{[]string{"text/plain", "application/x-www-form-urlencoded"}, pairs, missing(ReasonNone)},
	} {
		t.Run(strings.Join(test.contentType, "|"), func(t *testing.T) {
			r := newRequest(test.body, "", -1)
			if test.contentType != nil {
				r.Header["Content-Type"] = test.contentType
			}
			check(t, extractFrom(t, New(parameters, allSources, bodyLimit), r, test.body), test.want)
		})
	}
}

func TestABodyThatMustNotBeHeldBackIsNotRead(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*http.Request)
		unread bool
	}{
		"CONNECT":        {func(r *http.Request) { r.Method = http.MethodConnect }, true},
		"Upgrade":        {func(r *http.Request) { r.Header.Set("Upgrade", "websocket") }, true},
		"Incremental":    {func(r *http.Request) { r.Header.Set("Incremental", "?1") }, true},
		"gzip":           {func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, true},
		"two codings":    {func(r *http.Request) { r.Header["Content-Encoding"] = []string{"identity", "br"} }, true},
		"no body":        {func(r *http.Request) { r.ContentLength = 0 }, false},
		"http.NoBody":    {func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, -1 }, false},
		"nil":            {func(r *http.Request) { r.Body, r.ContentLength = nil, -1 }, false},
		"proof in query": {func(r *http.Request) { r.URL.RawQuery = "ticket=t&randstr=r" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("", urlEncoded, -1)
			r.Body = io.NopCloser(iotest.ErrReader(errors.New("the body was read")))
			test.change(r)
			before := r.Body
			got, err := New(parameters, []Source{Query, Form, JSON}, bodyLimit).Extract(httptest.NewRecorder(), r, r.URL.RawQuery, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.BodyUnread != test.unread {
				t.Errorf("BodyUnread is %v", got.BodyUnread)
			}
			if r.Body != before {
				t.Error("the body was replaced")
			}
		})
	}
}

func TestABodyWithoutACodingIsRead(t *testing.T) {
	for _, codings := range [][]string{nil, {""}, {"identity"}, {"Identity"}} {
		const body = "ticket=t&randstr=r"
		r := newRequest(body, urlEncoded, -1)
		r.Header["Content-Encoding"] = codings
		r.Header["Incremental"] = []string{"?0"}
		check(t, extractFrom(t, New(parameters, allSources, bodyLimit), r, body), found(Form, "t", "r"))
	}
}

// The limit is moved byte by byte through each kind of body.
func TestOnlyWhatIsWhollyWithinTheLimitCounts(t *testing.T) {
	rest := strings.Repeat("x", 40)
	for name, test := range map[string]struct {
		contentType string
		proof       string // up to the last byte that is needed
		rest        string
		source      Source
	}{
		"pairs":                 {urlEncoded, "ticket=t&randstr=r&", rest, Form},
		"pair at the end":       {urlEncoded, "x=" + rest + "&ticket=t&randstr=r", "", Form},
		"members":               {"application/json", `{"ticket":"t","randstr":"r"`, `,"x":"` + rest + `"}`, JSON},
		"broken behind":         {"application/json", `{"ticket":"t","randstr":"r"`, rest, JSON},
		"parts":                 {"multipart/form-data; boundary=b", part("ticket", "t") + part("randstr", "r") + "--b\r", "\n" + rest, Form},
		"parts, end":            {"multipart/form-data; boundary=b", part("ticket", "t") + part("randstr", "r") + "--b--", rest, Form},
		"part, longer boundary": {"multipart/form-data; boundary=b", part("ticket", "t") + part("randstr", "r") + "--bcd" + rest, "", Form},
	} {
		t.Run(name, func(t *testing.T) {
			body := test.proof + test.rest
			for limit := range len(body) {
				got := extractFrom(t, New(parameters, allSources, int64(limit)), newRequest(body, test.contentType, -1), body)
				switch read := limit + 1; {
				case read >= len(test.proof) && test.rest != "":
					check(t, got, found(test.source, "t", "r"))
				case got.Status != Malformed: // a value that is longer than it seemed may be noticed early
					check(t, got, missing(ReasonBodyLimit))
				}
			}
		})
	}
}

func TestTheBodyIsWholeAfterwards(t *testing.T) {
	const limit = 64 << 10
	e := New(parameters, allSources, limit)
	readers := map[string]func(io.Reader) io.Reader{
		"plain":          func(r io.Reader) io.Reader { return r },
		"byte by byte":   iotest.OneByteReader,
		"half":           iotest.HalfReader,
		"data with EOF":  iotest.DataErrReader,
		"nothing, often": func(r io.Reader) io.Reader { return &hesitant{r: r} },
	}
	for _, size := range []int{0, 1, 4094, 4095, 4096, 4097, 8192, limit - 1, limit, limit + 1, limit + 2, 3 * limit} {
		body := []byte(strings.Repeat("0123456789=", size/11+1)[:size])
		for name, reader := range readers {
			for _, length := range []int64{-1, int64(size)} {
				r := newRequest("", urlEncoded, length)
				closer := &closeCounter{Reader: reader(bytes.NewReader(body))}
				r.Body = closer
				r.TransferEncoding = []string{"chunked"}
				r.Trailer = http.Header{"Digest": nil}
				header, trailer := r.Header.Clone(), r.Trailer
				got, err := e.Extract(httptest.NewRecorder(), r, "", 0, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := missing(ReasonNone)
				if size > limit {
					want = missing(ReasonBodyLimit)
				}
				check(t, got, want)
				if size <= limit && got.BodyUnread {
					t.Errorf("%s, %d bytes: BodyUnread", name, size)
				}
				if size > limit+1 && !got.BodyUnread {
					t.Errorf("%s, %d bytes: not BodyUnread", name, size)
				}
				after, err := io.ReadAll(r.Body)
				if err != nil || !bytes.Equal(after, body) {
					t.Errorf("%s, %d bytes: %d bytes came back, %v", name, size, len(after), err)
				}
				r.Body.Close()
				if closer.closed != 1 {
					t.Errorf("the body was closed %d times", closer.closed)
				}
				if r.ContentLength != length || len(r.TransferEncoding) != 1 || r.GetBody != nil || r.Form != nil || r.PostForm != nil || r.MultipartForm != nil ||
					!maps.EqualFunc(r.Header, header, func(a, b []string) bool { return reflect.DeepEqual(a, b) }) ||
					reflect.ValueOf(r.Trailer).Pointer() != reflect.ValueOf(trailer).Pointer() || len(trailer) != 1 {
					t.Error("the request is not what it was")
				}
			}
		}
	}
}

// hesitant returns no byte and no error every other time.
type hesitant struct {
	r     io.Reader
	calls int
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.calls++; h.calls%2 == 1 {
		return 0, nil
	}
	return h.r.Read(p)
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}

// A proxy that tries a second upstream would send it what is left.
func TestAClosedBodyDoesNotGoOn(t *testing.T) {
	for _, size := range []int{bodyLimit / 2, 2 * bodyLimit} {
		body := strings.Repeat("x", size)
		r := newRequest(body, urlEncoded, -1)
		if _, err := New(parameters, allSources, bodyLimit).Extract(httptest.NewRecorder(), r, "", 0, nil); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Body.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Fatalf("%d bytes could be read, %v", n, err)
		}
		r.Body.Close()
		if after, err := io.ReadAll(r.Body); len(after) > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("%d bytes could be read after Close, %v", len(after), err)
		}
	}
}

func TestAProofCanBeTakenTwice(t *testing.T) {
	const body = "ticket=t&randstr=r"
	r := newRequest(body, urlEncoded, int64(len(body)))
	for range 2 {
		got, err := New(parameters, allSources, bodyLimit).Extract(httptest.NewRecorder(), r, "", 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		check(t, got, found(Form, "t", "r"))
	}
	if after, err := io.ReadAll(r.Body); err != nil || string(after) != body {
		t.Errorf("the body is now %q, %v", after, err)
	}
}

func TestAnErrorOfTheBodyComesAgainWhereItWas(t *testing.T) {
	const secret = "ticket=s3cr3t&pass="
	tooLarge := caddyhttp.HandlerError{StatusCode: http.StatusRequestEntityTooLarge, Err: &http.MaxBytesError{Limit: 1}}
	for name, test := range map[string]struct {
		err    error
		status int
	}{
		"of another handler": {tooLarge, http.StatusRequestEntityTooLarge},
		"client gone":        {io.ErrUnexpectedEOF, statusClientClosedRequest},
		"connection reset":   {&net.OpError{Op: "read", Err: errors.New("reset")}, statusClientClosedRequest},
		"framing":            {errors.New(`malformed MIME header: missing colon: "pass=s3cr3t"`), http.StatusBadRequest},
		"slow":               {os.ErrDeadlineExceeded, http.StatusRequestTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("", urlEncoded, 100)
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(secret), iotest.ErrReader(test.err)))
			got, err := New(parameters, allSources, bodyLimit).Extract(httptest.NewRecorder(), r, "", 0, nil)
			handlerError, ok := err.(caddyhttp.HandlerError)
			if !ok || handlerError.StatusCode != test.status || !errors.Is(err, test.err) {
				t.Errorf("the error is %v", err)
			}
			if test.err == tooLarge && err != test.err {
				t.Error("another handler's error was changed")
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error tells a value: %v", err)
			}
			if !reflect.DeepEqual(got, Result{}) {
				t.Errorf("there is a result: %+v", got)
			}
			for range 2 {
				after, err := io.ReadAll(r.Body)
				if err != test.err || !strings.HasPrefix(secret, string(after)) {
					t.Errorf("the body is now %q, %v", after, err)
				}
			}
		})
	}
}

// pattern is a body of any length whose bytes are known.
type pattern struct {
	block  []byte // twice the period
	offset int
}

func newPattern() *pattern {
	block := make([]byte, 8191)
	for i := range block {
		block[i] = "abcdefghijklmnopqrstuvw"[i%23]
	}
	return &pattern{block: append(block, block...)}
}

func (p *pattern) next(limit int) []byte {
	period := len(p.block) / 2
	chunk := p.block[p.offset : p.offset+min(limit, period)]
	p.offset = (p.offset + len(chunk)) % period
	return chunk
}

func (p *pattern) Read(buffer []byte) (int, error) {
	return copy(buffer, p.next(len(buffer))), nil
}

// Write checks that it is given the bytes that Read returns.
func (p *pattern) Write(text []byte) (int, error) {
	for n := 0; n < len(text); {
		chunk := p.next(len(text) - n)
		if !bytes.Equal(chunk, text[n:n+len(chunk)]) {
			return n, errors.New("the body was changed")
		}
		n += len(chunk)
	}
	return len(text), nil
}

func TestMemoryIsBoundedByTheLimitAndTheRestOfTheBodyStreams(t *testing.T) {
	const (
		limit = 256 << 10
		size  = 1 << 30
	)
	e := New(parameters, allSources, limit)
	for contentType, start := range map[string]string{
		urlEncoded:                        "",
		"multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=x\r\n\r\n",
		"application/json":                `{"x":"`,
	} {
		t.Run(contentType, func(t *testing.T) {
			r := newRequest("", contentType, -1)
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(start), io.LimitReader(newPattern(), size)))
			var before, between, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := e.Extract(httptest.NewRecorder(), r, "", 0, nil)
			runtime.ReadMemStats(&between)
			if err != nil {
				t.Fatal(err)
			}
			check(t, got, missing(ReasonBodyLimit))
			if _, err := io.CopyN(io.Discard, r.Body, int64(len(start))); err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(newPattern(), r.Body)
			runtime.ReadMemStats(&after)
			if n != size || err != nil {
				t.Errorf("%d bytes came back, %v", n, err)
			}
			t.Logf("allocated by Extract: %d", between.TotalAlloc-before.TotalAlloc)
			// All that is allocated, garbage included.
			if allocated := between.TotalAlloc - before.TotalAlloc; allocated > limit*11/10 {
				t.Errorf("Extract allocated %d bytes", allocated)
			}
			if allocated := after.TotalAlloc - between.TotalAlloc; allocated > 128<<10 {
				t.Errorf("reading the rest allocated %d bytes", allocated)
			}
		})
	}
}
