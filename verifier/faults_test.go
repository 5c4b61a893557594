package verifier

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

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

func TestAStalledProviderIsATimeout(t *testing.T) {
	phases := map[string]struct {
		scheme string
		handle func(net.Conn)
	}{
		"TLS handshake":      {"https://", stall},
		"before the answer":  {"http://", stall},
		"in the status line": {"http://", func(c net.Conn) { request(c); _, _ = io.WriteString(c, "HTTP/1."); stall(c) }},
		"in the headers":     {"http://", func(c net.Conn) { request(c); _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: b\r\n"); stall(c) }},
		"before the body": {"http://", func(c net.Conn) {
			request(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
			stall(c)
		}},
		"in the body":         {"http://", func(c net.Conn) { request(c); _, _ = io.WriteString(c, httpOK(v4Pass)[:90]); stall(c) }},
		"in a chunk":          {"http://", func(c net.Conn) { request(c); _, _ = io.WriteString(c, chunked+"ff\r\n{"); stall(c) }},
		"before the end mark": {"http://", func(c net.Conn) { request(c); _, _ = io.WriteString(c, chunked+"2\r\n{}\r\n"); stall(c) }},
	}
	for name, phase := range phases {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, s subject) {
				endpoint := phase.scheme + listening(t, phase.handle)
				expect(t, s.verify(t, endpoint, brief), Unknown, ReasonTimeout)
			})
		})
	}
}

const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestACallEndsWithItsContext(t *testing.T) {
	forEach(t, func(t *testing.T, s subject) {
		ctx, cancel := context.WithCancel(t.Context())
		address := listening(t, func(conn net.Conn) {
			request(conn)
			cancel()
			stall(conn)
		})
		expect(t, s.new(t, "http://"+address, forever).Verify(ctx, s.proof, testClient), Unknown, ReasonTimeout)
	})
}

func TestABrokenConnectionIsNoVerdict(t *testing.T) {
	faults := map[string]func(net.Conn){
		"closed at once":       func(net.Conn) {},
		"closed after request": request,
		"reset": func(c net.Conn) {
			request(c)
			_ = c.(*net.TCPConn).SetLinger(0)
		},
		"closed in the headers": func(c net.Conn) { request(c); _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: b\r\n") },
		"closed in the body":    func(c net.Conn) { request(c); _, _ = io.WriteString(c, httpOK(v4Pass)[:90]) },
		"closed in a chunk":     func(c net.Conn) { request(c); _, _ = io.WriteString(c, chunked+"ff\r\n{}") },
		"not HTTP":              func(c net.Conn) { request(c); _, _ = io.WriteString(c, v4Pass+"\r\n\r\n"); stall(c) },
		"malformed header":      func(c net.Conn) { request(c); _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n: \r\n\r\n"+v4Pass) },
		"malformed chunk":       func(c net.Conn) { request(c); _, _ = io.WriteString(c, chunked+"zz\r\n"+v4Pass); stall(c) },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, s subject) {
				endpoint := "http://" + listening(t, fault)
				expect(t, s.verify(t, endpoint, forever), Unknown, ReasonConnection)
			})
		})
	}
	t.Run("refused", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		forEach(t, func(t *testing.T, s subject) {
			expect(t, s.verify(t, "http://"+listener.Addr().String(), forever), Unknown, ReasonConnection)
		})
	})
}

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
	_, err := dialTLS(context.Background(), "tcp", listening(t, stall))
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

func TestOnlyStatus200IsAnAnswer(t *testing.T) {
	for _, status := range []int{201, 202, 203, 206, 226, 300, 301, 302, 400, 401, 403, 404, 407, 418, 500, 502, 503, 504, 599} {
		forEach(t, func(t *testing.T, s subject) {
			if s.name == register && status == http.StatusForbidden {
				expect(t, s.verify(t, answering(t, status, s.pass), forever), Misconfigured, "register_403")
				return
			}
			verdict := s.verify(t, answering(t, status, s.pass), forever)
			expect(t, verdict, Unknown, ReasonHTTPStatus)
			if want := "HTTP status " + itoa(status); verdict.Err.Error() != want {
				t.Errorf("the error is %q, want %q", verdict.Err, want)
			}
		})
	}
	forEach(t, func(t *testing.T, s subject) {
		expect(t, s.verify(t, answering(t, http.StatusTooManyRequests, s.pass), forever), Overloaded, ReasonRateLimited)
	})
}

func TestABodyThatIsNotTheProtocolsIsNoVerdict(t *testing.T) {
	forEach(t, func(t *testing.T, s subject) {
		var zipped strings.Builder
		w := gzip.NewWriter(&zipped)
		_, _ = io.WriteString(w, s.pass)
		w.Close()
		for name, body := range map[string]string{
			"empty":         "",
			"HTML":          "<!doctype html><title>success</title>",
			"plain text":    "c6d0002491cee7bd0d495162b9a47cb7",
			"null":          "null",
			"a number":      "0",
			"array":         "[" + s.pass + "]",
			"two documents": s.pass + s.pass,
			"trailing junk": s.pass + "x",
			"truncated":     s.pass[:len(s.pass)-1],
			"byte mark":     "\ufeff" + s.pass,
			"Latin-1":       strings.Replace(s.pass, "{", "{\"x\":\"\xe9\",", 1),
			"deep":          strings.Replace(s.pass, "{", `{"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+",", 1),
			"compressed":    zipped.String(),
			"one too long":  s.pass + strings.Repeat(" ", maxAnswer+1-len(s.pass)),
		} {
			t.Run(name, func(t *testing.T) {
				expect(t, s.verify(t, answering(t, http.StatusOK, body), forever), Unknown, ReasonAnswer)
			})
		}
		t.Run("as long as may be", func(t *testing.T) {
			body := s.pass + strings.Repeat(" ", maxAnswer-len(s.pass))
			expect(t, s.verify(t, answering(t, http.StatusOK, body), forever), Passed, "")
		})
	})
}

// What a provider sends beyond 64 KiB is not read: all that it gets rid of is
// what fits into the buffers of a socket.
func TestABodyIsReadWithinBounds(t *testing.T) {
	const gibibyte = 1 << 30
	for _, length := range []string{"", itoa(gibibyte)} {
		forEach(t, func(t *testing.T, s subject) {
			sent := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				block := make([]byte, 1<<20)
				for sent < gibibyte {
					n, err := w.Write(block)
					if sent += n; err != nil {
						return
					}
				}
			}))
			expect(t, s.verify(t, server.URL, forever), Unknown, ReasonAnswer)
			server.Close() // waits until the provider has given up
			if sent > gibibyte/8 {
				t.Errorf("the provider could send %d bytes", sent)
			}
		})
	}
}
