package inject

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

func TestMain(m *testing.M) { browsertest.Main(m) }

const (
	head       = "<!doctype html><html><head><meta charset=utf-8><title>a</title>"
	tail       = "<link rel=icon href=a></head><body><form method=post></form></body></html>"
	plainPage  = head + tail
	ourElement = `<script src="/.captcha/login/inject-1a2b.js" integrity="sha256-AAAA" crossorigin="anonymous" data-cfasync="false" ` +
		`data-captcha="inject" data-policy="login" data-forms="form[method=&#34;post&#34;]"></script>`
	ourPage = head + ourElement + tail
)

// site is a server whose answers come from a handler, with and without the
// injection.
type site struct {
	*httptest.Server
	mu      sync.Mutex
	reasons []Reason
	err     error // that the handler returned last
}

type handler func(http.ResponseWriter, *http.Request) error

func newSite(t *testing.T, h handler) *site {
	t.Helper()
	return newSiteWith(t, testOptions, h)
}

func newSiteWith(t *testing.T, options Options, h handler) *site {
	t.Helper()
	s := &site{}
	options.Log = func(_ *http.Request, reason Reason) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reasons = append(s.reasons, reason)
	}
	injector := New(options)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if r.Header.Get("X-Bare") != "" {
			err = h(w, r)
		} else {
			err = injector.ServeHTTP(w, r, caddyhttp.HandlerFunc(h))
		}
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		if status, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
			w.WriteHeader(status.StatusCode)
		}
	}))
	s.Config.ErrorLog = nil
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *site) logged() []Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reasons)
}

// client speaks HTTP/2, or HTTP/1.1, and decodes nothing.
func (s *site) client(t *testing.T, http2 bool) *http.Transport {
	transport := &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"},
		DisableCompression: true,
		ForceAttemptHTTP2:  http2,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// get asks as a browser does that navigates to the page, unless the headers
// say otherwise.
func (s *site) get(t *testing.T, transport *http.Transport, method string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	for n := 0; n < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func readAll(t *testing.T, response *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(b), err)
	}
	return string(b)
}

// set sets headers given as name and value.
func set(h http.Header, header ...string) {
	for n := 0; n < len(header); n += 2 {
		h.Add(header[n], header[n+1])
	}
}

func TestPagesGetTheElement(t *testing.T) {
	for _, status := range []int{200, 203, 401, 403, 404, 422, 500, 503} {
		for name, h := range map[string]handler{
			"with a length": func(w http.ResponseWriter, _ *http.Request) error {
				set(w.Header(), "Content-Type", "text/html; charset=gbk", "Content-Length", strconv.Itoa(len(plainPage)), "X-App", "a")
				w.WriteHeader(status)
				_, err := io.WriteString(w, plainPage)
				return err
			},
			"without": func(w http.ResponseWriter, _ *http.Request) error {
				set(w.Header(), "Content-Type", "TEXT/HTML", "X-App", "a")
				w.WriteHeader(status)
				for _, b := range []byte(plainPage) {
					if _, err := w.Write([]byte{b}); err != nil {
						return err
					}
				}
				return nil
			},
			"without a type": func(w http.ResponseWriter, _ *http.Request) error {
				set(w.Header(), "X-App", "a")
				w.WriteHeader(status)
				_, err := io.WriteString(w, plainPage)
				return err
			},
			"by ReadFrom": func(w http.ResponseWriter, _ *http.Request) error {
				set(w.Header(), "Content-Type", "text/html", "X-App", "a")
				w.WriteHeader(status)
				_, err := io.Copy(w, struct{ io.Reader }{strings.NewReader(plainPage)})
				return err
			},
		} {
			s := newSite(t, h)
			for _, http2 := range []bool{false, true} {
				transport := s.client(t, http2)
				response := s.get(t, transport, "GET")
				if got := readAll(t, response); got != ourPage {
					t.Errorf("%s: got %q", name, got)
				}
				if response.StatusCode != status || response.Header.Get("X-App") != "a" {
					t.Errorf("%s: status %d, header %v", name, response.StatusCode, response.Header)
				}
				if response.ContentLength >= 0 && response.ContentLength != int64(len(ourPage)) {
					t.Errorf("%s: the length is %d", name, response.ContentLength)
				}
				if vary := response.Header.Get("Vary"); vary != "Sec-Fetch-Mode" {
					t.Errorf("%s: Vary is %q", name, vary)
				}
				if s.logged() != nil {
					t.Errorf("%s: logged %q", name, s.logged())
				}
			}
		}
	}
}

// TestOtherAnswersStayAsTheyAre compares with the answer without injection.
func TestOtherAnswersStayAsTheyAre(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		header []string
		body   string
		varies bool
		reason Reason
	}{
		{"json", 200, []string{"Content-Type", "application/json"}, plainPage, false, ""},
		{"json by its body", 200, nil, `{"a":"<html><head></head>"}`, false, ""},
		{"no type at all", 200, []string{"Content-Type", ""}, plainPage, false, ""},
		{"plain text", 200, []string{"Content-Type", "text/plain"}, plainPage, false, ""},
		{"xhtml", 200, []string{"Content-Type", "application/xhtml+xml"}, plainPage, false, ""},
		{"a type like it", 200, []string{"Content-Type", "text/htmlx"}, plainPage, false, ""},
		{"download", 200, []string{"Content-Type", "text/html", "Content-Disposition", `ATTACHMENT; filename="a.html"`}, plainPage, true, ""},
		{"redirect", 302, []string{"Content-Type", "text/html", "Location", "/a"}, plainPage, true, ""},
		{"no content", 204, []string{"Content-Type", "text/html"}, "", true, ""},
		{"not modified", 304, []string{"Etag", `"a"`}, "", false, ""},
		{"partial", 206, []string{"Content-Type", "text/html", "Content-Range", "bytes 0-4/9"}, "<html", true, ""},
		{"partial without a range", 206, []string{"Content-Type", "text/html"}, plainPage, true, ""},
		{"a range all the same", 200, []string{"Content-Type", "text/html", "Content-Range", "bytes 0-4/9"}, "<html", true, ""},
		{"the challenge page", 403, []string{"Content-Type", "text/html", "Captcha-Policy", "login"}, plainPage, true, ""},
		{"empty", 200, []string{"Content-Type", "text/html", "Etag", `"a"`}, "", true, ""},
		{"utf-16", 200, []string{"Content-Type", "text/html; charset=UTF-16LE", "Etag", `"a"`}, plainPage, true, NotASCII},
		{"iso-2022-jp", 200, []string{"Content-Type", `text/html;charset="iso-2022-jp"`}, plainPage, true, NotASCII},
		{"deflate", 200, []string{"Content-Type", "text/html", "Content-Encoding", "deflate", "Etag", `"a"`}, "\x78\x9c", true, Encoded},
		{"encoded twice", 200, []string{"Content-Type", "text/html", "Content-Encoding", "gzip", "Content-Encoding", "br"}, "\x1f\x8b", true, Encoded},
		{"sandbox", 200, []string{"Content-Type", "text/html", "Content-Security-Policy", "sandbox allow-forms"}, plainPage, true, Sandboxed},
		{"json in spite of its type", 200, []string{"Content-Type", "text/html", "Etag", `"a"`, "Content-Length", "2", "Accept-Ranges", "bytes"}, "[]", true, NotHTML},
		{"no place", 200, []string{"Content-Type", "text/html", "Content-Security-Policy", "default-src 'none'"}, "<!--" + strings.Repeat("-", 2*scanLimit), true, NoPlace},
		{"unfinished", 200, []string{"Content-Type", "text/html", "Content-Security-Policy", "default-src 'none'"}, "<!doctype html", true, EndsUnfinished},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
				set(w.Header(), test.header...)
				if slices.Equal(test.header, []string{"Content-Type", ""}) {
					w.Header()["Content-Type"] = nil
				}
				w.WriteHeader(test.status)
				if test.body == "" {
					return nil
				}
				_, err := io.WriteString(w, test.body)
				return err
			})
			for _, http2 := range []bool{false, true} {
				transport := s.client(t, http2)
				want, got := s.get(t, transport, "GET", "X-Bare", "1"), s.get(t, transport, "GET")
				if test.varies {
					set(want.Header, "Vary", "Sec-Fetch-Mode")
				}
				want.Header.Set("Date", got.Header.Get("Date"))
				if got.StatusCode != want.StatusCode || !maps.EqualFunc(got.Header, want.Header, slices.Equal) {
					t.Errorf("got  %d %v\nwant %d %v", got.StatusCode, got.Header, want.StatusCode, want.Header)
				}
				if readAll(t, got) != test.body {
					t.Error("the body was changed")
				}
			}
			var want []Reason
			if test.reason != "" {
				want = []Reason{test.reason, test.reason}
			}
			if got := s.logged(); !slices.Equal(got, want) {
				t.Errorf("logged %q, want %q", got, want)
			}
		})
	}
}

func TestWhatIsNoNavigationStaysAsItIs(t *testing.T) {
	for name, header := range map[string][]string{
		"fetch":                {"Sec-Fetch-Mode", "cors", "Accept", "text/html"},
		"image":                {"Sec-Fetch-Mode", "no-cors"},
		"jQuery over http":     {"Sec-Fetch-Mode", "", "Accept", "text/html, */*; q=0.01", "X-Requested-With", "XMLHttpRequest"},
		"an API client":        {"Sec-Fetch-Mode", "", "Accept", "*/*"},
		"a client of no taste": {"Sec-Fetch-Mode", ""},
	} {
		t.Run(name, func(t *testing.T) {
			header := append([]string{"Range", "bytes=0-", "If-None-Match", `"x"`, "If-Modified-Since", "x", "Accept-Encoding", "zstd"}, header...)
			s := newSite(t, func(w http.ResponseWriter, r *http.Request) error {
				for n := 0; n < 8; n += 2 {
					if r.Header.Get(header[n]) != header[n+1] {
						t.Errorf("%s is %q", header[n], r.Header.Get(header[n]))
					}
				}
				set(w.Header(), "Content-Type", "text/html", "Etag", `"a"`, "Vary", "Accept-Encoding, accept")
				_, err := io.WriteString(w, plainPage)
				return err
			})
			transport := s.client(t, true)
			response := s.get(t, transport, "GET", header...)
			if got := readAll(t, response); got != plainPage || response.Header.Get("Etag") != `"a"` {
				t.Errorf("got %v %q", response.Header, got)
			}
			want := "Accept-Encoding, accept|Sec-Fetch-Mode"
			if slices.Index(header, "Sec-Fetch-Mode") >= 0 && header[slices.Index(header, "Sec-Fetch-Mode")+1] == "" {
				want += "|X-Requested-With|HX-Request"
			}
			if vary := strings.Join(response.Header["Vary"], "|"); vary != want {
				t.Errorf("Vary is %q, want %q", vary, want)
			}
		})
	}
}

func TestNavigationWithoutFetchMetadata(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, plainPage)
		return err
	})
	transport := s.client(t, false)
	response := s.get(t, transport, "GET", "Sec-Fetch-Mode", "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if got := readAll(t, response); got != ourPage {
		t.Errorf("got %q", got)
	}
}

// TestIsolatedPages tell the script, whose frame has to be so too.
func TestIsolatedPages(t *testing.T) {
	for policy, isolated := range map[string]bool{`require-corp; report-to="a"`: true, "credentialless": true, "unsafe-none": false, "": false} {
		s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
			set(w.Header(), "Content-Type", "text/html", "Cross-Origin-Embedder-Policy", policy)
			_, err := io.WriteString(w, plainPage)
			return err
		})
		want := ourPage
		if isolated {
			want = strings.Replace(want, "></script>", " data-isolated></script>", 1)
		}
		if got := readAll(t, s.get(t, s.client(t, true), "GET")); got != want {
			t.Errorf("%q: got %q", policy, got)
		}
	}
}

func TestOldClient(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, plainPage+strings.Repeat("a", 100_000))
		return err
	})
	conn, err := (&tls.Dialer{Config: s.client(t, false).TLSClientConfig}).DialContext(context.Background(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.0\r\nAccept: text/html\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, got, _ := strings.Cut(string(answer), "\r\n\r\n"); got != ourPage+strings.Repeat("a", 100_000) {
		t.Errorf("got %.300q", got)
	}
}
