package inject

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// encoders encode as an application might that was asked not to.
var encoders = map[string]func(io.Writer) io.WriteCloser{
	"gzip":   func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"X-GZIP": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"br":     func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	"zstd": func(w io.Writer) io.WriteCloser {
		encoder, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		return encoder
	},
}

func encoded(encoding, page string) string {
	var b strings.Builder
	w := encoders[encoding](&b)
	io.WriteString(w, page)
	w.Close()
	return b.String()
}

func TestEncodedPages(t *testing.T) {
	long := plainPage + strings.Repeat("all work and no play ", 20_000)
	longWithOurs := strings.Replace(long, plainPage, ourPage, 1)
	for encoding := range encoders {
		whole := encoded(encoding, long)
		for name, test := range map[string]struct{ sent, want string }{
			"whole":          {whole, longWithOurs},
			"and garbage":    {whole + "\x00garbage", longWithOurs},
			"not HTML":       {encoded(encoding, "[]"), "[]"},
			"empty":          {"", ""},
			"empty, encoded": {encoded(encoding, ""), ""},
		} {
			if name == "and garbage" && !strings.Contains(strings.ToLower(encoding), "gzip") {
				continue
			}
			s := newSite(t, func(w http.ResponseWriter, r *http.Request) error {
				set(w.Header(), "Content-Type", "text/html", "Content-Encoding", encoding, "Etag", `"a"`)
				if r.Header.Get("X-Pieces") == "" {
					set(w.Header(), "Content-Length", strconv.Itoa(len(test.sent)))
					_, err := io.WriteString(w, test.sent)
					return err
				}
				for n := range len(test.sent) {
					if _, err := io.WriteString(w, test.sent[n:n+1]); err != nil {
						return err
					}
				}
				return nil
			})
			transport := s.client(t, true)
			for _, pieces := range []string{"", "1"} {
				response := s.get(t, transport, "GET", "X-Pieces", pieces)
				if got := readAll(t, response); got != test.want {
					t.Errorf("%s, %s: got %d bytes, want %d: %.300q", encoding, name, len(got), len(test.want), got)
				}
				if name == "empty" && pieces != "" {
					continue // nothing was written at all
				}
				if response.Header.Get("Content-Encoding") != "" || response.Header.Get("Etag") == `"a"` {
					t.Errorf("%s, %s: got header %v", encoding, name, response.Header)
				}
			}
		}
	}
	members := encoded("gzip", long[:500]) + encoded("gzip", long[500:])
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
		set(w.Header(), "Content-Type", "text/html", "Content-Encoding", "gzip")
		_, err := io.WriteString(w, members)
		return err
	})
	if got := readAll(t, s.get(t, s.client(t, true), "GET")); got != longWithOurs {
		t.Errorf("two members: got %d bytes, want %d", len(got), len(longWithOurs))
	}
}

// TestFlushedEncodedPiecesArrive: decoding holds nothing back that can be
// decoded.
func TestFlushedEncodedPiecesArrive(t *testing.T) {
	pieces := []string{plainPage, "one", "two"}
	next := make(chan struct{})
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) error {
		set(w.Header(), "Content-Type", "text/html", "Content-Encoding", r.Header.Get("X-Encoding"))
		encoder := encoders[r.Header.Get("X-Encoding")](w)
		for _, piece := range pieces {
			if _, err := io.WriteString(encoder, piece); err != nil {
				return err
			}
			if err := encoder.(interface{ Flush() error }).Flush(); err != nil {
				return err
			}
			w.(http.Flusher).Flush()
			<-next
		}
		return encoder.Close()
	})
	for _, encoding := range []string{"gzip", "br", "zstd"} {
		response := s.get(t, s.client(t, true), "GET", "X-Encoding", encoding)
		for _, want := range []string{ourPage, "one", "two"} {
			got := make([]byte, len(want))
			if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
				t.Fatalf("%s: got %q, %v, want %q", encoding, got, err, want)
			}
			next <- struct{}{}
		}
		if rest := readAll(t, response); rest != "" {
			t.Errorf("%s: then came %q", encoding, rest)
		}
	}
}

// TestBrokenEncodedPages: no client takes a part of a page for the whole.
func TestBrokenEncodedPages(t *testing.T) {
	long := strings.Repeat(plainPage, 2000)
	for encoding := range encoders {
		whole := encoded(encoding, long)
		for name, sent := range map[string]string{
			"cut off":      whole[:len(whole)-5],
			"cut off soon": whole[:3],
			"not encoded":  "<html>" + plainPage,
		} {
			s := newSite(t, func(w http.ResponseWriter, r *http.Request) error {
				set(w.Header(), "Content-Type", "text/html", "Content-Encoding", encoding)
				io.WriteString(w, sent)
				return nil
			})
			for _, http2 := range []bool{false, true} {
				r, _ := http.NewRequest("GET", s.URL, nil)
				r.Header.Set("Sec-Fetch-Mode", "navigate")
				response, err := s.client(t, http2).RoundTrip(r)
				if err != nil {
					continue
				}
				got, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err == nil && (response.StatusCode != http.StatusBadGateway || len(got) > 0) {
					t.Errorf("%s, %s: got %d and %d bytes as a whole page", encoding, name, response.StatusCode, len(got))
				}
			}
		}
	}
}

func TestBombs(t *testing.T) {
	const size = 4 << 20
	bomb := encoded("br", strings.Repeat("\x00", size))
	out := 0
	decoder := newDecoder(decoders["br"], func(p []byte) error {
		out += len(p)
		return nil
	})
	decoder.wrote = ratioAfter - size/2 // or the test would take its time
	_, err := decoder.Write([]byte(bomb))
	decoder.abandon()
	if !errors.Is(err, errBomb) || out >= size {
		t.Errorf("%d bytes brought %d, and %v", len(bomb), out, err)
	}
}

// TestAbandonedDecoders: next may return, fail or panic in the midst of an
// encoded page. That no goroutine is left is checked at the end.
func TestAbandonedDecoders(t *testing.T) {
	for encoding := range encoders {
		whole := encoded(encoding, plainPage)
		for n := range len(whole) {
			for _, panics := range []bool{false, true} {
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Sec-Fetch-Mode", "navigate")
				func() {
					defer func() { _ = recover() }()
					New(testOptions).ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
						set(w.Header(), "Content-Type", "text/html", "Content-Encoding", encoding)
						io.WriteString(w, whole[:n])
						if panics {
							panic("of next")
						}
						return errors.New("of next")
					}))
				}()
			}
		}
	}
}
