package inject

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// answer is what a handler answers, of which the matrix below has all
// combinations.
type answer struct {
	status   int    // 0: none is written
	early    bool   // a 103 comes before
	media    string // the Content-Type; "none" is an explicit one of no value
	length   bool   // a Content-Length
	how      string // the body comes
	trailers bool
	fails    bool // the handler returns an error
}

var statuses = []int{0, 200, 201, 204, 205, 206, 226, 301, 302, 304, 400, 401, 403, 404, 416, 422, 500, 503, 599}

// body is of the length that the Content-Type of HTML would have a place in.
func (a answer) body() string {
	if strings.HasPrefix(a.media, "text/html") || a.media == "" {
		return `{"a": "` + strings.Repeat("<html><head></head>", 10) + `"}`
	}
	return plainPage
}

func (a answer) serve(w http.ResponseWriter, r *http.Request) error {
	set(w.Header(), "X-App", "a", "Etag", `"a"`, "Set-Cookie", "a=b", "Set-Cookie", "c=d")
	switch a.media {
	case "":
	case "none":
		w.Header()["Content-Type"] = nil
	default:
		set(w.Header(), "Content-Type", a.media)
	}
	if a.early {
		set(w.Header(), "Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
	}
	body := a.body()
	if a.how == "no body" {
		body = ""
	}
	if a.length {
		set(w.Header(), "Content-Length", strconv.Itoa(len(body)))
	}
	if a.trailers {
		set(w.Header(), "Trailer", "X-Trailer")
	}
	if a.status >= 300 && a.status < 400 {
		set(w.Header(), "Location", "/elsewhere")
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	var err error
	switch a.how {
	case "no body":
	case "flushed before":
		if err = http.NewResponseController(w).Flush(); err == nil {
			_, err = io.WriteString(w, body)
		}
	case "in pieces":
		for n := 0; n < len(body) && err == nil; n += 50 {
			if _, err = io.WriteString(w, body[n:min(n+50, len(body))]); err == nil && n%100 == 0 {
				err = http.NewResponseController(w).Flush()
			}
		}
	case "byte by byte":
		for n := 0; n < len(body) && err == nil; n++ {
			_, err = io.WriteString(w, body[n:n+1])
		}
	case "read from":
		_, err = io.Copy(w, struct{ io.Reader }{strings.NewReader(body)})
	case "twice":
		w.WriteHeader(http.StatusTeapot)
		_, err = io.WriteString(w, body)
	case "hijacked":
		conn, rw, hijackErr := http.NewResponseController(w).Hijack()
		if hijackErr != nil {
			set(w.Header(), "X-Hijack", "no")
			return nil
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 299 Mine\r\nConnection: close\r\n\r\nhijacked")
		return rw.Flush()
	default:
		_, err = io.WriteString(w, body)
	}
	if a.trailers {
		w.Header().Set("X-Trailer", "b")
		w.Header().Set(http.TrailerPrefix+"X-Late", "c")
	}
	if r.Method != http.MethodHead && err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		w.Header().Set(http.TrailerPrefix+"X-Error", err.Error())
	}
	if a.fails {
		return errors.New("an error")
	}
	return nil
}

// each yields the matrix. What no handler can do twice, or without a body, is
// left out.
func answers(yield func(answer) bool) {
	for _, status := range statuses {
		for _, media := range []string{"", "none", "application/json", "text/html", "text/html; charset=utf-16", "image/png"} {
			for _, how := range []string{"no body", "at once", "flushed before", "in pieces", "byte by byte", "read from", "twice", "hijacked"} {
				for flags := range 16 {
					a := answer{status, flags&1 != 0, media, flags&2 != 0, how, flags&4 != 0, flags&8 != 0}
					if how == "hijacked" && (flags != 0 || status != 0) || a.fails && how != "no body" && how != "in pieces" {
						continue
					}
					if !yield(a) {
						return
					}
				}
			}
		}
	}
}

// seen is what a client saw of an answer.
type seen struct {
	status  int
	early   []string
	header  http.Header
	length  int64
	body    string
	err     bool
	trailer http.Header
}

func look(t *testing.T, transport *http.Transport, url, method string, header ...string) seen {
	t.Helper()
	var s seen
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		s.early = append(s.early, fmt.Sprint(code, header))
		return nil
	}}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	set(r.Header, header...)
	response, err := transport.RoundTrip(r)
	if err != nil { // what a handler must not do, and HTTP/2 does not let it
		return seen{err: true}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	s.status, s.header, s.length, s.body, s.err, s.trailer = response.StatusCode, response.Header, response.ContentLength, string(body), err != nil, response.Trailer
	s.header.Del("Date")
	return s
}

func (s seen) equal(other seen) bool {
	same := func(a, b http.Header) bool { return maps.EqualFunc(a, b, slices.Equal) }
	return s.status == other.status && slices.Equal(s.early, other.early) && same(s.header, other.header) &&
		s.length == other.length && s.body == other.body && s.err == other.err && same(s.trailer, other.trailer)
}

// TestTheInjectionIsGlass: every answer that is no page is to the client what
// it is without the injection, to the last byte. The one thing more is Vary, in
// HTML, which would be a page for another request.
func TestTheInjectionIsGlass(t *testing.T) {
	kinds := []struct {
		name, method string
		header       []string
		vary         []string
	}{
		{"call", "GET", []string{"Sec-Fetch-Mode", "cors", "Accept", "application/json", "Range", "bytes=0-"}, []string{"Sec-Fetch-Mode"}},
		{"API client", "POST", []string{"Accept", "*/*"}, varyByAccept},
		{"HEAD", "HEAD", []string{"Sec-Fetch-Mode", "cors"}, []string{"Sec-Fetch-Mode"}},
		{"navigation", "GET", []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, []string{"Sec-Fetch-Mode"}},
		{"navigation by POST", "POST", []string{"Accept", "text/html"}, varyByAccept},
		{"HEAD of a navigation", "HEAD", []string{"Sec-Fetch-Mode", "navigate"}, []string{"Sec-Fetch-Mode"}},
	}
	var current answer
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) error { return current.serve(w, r) })
	compared := 0
	for _, http2 := range []bool{false, true} {
		transport := s.client(t, http2)
		failed := 0
		for a := range answers {
			current = a
			for _, kind := range kinds {
				navigates := strings.Contains(kind.name, "navigation")
				if navigates && kind.method == "HEAD" && strings.HasPrefix(a.media, "text/html") {
					continue // which says what the page's GET says
				}
				want := look(t, transport, s.URL, kind.method, append([]string{"X-Bare", "1"}, kind.header...)...)
				got := look(t, transport, s.URL, kind.method, kind.header...)
				if strings.HasPrefix(a.media, "text/html") && got.header["Vary"] != nil {
					if !slices.Equal(got.header["Vary"], kind.vary) {
						t.Errorf("%s: Vary is %q", kind.name, got.header["Vary"])
					}
					got.header.Del("Vary")
				}
				if navigates && isHTML(want.header) && a.how == "flushed before" && !a.length {
					got.length = want.length // what may be a page waits for its first tag
					got.header.Del("Content-Length")
				}
				if !got.equal(want) {
					t.Fatalf("HTTP/2 %t, %s of %+v\ngot  %+v\nwant %+v", http2, kind.name, a, got, want)
				}
				compared++
				if want.status == 0 {
					failed++
				}
			}
		}
		if failed > compared/10 {
			t.Errorf("HTTP/2 %t: %d of %d answers failed, which says little", http2, failed, compared)
		}
	}
	t.Logf("%d answers compared", compared)
}

// TestFlushedAnswersArriveAsWithout: what a handler has flushed is there before
// it goes on, whether a page may follow or not.
func TestFlushedAnswersArriveAsWithout(t *testing.T) {
	for _, mode := range []string{"navigate", "cors"} {
		for _, media := range []string{"", "application/json", "text/plain"} {
			goOn := make(chan struct{})
			s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
				if media != "" {
					set(w.Header(), "Content-Type", media)
				}
				w.WriteHeader(http.StatusAccepted)
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
				<-goOn
				_, err := io.WriteString(w, "late")
				return err
			})
			conn, err := tls.Dial("tcp", s.Listener.Addr().String(), s.client(t, false).TLSClientConfig)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\nSec-Fetch-Mode: %s\r\n\r\n", mode)
			status, err := bufio.NewReader(net.Conn(conn)).ReadString('\n') // comes while the handler waits
			if err != nil || !strings.Contains(status, "202") {
				t.Errorf("%s of %q: %q, %v", mode, media, status, err)
			}
			close(goOn)
		}
	}
}
