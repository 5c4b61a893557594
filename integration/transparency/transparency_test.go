// Package transparency compares what clients get through a gate that lets them
// pass with what they get from the same Caddy without it.
package transparency

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/internal/answertest"
)

func TestMain(m *testing.M) {
	caddy.RegisterModule(answering{})
	httpcaddyfile.RegisterHandlerDirective("answering", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return answering{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("answering", httpcaddyfile.After, "reverse_proxy")
	os.Exit(m.Run())
}

// current is what the application answers, and wrapped the type of the writer
// that it was given last.
var (
	current atomic.Pointer[answertest.Answer]
	wrapped atomic.Value
)

// answering is a handler in Caddy's own process that answers so.
type answering struct{}

func (answering) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.answering", New: func() caddy.Module { return new(answering) }}
}

func (answering) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	wrapped.Store(fmt.Sprintf("%T", w))
	return current.Load().Serve(w, r)
}

// passes returns the header of a client that the gate lets pass, over one
// version of HTTP.
func passes(t *testing.T, b *harness.Testbed, v harness.Version) []string {
	t.Helper()
	request := harness.NewRequest(t, "POST", v.URL+"/.captcha/default/verify", b.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType)
	request.Host = harness.GateHost
	response, err := v.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for _, cookie := range response.Cookies() {
		if cookie.HttpOnly {
			return []string{"Cookie", harness.Pair(cookie)}
		}
	}
	t.Fatalf("verify answered %s", response.Status)
	return nil
}

// speaksOfCaches tells the fields that `answers private` may change.
func speaksOfCaches(name string) bool {
	return name == "Cache-Control" || strings.HasSuffix(name, "Cdn-Cache-Control") || name == "Surrogate-Control"
}

// cacheFields are what applications say about caches.
var cacheFields = [][]string{
	nil,
	{"Cache-Control", "public, max-age=60"},
	{"Cache-Control", "no-store"},
	{"Cdn-Cache-Control", "max-age=60", "Surrogate-Control", "max-age=60", "Cache-Control", "s-maxage=60"},
}

// TestAnswersAreThoseOfTheApplication, to the last byte, over every version of
// HTTP, from a handler of Caddy's and through reverse_proxy: with `answers keep`
// all of it, and with `answers private` all but what is said about caches.
func TestAnswersAreThoseOfTheApplication(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if current.Load().Serve(w, r) != nil {
			panic(http.ErrAbortHandler)
		}
	}))
	defer upstream.Close()
	for _, answers := range []string{"private", "keep"} {
		for _, application := range []string{"answering", "reverse_proxy " + upstream.Listener.Addr().String(), "encode gzip\nanswering"} {
			b := harness.NewUpstream(t)
			b.Serve(b.Directive("clearance 30m", "answers "+answers), application)
			for n, v := range b.Versions() {
				cleared := passes(t, b, v)
				compared := 0
				for a := range answertest.All {
					// Every 23rd: each run of the loop has others.
					if compared++; (compared+5*n+7*len(answers)+11*len(application))%23 != 0 || a.How == "hijacked" {
						continue
					}
					// How much of an answer without a type or an end a proxy has
					// when it goes on is a matter of chance.
					if strings.HasPrefix(application, "reverse_proxy") && (a.Fails || a.Media == "" || a.Media == "none") {
						continue
					}
					a.Header = cacheFields[compared%len(cacheFields)]
					current.Store(&a)
					for _, method := range []string{"GET", "HEAD", "POST"} {
						header := append([]string{"Accept-Encoding", "gzip"}, cleared...)
						want := answertest.Look(t, v, v.URL+"/", method, append(header, "Host", harness.BareHost)...)
						got := answertest.Look(t, v, v.URL+"/", method, append(header, "Host", harness.GateHost)...)
						if answers == "private" && method != "POST" && got.Status != 0 {
							if cache := strings.Join(got.Header["Cache-Control"], ", "); !strings.Contains(cache, "private") && !strings.Contains(cache, "no-store") {
								t.Errorf("%s %s of %+v has Cache-Control %q", v.Name, method, a, cache)
							}
							for _, seen := range []answertest.Seen{want, got} {
								maps.DeleteFunc(seen.Header, func(name string, _ []string) bool { return speaksOfCaches(name) })
							}
						}
						if strings.HasPrefix(application, "reverse_proxy") && (want.Header["Content-Length"] == nil || got.Header["Content-Length"] == nil) {
							// Nor does a proxy that flushes by a timer say how long
							// an answer is that ends at once.
							got.Length = want.Length
							got.Header.Del("Content-Length")
							want.Header.Del("Content-Length")
						}
						if !got.Equal(want) {
							t.Fatalf("answers %s, %q, %s %s of %+v\ngot  %+v\nwant %+v", answers, application, v.Name, method, a, got, want)
						}
					}
				}
			}
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFilesAreThoseOfTheServer: whole, in parts, conditional, and not there.
func TestFilesAreThoseOfTheServer(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"index.html": answertest.Page, "empty.txt": "", "data.json": `{"a": 1}`, "large.bin": strings.Repeat("0123456789abcdef", 1<<16),
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := harness.NewUpstream(t)
	b.Serve(b.Directive("clearance 30m", "answers keep"), "root * "+root+"\nfile_server")
	for _, v := range b.Versions() {
		cleared := passes(t, b, v)
		for _, path := range []string{"/", "/empty.txt", "/data.json", "/large.bin", "/missing", "/data.json/"} {
			for _, header := range [][]string{
				nil,
				{"Range", "bytes=0-3"},
				{"Range", "bytes=-2"},
				{"Range", "bytes=0-1,3-4"},
				{"Range", "bytes=9999999-"},
				{"If-None-Match", "*"},
				{"If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"},
				{"If-Unmodified-Since", "Mon, 01 Jan 1990 00:00:00 GMT"},
			} {
				for _, method := range []string{"GET", "HEAD"} {
					header := append(slices.Clone(header), cleared...)
					want := answertest.Look(t, v, v.URL+path, method, append(header, "Host", harness.BareHost)...)
					got := answertest.Look(t, v, v.URL+path, method, append(header, "Host", harness.GateHost)...)
					for _, seen := range []*answertest.Seen{&want, &got} {
						seen.Body = withoutBoundary(seen.Header, seen.Body)
					}
					if !got.Equal(want) {
						t.Fatalf("%s %s %s with %q\ngot  %+v\nwant %+v", v.Name, method, path, header, got, want)
					}
				}
			}
		}
	}
}

// withoutBoundary replaces the boundary of several ranges, which is random.
func withoutBoundary(header http.Header, body string) string {
	_, boundary, found := strings.Cut(header.Get("Content-Type"), "boundary=")
	if !found {
		return body
	}
	header.Set("Content-Type", "multipart/byteranges")
	return strings.ReplaceAll(body, boundary, "boundary")
}

// TestWhatIsNotMatchedIsNotWrapped: the writer is that of the Caddy without us,
// and with `answers keep` it is so for what is matched, too.
func TestWhatIsNotMatchedIsNotWrapped(t *testing.T) {
	current.Store(&answertest.Answer{Status: http.StatusOK, How: "at once"})
	for answers, matched := range map[string]bool{"private": true, "keep": false} {
		b := harness.NewUpstream(t)
		b.Serve(strings.Replace(b.Directive("clearance 30m", "answers "+answers), "captcha {", "captcha /login* {", 1), "answering")
		for _, v := range b.Versions() {
			cleared := passes(t, b, v)
			writer := func(host, path, method string) string {
				answertest.Look(t, v, v.URL+path, method, append([]string{"Host", host}, cleared...)...)
				return wrapped.Load().(string)
			}
			want := writer(harness.BareHost, "/login", "GET")
			for _, method := range []string{"GET", "POST"} {
				if got := writer(harness.GateHost, "/about", method); got != want {
					t.Errorf("answers %s, %s: what is not matched is written to a %s, want %s", answers, v.Name, got, want)
				}
				if got := writer(harness.GateHost, "/login", method); (got != want) != (matched && method == "GET") {
					t.Errorf("answers %s, %s: what is matched by %s is written to a %s, bare to a %s", answers, v.Name, method, got, want)
				}
			}
		}
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFlushedPiecesArrive: what the application has flushed is with the client
// before it goes on.
func TestFlushedPiecesArrive(t *testing.T) {
	goOn := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			fmt.Fprint(w, "data: a\n\n")
			w.(http.Flusher).Flush()
			select {
			case <-goOn:
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer upstream.Close()
	b := harness.NewUpstream(t)
	b.Serve(b.Directive("clearance 30m"), b.ProxyTo(upstream))
	for _, v := range b.Versions() {
		// What never comes is a failure and no hang.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		request := harness.NewRequest(t, "GET", v.URL+"/", "", passes(t, b, v)...).WithContext(ctx)
		request.Host = harness.GateHost
		response, err := v.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for n := range 3 {
			for piece := make([]byte, 100); got.Len() < 9*(n+1); {
				read, err := response.Body.Read(piece)
				if got.Write(piece[:read]); err != nil {
					t.Fatalf("%s: %v after %q", v.Name, err, got.String())
				}
			}
			goOn <- struct{}{}
		}
		response.Body.Close()
	}
}
