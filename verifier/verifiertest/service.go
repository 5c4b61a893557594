package verifiertest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
)

// serving returns the URL of a service, until the test ends.
func serving(t testing.TB, handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// answering returns the URL of a service with one answer to everything.
func answering(t testing.TB, status int, body string) string {
	return serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// listening returns the address of a service that need not speak HTTP. A
// connection is closed when handle returns, and all when the test ends.
func listening(t testing.TB, handle func(net.Conn)) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			running.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return listener.Addr().String()
}

// receive reads a request to its end. It returns nil if there is none.
func receive(reader *bufio.Reader) *http.Request {
	r, err := http.ReadRequest(reader)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil
	}
	return r
}

// stall reads until the other side gives up.
func stall(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// say reads a request and says something.
func say(conn net.Conn, text string) {
	receive(bufio.NewReader(conn))
	_, _ = io.WriteString(conn, text)
}

const (
	statusLine = "HTTP/1.1 200 OK\r\n"
	chunked    = statusLine + "Transfer-Encoding: chunked\r\n\r\n"
)

// whole is an answer with the body.
func whole(body string) string {
	return statusLine + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}
