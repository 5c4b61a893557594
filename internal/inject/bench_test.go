package inject

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/encode"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/encode/gzip"
)

// gzipEncoder is Caddy's encode, as it stands before the injection.
func gzipEncoder(t testing.TB) *encode.Encode {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	e := &encode.Encode{EncodingsRaw: caddy.ModuleMap{"gzip": caddyconfig.JSON(struct{}{}, nil)}}
	if err := e.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return e
}

// page100KB is a page of 100 KB with a head of 4 KB.
func page100KB() []byte {
	var b bytes.Buffer
	b.WriteString("<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<title>Orders</title>\n<link rel=stylesheet href=/a.css>\n<script>")
	for b.Len() < 4<<10 {
		b.WriteString("window.settings = {\"a\": 1 < 2};\n")
	}
	b.WriteString("</script></head>\n<body>\n")
	for n := 0; b.Len() < 100<<10; n++ {
		b.WriteString("<tr class=row><td>" + strings.Repeat("order ", n%7) + "</td><td>" + string(rune('a'+n%26)) + "</td></tr>\n")
	}
	return b.Bytes()
}

func TestBehindEncode(t *testing.T) {
	encoder, injector := gzipEncoder(t), New(testOptions)
	page := page100KB()
	for _, first := range []int{60, len(page)} {
		r := httptest.NewRequest("GET", "/", nil)
		set(r.Header, "Sec-Fetch-Mode", "navigate", "Accept-Encoding", "gzip", "If-None-Match", `"a`+injector.tagSuffix+`-gzip"`)
		recorder := httptest.NewRecorder()
		err := encoder.ServeHTTP(recorder, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			return injector.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				if tag := r.Header.Get("If-None-Match"); tag != `"a"` {
					t.Errorf("the application is asked for another than %s", tag)
				}
				set(w.Header(), "Content-Type", "text/html", "Etag", `"a"`)
				w.Write(page[:first])
				_, err := w.Write(page[first:])
				return err
			}))
		}))
		if err != nil {
			t.Fatal(err)
		}
		if tag := recorder.Header().Get("Etag"); tag != `"a`+injector.tagSuffix+`-gzip"` {
			t.Errorf("the tag is %s", tag)
		}
		if recorder.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("a page whose first write has %d bytes is not compressed", first)
		}
		decoded := httptest.NewRecorder()
		decoder := newDecoder(decoders["gzip"], func(p []byte) error {
			_, err := decoded.Write(p)
			return err
		})
		if _, err := io.Copy(decoder, recorder.Body); err != nil {
			t.Fatal(err)
		}
		if err := decoder.Close(); err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(string(page), "<link", ourElement+"<link", 1); decoded.Body.String() != want {
			t.Errorf("got %d bytes, want %d", decoded.Body.Len(), len(want))
		}
	}
}

// BenchmarkBehindEncode compares a page of 100 KB with and without the
// injection, both compressed.
func BenchmarkBehindEncode(b *testing.B) {
	encoder, injector := gzipEncoder(b), New(testOptions)
	page := page100KB()
	serve := func(w http.ResponseWriter, _ *http.Request) error {
		set(w.Header(), "Content-Type", "text/html")
		for rest := page; len(rest) > 0; { // in pieces as a proxy has them
			n := min(32<<10, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}
	inject := func(w http.ResponseWriter, r *http.Request) error {
		return injector.ServeHTTP(w, r, caddyhttp.HandlerFunc(serve))
	}
	for _, bench := range []struct {
		name   string
		inject bool
		policy string
	}{
		{"alone", false, ""},
		{"injected", true, ""},
		{"injected with a policy", true, "default-src 'self'; script-src 'nonce-abc' 'strict-dynamic'; frame-src pay.example"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			next := caddyhttp.HandlerFunc(serve)
			if bench.inject {
				next = inject
			}
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("GET", "/", nil)
				set(r.Header, "Sec-Fetch-Mode", "navigate", "Accept-Encoding", "gzip")
				out := &discard{header: http.Header{}}
				if bench.policy != "" {
					out.header.Set("Content-Security-Policy", bench.policy)
				}
				if err := encoder.ServeHTTP(out, r, next); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAlone is the cost of the injection itself, and what a request that
// is no navigation pays.
func BenchmarkAlone(b *testing.B) {
	injector := New(testOptions)
	page := page100KB()
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header()["Content-Type"] = []string{"text/html"}
		_, err := w.Write(page)
		return err
	})
	for _, mode := range []string{"navigate", "cors"} {
		b.Run(mode, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/", nil)
			set(r.Header, "Sec-Fetch-Mode", mode)
			b.ReportAllocs()
			for b.Loop() {
				if err := injector.ServeHTTP(&discard{header: make(http.Header, 4)}, r, next); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
