package readings_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// newEcho starts a server that says in the header Arrived what arrived.
func newEcho(t *testing.T) *server {
	t.Helper()
	s, err := startGo(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var lines []string
		for name, values := range r.Header {
			lines = append(lines, fmt.Sprintf("%s: %q", name, values))
		}
		slices.Sort(lines)
		w.Header().Set("Arrived", strconv.QuoteToASCII(r.Method+" "+r.RequestURI+" "+r.Host))
		w.Header().Set("Arrived-Header", strconv.QuoteToASCII(strings.Join(lines, "\n")))
		w.Header().Set("Content-Length", "0")
	}))
	if err != nil {
		t.Fatal(err)
	}
	s.name = "echo"
	t.Cleanup(s.stop)
	return s
}

// TestEvaluationIsTheSame: what is evaluated in process reaches the server
// behind a gate exactly when it does over a connection, as the same request.
func TestEvaluationIsTheSame(t *testing.T) {
	seed := seed(t)
	t.Logf("READINGS_SEED=%d", seed)
	gates, echo := newGates(t), newEcho(t)
	c := &client{address: gates.address()}
	defer c.close()
	arrived := 0
	for i := range uint64(3000) {
		r := newGrammar(seed, i).next()
		if len(r.bytes()) > 8<<10 {
			continue // what arrives is told in a header, which has its limits
		}
		site := kinds[i/2%uint64(len(kinds))].bare()
		if i%2 == 0 {
			site = kinds[i/2%uint64(len(kinds))].guarded()
		}
		answer, err := throughGate(c, site, echo, r)
		if err != nil {
			t.Fatal(err)
		}
		got, want := answer.header.Get("Arrived"), ""
		if evaluated := gates.evaluate(site, r); evaluated != nil {
			arrived++
			parsed, ok := evaluated.parse()
			if !ok {
				continue // Go's server does not tell what it refuses
			}
			want = strconv.QuoteToASCII(evaluated.method + " " + evaluated.target + " " + parsed.Host)
		}
		if got != want {
			t.Errorf("%q to %s arrives as %s, evaluated %s", r, site, got, want)
		}
	}
	if arrived < 1000 {
		t.Errorf("only %d requests arrived", arrived)
	}
}
