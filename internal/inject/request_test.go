package inject

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// TestRequestIsRestored: next does not see what would bring a part of a page,
// an encoded page or one without the element; what comes after next does.
func TestRequestIsRestored(t *testing.T) {
	injector := New(testOptions)
	for _, test := range []struct {
		method    string
		is, seen  string
		panicking bool
	}{
		{"GET", `"a` + injector.tagSuffix + `", W/"b", *`, `"a"`, false},
		{"HEAD", `"b"`, "", true},
		{"PUT", `"a` + injector.tagSuffix + `", W/"b"`, `"a", W/"b"`, false},
	} {
		r := httptest.NewRequest(test.method, "/", nil)
		set(r.Header, "Sec-Fetch-Mode", "navigate", "Accept-Encoding", "gzip", "Range", "bytes=1-", "If-Range", `"a"`,
			"If-Modified-Since", "yesterday", "If-Unmodified-Since", "today", "If-None-Match", test.is, "If-Match", `"c`+injector.tagSuffix+`", "d"`, "Cookie", "a=b")
		before := r.Header.Clone()
		func() {
			defer func() {
				if p := recover(); (p != nil) != test.panicking {
					panic(p)
				}
			}()
			want := errors.New("an error of next")
			err := injector.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, seen *http.Request) error {
				if seen != r {
					t.Error("next does not get the request itself")
				}
				expected := before.Clone()
				expected.Set("Accept-Encoding", "identity")
				expected.Set("If-Match", `"c", "d"`)
				if test.method != "PUT" {
					for _, key := range []string{"Range", "If-Range", "If-Modified-Since"} {
						expected.Del(key)
					}
				}
				if expected.Set("If-None-Match", test.seen); test.seen == "" {
					expected.Del("If-None-Match")
				}
				if !maps.EqualFunc(seen.Header, expected, slices.Equal) {
					t.Errorf("%s: next sees %v\nwant %v", test.method, seen.Header, expected)
				}
				if test.panicking {
					panic("of next")
				}
				return want
			}))
			if err != want {
				t.Errorf("got error %v", err)
			}
		}()
		if !maps.EqualFunc(r.Header, before, slices.Equal) {
			t.Errorf("%s: left behind is %v\nwant %v", test.method, r.Header, before)
		}
	}
}

// TestHeadersOfOursAreTakenBack: those that the client did not send, too.
func TestHeadersOfOursAreTakenBack(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	err := New(testOptions).ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
	if err != nil || len(r.Header) != 1 {
		t.Errorf("left behind is %v, %v", r.Header, err)
	}
}

func TestTunnelsAndTheFramedPageAreNotTouched(t *testing.T) {
	injector := New(testOptions)
	for name, r := range map[string]*http.Request{
		"CONNECT":         httptest.NewRequest("CONNECT", "example.com:80", nil),
		"upgrade":         httptest.NewRequest("GET", "/", nil),
		"the framed page": httptest.NewRequest("GET", testOptions.FramePath+"?a", nil),
	} {
		set(r.Header, "Sec-Fetch-Mode", "navigate", "Range", "bytes=1-")
		if name == "upgrade" {
			set(r.Header, "Connection", "keep-alive, Upgrade", "Upgrade", "websocket")
		}
		writer := httptest.NewRecorder()
		called := false
		err := injector.ServeHTTP(writer, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, seen *http.Request) error {
			called = w == http.ResponseWriter(writer) && seen.Header.Get("Range") != ""
			return nil
		}))
		if err != nil || !called {
			t.Errorf("%s: %v, called as it should be: %t", name, err, called)
		}
	}
}

// TestCachesStayHonest: a client gets a 304 only for the page with this very
// element, and HEAD says what GET does.
func TestCachesStayHonest(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) error {
		set(w.Header(), "Content-Type", "text/html", "Etag", `W/"v1"`, "Content-Digest", "a", "Repr-Digest", "b", "Digest", "c", "Content-Md5", "d",
			"Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT", "Content-Security-Policy", "frame-src 'none'")
		http.ServeContent(w, r, "", time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC), strings.NewReader(plainPage))
		return nil
	})
	for _, http2 := range []bool{false, true} {
		transport := s.client(t, http2)
		first := s.get(t, transport, "GET", "Range", "bytes=0-5")
		if got := readAll(t, first); first.StatusCode != 200 || got != ourPage {
			t.Fatalf("got %d %q", first.StatusCode, got)
		}
		tag := first.Header.Get("Etag")
		if tag == `W/"v1"` || !strings.HasPrefix(tag, `W/"v1-captcha-`) {
			t.Errorf("the tag is %s", tag)
		}
		for _, key := range []string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5", "Accept-Ranges", "Content-Range"} {
			if first.Header.Get(key) != "" {
				t.Errorf("%s is %q", key, first.Header.Get(key))
			}
		}
		again := s.get(t, transport, "GET", "If-None-Match", `"other", `+tag)
		if again.StatusCode != 304 || again.Header.Get("Etag") != tag {
			t.Errorf("got %d with %s, want 304 with %s", again.StatusCode, again.Header.Get("Etag"), tag)
		}
		if got, want := again.Header.Get("Content-Security-Policy"), first.Header.Get("Content-Security-Policy"); got != want || got == "frame-src 'none'" {
			t.Errorf("the policy is %q, want %q", got, want)
		}
		for _, header := range [][]string{
			{"If-None-Match", `W/"v1"`},
			{"If-None-Match", `W/"v1-captcha-000000000000"`},
			{"If-None-Match", "*"},
			{"If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT"},
			{"Range", "bytes=1-", "If-Range", tag},
		} {
			if got := s.get(t, transport, "GET", header...); got.StatusCode != 200 || readAll(t, got) != ourPage {
				t.Errorf("%q brought %d", header, got.StatusCode)
			}
		}
		headers := s.get(t, transport, "HEAD")
		for _, response := range []*http.Response{first, headers} {
			response.Header.Del("Date")
			response.Header.Del("Content-Length") // HEAD cannot know it
		}
		if !maps.EqualFunc(headers.Header, first.Header, slices.Equal) || headers.StatusCode != 200 || headers.ContentLength > 0 {
			t.Errorf("HEAD says %v\nGET says  %v", headers.Header, first.Header)
		}
	}
}

// TestHeadOfAHandlerThatWrites: what it writes would have net/http work out a
// length that is not GET's.
func TestHeadOfAHandlerThatWrites(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) error {
		set(w.Header(), "Content-Type", "text/html")
		_, err := io.WriteString(w, plainPage)
		return err
	})
	for _, http2 := range []bool{false, true} {
		response := s.get(t, s.client(t, http2), "HEAD")
		if response.ContentLength == int64(len(plainPage)) {
			t.Errorf("HEAD says %d bytes", response.ContentLength)
		}
	}
}
