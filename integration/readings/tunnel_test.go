package readings_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c" //nolint:staticcheck // for its upgrade from HTTP/1.1
	"golang.org/x/net/http2/hpack"
)

// newTunnels starts a server that upgrades to HTTP/2 in clear text, as
// Hypercorn does in its default settings, and to WebSocket, and counts logins.
func newTunnels(t *testing.T) (s *server, logins, upgrades *atomic.Int64) {
	t.Helper()
	logins, upgrades = new(atomic.Int64), new(atomic.Int64)
	application := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/login":
			logins.Add(1)
		case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			_, _ = io.Copy(conn, buffered)
			return
		}
		w.Header().Set("Content-Length", "0")
	})
	//nolint:staticcheck // for its upgrade from HTTP/1.1
	upgrading := h2c.NewHandler(application, &http2.Server{})
	s, err := startGo(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Upgrade", "Http2-Settings"} {
			if value := strings.ToLower(strings.Join(r.Header[name], ",")); value != "" && value != "websocket" {
				upgrades.Add(1)
			}
		}
		if strings.Contains(strings.ToLower(strings.Join(r.Header["Connection"], ",")), "http2-settings") {
			upgrades.Add(1)
		}
		upgrading.ServeHTTP(w, r)
	}))
	if err != nil {
		t.Fatal(err)
	}
	s.name = "tunnels"
	t.Cleanup(s.stop)
	return s, logins, upgrades
}

// tunnel is a connection to a server or to the gate before it.
type tunnel struct {
	net.Conn
	*bufio.Reader
	ours string // header lines for the gate
}

func (c tunnel) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func dial(t *testing.T, address, ours string) tunnel {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return tunnel{conn, bufio.NewReader(conn), ours}
}

// upgrade asks for an unprotected path with header lines and returns the status.
func (c tunnel) upgrade(t *testing.T, lines string) int {
	t.Helper()
	fmt.Fprintf(c, "GET /public HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n", c.ours, lines)
	response, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		response.Body.Close()
	}
	return response.StatusCode
}

// login sends POST /login on stream 3 of HTTP/2 and waits for its answer, or
// for the end of the connection.
func (c tunnel) login() {
	fmt.Fprint(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "localhost"}, {":path", "/login"}} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	if framer.WriteSettings() != nil || framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 3, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true,
	}) != nil {
		return
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if _, ok := frame.(*http2.HeadersFrame); ok && frame.Header().StreamID == 3 {
			return
		}
	}
}

const settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"

// TestNoTunnel: an upgrade to HTTP/2 on an unprotected path, which is a way
// to the protected one without the gate, does not reach the server.
func TestNoTunnel(t *testing.T) {
	s, logins, upgrades := newTunnels(t)
	h2c := "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + settings
	direct := dial(t, s.address, "")
	if status := direct.upgrade(t, h2c); status != http.StatusSwitchingProtocols {
		t.Fatalf("the server does not upgrade: status %d", status)
	}
	direct.login()
	if logins.Load() != 1 || upgrades.Load() == 0 {
		t.Fatal("the server's tunnel does not reach the login")
	}
	direct.Close()

	gates := newGates(t)
	ours := siteHeader + ": " + kinds[0].guarded() + "\r\n" + serverHeader + ": " + s.address + "\r\n"
	for _, lines := range []string{
		h2c,
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: H2C\r\n" + settings,
		"Connection: upgrade\r\nConnection: http2-settings\r\nUpgrade: h2c\r\n" + settings,
		"Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c,websocket\r\n" + settings,
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\n" + settings,
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n" + settings,
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n" + settings,
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket/h2c\r\n" + settings,
		"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
		"Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n",
		"Connection: Upgrade\r\nUpgrade: tcp\r\n",
		"Upgrade: h2c\r\n" + settings,
		"Connection: HTTP2-Settings\r\n" + settings,
	} {
		logins.Store(0)
		upgrades.Store(0)
		c := dial(t, gates.address(), ours)
		status := c.upgrade(t, lines)
		if status == http.StatusSwitchingProtocols {
			c.login()
		}
		if status != http.StatusOK || upgrades.Load() > 0 || logins.Load() > 0 {
			t.Errorf("%q: status %d, %d logins, %d header fields of upgrades reached the server", lines, status, logins.Load(), upgrades.Load())
		}
		c.Close()
	}
}

// TestWebSocketsPass: an upgrade to WebSocket on an unprotected path is a way
// to the server.
func TestWebSocketsPass(t *testing.T) {
	s, _, _ := newTunnels(t)
	gates := newGates(t)
	ours := siteHeader + ": " + kinds[0].guarded() + "\r\n" + serverHeader + ": " + s.address + "\r\n"
	for _, token := range []string{"websocket", "WebSocket"} {
		c := dial(t, gates.address(), ours)
		if status := c.upgrade(t, "Connection: keep-alive, Upgrade\r\nUpgrade: "+token+"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"); status != http.StatusSwitchingProtocols {
			t.Fatalf("%s: status %d", token, status)
		}
		fmt.Fprint(c, "ping")
		echo := make([]byte, 4)
		if _, err := io.ReadFull(c, echo); err != nil || string(echo) != "ping" {
			t.Errorf("%s: %q came back, %v", token, echo, err)
		}
		c.Close()
	}
}
