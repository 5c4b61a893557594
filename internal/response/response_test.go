package response

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestFinalSaysWhatIsThere(t *testing.T) {
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"plain":    func(w http.ResponseWriter) http.ResponseWriter { return w },
		"deferred": func(w http.ResponseWriter) http.ResponseWriter { return deferredWriter(t, w, "X-Site") },
	} {
		t.Run(name, func(t *testing.T) {
			beneath := httptest.NewRecorder()
			w := wrap(beneath)
			site := http.Header{
				"Cache-Control":            {"public", "max-age=60"},
				"cache-control":            {"immutable"},
				"CDN-Cache-Control":        {"max-age=60"},
				"Vendor-Cdn-Cache-Control": {"max-age=60"},
				"Surrogate-Control":        {"max-age=60"},
				"X-Accel-Expires":          {"60"},
				"ETag":                     {`"a"`},
				"Expires":                  {"Thu, 01 Jan 2099 00:00:00 GMT"},
				"Content-Disposition":      {"attachment"},
				"X-Frame-Options":          {"DENY"},
				"Content-Type":             {"text/plain"},
				"Vary":                     {"Origin", "Accept-Language"},
				"Set-Cookie":               {"captcha=old; Path=/x", "captcha2=b", "session=a"},
				"Strict-Transport-Security": {
					"max-age=60",
				},
			}
			maps.Copy(w.Header(), site)
			w = Final(w, http.Header{
				"Cache-Control":   {"no-store"},
				"Content-Type":    {"text/html"},
				"X-Frame-Options": nil,
				"Vary":            {"Accept-Language"},
				"Set-Cookie":      {"captcha=new; HttpOnly"},
			})
			w.WriteHeader(http.StatusForbidden)
			want := http.Header{
				"Cache-Control":             {"no-store"},
				"Content-Type":              {"text/html"},
				"Vary":                      {"Origin", "Accept-Language"},
				"Set-Cookie":                {"captcha2=b", "session=a", "captcha=new; HttpOnly"},
				"Strict-Transport-Security": {"max-age=60"},
			}
			if name == "deferred" {
				want["X-Site"] = []string{"site"}
			}
			if got := beneath.Header(); !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("got\n%v\nwant\n%v", got, want)
			}
		})
	}
}

// TestFinalOutlivesChangesInPlace has values changed in their slices, as
// Caddy's replacements do.
func TestFinalOutlivesChangesInPlace(t *testing.T) {
	beneath := httptest.NewRecorder()
	w := Final(deferredWriter(t, beneath, "X"), http.Header{"Cache-Control": {"no-store"}})
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("a matcher of the directive would see %q", got)
	}
	w.Header()["Cache-Control"][0] = "public"
	w.WriteHeader(http.StatusForbidden)
	if got := beneath.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

// handler is a next handler.
type handler = caddyhttp.HandlerFunc

// TestWhateverWritesFirstSettlesTheHeader writes an answer in each way that
// begins one.
func TestWhateverWritesFirstSettlesTheHeader(t *testing.T) {
	for name, write := range map[string]handler{
		"nothing":     func(http.ResponseWriter, *http.Request) error { return nil },
		"an error":    func(http.ResponseWriter, *http.Request) error { return io.EOF },
		"WriteHeader": func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(404); return nil },
		"Write":       func(w http.ResponseWriter, _ *http.Request) error { _, err := w.Write([]byte("a")); return err },
		"ReadFrom": func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("a"))
			return err
		},
		"Flush": func(w http.ResponseWriter, _ *http.Request) error { return http.NewResponseController(w).Flush() },
	} {
		for _, surround := range []bool{false, true} {
			beneath := httptest.NewRecorder()
			w := http.ResponseWriter(beneath)
			if surround {
				w = deferredWriter(t, w, "X")
			}
			r := httptest.NewRequest("GET", "/", nil)
			err := Private(w, r, handler(func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("Cache-Control", "public")
				err := write(w, r)
				w.Header().Set("Cache-Control", "public") // too late, or nobody's business
				return err
			}))
			if (err == io.EOF) != (name == "an error") {
				t.Fatal(err)
			}
			header := beneath.Header()
			if name != "nothing" && name != "an error" {
				header = beneath.Result().Header
			}
			if got := header.Get("Cache-Control"); got != "private" && (!surround || got != "private, max-age=60") {
				t.Errorf("%s, surrounded %t: Cache-Control %q", name, surround, got)
			}
		}
	}
}

func TestInformationalAnswersPassAsTheyAre(t *testing.T) {
	beneath := &informed{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("GET", "/", nil)
	err := Private(beneath, r, handler(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Cache-Control", "public")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"103 public", "200 private"}; !slices.Equal(beneath.seen, want) {
		t.Errorf("saw %q, want %q", beneath.seen, want)
	}
}

type informed struct {
	*httptest.ResponseRecorder
	seen []string
}

func (w *informed) WriteHeader(status int) {
	w.seen = append(w.seen, http.StatusText(status)[:0]+itoa(status)+" "+w.Header().Get("Cache-Control"))
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

func TestOtherMethodsAreNotTouched(t *testing.T) {
	for _, method := range []string{"POST", "OPTIONS", "PUT", "get", "QUERY", "CONNECT"} {
		beneath := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Method = method
		Private(beneath, r, handler(func(w http.ResponseWriter, _ *http.Request) error {
			if w != http.ResponseWriter(beneath) {
				t.Errorf("%s is wrapped", method)
			}
			return nil
		}))
		if len(beneath.Header()) != 0 {
			t.Errorf("%s: header %v", method, beneath.Header())
		}
	}
}

// TestTwoHandlersWrapOnce has a request meet two captcha handlers.
func TestTwoHandlersWrapOnce(t *testing.T) {
	for _, surround := range []bool{false, true} {
		beneath := http.ResponseWriter(httptest.NewRecorder())
		w := beneath
		if surround {
			w = deferredWriter(t, w, "X")
		}
		r := httptest.NewRequest("GET", "/", nil)
		Private(w, r, handler(func(once http.ResponseWriter, r *http.Request) error {
			return Private(once, r, handler(func(twice http.ResponseWriter, _ *http.Request) error {
				if once != twice || find(twice, isDeferred).beneath.(*private).ResponseWriter != beneath {
					t.Errorf("surrounded %t: there is a writer too many", surround)
				}
				return nil
			}))
		}))
	}
}

func TestPrivateAllocatesOneWriter(t *testing.T) {
	if got := allocations(t, nil); got != 1 {
		t.Errorf("%v allocations without a Cache-Control, want 1", got)
	}
	if got := allocations(t, []string{"no-store, no-cache, must-revalidate"}); got != 1 {
		t.Errorf("%v allocations with no-store, want 1", got)
	}
	if got := allocations(t, []string{"private, max-age=60"}); got != 1 {
		t.Errorf("%v allocations with private, want 1", got)
	}
}

func allocations(t *testing.T, cacheControl []string) float64 {
	t.Helper()
	w := &silent{header: http.Header{"Content-Type": {"text/html"}, "Etag": {`"a"`}, "Date": {"now"}}}
	deferred := deferredWriter(t, w, "X")
	part := embedded(deferred)
	r := httptest.NewRequest("GET", "/", nil)
	next := handler(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header()["Cache-Control"] = cacheControl
		_, err := part.ResponseWriter.Write(nil)
		return err
	})
	return testing.AllocsPerRun(100, func() {
		part.ResponseWriter = w
		if err := Private(deferred, r, next); err != nil {
			t.Fatal(err)
		}
	})
}

// silent is a writer to nowhere.
type silent struct{ header http.Header }

func (w *silent) Header() http.Header       { return w.header }
func (*silent) Write(p []byte) (int, error) { return len(p), nil }
func (*silent) WriteHeader(int)             {}

func BenchmarkPrivate(b *testing.B) {
	for name, cacheControl := range map[string][]string{"none": nil, "private": {"private, max-age=60"}, "public": {"public, max-age=60"}} {
		b.Run(name, func(b *testing.B) {
			w := &silent{header: http.Header{"Content-Type": {"text/html"}, "Etag": {`"a"`}, "Date": {"now"}, "Server": {"Caddy"}, "Vary": {"Accept"}, "Last-Modified": {"then"}}}
			r := httptest.NewRequest("GET", "/", nil)
			next := handler(func(w http.ResponseWriter, _ *http.Request) error {
				w.Header()["Cache-Control"] = cacheControl
				w.WriteHeader(http.StatusOK)
				return nil
			})
			b.ReportAllocs()
			for b.Loop() {
				Private(w, r, next)
			}
		})
	}
}

func BenchmarkFinal(b *testing.B) {
	for _, surround := range []bool{false, true} {
		name := "plain"
		if surround {
			name = "deferred"
		}
		b.Run(name, func(b *testing.B) {
			w := &silent{}
			surrounding := deferredWriter(b, w, "X")
			part := embedded(surrounding)
			b.ReportAllocs()
			for b.Loop() {
				w.header = http.Header{"Server": {"Caddy"}}
				fields := http.Header{"Cache-Control": {"no-store"}, "Captcha-Outcome": {"missing"}, "Captcha-Policy": {"login"}, "Content-Type": {"application/problem+json"}}
				front := http.ResponseWriter(w)
				if surround {
					part.ResponseWriter, front = w, part
				}
				Final(front, fields).WriteHeader(http.StatusForbidden)
			}
		})
	}
}
