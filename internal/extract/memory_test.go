package extract

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// budget is a Memory of so many bytes.
type budget struct{ size, taken int64 }

func (b *budget) Take(n int64) bool {
	if n <= 0 || b.taken+n > b.size {
		return false
	}
	b.taken += n
	return true
}

func (b *budget) Return(n int64) { b.taken -= n }

// watched is a body that comes in pieces of any size. During a search it
// checks, whenever it is read, what is taken for it.
type watched struct {
	t      *testing.T
	rest   []byte
	sent   int
	memory *budget // nil after the search
	pieces *rand.Rand
}

func (w *watched) Read(p []byte) (int, error) {
	if w.memory != nil {
		if w.memory.taken < int64(w.sent+len(p)) {
			w.t.Errorf("after %d bytes, %d more are read into memory of which only %d are taken", w.sent, len(p), w.memory.taken)
		}
		if w.memory.taken > int64(w.sent+w.sent/16+minChunk) {
			w.t.Errorf("after %d bytes, %d are taken", w.sent, w.memory.taken)
		}
	}
	if len(w.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1+w.pieces.IntN(3*minChunk))], w.rest)
	w.rest, w.sent = w.rest[n:], w.sent+n
	return n, nil
}

// TestMemoryIsTakenAsTheBodyArrives: enough for what is held, little more, and
// nothing for what is announced and not sent. When it is used up, wherever
// that is, the body is still whole, and all is given back.
func TestMemoryIsTakenAsTheBodyArrives(t *testing.T) {
	const limit = 256 << 10
	pieces := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, minChunk - 1, minChunk, minChunk + 1, 100_000, limit, limit + 1, 2 * limit} {
		body := bytes.Repeat([]byte("0123456789=abcde"), size/16+1)[:size]
		for _, length := range []int64{-1, int64(size)} {
			for _, memory := range []int{0, 1, minChunk, minChunk + 1, 50_000, 100_000, limit, 2 * limit} {
				r := newRequest("", urlEncoded, length)
				b := &budget{size: int64(memory)}
				source := &watched{t: t, rest: body, memory: b, pieces: pieces}
				r.Body = io.NopCloser(source)
				result, err := New(parameters, []Source{Form}, limit).Extract(httptest.NewRecorder(), r, "", 0, b)
				if err != nil {
					t.Fatal(err)
				}
				switch read := min(size, limit+1); {
				case length == 0:
					check(t, result, missing(ReasonNone)) // without memory, too
				case memory < read:
					check(t, result, Result{Status: Overloaded, Source: Form, Reason: ReasonMemory})
					if !result.BodyUnread {
						t.Error("the body is said to be read")
					}
				case memory >= read+read/16+minChunk && size > limit:
					check(t, result, missing(ReasonBodyLimit))
				case memory >= read+read/16+minChunk:
					check(t, result, missing(ReasonNone))
				}
				if b.taken != 0 {
					t.Errorf("%d bytes, memory of %d: %d are not given back", size, memory, b.taken)
				}
				source.memory = nil
				if after, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(after, body) {
					t.Errorf("%d bytes, memory of %d: %d bytes came back, %v", size, memory, len(after), err)
				}
			}
		}
	}
}

// TestAllMemoryIsGivenBack, however the search ends.
func TestAllMemoryIsGivenBack(t *testing.T) {
	const begin = "ticket=t&randstr=r&"
	for name, test := range map[string]struct {
		body   io.Reader
		panics bool
	}{
		"found":   {strings.NewReader(begin), false},
		"error":   {io.MultiReader(strings.NewReader(begin), iotest.ErrReader(errors.New("gone"))), false},
		"timeout": {iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(begin))), false},
		"panic":   {io.MultiReader(strings.NewReader(begin), readerFunc(func([]byte) (int, error) { panic("abort") })), true},
	} {
		t.Run(name, func(t *testing.T) {
			b := &budget{size: 1 << 20}
			peak := int64(0)
			r := newRequest("", urlEncoded, -1)
			r.Body = io.NopCloser(io.TeeReader(test.body, writerFunc(func([]byte) { peak = max(peak, b.taken) })))
			defer func() {
				if panicked := recover() != nil; panicked != test.panics || peak == 0 || b.taken != 0 {
					t.Errorf("panicked: %v; of %d bytes, %d are not given back", panicked, peak, b.taken)
				}
			}()
			New(parameters, allSources, bodyLimit).Extract(httptest.NewRecorder(), r, "", 0, b)
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// TestABodyThatIsNotSearchedTakesNoMemory, and no more does any other source.
func TestABodyThatIsNotSearchedTakesNoMemory(t *testing.T) {
	none := &budget{}
	for name, change := range map[string]func(*http.Request){
		"header first": func(r *http.Request) {
			r.Header["Captcha-Ticket"], r.Header["Captcha-Randstr"] = []string{"t"}, []string{"r"}
		},
		"another type":  func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"encoded":       func(r *http.Request) { r.Header.Set("Content-Encoding", "br") },
		"no body":       func(r *http.Request) { r.ContentLength = 0 },
		"query, no use": func(r *http.Request) { r.Header.Del("Content-Type"); r.URL.RawQuery = "ticket=t&randstr=r" },
	} {
		r := newRequest("ticket=t", urlEncoded, 8)
		change(r)
		result, err := New(parameters, allSources, bodyLimit).Extract(httptest.NewRecorder(), r, r.URL.RawQuery, 0, none)
		if err != nil || result.Status == Overloaded {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
}

// TestWithoutMemoryNoLaterSourceDecides: what the body holds would have come
// first, and nobody knows what it is.
func TestWithoutMemoryNoLaterSourceDecides(t *testing.T) {
	r := newRequest("ticket=fT&randstr=fR", urlEncoded, -1)
	r.URL.RawQuery = "ticket=qT&randstr=qR"
	result, err := New(parameters, []Source{Form, Query}, bodyLimit).Extract(httptest.NewRecorder(), r, r.URL.RawQuery, 0, &budget{})
	if err != nil {
		t.Fatal(err)
	}
	check(t, result, Result{Status: Overloaded, Source: Form, Reason: ReasonMemory})
}

// repeated is a body of a size that costs no memory: start, and then a text
// again and again.
func repeated(start, text string, size int) io.Reader {
	return io.MultiReader(strings.NewReader(start), io.LimitReader(&loop{text: strings.Repeat(text, 4096/len(text))}, int64(size-len(start))))
}

type loop struct {
	text string
	at   int
}

func (l *loop) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		copied := copy(p[n:], l.text[l.at:])
		n, l.at = n+copied, (l.at+copied)%len(l.text)
	}
	return n, nil
}

// TestASearchAllocatesLittleMoreThanTheBody counts all that is allocated, what
// the collector could have freed at once included. So ten bodies that are
// searched at the same time hold no more either, however late it comes.
func TestASearchAllocatesLittleMoreThanTheBody(t *testing.T) {
	const (
		proof    = `{"ticket":"t","randstr":"r","x":`
		encoded  = "ticket=t&randstr=r&"
		part     = "--b\r\nContent-Disposition: form-data; name="
		parts    = "multipart/form-data; boundary=b"
		document = "application/json"
	)
	for name, test := range map[string]struct {
		contentType, start, text string
		known                    bool // the length
		want                     Result
	}{
		"JSON string":           {document, proof + `"`, "0123456789abcdef", false, malformed(JSON, ReasonBody)},
		"JSON, known length":    {document, proof + `"`, "0123456789abcdef", true, malformed(JSON, ReasonBody)},
		"JSON numbers":          {document, proof + "[", "12.5e-3,", false, malformed(JSON, ReasonBody)},
		"JSON strings":          {document, proof + "[", `"abcdef",`, false, malformed(JSON, ReasonBody)},
		"JSON arrays":           {document, proof + "[", "[[[],[]],[]],", false, malformed(JSON, ReasonBody)},
		"JSON escapes":          {document, proof + `"`, `\ud83c\udfab\n`, false, malformed(JSON, ReasonBody)},
		"JSON space":            {document, proof, " \n\t", false, malformed(JSON, ReasonBody)},
		"JSON, our value":       {document, `{"ticket":"`, "t", false, malformed(JSON, ReasonBody)},
		"JSON, our number":      {document, `{"ticket":`, "17", false, malformed(JSON, ReasonType)},
		"JSON, a name":          {document, `{"`, "ticket", false, malformed(JSON, ReasonBody)},
		"pairs, one long":       {urlEncoded, encoded + "x=", "0123456789abcdef", false, found(Form, "t", "r")},
		"pairs, our value":      {urlEncoded, "ticket=", "%74", false, malformed(Form, ReasonLength)},
		"pairs, a name":         {urlEncoded, encoded, "ticket", false, found(Form, "t", "r")},
		"parts, one long":       {parts, part + "x\r\n\r\n", "0123456789abcdef", false, malformed(Form, ReasonBody)},
		"parts, our value":      {parts, part + "ticket\r\n\r\n", "t", false, malformed(Form, ReasonLength)},
		"parts, a long header":  {parts, part, "x", false, malformed(Form, ReasonBody)},
		"parts, a long header2": {parts, part + "x\r\n", "a: b\r\n", false, malformed(Form, ReasonBody)},
		"parts, a preamble":     {parts, "", "hello\r\n", false, malformed(Form, ReasonBody)},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 64 << 20
			r := newRequest("", test.contentType, -1)
			if test.known {
				r.ContentLength = size
			}
			r.Body = io.NopCloser(repeated(test.start, test.text, size))
			e := New(parameters, allSources, size)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := e.Extract(httptest.NewRecorder(), r, "", 0, nil)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			check(t, got, test.want)
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%.4f of the body", float64(allocated)/size)
			if allocated > size*11/10 {
				t.Errorf("%d bytes are allocated for a body of %d", allocated, size)
			}
		})
	}
}

// TestABodyIsLetGoAsItIsReadAgain: an upload that takes its time does not keep
// what has been sent of it.
func TestABodyIsLetGoAsItIsReadAgain(t *testing.T) {
	const size = 32 << 20
	held := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := held()
	r := newRequest("", urlEncoded, -1)
	r.Body = io.NopCloser(repeated("", "x", size))
	if _, err := New(parameters, allSources, size).Extract(httptest.NewRecorder(), r, "", 0, nil); err != nil {
		t.Fatal(err)
	}
	whole := held()
	for _, part := range []int64{size / 2, size / 2} {
		if _, err := io.CopyN(io.Discard, r.Body, part); err != nil {
			t.Fatal(err)
		}
		// A sixteenth of what is in front of it may be in the same chunk.
		if now := held(); now > whole-uint64(part)*7/8 {
			t.Errorf("of %d bytes, %d are held", whole, now)
		} else {
			whole = now
		}
	}
	if n, err := r.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d bytes, %v at the end", n, err)
	}
	if now := held(); now > before+256<<10 {
		t.Errorf("%d bytes are held at the end, and were %d before", now, before)
	}
	runtime.KeepAlive(r)
}
