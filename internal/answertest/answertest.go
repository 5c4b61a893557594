// Package answertest has the answers that an application can give, and compares
// what clients see of them, so that a handler in front can be shown to change
// nothing.
package answertest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Page is a page of HTML.
const Page = "<!doctype html><html><head><meta charset=utf-8><title>a</title><link rel=icon href=a></head><body><form method=post></form></body></html>"

// Answer is what a handler answers, of which the matrix below has all
// combinations.
type Answer struct {
	Status   int    // 0: none is written
	Early    bool   // a 103 comes before
	Media    string // the Content-Type; "none" is an explicit one of no value
	Length   bool   // a Content-Length
	How      string // the body comes
	Trailers bool
	Fails    bool // the handler returns an error

	// Header has more fields, in pairs.
	Header []string
}

var statuses = []int{0, 200, 201, 204, 205, 206, 226, 301, 302, 304, 400, 401, 403, 404, 416, 422, 500, 503, 599}

// body is of the length that the Content-Type of HTML would have a place in.
func (a Answer) body() string {
	if strings.HasPrefix(a.Media, "text/html") || a.Media == "" {
		return `{"a": "` + strings.Repeat("<html><head></head>", 10) + `"}`
	}
	return Page
}

// Serve answers.
func (a Answer) Serve(w http.ResponseWriter, r *http.Request) error {
	set(w.Header(), "X-App", "a", "Etag", `"a"`, "Set-Cookie", "a=b", "Set-Cookie", "c=d")
	set(w.Header(), a.Header...)
	switch a.Media {
	case "":
	case "none":
		w.Header()["Content-Type"] = nil
	default:
		set(w.Header(), "Content-Type", a.Media)
	}
	if a.Early {
		set(w.Header(), "Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
	}
	body := a.body()
	if a.How == "no body" {
		body = ""
	}
	if a.Length {
		set(w.Header(), "Content-Length", strconv.Itoa(len(body)))
	}
	if a.Trailers {
		set(w.Header(), "Trailer", "X-Trailer")
	}
	if a.Status >= 300 && a.Status < 400 {
		set(w.Header(), "Location", "/elsewhere")
	}
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	var err error
	switch a.How {
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
	if a.Trailers {
		w.Header().Set("X-Trailer", "b")
		w.Header().Set(http.TrailerPrefix+"X-Late", "c")
	}
	if r.Method != http.MethodHead && err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		w.Header().Set(http.TrailerPrefix+"X-Error", err.Error())
	}
	if a.Fails {
		return errors.New("an error")
	}
	return nil
}

// All yields the matrix. What no handler can do twice, or without a body, is
// left out.
func All(yield func(Answer) bool) {
	for _, status := range statuses {
		for _, media := range []string{"", "none", "application/json", "text/html", "text/html; charset=utf-16", "image/png"} {
			for _, how := range []string{"no body", "at once", "flushed before", "in pieces", "byte by byte", "read from", "twice", "hijacked"} {
				for flags := range 16 {
					a := Answer{Status: status, Early: flags&1 != 0, Media: media, Length: flags&2 != 0, How: how, Trailers: flags&4 != 0, Fails: flags&8 != 0}
					if how == "hijacked" && (flags != 0 || status != 0) || a.Fails && how != "no body" && how != "in pieces" {
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

// Seen is what a client saw of an answer.
type Seen struct {
	Status  int
	Early   []string
	Header  http.Header
	Length  int64
	Body    string
	Err     bool
	Trailer http.Header
}

// Look sends a request and returns what its client sees of the answer.
func Look(t testing.TB, transport http.RoundTripper, url, method string, header ...string) Seen {
	t.Helper()
	var s Seen
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		s.Early = append(s.Early, fmt.Sprint(code, header))
		return nil
	}}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	set(r.Header, header...)
	if host := r.Header.Get("Host"); host != "" {
		r.Header.Del("Host")
		r.Host = host
	}
	response, err := transport.RoundTrip(r)
	if err != nil { // what a handler must not do, and HTTP/2 does not let it
		return Seen{Err: true}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	s.Status, s.Header, s.Length, s.Body, s.Err, s.Trailer = response.StatusCode, response.Header, response.ContentLength, string(body), err != nil, response.Trailer
	s.Header.Del("Date")
	return s
}

// Equal reports whether two clients saw the same.
func (s Seen) Equal(other Seen) bool {
	same := func(a, b http.Header) bool { return maps.EqualFunc(a, b, slices.Equal) }
	return s.Status == other.Status && slices.Equal(s.Early, other.Early) && same(s.Header, other.Header) &&
		s.Length == other.Length && s.Body == other.Body && s.Err == other.Err && same(s.Trailer, other.Trailer)
}

// set adds fields given as names and values.
func set(h http.Header, fields ...string) {
	for pair := range slices.Chunk(fields, 2) {
		h.Add(pair[0], pair[1])
	}
}
