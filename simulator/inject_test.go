package simulator

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// serve starts a server of the handler and returns its URL and a client that
// pools no connection. The server's shutdown at the end of the test waits for
// every handler but those of hijacked connections; TestMain finds these.
func serve(t *testing.T, handler http.Handler, start func(*httptest.Server)) (string, *http.Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	start(server)
	t.Cleanup(server.Close)
	client := server.Client()
	client.Transport.(*http.Transport).DisableKeepAlives = true
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return server.URL, client
}

func startHTTP2(server *httptest.Server) {
	server.EnableHTTP2 = true
	server.StartTLS()
}

// fetch makes a call that the test's end or cancel breaks off.
func fetch(t *testing.T, client *http.Client, url string) (call func() (*http.Response, error), cancel context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return func() (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+V3BypassPath, nil)
		if err != nil {
			return nil, err
		}
		return client.Do(r)
	}, cancel
}

func TestHoldKeepsTheGenuineAnswerBack(t *testing.T) {
	sim, _ := newTestSimulator(t)
	url, client := serve(t, sim, (*httptest.Server).Start)
	hold := make(chan struct{})
	sim.FailNext(1, Fault{Hold: hold})
	call, _ := fetch(t, client, url)
	done := make(chan error, 1)
	go func() {
		resp, err := call()
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	if err := sim.AwaitCalls(t.Context(), V3BypassPath, 1); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("answered while held (error %v)", err)
	default:
	}
	close(hold)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestDelayComesBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, _ := newTestSimulator(t)
		sim.FailNext(1, Fault{Delay: 3 * time.Second})
		start := time.Now()
		if got := get(t, sim, V3BypassPath+"?gt="+testV3.CaptchaID); got != `{"status":"success"}` {
			t.Fatalf("got %s", got)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Fatalf("answered after %s", took)
		}
	})
}

func TestAnswersThatDoNotComeAreBrokenOffAfterAMinute(t *testing.T) {
	for _, fault := range []Fault{
		{Kind: Stall},
		{Kind: StallInHeaders}, // a recorder has no connection to take
		{Kind: StallInBody},
		{Hold: make(chan struct{})},
	} {
		synctest.Test(t, func(t *testing.T) {
			if fault.Hold != nil {
				fault.Hold = make(chan struct{}) // of the bubble
			}
			start := time.Now()
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("%+v: ended with %v", fault, p)
				}
				if took := time.Since(start); took != maxFault {
					t.Errorf("%+v: took %s", fault, took)
				}
			}()
			fault.inject(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
	}
}

func TestStallEndsWhenTheClientLeaves(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1": (*httptest.Server).Start,
		"HTTP/2": startHTTP2,
	} {
		for _, fault := range []Fault{
			{Kind: Stall},
			{Kind: StallInHeaders},
			{Delay: maxFault},
			{Hold: make(chan struct{})},
		} {
			t.Run(name+" "+string(fault.Kind), func(t *testing.T) {
				sim, _ := newTestSimulator(t)
				url, client := serve(t, sim, start)
				sim.Fail(fault)
				call, cancel := fetch(t, client, url)
				go func() {
					defer cancel()
					if err := sim.AwaitCalls(t.Context(), V3BypassPath, 1); err != nil {
						t.Error(err)
					}
				}()
				if resp, err := call(); !errors.Is(err, context.Canceled) {
					t.Fatalf("got %v, error %v", resp, err)
				}
			})
		}
	}
}

func TestStallInHeadersSendsHalfOfThem(t *testing.T) {
	sim, _ := newTestSimulator(t)
	url, _ := serve(t, sim, (*httptest.Server).Start)
	sim.Fail(Fault{Kind: StallInHeaders})
	conn, err := net.Dial("tcp", url[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET "+V3BypassPath+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	const want = "HTTP/1.1 200 OK\r\nContent-Type: appl"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("got %q, error %v", got, err)
	}
	// Nothing follows, not even the end of the connection, until we leave.
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) != 0 {
		t.Fatalf("then got %q, error %v", rest, err)
	}
}

func TestStallInBodySendsHalfOfIt(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1": (*httptest.Server).Start,
		"HTTP/2": startHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			url, client := serve(t, sim, start)
			sim.Fail(Fault{Kind: StallInBody})
			call, cancel := fetch(t, client, url)
			resp, err := call()
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			half := make([]byte, 8)
			if _, err := io.ReadFull(resp.Body, half); err != nil || string(half) != `{"status` {
				t.Fatalf("got %q, error %v", half, err)
			}
			cancel()
			if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
				t.Fatalf("the rest: error %v", err)
			}
		})
	}
}

func TestResetClosesTheConnectionWithoutAnAnswer(t *testing.T) {
	sim, _ := newTestSimulator(t)
	sim.Fail(Fault{Kind: Reset})
	for name, start := range map[string]func(*httptest.Server){
		"TCP": (*httptest.Server).Start,
		"TLS": (*httptest.Server).StartTLS,
	} {
		url, client := serve(t, sim, start)
		call, _ := fetch(t, client, url)
		if resp, err := call(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: got %v, error %v", name, resp, err)
		}
	}
	url, client := serve(t, sim, startHTTP2)
	call, _ := fetch(t, client, url)
	if resp, err := call(); err == nil {
		t.Errorf("HTTP/2: got %v", resp)
	}
}

func TestEndlessBodyGoesOnUntilTheClientLeaves(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1": (*httptest.Server).Start,
		"HTTP/2": startHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			url, client := serve(t, sim, start)
			sim.Fail(Fault{Kind: Endless})
			call, _ := fetch(t, client, url)
			resp, err := call()
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body := bufio.NewReader(io.LimitReader(resp.Body, 1<<20))
			if first, err := body.ReadByte(); err != nil || first != '{' {
				t.Fatalf("starts with %q, error %v", first, err)
			}
			n, err := io.Copy(io.Discard, body)
			if err != nil || n != 1<<20-1 {
				t.Fatalf("got %d bytes more, error %v", n, err)
			}
		})
	}
}

// counter is a response writer that counts the body's bytes.
type counter struct {
	http.ResponseWriter
	n int
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += len(b)
	return len(b), nil
}

func TestEndlessBodyIsBounded(t *testing.T) {
	w := &counter{ResponseWriter: httptest.NewRecorder()}
	endless(t.Context(), w)
	if w.n != maxEndless {
		t.Fatalf("%d bytes", w.n)
	}
}
