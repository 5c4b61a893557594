// Package readings proves that no reading opens the gate. It starts real
// servers, asks each of them generated requests, and sends whatever made a
// server run its login through a Caddy with captcha in front of that server,
// once for each kind of matcher: there the login must not run without a proof.
//
// A run is 20,000 requests with a seed that it prints:
//
//	go test ./integration/readings
//
// READINGS_SEED repeats a run, READINGS_TARGETS changes its length, and a long
// one needs more time than go test gives by default:
//
//	READINGS_SEED=42 go test ./integration/readings
//	READINGS_TARGETS=5000000 go test -timeout 0 -run TestReadings -v ./integration/readings
//
// The servers are two of Go's, Node.js, PHP's built-in one, two of Python's,
// and Tomcat 10 from Debian. What is not installed is left out, and the run
// says so; with CI=true it fails. TOMCAT_HOME and TOMCAT_JDT name Tomcat's
// folder and the jar of its compiler where they are not where Debian has them.
// -short leaves Tomcat out and asks 2,000 requests.
//
// What a run finds is shrunk, reported with its exact bytes, and added to
// testdata/corpus/found.txt; all files there are replayed before anything is
// generated. Each of their lines is a kind of matcher (kinds_test.go), a server
// and a quoted request, and in open.txt stands what is known to get through.
package readings_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/caddycaptcha/caddycaptcha/internal/leaktest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	stopServers()
	os.Exit(leaktest.Check(code, // the replay cache lives as long as the process
		goleak.IgnoreAnyFunction("github.com/dgraph-io/ristretto/v2.(*defaultPolicy[...]).processItems"),
		goleak.IgnoreAnyFunction("github.com/dgraph-io/ristretto/v2.(*Cache[...]).processItems"),
	))
}

// seed returns the seed of this run.
func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("READINGS_SEED")
	if text == "" {
		return rand.Uint64() //nolint:gosec // no secret
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("READINGS_SEED: %v", err)
	}
	return n
}

// targets returns how many requests this run makes.
func targets(t *testing.T) int {
	t.Helper()
	text := os.Getenv("READINGS_TARGETS")
	switch {
	case text == "" && testing.Short():
		return 2000
	case text == "":
		return 20000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("READINGS_TARGETS=%s is not a number of requests", text)
	}
	return n
}
