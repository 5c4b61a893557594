package harness

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Navigate is what a browser sends for a page, in a language.
func Navigate(language string) []string {
	return []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html", "Accept-Language", language}
}

// RawRequest sends text as it is and returns the status line of the answer.
func RawRequest(t *testing.T, addr, text string) string {
	t.Helper()
	conn := Dial(t, addr)
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	status, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("no answer to %q: %v", text, err)
	}
	return strings.TrimSpace(status)
}

// Answer is a response read to its end.
type Answer struct {
	*http.Response
	Text string // the body
}

// Problem returns the answer's problem details.
func (a Answer) Problem(t *testing.T) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(a.Text), &members); err != nil {
		t.Fatalf("the body is not problem details: %v\n%s", err, a.Text)
	}
	return members
}

// Send sends a request and reads the whole answer.
func Send(t *testing.T, request *http.Request) Answer {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", request.Method, request.URL, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return Answer{response, string(body)}
}

// NewRequest is a request with the header, names and values in turn.
func NewRequest(t *testing.T, method, url, body string, header ...string) *http.Request {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	return request
}

// Line is a connection on which a test speaks HTTP/1.1 by itself.
type Line struct {
	t *testing.T
	net.Conn
	Reader *bufio.Reader
}

// Dial connects to a plain-text server. A test that waits for what does not
// come fails after a minute.
func Dial(t *testing.T, addr string) Line {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return Line{t, conn, bufio.NewReader(conn)}
}

// Say sends text.
func (l Line) Say(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l, text); err != nil {
		l.t.Fatal(err)
	}
}

// Hear reads a response, which may be an interim one.
func (l Line) Hear() *http.Response {
	l.t.Helper()
	response, err := http.ReadResponse(l.Reader, nil)
	if err != nil {
		l.t.Fatalf("no answer: %v", err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		l.t.Fatal(err)
	}
	return response
}
