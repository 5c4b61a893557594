package integration

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
)

// TestTheLimitOfRequestBodyHolds: request_body's 413 comes through unchanged
// when the part that is searched exceeds its limit, and the proof is not used;
// what is beyond is between request_body and reverse_proxy, as ever.
func TestTheLimitOfRequestBodyHolds(t *testing.T) {
	const maxSize = "request_body {\nmax_size 4KiB\n}\n"
	for _, test := range []struct {
		option  string
		upload  upload
		outcome any // in the access log; nil when the captcha was not reached
	}{
		{"", upload{"form", 4096, chunked}, "passed"},
		{"", upload{"form", 4097, chunked}, "error"},
		{"", upload{"json", 100_000, chunked}, "error"},
		{"", upload{"multipart", 4097, length}, nil},
		{"", upload{"header", 4097, chunked}, "passed"},
		{"body_limit 1KiB", upload{"form", 4097, chunked}, "passed"},
	} {
		t.Run(test.upload.String()+" "+test.option, func(t *testing.T) {
			b := newUpstream(t)
			b.serve("log\n"+b.directive(test.option), maxSize+b.proxyTo(b.upstream))
			for _, v := range b.versions() {
				proof := b.solve(geetestV4)
				calls := b.calls()
				gated, closed := b.status(v, test.upload, gateHost, proof)
				if _, outcome := b.nextEntry(); outcome != test.outcome {
					t.Errorf("%s: outcome %v, want %v", v.name, outcome, test.outcome)
				}
				bare, _ := b.status(v, test.upload, bareHost, proof)
				b.nextEntry()
				if gated != bare {
					t.Errorf("%s: status %d, without a captcha %d", v.name, gated, bare)
				}
				used := test.outcome == "passed"
				if (b.calls() > calls) != used {
					t.Errorf("%s: the provider was called %d times", v.name, b.calls()-calls)
				}
				if test.outcome == "error" && (gated != http.StatusRequestEntityTooLarge || closed != (v.name == "HTTP/1.1")) {
					t.Errorf("%s: status %d, Connection: close %v", v.name, gated, closed)
				}
				for _, a := range b.arrived() {
					if a.Err == "" && a.Size != 4096 {
						t.Errorf("%s: the upstream took %d bytes for the whole body", v.name, a.Size)
					}
				}
			}
		})
	}
}

// status sends the upload and returns the status of the answer, and whether it
// ends the connection.
func (b *testbed) status(v version, u upload, host string, proof map[string][]string) (status int, closed bool) {
	b.t.Helper()
	request, _ := u.request(b.t, v.url, host, proof)
	response, err := v.RoundTrip(request)
	if err != nil {
		b.t.Fatalf("%s, %s to %s: %v", v.name, u, host, err)
	}
	response.Body.Close()
	return response.StatusCode, response.Close
}

// TestCompressedBodiesAreNotSearched: a proof in one is missing, since whoever
// sends it says how long it becomes. The body stays as it is.
func TestCompressedBodiesAreNotSearched(t *testing.T) {
	var compressed bytes.Buffer
	send := func(b *testbed, v version, header bool) *http.Response {
		proof := b.solve(geetestV4)
		compressed.Reset()
		w := gzip.NewWriter(&compressed)
		io.WriteString(w, proof.Encode())
		w.Close()
		request := newRequest(b.t, "POST", v.url+"/upload", compressed.String(), "Content-Type", formType, "Content-Encoding", "gzip")
		request.Host = gateHost
		if header {
			setHeaders(request.Header, b.solve(geetestV4))
		}
		response, err := v.RoundTrip(request)
		if err != nil {
			b.t.Fatalf("%s: %v", v.name, err)
		}
		response.Body.Close()
		return response
	}
	arrived := func(b *testbed, v version) {
		if a := <-b.arrivals; a.Sum != sha256.Sum256(compressed.Bytes()) || a.Header.Get("Content-Encoding") != "gzip" {
			b.t.Errorf("%s: %d bytes arrived with %v", v.name, a.Size, a.Header)
		}
	}

	b := newTestbed(t)
	for _, v := range b.versions() {
		if response := send(b, v, false); response.Header.Get("Captcha-Outcome") != "missing" {
			t.Errorf("%s: %s, outcome %q", v.name, response.Status, response.Header.Get("Captcha-Outcome"))
		}
		if response := send(b, v, true); response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", v.name, response.Status)
		}
		arrived(b, v)
	}
	if n := len(b.versions()); b.calls() != n {
		t.Errorf("the provider was called %d times, want %d", b.calls(), n)
	}

	b = newTestbed(t, "mode monitor")
	for _, v := range b.versions() {
		send(b, v, false)
		arrived(b, v)
	}
	if b.calls() > 0 {
		t.Errorf("the provider was called %d times", b.calls())
	}
}

// TestRetriesOfTheProxyHaveTheBody: when the first upstream cannot be reached
// the next one gets all of the body, as without a captcha.
func TestRetriesOfTheProxyHaveTheBody(t *testing.T) {
	b := newUpstream(t)
	b.global = "log proxy {\noutput file " + b.logs + "\ninclude http.handlers.reverse_proxy\nlevel DEBUG\n}\n"
	dead := "unix/" + filepath.Join(t.TempDir(), "nobody-listens")
	// Each request takes two turns: the dead one's and then the other's.
	b.serve(b.directive("body_limit 8KiB"), "reverse_proxy "+b.upstream.Listener.Addr().String()+" "+dead+" {\nlb_policy round_robin\nlb_retries 1\n}\n")
	failures := 0
	for _, v := range b.versions() {
		for _, kind := range []string{"header", "form"} {
			for _, size := range []int64{4096, 100_000} {
				for _, framing := range []framing{length, chunked, trailer} {
					u, proof := upload{kind, size, framing}, b.solve(geetestV4)
					gated, bare := b.send(v, u, gateHost, proof), b.send(v, u, bareHost, proof)
					if !reflect.DeepEqual(gated, bare) {
						t.Errorf("%s arrived as\n%+v\nrather than as\n%+v", u, gated, bare)
					}
					failures += 2
				}
			}
		}
	}
	for _, entry := range b.entries("upstream roundtrip") {
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
			conn.Close()
			broken.Add(1)
		}
	}()
	b := newUpstream(t)
	b.serve(b.directive("body_limit 32MiB"), fmt.Sprintf(
		"reverse_proxy %s %s {\nlb_policy round_robin\nlb_retries 1\nlb_retry_match method POST\n}\n", b.upstream.Listener.Addr(), breaker.Addr()))
	for _, framing := range []framing{length, chunked} {
		u := upload{"form", 16 << 20, framing} // more than the connection's buffers hold
		before := broken.Load()
		status, _ := b.status(b.versions()[0], u, gateHost, b.solve(geetestV4))
		if broken.Load() == before {
			t.Error("the first upstream was not tried")
		}
		for _, a := range b.arrived() {
			if a.Err == "" && a.Size != u.size {
				t.Errorf("%s: status %d, the second upstream took %d bytes for the whole body", u, status, a.Size)
			}
		}
	}
}

// TestABodyThatEndsBeforeItsLength: over HTTP/3 nothing but the length itself
// tells that a body has ended too soon, so the upstream has to be told it.
func TestABodyThatEndsBeforeItsLength(t *testing.T) {
	b := newTestbed(t)
	for _, v := range b.versions() {
		for _, kind := range []string{"header", "form"} {
			proof := b.solve(geetestV4)
			u := upload{kind, 4096, length}
			request, _ := u.request(t, v.url, gateHost, proof)
			request.ContentLength++
			response, err := v.RoundTrip(request)
			if err == nil {
				response.Body.Close()
				if response.StatusCode < 400 {
					t.Errorf("%s, %s: %s", v.name, kind, response.Status)
				}
			}
			for _, a := range b.arrived() {
				if a.Err == "" {
					t.Errorf("%s, %s: the upstream took %d bytes for the whole body", v.name, kind, a.Size)
				}
			}
		}
	}
}
