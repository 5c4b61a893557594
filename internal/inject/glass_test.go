package inject

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/answertest"
)

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
	var current answertest.Answer
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) error { return current.Serve(w, r) })
	compared := 0
	for _, http2 := range []bool{false, true} {
		transport := s.client(t, http2)
		failed := 0
		for a := range answertest.All {
			current = a
			for _, kind := range kinds {
				navigates := strings.Contains(kind.name, "navigation")
				if navigates && kind.method == "HEAD" && strings.HasPrefix(a.Media, "text/html") {
					continue // which says what the page's GET says
				}
				want := answertest.Look(t, transport, s.URL, kind.method, append([]string{"X-Bare", "1"}, kind.header...)...)
				got := answertest.Look(t, transport, s.URL, kind.method, kind.header...)
				if strings.HasPrefix(a.Media, "text/html") && got.Header["Vary"] != nil {
					if !slices.Equal(got.Header["Vary"], kind.vary) {
						t.Errorf("%s: Vary is %q", kind.name, got.Header["Vary"])
					}
					got.Header.Del("Vary")
				}
				if navigates && isHTML(want.Header) && a.How == "flushed before" && !a.Length {
					got.Length = want.Length // what may be a page waits for its first tag
					got.Header.Del("Content-Length")
				}
				if !got.Equal(want) {
					t.Fatalf("HTTP/2 %t, %s of %+v\ngot  %+v\nwant %+v", http2, kind.name, a, got, want)
				}
				compared++
				if want.Status == 0 {
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
