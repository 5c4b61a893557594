package bodies

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestTheLimitOfRequestBodyHolds: request_body's 413 comes through unchanged
// when the part that is searched exceeds its limit, and the proof is not used;
// what is beyond is between request_body and reverse_proxy, as ever.
func TestTheLimitOfRequestBodyHolds(t *testing.T) {
	const maxSize = "request_body {\nmax_size 4KiB\n}\n"
	for _, test := range []struct {
		option  string
		upload  harness.Upload
		outcome any // in the access log; nil when the captcha was not reached
	}{
		{"", harness.Upload{Kind: "form", Size: 4096, Framing: harness.Chunked}, "passed"},
		{"", harness.Upload{Kind: "form", Size: 4097, Framing: harness.Chunked}, "error"},
		{"", harness.Upload{Kind: "json", Size: 100_000, Framing: harness.Chunked}, "error"},
		{"", harness.Upload{Kind: "multipart", Size: 4097, Framing: harness.Length}, nil},
		{"", harness.Upload{Kind: "header", Size: 4097, Framing: harness.Chunked}, "passed"},
		{"body_limit 1KiB", harness.Upload{Kind: "form", Size: 4097, Framing: harness.Chunked}, "passed"},
	} {
		t.Run(test.upload.String()+" "+test.option, func(t *testing.T) {
			b := harness.NewUpstream(t)
			b.Serve("log\n"+b.Directive(test.option), maxSize+b.ProxyTo(b.Upstream))
			for _, v := range b.Versions() {
				proof := b.Proof(harness.GeeTestV4)
				calls := b.VerifyCalls()
				gated, closed := status(b, v, test.upload, harness.GateHost, proof)
				if _, outcome := b.NextEntry(); outcome != test.outcome {
					t.Errorf("%s: outcome %v, want %v", v.Name, outcome, test.outcome)
				}
				bare, _ := status(b, v, test.upload, harness.BareHost, proof)
				b.NextEntry()
				if gated != bare {
					t.Errorf("%s: status %d, without a captcha %d", v.Name, gated, bare)
				}
				used := test.outcome == "passed"
				if (b.VerifyCalls() > calls) != used {
					t.Errorf("%s: the provider was called %d times", v.Name, b.VerifyCalls()-calls)
				}
				if test.outcome == "error" && (gated != http.StatusRequestEntityTooLarge || closed != (v.Name == "HTTP/1.1")) {
					t.Errorf("%s: status %d, Connection: close %v", v.Name, gated, closed)
				}
				for _, a := range b.Arrived() {
					if a.Err == "" && a.Size != 4096 {
						t.Errorf("%s: the upstream took %d bytes for the whole body", v.Name, a.Size)
					}
				}
			}
		})
	}
}

// status sends the upload and returns the status of the answer, and whether it
// ends the connection.
func status(b *harness.Testbed, v harness.Version, u harness.Upload, host string, proof map[string][]string) (status int, closed bool) {
	b.T.Helper()
	request, _ := u.Request(b.T, v.URL, host, proof)
	response, err := v.RoundTrip(request)
	if err != nil {
		b.T.Fatalf("%s, %s to %s: %v", v.Name, u, host, err)
	}
	response.Body.Close()
	return response.StatusCode, response.Close
}

// TestCompressedBodiesAreNotSearched: a proof in one is missing, since whoever
// sends it says how long it becomes. The body stays as it is.
func TestCompressedBodiesAreNotSearched(t *testing.T) {
	var compressed bytes.Buffer
	send := func(b *harness.Testbed, v harness.Version, header bool) *http.Response {
		proof := b.Proof(harness.GeeTestV4)
		compressed.Reset()
		w := gzip.NewWriter(&compressed)
		io.WriteString(w, proof.Encode())
		w.Close()
		request := harness.NewRequest(b.T, "POST", v.URL+"/upload", compressed.String(), "Content-Type", harness.FormType, "Content-Encoding", "gzip")
		request.Host = harness.GateHost
		if header {
			harness.SetHeaders(request.Header, b.Proof(harness.GeeTestV4))
		}
		response, err := v.RoundTrip(request)
		if err != nil {
			b.T.Fatalf("%s: %v", v.Name, err)
		}
		response.Body.Close()
		return response
	}
	arrived := func(b *harness.Testbed, v harness.Version) {
		if a := <-b.Arrivals; a.Sum != sha256.Sum256(compressed.Bytes()) || a.Header.Get("Content-Encoding") != "gzip" {
			b.T.Errorf("%s: %d bytes arrived with %v", v.Name, a.Size, a.Header)
		}
	}

	b := harness.NewTestbed(t)
	for _, v := range b.Versions() {
		if response := send(b, v, false); response.Header.Get("Captcha-Outcome") != "missing" {
			t.Errorf("%s: %s, outcome %q", v.Name, response.Status, response.Header.Get("Captcha-Outcome"))
		}
		if response := send(b, v, true); response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", v.Name, response.Status)
		}
		arrived(b, v)
	}
	if n := len(b.Versions()); b.VerifyCalls() != n {
		t.Errorf("the provider was called %d times, want %d", b.VerifyCalls(), n)
	}

	b = harness.NewTestbed(t, "mode monitor")
	for _, v := range b.Versions() {
		send(b, v, false)
		arrived(b, v)
	}
	if b.VerifyCalls() > 0 {
		t.Errorf("the provider was called %d times", b.VerifyCalls())
	}
}

// TestRetriesOfTheProxyHaveTheBody: when the first upstream cannot be reached
// the next one gets all of the body, as without a captcha.
func TestRetriesOfTheProxyHaveTheBody(t *testing.T) {
	b := harness.NewUpstream(t)
	b.Global = "log proxy {\noutput file " + b.LogFile + "\ninclude http.handlers.reverse_proxy\nlevel DEBUG\n}\n"
	dead := "unix/" + filepath.Join(t.TempDir(), "nobody-listens")
	// Each request takes two turns: the dead one's and then the other's.
	b.Serve(b.Directive("body_limit 8KiB"), "reverse_proxy "+b.Upstream.Listener.Addr().String()+" "+dead+" {\nlb_policy round_robin\nlb_retries 1\n}\n")
	failures := 0
	for _, v := range b.Versions() {
		for _, kind := range []string{"header", "form"} {
			for _, size := range []int64{4096, 100_000} {
				for _, framing := range []harness.Framing{harness.Length, harness.Chunked, harness.Trailer} {
					u, proof := harness.Upload{Kind: kind, Size: size, Framing: framing}, b.Proof(harness.GeeTestV4)
					gated, bare := b.Send(v, u, harness.GateHost, proof), b.Send(v, u, harness.BareHost, proof)
					if !reflect.DeepEqual(gated, bare) {
						t.Errorf("%s arrived as\n%+v\nrather than as\n%+v", u, gated, bare)
					}
					failures += 2
				}
			}
		}
	}
	for _, entry := range b.Entries("upstream roundtrip") {
		if entry["error"] != nil {
			failures--
		}
	}
	if failures != 0 {
		t.Errorf("%d requests reached the upstream at the first attempt", failures)
	}
}

// TestARetryDoesNotSendHalfABody: after an upstream that broke off in the
// middle of the body the next one gets all of it or an error, although part of
// what is gone was still in memory.
func TestARetryDoesNotSendHalfABody(t *testing.T) {
	breaker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { breaker.Close() })
	var broken atomic.Int64
	go func() {
		for {
			conn, err := breaker.Accept()
			if err != nil {
				return
			}
			conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			conn.(*net.TCPConn).SetLinger(0) // reset it
			io.CopyN(io.Discard, conn, 64<<10)
			broken.Add(1) // before the proxy sees it, and the client its answer
			conn.Close()
		}
	}()
	b := harness.NewUpstream(t)
	b.Serve(b.Directive("body_limit 15MiB"), fmt.Sprintf(
		"reverse_proxy %s %s {\nlb_policy round_robin\nlb_retries 1\nlb_retry_match method POST\n}\n", b.Upstream.Listener.Addr(), breaker.Addr()))
	for _, framing := range []harness.Framing{harness.Length, harness.Chunked} {
		u := harness.Upload{Kind: "form", Size: 12 << 20, Framing: framing} // more than the connection's buffers hold
		before := broken.Load()
		status, _ := status(b, b.Versions()[0], u, harness.GateHost, b.Proof(harness.GeeTestV4))
		if broken.Load() == before {
			t.Error("the first upstream was not tried")
		}
		for _, a := range b.Arrived() {
			if a.Err == "" && a.Size != u.Size {
				t.Errorf("%s: status %d, the second upstream took %d bytes for the whole body", u, status, a.Size)
			}
		}
	}
}

// TestABodyThatEndsBeforeItsLength: over HTTP/3 nothing but the length itself
// tells that a body has ended too soon, so the upstream has to be told it.
func TestABodyThatEndsBeforeItsLength(t *testing.T) {
	b := harness.NewTestbed(t)
	for _, v := range b.Versions() {
		for _, kind := range []string{"header", "form"} {
			proof := b.Proof(harness.GeeTestV4)
			u := harness.Upload{Kind: kind, Size: 4096, Framing: harness.Length}
			request, _ := u.Request(t, v.URL, harness.GateHost, proof)
			request.ContentLength++
			response, err := v.RoundTrip(request)
			if err == nil {
				response.Body.Close()
				if response.StatusCode < 400 {
					t.Errorf("%s, %s: %s", v.Name, kind, response.Status)
				}
			}
			for _, a := range b.Arrived() {
				if a.Err == "" {
					t.Errorf("%s, %s: the upstream took %d bytes for the whole body", v.Name, kind, a.Size)
				}
			}
		}
	}
}
