package inject

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

// fetchedSite is a site whose injector has Fetched.
func fetchedSite(t *testing.T, h handler) *site {
	t.Helper()
	options := testOptions
	options.Fetched = true
	return newSiteWith(t, options, h)
}

// TestFetchedDocuments get the element, and nothing else that is fetched does.
func TestFetchedDocuments(t *testing.T) {
	for _, test := range []struct {
		name   string
		method string
		header []string
		media  string
		body   string
		gets   bool
	}{
		{"Turbo", "GET", []string{"Sec-Fetch-Dest", "empty", "Sec-Fetch-Mode", "same-origin", "Accept", "text/html, application/xhtml+xml"}, "text/html", plainPage, true},
		{"Turbo, a form", "POST", []string{"Sec-Fetch-Dest", "empty", "Accept", "text/vnd.turbo-stream.html, text/html, application/xhtml+xml"}, "text/html", plainPage, true},
		{"a service worker", "GET", []string{"Sec-Fetch-Dest", "empty", "Sec-Fetch-Mode", "cors", "Accept", "*/*"}, "text/html", plainPage, true},
		{"htmx, a boosted page", "GET", []string{"Sec-Fetch-Dest", "empty", "HX-Request", "true", "HX-Boosted", "true", "Accept", "*/*"}, "text/html", "\ufeff \n<!DOCTYPE HTML><title>a</title>", true},
		{"no doctype", "GET", nil, "text/html", "<HTML><p>a", true},
		{"a head only", "GET", nil, "text/html", "<!-- a --><head></head>", true},
		{"no type", "GET", nil, "", plainPage, true},

		{"a fragment", "GET", nil, "text/html", "<p>a</p>", false},
		{"a fragment with a title", "GET", nil, "text/html", "<title>a</title><div></div>", false},
		{"a fragment after a comment", "GET", nil, "text/html", "<!-- <!doctype html><html> --><script></script>", false},
		{"a stream", "GET", nil, "text/vnd.turbo-stream.html", plainPage, false},
		{"text", "GET", nil, "text/html", "html", false},
		{"JSON", "GET", nil, "application/json", plainPage, false},
		{"an image", "GET", []string{"Sec-Fetch-Dest", "image"}, "text/html", plainPage, false},
		{"a part", "GET", []string{"Range", "bytes=0-"}, "text/html", plainPage, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fetchedSite(t, func(w http.ResponseWriter, _ *http.Request) error {
				if test.media != "" {
					set(w.Header(), "Content-Type", test.media)
				}
				set(w.Header(), "Etag", `"a"`)
				for _, b := range []byte(test.body) { // a byte at a time
					if _, err := w.Write([]byte{b}); err != nil {
						return err
					}
					if test.media != "" {
						if err := http.NewResponseController(w).Flush(); err != nil {
							return err
						}
					}
				}
				return nil
			})
			header := append([]string{"Sec-Fetch-Mode", "cors"}, test.header...)
			response := s.get(t, s.client(t, true), test.method, header...)
			got := readAll(t, response)
			if gets := strings.Contains(got, ourElement); gets != test.gets || strings.Replace(got, ourElement, "", 1) != test.body {
				t.Errorf("got %q", got)
			}
			if tag := response.Header.Get("Etag"); (tag != `"a"`) != test.gets {
				t.Errorf("the tag is %s", tag)
			}
			if s.logged() != nil {
				t.Errorf("logged %q", s.logged())
			}
		})
	}
}

// TestFetchedAsksAsBefore: what a script fetches is asked for as the script
// does, unless it wants HTML.
func TestFetchedAsksAsBefore(t *testing.T) {
	for accept, changed := range map[string]bool{"*/*": false, "application/json": false, "text/html, */*": true} {
		s := fetchedSite(t, func(w http.ResponseWriter, r *http.Request) error {
			set(w.Header(), "Content-Type", "application/json")
			_, err := io.WriteString(w, strings.Join([]string{r.Header.Get("Accept-Encoding"), r.Header.Get("If-None-Match"), r.Header.Get("If-Modified-Since")}, " "))
			return err
		})
		response := s.get(t, s.client(t, true), "GET", "Sec-Fetch-Mode", "cors", "Accept", accept, "Accept-Encoding", "br", "If-None-Match", `"b"`, "If-Modified-Since", "x")
		want := `br "b" x`
		if changed {
			want = "identity  "
		}
		if got := readAll(t, response); got != want {
			t.Errorf("Accept: %s is asked as %q, want %q", accept, got, want)
		}
	}
}

// TestFetchedDocumentsAreDecoded where an application compresses them.
func TestFetchedDocumentsAreDecoded(t *testing.T) {
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	if _, err := io.WriteString(z, plainPage); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	s := fetchedSite(t, func(w http.ResponseWriter, _ *http.Request) error {
		set(w.Header(), "Content-Type", "text/html", "Content-Encoding", "gzip")
		_, err := w.Write(compressed.Bytes())
		return err
	})
	if got := readAll(t, s.get(t, s.client(t, true), "GET", "Sec-Fetch-Mode", "cors", "Accept", "*/*", "Accept-Encoding", "gzip")); got != ourPage {
		t.Errorf("got %q", got)
	}
}
