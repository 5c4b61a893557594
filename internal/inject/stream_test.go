package inject

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// TestFlushedPiecesArrive: the handler sends a piece only when the client has
// the one before.
func TestFlushedPiecesArrive(t *testing.T) {
	pieces := []string{"<!doctype html><head><!-- wait", " --><title>", "a</title><scr", "ipt></script><meta name=a", "></head><bo", "dy>", "text", " text"}
	arrive := []string{"<!doctype html><head><!-- wait", " --><title>", "a</title>", ourElement + "<script></script>", "<meta name=a></head>", "<body>", "text", " text"}
	next := make(chan struct{})
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
		set(w.Header(), "Content-Type", "text/html")
		if err := http.NewResponseController(w).Flush(); err != nil { // nothing to flush yet
			return err
		}
		for n, piece := range pieces {
			if _, err := io.WriteString(w, piece); err != nil {
				return err
			}
			if n%2 == 0 {
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
			} else {
				w.(http.Flusher).Flush()
			}
			<-next
		}
		return nil
	})
	for _, http2 := range []bool{false, true} {
		response := s.get(t, s.client(t, http2), "GET")
		for n, want := range arrive {
			got := make([]byte, len(want))
			if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
				t.Fatalf("piece %d is %q, %v, want %q", n, got, err, want)
			}
			next <- struct{}{}
		}
		if rest := readAll(t, response); rest != "" {
			t.Errorf("then came %q", rest)
		}
	}
}

// TestFirstBytesComeWithoutAFlush: once the place is found nothing is held, and
// where there is none 64 KB are.
func TestFirstBytesComeWithoutAFlush(t *testing.T) {
	for name, page := range map[string]string{
		"a page":      plainPage,
		"a long tag":  "<html " + strings.Repeat("a ", scanLimit/2-3),
		"not a page":  "[",
		"many spaces": strings.Repeat(" ", scanLimit),
	} {
		recorder := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		err := New(testOptions).ServeHTTP(recorder, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "text/html")
			if _, err := io.WriteString(w, page); err != nil {
				return err
			}
			if got := strings.Replace(recorder.Body.String(), ourElement, "", 1); got != page {
				t.Errorf("%s: %d of %d bytes came", name, len(got), len(page))
			}
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
	}
}

func TestTrailers(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
		set(w.Header(), "Content-Type", "text/html", "Trailer", "X-After, Repr-Digest")
		if _, err := io.WriteString(w, plainPage); err != nil {
			return err
		}
		set(w.Header(), "X-After", "a", "Repr-Digest", "b", http.TrailerPrefix+"X-Last", "c", http.TrailerPrefix+"Content-Digest", "d")
		return http.NewResponseController(w).Flush()
	})
	for _, http2 := range []bool{false, true} {
		response := s.get(t, s.client(t, http2), "GET")
		if got := readAll(t, response); got != ourPage {
			t.Errorf("got %q", got)
		}
		trailer := response.Trailer
		if trailer.Get("X-After") != "a" || trailer.Get("X-Last") != "c" || trailer.Get("Repr-Digest") != "" || trailer.Get("Content-Digest") != "" {
			t.Errorf("the trailers are %v", trailer)
		}
	}
}

func TestInformationalResponses(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
		set(w.Header(), "Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		set(w.Header(), "Content-Type", "text/html")
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK) // too late
		_, err := io.WriteString(w, plainPage)
		return err
	})
	response := s.get(t, s.client(t, false), "GET")
	if got := readAll(t, response); got != ourPage || response.StatusCode != http.StatusTeapot {
		t.Errorf("got %d %q", response.StatusCode, got)
	}
}

// TestPagesOfTheWrongLength: net/http tells clients of a page that is shorter
// than its Content-Length, and handlers of one that is longer.
func TestPagesOfTheWrongLength(t *testing.T) {
	for _, flush := range []bool{false, true} {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request) error {
			set(w.Header(), "Content-Type", "text/html", "Content-Length", r.Header.Get("X-Length"))
			if flush {
				io.WriteString(w, plainPage[:30])
				w.(http.Flusher).Flush()
				io.WriteString(w, plainPage[30:])
			} else {
				io.WriteString(w, plainPage)
			}
			if r.ProtoMajor == 2 && !flush || r.Header.Get("X-Length") == "1000" {
				return nil // over HTTP/2 net/http does not tell them
			}
			if _, err := io.WriteString(w, "more"); !errors.Is(err, http.ErrContentLength) {
				t.Errorf("flush %t: writing too much: %v", flush, err)
			}
			return nil
		})
		for _, http2 := range []bool{false, true} {
			transport := s.client(t, http2)
			if got := readAll(t, s.get(t, transport, "GET", "X-Length", strconv.Itoa(len(plainPage)))); got != ourPage {
				t.Errorf("flush %t: got %q", flush, got)
			}
			if got, err := io.ReadAll(s.get(t, transport, "GET", "X-Length", "1000").Body); err == nil {
				t.Errorf("flush %t: a page that is too short came as whole: %q", flush, got)
			}
		}
	}
}

// TestErrorsAndPanics: they are passed on, and what was written before is what
// it would have been.
func TestErrorsAndPanics(t *testing.T) {
	want := errors.New("an error of next")
	for _, test := range []struct {
		name     string
		next     handler
		status   int
		body     string
		panicked any
	}{
		{"nothing written", func(http.ResponseWriter, *http.Request) error { return want }, 200, "", nil},
		{"header written", func(w http.ResponseWriter, _ *http.Request) error {
			set(w.Header(), "Content-Type", "text/html")
			w.WriteHeader(404)
			return want
		}, 404, "", nil},
		{"header without a type written", func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(404)
			return want
		}, 404, "", nil},
		{"a part written", func(w http.ResponseWriter, _ *http.Request) error {
			set(w.Header(), "Content-Type", "text/html")
			w.WriteHeader(404)
			io.WriteString(w, "<html><head><meta a")
			return want
		}, 404, "<html><head><meta a", nil},
		{"a part that ends well written", func(w http.ResponseWriter, _ *http.Request) error {
			set(w.Header(), "Content-Type", "text/html")
			io.WriteString(w, "<html><head>")
			return want
		}, 200, "<html><head>", nil},
		{"panic", func(w http.ResponseWriter, _ *http.Request) error {
			set(w.Header(), "Content-Type", "text/html")
			w.WriteHeader(404)
			io.WriteString(w, "<html><head><meta a")
			panic(want)
		}, 200, "", want},
	} {
		recorder := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		func() {
			defer func() {
				if p := recover(); p != test.panicked {
					t.Errorf("%s: panicked with %v", test.name, p)
				}
			}()
			if err := New(testOptions).ServeHTTP(recorder, r, caddyhttp.HandlerFunc(test.next)); err != want {
				t.Errorf("%s: got error %v", test.name, err)
			}
		}()
		if recorder.Code != test.status || recorder.Body.String() != test.body {
			t.Errorf("%s: got %d %q", test.name, recorder.Code, recorder.Body)
		}
	}
}

// discard is a response writer that counts.
type discard struct {
	header http.Header
	n      int64
	writes int
	from   int64
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Write(p []byte) (int, error) {
	d.n += int64(len(p))
	d.writes++
	return len(p), nil
}

func (d *discard) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, r)
	d.from += n
	return n, err
}

// TestLongPagesTakeLittleMemory: whatever is allocated for 100 MB, even if it
// were never freed, is little.
func TestLongPagesTakeLittleMemory(t *testing.T) {
	const size = 100 << 20
	chunk := bytes.Repeat([]byte("<p>all work and no play</p>\n"), 1000)
	injector := New(testOptions)
	for _, encoding := range []string{"", "gzip", "br", "zstd"} {
		t.Run(encoding, func(t *testing.T) {
			var encoded []byte
			if encoding != "" {
				var b bytes.Buffer
				w := encoders[encoding](&b)
				io.WriteString(w, plainPage)
				for n := 0; n < size; n += len(chunk) {
					w.Write(chunk)
				}
				w.Close()
				encoded = b.Bytes()
			}
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			out := &discard{header: http.Header{}}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := injector.ServeHTTP(out, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				set(w.Header(), "Content-Type", "text/html")
				if encoding != "" {
					set(w.Header(), "Content-Encoding", encoding)
					_, err := w.Write(encoded)
					return err
				}
				io.WriteString(w, plainPage)
				for n := 0; n < size; n += len(chunk) {
					if _, err := w.Write(chunk); err != nil {
						return err
					}
				}
				return nil
			}))
			runtime.ReadMemStats(&after)
			if err != nil || out.n < size {
				t.Fatalf("%d bytes came: %v", out.n, err)
			}
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d KB allocated", allocated>>10)
			limit := uint64(1 << 20)
			if encoding != "" {
				limit = 2*maxWindow + 16<<20
			}
			if allocated > limit {
				t.Errorf("%d MB allocated for %d MB", allocated>>20, out.n>>20)
			}
		})
	}
}

// TestRestIsReadFrom: what comes after the head is not copied by us.
func TestRestIsReadFrom(t *testing.T) {
	const size = 10 << 20
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	for _, kind := range []string{"text/html", "video/mp4"} {
		out := &discard{header: http.Header{}}
		err := New(testOptions).ServeHTTP(out, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			set(w.Header(), "Content-Type", kind)
			n, err := w.(io.ReaderFrom).ReadFrom(io.MultiReader(strings.NewReader(plainPage), io.LimitReader(zeros{}, size)))
			if n != size+int64(len(plainPage)) {
				err = fmt.Errorf("%d bytes read", n)
			}
			return err
		}))
		if err != nil || out.from < size-64<<10 {
			t.Errorf("%s: %d bytes were read from, %d written: %v", kind, out.from, out.n, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestHijack: the connection can be had through the response.
func TestHijack(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nmine")
		return err
	})
	response := s.get(t, s.client(t, false), "GET")
	line, _ := bufio.NewReader(response.Body).ReadString('\n')
	if line != "mine" {
		t.Errorf("got %q", line)
	}
}
