package readings_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// ordinary is a request of real life, and the kinds of matchers that mean it.
type ordinary struct {
	request
	meant []string
}

func readOrdinary(t *testing.T) (requests []ordinary) {
	t.Helper()
	text, err := os.ReadFile("testdata/ordinary.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line, meant, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		method, target, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(target, " ") {
			t.Fatalf("%q is no method and target", line)
		}
		o := ordinary{request: request{method: method, target: target, host: "www.example.com", lines: []string{
			"User-Agent: Mozilla/5.0", "Accept: */*", "Accept-Encoding: gzip", "Cookie: a=b; c=d", "Referer: https://www.example.com/",
		}}}
		if meant != "" {
			o.meant = strings.Split(meant, ", ")
		}
		requests = append(requests, o)
	}
	return requests
}

// isStyle reports whether a target is the one that `not path *.css` leaves out.
func isStyle(target string) bool {
	p, _, _ := strings.Cut(target, "?")
	return strings.HasSuffix(p, ".css")
}

// TestOrdinaryRequestsPass: a matcher that does not mean a request lets it
// through, and it arrives as it does without the captcha.
func TestOrdinaryRequestsPass(t *testing.T) {
	gates, echo := newGates(t), newEcho(t)
	c := &client{address: gates.address()}
	defer c.close()
	for _, o := range readOrdinary(t) {
		for _, k := range kinds {
			r := o.request
			if k.outside != "" && !strings.HasPrefix(r.target, "/") {
				continue // the absolute form, in which a path cannot be put before
			}
			r.target = k.outside + r.target
			bare, err := throughGate(c, k.bare(), echo, r)
			if err != nil {
				t.Fatal(err)
			}
			if bare.header.Get("Arrived") == "" {
				t.Fatalf("%q does not arrive without the captcha", r)
			}
			guarded, err := throughGate(c, k.guarded(), echo, r)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(o.meant, k.name) || k.outside == everywhere && !isStyle(r.target) {
				if guarded.status != http.StatusForbidden {
					t.Errorf("%s %s passes %s, which means it: status %d", r.method, r.target, k.name, guarded.status)
				}
				continue
			}
			for _, name := range []string{"Arrived", "Arrived-Header"} {
				if got, want := guarded.header.Get(name), bare.header.Get(name); got != want {
					t.Errorf("%s %s through %s: status %d, arrives as %s rather than %s", r.method, r.target, k.name, guarded.status, got, want)
				}
			}
		}
	}
}
