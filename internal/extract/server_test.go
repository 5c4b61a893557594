package extract

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const timeout = 10 * time.Second

// listener accepts the one connection it is made of.
type listener struct {
	connection net.Conn
	accepted   bool
	closed     chan struct{}
	once       sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	if !l.accepted {
		l.accepted = true
		return l.connection, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return l.connection.LocalAddr() }

// serve has an http.Server answer the requests that come through the returned
// connection. In a synctest bubble, time passes at once when all wait.
func serve(t *testing.T, handler http.HandlerFunc) net.Conn {
	client, connection := net.Pipe()
	server := &http.Server{Handler: handler}
	l := &listener{connection: connection, closed: make(chan struct{})}
	go server.Serve(l)
	t.Cleanup(func() {
		client.Close()
		server.Close()
		synctest.Wait()
	})
	return client
}

// underCaddy is what Caddy's server does with read_idle_timeout: the body
// moves the deadline at each read, and takes the handler's as a ceiling.
func underCaddy(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		reader := &caddyhttp.IdleTimeoutReader{
			ReadCloser:    r.Body,
			Ctrl:          http.NewResponseController(w),
			Deadline:      caddyhttp.IdleDeadline{Start: time.Now(), Timeout: time.Minute},
			Logger:        zap.NewNop(),
			DrainDeadline: r.ProtoMajor == 1 && r.ContentLength != 0,
		}
		defer reader.HandlerDone()
		r.Body = reader
		handler(deadlineWriter{w, reader}, r)
	}
}

type deadlineWriter struct {
	http.ResponseWriter
	reader *caddyhttp.IdleTimeoutReader
}

func (w deadlineWriter) SetReadDeadline(t time.Time) error { return w.reader.SetReadDeadline(t) }

// extractAndEcho answers with the status of the error, or with the body.
func extractAndEcho(results chan<- Result) http.HandlerFunc {
	return extractWithAndEcho(nil, results)
}

func extractWithAndEcho(memory Memory, results chan<- Result) http.HandlerFunc {
	e := New(parameters, allSources, bodyLimit)
	return func(w http.ResponseWriter, r *http.Request) {
		result, err := e.Extract(w, r, r.URL.RawQuery, timeout, memory)
		if err != nil {
			w.WriteHeader(err.(caddyhttp.HandlerError).StatusCode)
			return
		}
		results <- result
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Write(body)
	}
}

func TestABodyThatComesTooSlowlyIsAnsweredWith408(t *testing.T) {
	for _, test := range []struct {
		name    string
		server  func(http.HandlerFunc) http.HandlerFunc
		header  string
		trickle time.Duration // between the bytes that still come
		after   time.Duration
	}{
		{"stalled", nopServer, "Content-Length: 100\r\n\r\nticket=", 0, timeout},
		{"stalled, chunked", nopServer, "Transfer-Encoding: chunked\r\n\r\n7\r\nticket=\r\n", 0, timeout},
		{"trickling", nopServer, "Content-Length: 100\r\n\r\nticket=", 3 * time.Second, timeout},
		{"stalled under Caddy", underCaddy, "Content-Length: 100\r\n\r\nticket=", 0, timeout},
		{"trickling under Caddy", underCaddy, "Content-Length: 100\r\n\r\nticket=", 3 * time.Second, timeout},
		// The read that finds the time is up is the one after it.
		{"trickling, no deadlines", withoutDeadlines, "Content-Length: 100\r\n\r\nticket=", 3 * time.Second, 12 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := serve(t, test.server(extractAndEcho(nil)))
				start := time.Now()
				request := "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: " + urlEncoded + "\r\n" + test.header
				if _, err := io.WriteString(client, request); err != nil {
					t.Fatal(err)
				}
				var trickling sync.WaitGroup
				defer trickling.Wait()
				defer client.Close()
				if test.trickle > 0 {
					trickling.Go(func() {
						for {
							time.Sleep(test.trickle) // virtual: the client's slowness
							if _, err := io.WriteString(client, "x"); err != nil {
								return
							}
						}
					})
				}
				response, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Fatal(err)
				}
				if response.StatusCode != http.StatusRequestTimeout || !response.Close {
					t.Errorf("the answer is %s, Connection: close %v", response.Status, response.Close)
				}
				if elapsed := time.Since(start); elapsed != test.after {
					t.Errorf("it came after %v", elapsed)
				}
				if _, err := client.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("the connection stays open: %v", err)
				}
			})
		})
	}
}

func nopServer(handler http.HandlerFunc) http.HandlerFunc { return handler }

// withoutDeadlines hides what the connection could do.
func withoutDeadlines(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { handler(struct{ http.ResponseWriter }{w}, r) }
}

func TestTheTimeoutIsOverWhenTheSearchIs(t *testing.T) {
	for name, server := range map[string]func(http.HandlerFunc) http.HandlerFunc{"net/http": nopServer, "Caddy": underCaddy} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				results := make(chan Result, 1)
				client := serve(t, server(extractAndEcho(results)))
				start := "ticket=t&randstr=r&x=" + strings.Repeat("x", bodyLimit)
				go func() {
					io.WriteString(client, "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: "+urlEncoded+"\r\nTransfer-Encoding: chunked\r\n\r\n")
					io.WriteString(client, "215\r\n"+start+"\r\n")
					time.Sleep(5 * timeout) // virtual: the upload takes longer than the search may
					io.WriteString(client, "3\r\nend\r\n0\r\n\r\n")
				}()
				response, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Fatal(err)
				}
				check(t, <-results, found(Form, "t", "r"))
				body, err := io.ReadAll(response.Body)
				if err != nil || string(body) != start+"end" {
					t.Errorf("upstream got %d bytes, %v", len(body), err)
				}
			})
		})
	}
}

func TestWithoutDeadlinesTheClockBetweenReadsBoundsASlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat("x", 100)
		for _, test := range []struct {
			timeout time.Duration
			slow    bool
		}{{timeout, true}, {0, false}, {-1, false}, {time.Hour, false}} {
			start := time.Now()
			r := newRequest("", urlEncoded, int64(len(body)))
			r.Body = io.NopCloser(sluggish{strings.NewReader(body)})
			_, err := New(parameters, allSources, bodyLimit).Extract(httptest.NewRecorder(), r, "", test.timeout, nil)
			handlerError, _ := errors.AsType[caddyhttp.HandlerError](err)
			if slow := handlerError.StatusCode == http.StatusRequestTimeout; slow != test.slow || slow == (err == nil) {
				t.Errorf("timeout %v: %v", test.timeout, err)
			}
			if elapsed := time.Since(start); test.slow && elapsed != timeout {
				t.Errorf("timeout %v: it took %v", test.timeout, elapsed)
			}
			after, err := io.ReadAll(r.Body)
			if whole := err == nil && string(after) == body; whole == test.slow || !strings.HasPrefix(body, string(after)) {
				t.Errorf("timeout %v: the body is now %q, %v", test.timeout, after, err)
			}
		}
	})
}

// sluggish takes a second of virtual time for each byte.
type sluggish struct{ r io.Reader }

func (s sluggish) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return s.r.Read(p[:1])
}

func TestAClientThatLeavesIsNoSuccessForTheReaderOfTheBody(t *testing.T) {
	for name, header := range map[string]string{
		"length":  "Content-Length: 100\r\n\r\n",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n64\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const begin = "ticket=t&randstr=r&"
				done := make(chan struct{})
				client := serve(t, func(w http.ResponseWriter, r *http.Request) {
					defer close(done)
					_, err := New(parameters, allSources, bodyLimit).Extract(w, r, "", timeout, nil)
					if handlerError, _ := errors.AsType[caddyhttp.HandlerError](err); handlerError.StatusCode != statusClientClosedRequest {
						t.Errorf("the error is %v", err)
					}
					after, err := io.ReadAll(r.Body)
					if string(after) != begin || !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("the body is now %q, %v", after, err)
					}
				})
				io.WriteString(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: "+urlEncoded+"\r\n"+header+begin)
				client.Close()
				<-done
			})
		})
	}
}

func TestBrokenChunksAreTheClientsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serve(t, extractAndEcho(nil))
		go io.WriteString(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: "+urlEncoded+"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
		response, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("the answer is %s", response.Status)
		}
	})
}

// Over real connections: HTTP/1.1 and HTTP/2, with and without a length.
func TestAProofIsTakenFromAnUploadAndTheUploadArrives(t *testing.T) {
	testUploads(t, nil, found(Form, "t", "r"))
}

// TestAnUploadThatThereIsNoMemoryForArrives, if the request is let go on.
func TestAnUploadThatThereIsNoMemoryForArrives(t *testing.T) {
	testUploads(t, &budget{}, Result{Status: Overloaded, Source: Form, Reason: ReasonMemory})
}

func testUploads(t *testing.T, memory Memory, want Result) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			results := make(chan Result, 1)
			trailers := make(chan string, 1)
			echo := extractWithAndEcho(memory, results)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != version {
					t.Errorf("the protocol is %s", r.Proto)
				}
				echo(w, r)
				trailers <- r.Trailer.Get("Digest")
			}))
			server.EnableHTTP2 = version == "HTTP/2.0"
			server.StartTLS()
			defer server.Close()
			for _, size := range []int{0, 1, bodyLimit, bodyLimit + 1, 1 << 20} {
				for _, chunked := range []bool{false, true} {
					body := append([]byte("ticket=t&randstr=r&x="), bytes.Repeat([]byte("x"), size)...)
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, bytes.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					request.Header.Set("Content-Type", urlEncoded)
					trailer := ""
					if chunked {
						request.ContentLength = -1
						request.Trailer = http.Header{"Digest": {"sha-256=x"}}
						trailer = "sha-256=x"
					}
					response, err := server.Client().Do(request)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(response.Body)
					response.Body.Close()
					if err != nil || !bytes.Equal(got, body) {
						t.Errorf("%d bytes: %d arrived, %v", len(body), len(got), err)
					}
					check(t, <-results, want)
					if got := <-trailers; got != trailer {
						t.Errorf("the trailer is %q", got)
					}
				}
			}
		})
	}
}

func TestHTTP2BodiesThatStallOrBreakOff(t *testing.T) {
	errs := make(chan error, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		patience := time.Hour
		if r.URL.Path == "/stall" {
			patience = 10 * time.Millisecond
		}
		_, err := New(parameters, allSources, bodyLimit).Extract(w, r, "", patience, nil)
		errs <- err
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for path, status := range map[string]int{"/stall": http.StatusRequestTimeout, "/break": statusClientClosedRequest} {
		t.Run(path, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			body, upload := io.Pipe()
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+path, body)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", urlEncoded)
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				if response, err := server.Client().Do(request); err == nil {
					response.Body.Close()
				}
			}()
			io.WriteString(upload, "ticket=t&")
			if path == "/break" {
				cancel()
			}
			handlerError, _ := errors.AsType[caddyhttp.HandlerError](<-errs)
			if handlerError.StatusCode != status {
				t.Errorf("the error is %v", handlerError)
			}
			cancel()
			upload.Close()
			<-answered
		})
	}
}
