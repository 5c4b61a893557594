package verifier

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestConnectionsAreReused(t *testing.T) {
	const parallel = 64
	var opened atomic.Int32
	var arrived sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived.Done()
		arrived.Wait() // all calls of a wave are under way at once
		_, _ = io.WriteString(w, v4Pass)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for range 3 {
		arrived.Add(parallel)
		var calls sync.WaitGroup
		for range parallel {
			// A new verifier for each call, as after a reload.
			v := newV4(t, server.URL, forever)
			calls.Go(func() { expect(t, v.Verify(t.Context(), v4Proof, testClient), Passed, "") })
		}
		calls.Wait()
	}
	// A connection is idle a moment after its call has returned, so that a call
	// of the next wave may just miss it.
	if n := opened.Load(); n >= 2*parallel {
		t.Errorf("%d connections were opened for 3 waves of %d calls", n, parallel)
	}
}

func TestRequestsOfferNoCompressionAndNoIdempotencyKey(t *testing.T) {
	forEach(t, func(t *testing.T, s subject) {
		expect(t, s.verify(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
			for _, name := range []string{"Accept-Encoding", "Idempotency-Key", "X-Idempotency-Key"} {
				if _, found := r.Header[name]; found {
					t.Errorf("the request has %s", name)
				}
			}
			_, _ = io.WriteString(w, s.pass)
		}), forever), Passed, "")
	})
}

func TestTLSIsVerifiedAndNeverHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Proto != "HTTP/1.1" || r.Host != r.Context().Value(http.LocalAddrContextKey).(net.Addr).String() {
			t.Errorf("the request came for %s as %s", r.Host, r.Proto)
		}
		_, _ = io.WriteString(w, v4Pass)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = discard
	server.StartTLS()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	expect(t, subjects[1].verify(t, server.URL, forever), Unknown, ReasonTLS)

	trusting := func(endpoint string) *GeetestV4 {
		return provisioned(t, &GeetestV4{CaptchaID: v4ID, CaptchaKey: v4Key, Endpoint: endpoint, CA: authorityFile(t, server)})
	}
	expect(t, trusting(server.URL).Verify(t.Context(), v4Proof, testClient), Passed, "")
	// The certificate is trusted now, but not one of this name.
	expect(t, trusting("https://localhost:"+port).Verify(t.Context(), v4Proof, testClient), Unknown, ReasonTLS)
}

// What a client can put into a proof stays one value of one field.
func TestProofsAreEncodedNotInjected(t *testing.T) {
	const hostile = "a&captcha_id=b%26c+d\r\nX-Header: e \x00é\"}"
	var form url.Values
	endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" && r.URL.RawQuery != "captcha_id="+v4ID {
			t.Errorf("the query is %q", r.URL.RawQuery)
		}
		if r.Header.Get("X-Header") != "" {
			t.Error("a header was injected")
		}
		_ = r.ParseForm()
		form = r.PostForm
	})
	newV4(t, endpoint, forever).Verify(t.Context(), Proof{hostile, hostile, hostile, hostile}, testClient)
	for _, name := range []string{"lot_number", "captcha_output", "pass_token", "gen_time"} {
		if got := form[name]; len(got) != 1 || got[0] != hostile {
			t.Errorf("%s arrived as %q", name, got)
		}
	}
	if len(form) != 5 {
		t.Errorf("%d fields arrived in v4, want 5", len(form))
	}
	newV3(t, endpoint, forever).Verify(t.Context(), Proof{hostile, hostile, hostile}, testClient)
	for _, name := range []string{"challenge", "seccode"} {
		if got := form[name]; len(got) != 1 || got[0] != hostile {
			t.Errorf("%s arrived as %q", name, got)
		}
	}
	if len(form) != 8 {
		t.Errorf("%d fields arrived in v3, want 8", len(form))
	}
	body, err := parseObject(newTencent(t, "", 0).body(Proof{hostile, hostile}, testClient))
	if err != nil || body["Ticket"] != hostile || body["Randstr"] != hostile || len(body) != 6 {
		t.Errorf("Tencent's body has %d members, Ticket %q, Randstr %q (%v)", len(body), body["Ticket"], body["Randstr"], err)
	}
}

func httpOK(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

var (
	discard = log.New(io.Discard, "", 0)
	itoa    = strconv.Itoa
)

// request reads a request to its end.
func request(conn net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// stall reads until the other side gives up.
func stall(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// Beyond 64 KiB of headers no answer is waited for, not even a good one.
func TestHeadersAreReadWithinBounds(t *testing.T) {
	header := "Header: " + long(1000) + "\r\n"
	for name, answer := range map[string]string{
		"one answer":      "HTTP/1.1 200 OK\r\n" + strings.Repeat(header, 70),
		"interim answers": strings.Repeat("HTTP/1.1 103 Early Hints\r\n"+header+"\r\n", 70) + "HTTP/1.1 200 OK\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, s subject) {
				endpoint := "http://" + listening(t, func(conn net.Conn) {
					request(conn)
					_, _ = io.WriteString(conn, answer+"\r\n"+s.pass)
				})
				expect(t, s.verify(t, endpoint, forever), Unknown, ReasonConnection)
			})
		})
	}
}

// A dial goes on when the call that wanted it is over, so it has bounds of its
// own.
func TestAStalledHandshakeEndsByItself(t *testing.T) {
	defer func(timeout time.Duration) { handshakeTimeout = timeout }(handshakeTimeout)
	handshakeTimeout = brief
	_, err := direct.dialTLS(context.Background(), "tcp", listening(t, stall))
	expect(t, failure(t.Context(), err), Unknown, ReasonTimeout)
}

func TestABrokenHandshakeIsATLSFailure(t *testing.T) {
	faults := map[string]func(net.Conn){
		"closed": func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) },
		"not TLS": func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = io.WriteString(c, httpOK(v4Pass))
			stall(c)
		},
		"alert": func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) // fatal, handshake_failure
			stall(c)
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, s subject) {
				expect(t, s.verify(t, "https://"+listening(t, fault), forever), Unknown, ReasonTLS)
			})
		})
	}
}

func TestAnAnswerMayBeSoLong(t *testing.T) {
	forEach(t, func(t *testing.T, s subject) {
		longest := s.pass + strings.Repeat(" ", maxAnswer-len(s.pass))
		expect(t, s.verify(t, answering(t, http.StatusOK, longest), forever), Passed, "")
		expect(t, s.verify(t, answering(t, http.StatusOK, longest+" "), forever), Unknown, ReasonAnswer)
	})
}

func TestTheErrorNamesTheStatus(t *testing.T) {
	verdict := subjects[1].verify(t, answering(t, http.StatusBadGateway, ""), forever)
	if verdict.Err == nil || verdict.Err.Error() != "HTTP status 502" {
		t.Errorf("the error is %v", verdict.Err)
	}
}
