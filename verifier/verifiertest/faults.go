package verifiertest

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

func (s *suite) testStatuses(t *testing.T, c call) {
	for _, status := range []int{201, 202, 203, 204, 206, 226, 300, 304, 400, 401, 403, 404, 407, 418, 429, 500, 502, 503, 504, 599} {
		want, reason := verifier.Unknown, verifier.ReasonHTTPStatus
		result, listed := c.Statuses[status]
		switch {
		case listed:
			want = result
		case status == http.StatusTooManyRequests:
			want, reason = verifier.Overloaded, verifier.ReasonRateLimited
		}
		verdict := s.verdict(t, c, answering(t, status, c.Answers[0].Body), forever)
		if verdict.Result != want || !listed && verdict.Reason != reason {
			t.Errorf("the status %d is %v %q, want %v %q", status, verdict.Result, verdict.Reason, want, reason)
		}
	}
}

// A redirect could send keys and proof to another host.
func (s *suite) testRedirects(t *testing.T, c call) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		target := serving(t, func(w http.ResponseWriter, _ *http.Request) {
			t.Errorf("a redirect with the status %d was followed", status)
			_, _ = io.WriteString(w, c.Answers[0].Body)
		})
		service := serving(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, status) })
		expect(t, s.verdict(t, c, service, forever), verifier.Unknown, verifier.ReasonHTTPStatus)
	}
}

// A cookie would let the service tell which proofs are of one site.
func (s *suite) testCookies(t *testing.T, c call) {
	v := s.at(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			t.Error("a cookie was kept")
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
		_, _ = io.WriteString(w, c.Answers[0].Body)
	}), forever)
	for range 2 {
		expect(t, made(t, func() verifier.Verdict { return c.do(t.Context(), v) }), verifier.Passed, "")
	}
}

// A service that falls silent, or never comes to an end, is given up.
func (s *suite) testStalls(t *testing.T, c call) {
	pass := c.Answers[0].Body
	for name, service := range map[string]struct {
		scheme string
		handle func(net.Conn)
	}{
		"in the TLS handshake": {"https://", stall},
		"before the answer":    {"http://", stall},
		"in the status line":   {"http://", func(c net.Conn) { say(c, "HTTP/1."); stall(c) }},
		"in the headers":       {"http://", func(c net.Conn) { say(c, statusLine+"A: b\r\n"); stall(c) }},
		"before the body":      {"http://", func(c net.Conn) { say(c, statusLine+"Content-Length: 9\r\n\r\n"); stall(c) }},
		"in the body":          {"http://", func(c net.Conn) { say(c, strings.TrimSuffix(whole(pass), "}")); stall(c) }},
		"in a chunk":           {"http://", func(c net.Conn) { say(c, chunked+"ff\r\n{"); stall(c) }},
		"before the end":       {"http://", func(c net.Conn) { say(c, chunked+strconv.FormatInt(int64(len(pass)), 16)+"\r\n"+pass+"\r\n"); stall(c) }},
		"dripping headers":     {"http://", func(c net.Conn) { say(c, statusLine+"A: "); drip(c, "a") }},
		"dripping spaces":      {"http://", func(c net.Conn) { say(c, chunked); drip(c, "1\r\n \r\n") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they only wait
			verdict := s.verdict(t, c, service.scheme+listening(t, service.handle), brief)
			expect(t, verdict, verifier.Unknown, verifier.ReasonTimeout)
		})
	}
}

// drip says something again and again, slowly.
func drip(conn net.Conn, text string) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

func (s *suite) testCancellation(t *testing.T, c call) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	v := s.at(t, "http://"+listening(t, func(conn net.Conn) {
		receive(bufio.NewReader(conn))
		cancel()
		stall(conn)
	}), forever)
	expect(t, made(t, func() verifier.Verdict { return c.do(ctx, v) }), verifier.Unknown, verifier.ReasonTimeout)
}

// What breaks after a call was delivered is not tried again.
func (s *suite) testBreaks(t *testing.T, c call) {
	pass := c.Answers[0].Body
	for name, handle := range map[string]func(net.Conn){
		"closed after the request": func(c net.Conn) { say(c, "") },
		"reset": func(c net.Conn) {
			say(c, "")
			_ = c.(*net.TCPConn).SetLinger(0)
		},
		"closed in the headers": func(c net.Conn) { say(c, statusLine+"A: b\r\n") },
		"closed in the body":    func(c net.Conn) { say(c, strings.TrimSuffix(whole(pass), "}")) },
		"closed in a chunk":     func(c net.Conn) { say(c, chunked+"ff\r\n"+pass) },
		"not HTTP":              func(c net.Conn) { say(c, pass+"\r\n\r\n"); stall(c) },
		"a malformed header":    func(c net.Conn) { say(c, statusLine+": \r\n\r\n"+pass) },
		"a malformed chunk":     func(c net.Conn) { say(c, chunked+"zz\r\n"+pass); stall(c) },
	} {
		t.Run(name, func(t *testing.T) {
			var delivered atomic.Int32
			service := listening(t, func(conn net.Conn) {
				delivered.Add(1)
				handle(conn)
			})
			expect(t, s.verdict(t, c, "http://"+service, forever), verifier.Unknown, verifier.ReasonConnection)
			if n := delivered.Load(); n != 1 {
				t.Errorf("the call was delivered %d times", n)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		expect(t, s.verdict(t, c, "http://"+vacant(t), forever), verifier.Unknown, verifier.ReasonConnection)
	})
}

// vacant is an address where nobody listens.
func vacant(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// A service that never stops sending is not read to the end. It gets rid of no
// more than a verifier reads, and what the buffers between them hold.
func (s *suite) testFloods(t *testing.T, c call) {
	const all, most = 1 << 28, 1 << 26
	block := strings.Repeat(" ", 1<<16)
	header := "A: " + strings.Repeat("a", 1000) + "\r\n"
	for name, flood := range map[string]struct{ begin, again string }{
		"headers":             {statusLine, header},
		"interim answers":     {"", "HTTP/1.1 103 Early Hints\r\n" + header + "\r\n"},
		"a body":              {statusLine + "\r\n", block},
		"a body with length":  {statusLine + "Content-Length: " + strconv.Itoa(all) + "\r\n\r\n", block},
		"a body in chunks":    {chunked, "10000\r\n" + block + "\r\n"},
		"an answer and more":  {statusLine + "\r\n" + c.Answers[0].Body, block},
		"an array of arrays":  {statusLine + "\r\n", strings.Repeat("[", 1<<16)},
		"a body with another": {statusLine + "Content-Encoding: gzip\r\n\r\n", block},
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan int, 1)
			service := listening(t, func(conn net.Conn) {
				say(conn, flood.begin)
				n := 0
				for n < all {
					written, err := io.WriteString(conn, flood.again)
					n += written
					if err != nil {
						break
					}
				}
				sent <- n
			})
			verdict := s.verdict(t, c, "http://"+service, forever)
			if verdict.Result != verifier.Unknown {
				t.Errorf("the verdict is %+v", verdict)
			}
			if n := <-sent; n > most {
				t.Errorf("the service could send %d bytes", n)
			}
		})
	}
}

func (s *suite) testTLS(t *testing.T, c call) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("a certificate was trusted that nobody signed")
		_, _ = io.WriteString(w, c.Answers[0].Body)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	expect(t, s.verdict(t, c, server.URL, forever), verifier.Unknown, verifier.ReasonTLS)
}

// A server that closes a kept-alive connection once it has read the request is
// the case in which net/http sends some requests again. A call for a challenge
// it may: that spends nothing.
func (s *suite) testDelivery(t *testing.T, c call) {
	if c.name != "verify" {
		return
	}
	var delivered atomic.Int32
	v := s.at(t, "http://"+listening(t, func(conn net.Conn) {
		for reader := bufio.NewReader(conn); ; {
			r := receive(reader)
			if r == nil {
				return
			}
			for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
				if _, found := r.Header[http.CanonicalHeaderKey(name)]; found {
					t.Errorf("the call has the header %s, which makes it one that may be repeated", name)
				}
			}
			if delivered.Add(1) > 1 {
				return
			}
			_, _ = io.WriteString(conn, whole(c.Answers[0].Body))
		}
	}), forever)
	expect(t, made(t, func() verifier.Verdict { return c.do(t.Context(), v) }), verifier.Passed, "")
	expect(t, made(t, func() verifier.Verdict { return c.do(t.Context(), v) }), verifier.Unknown, verifier.ReasonConnection)
	if n := delivered.Load(); n != 2 {
		t.Errorf("2 calls were delivered %d times", n)
	}
}
