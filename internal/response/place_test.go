package response

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
)

// deferredWriter returns Caddy's own deferred header writer over w. It sets
// the field and says that the answer may be cached.
func deferredWriter(t testing.TB, w http.ResponseWriter, field string) http.ResponseWriter {
	t.Helper()
	handler := headers.Handler{Response: &headers.RespHeaderOps{Deferred: true, HeaderOps: &headers.HeaderOps{
		Set: http.Header{field: {"site"}, "Cache-Control": {"public, max-age=60"}},
	}}}
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
	var deferred http.ResponseWriter
	err := handler.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		deferred = w
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return deferred
}

// TestShapesOfCaddysWriters fails when Caddy's writers are no longer what this
// package knows. Answers then go past the site's deferred header directives,
// which is safe, but loses what those set.
func TestShapesOfCaddysWriters(t *testing.T) {
	beneath := httptest.NewRecorder()
	for name, w := range map[string]http.ResponseWriter{
		"the deferred header writer (modules/caddyhttp/headers)": deferredWriter(t, beneath, "X"),
		"the response recorder (modules/caddyhttp)":              caddyhttp.NewResponseRecorder(beneath, nil, nil),
	} {
		part := embedded(w)
		if part == nil || part.ResponseWriter != http.ResponseWriter(beneath) {
			t.Errorf("%s of this Caddy is %T, which embeds no exported *caddyhttp.ResponseWriterWrapper with the writer beneath it any more: teach internal/response/place.go its new shape", name, w)
		}
	}
	if w := deferredWriter(t, beneath, "X"); !isDeferred(reflect.TypeOf(w)) {
		t.Errorf("a deferred header directive of this Caddy wraps in %T, which is not of package %s any more: teach isDeferred in internal/response/place.go its new home", w, headersPackage)
	}
	if reflect.TypeOf(caddyhttp.NewResponseRecorder(beneath, nil, nil)) != recorder {
		t.Error("a response recorder of this Caddy has no type of its own any more: teach internal/response/place.go to tell it")
	}
}

func TestOursIsBeneathTheHeaderWritersThatSurroundIt(t *testing.T) {
	type layers = []func(http.ResponseWriter) http.ResponseWriter
	header := func(w http.ResponseWriter) http.ResponseWriter { return deferredWriter(t, w, "X-Site") }
	metrics := func(w http.ResponseWriter) http.ResponseWriter { return caddyhttp.NewResponseRecorder(w, nil, nil) }
	other := func(w http.ResponseWriter) http.ResponseWriter {
		return &struct {
			*caddyhttp.ResponseWriterWrapper
		}{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	}
	for _, test := range []struct {
		name   string
		layers layers // the outermost first
		site   bool   // whether a header directive has its say
		wins   bool   // whether we have the last word
	}{
		{"nothing", nil, false, true},
		{"one", layers{header}, true, true},
		{"three", layers{header, header, header}, true, true},
		{"metrics only", layers{metrics}, false, true},
		{"metrics between", layers{metrics, header, metrics, metrics, header, metrics}, true, true},
		{"another writer beyond", layers{other, header}, true, true},
		{"another writer between", layers{header, other}, true, false},
		{"another writer between two", layers{header, other, header}, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			beneath := httptest.NewRecorder()
			w := http.ResponseWriter(beneath)
			for _, layer := range test.layers {
				w = layer(w)
			}
			w = Final(w, http.Header{"Cache-Control": {"no-store"}})
			w.WriteHeader(http.StatusForbidden)
			if got := beneath.Header().Get("X-Site"); (got == "site") != test.site {
				t.Errorf("X-Site %q", got)
			}
			if got := beneath.Header().Get("Cache-Control"); (got == "no-store") != test.wins {
				t.Errorf("Cache-Control %q", got)
			}
		})
	}
}

// odd is a deferred header writer of another shape than Caddy's.
type odd struct{ http.ResponseWriter }

func (w *odd) WriteHeader(status int) {
	w.Header().Set("Cache-Control", "public")
	w.ResponseWriter.WriteHeader(status)
}

func (w *odd) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// opaque is one that does not even tell what it wraps.
type opaque struct{ http.ResponseWriter }

func TestOursIsWrittenPastAHeaderWriterOfUnknownShape(t *testing.T) {
	isOdd := func(kind reflect.Type) bool {
		return kind == reflect.TypeFor[*odd]() || kind == reflect.TypeFor[*opaque]() || isDeferred(kind)
	}
	beneath := httptest.NewRecorder()
	record := func(w http.ResponseWriter) http.ResponseWriter { return caddyhttp.NewResponseRecorder(w, nil, nil) }
	for name, w := range map[string]http.ResponseWriter{
		"in front":          &odd{beneath},
		"several":           &odd{&odd{&odd{beneath}}},
		"beneath metrics":   record(&odd{beneath}),
		"beneath known":     deferredWriter(t, &odd{beneath}, "X"),
		"above known":       &odd{deferredWriter(t, beneath, "X")},
		"between":           record(&odd{record(deferredWriter(t, record(&odd{beneath}), "X"))}),
		"over another kind": &odd{&opaque{beneath}},
	} {
		t.Run(name, func(t *testing.T) {
			*beneath = *httptest.NewRecorder()
			place := find(w, isOdd)
			if place.beneath != http.ResponseWriter(beneath) && name != "over another kind" {
				t.Fatalf("the place is above %T", place.beneath)
			}
			ours := &writer{rule: final{"Cache-Control": {"no-store"}}}
			ours.ResponseWriter = place.beneath
			place.put(ours).WriteHeader(http.StatusForbidden)
			if got := beneath.Header().Get("Cache-Control"); got != "no-store" || beneath.Code != http.StatusForbidden {
				t.Errorf("status %d, Cache-Control %q", beneath.Code, got)
			}
		})
	}
}
