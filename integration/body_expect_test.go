package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// line is a connection on which a test speaks HTTP/1.1 by itself.
type line struct {
	t *testing.T
	net.Conn
	reader *bufio.Reader
}

// dial connects to a plain-text server. A test that waits for what does not
// come fails after a minute.
func dial(t *testing.T, addr string) line {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return line{t, conn, bufio.NewReader(conn)}
}

// say sends text.
func (l line) say(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l, text); err != nil {
		l.t.Fatal(err)
	}
}

// hear reads a response, which may be an interim one.
func (l line) hear() *http.Response {
	l.t.Helper()
	response, err := http.ReadResponse(l.reader, nil)
	if err != nil {
		l.t.Fatalf("no answer: %v", err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		l.t.Fatal(err)
	}
	return response
}

// post is the header section of a POST to gateHost, with more header lines.
func post(lines ...string) string {
	return "POST /login HTTP/1.1\r\nHost: " + gateHost + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// proofLines is the proof as header lines.
func proofLines(proof url.Values) string {
	var lines []string
	for name := range proof {
		lines = append(lines, parameterHeaders[name]+": "+proof.Get(name))
	}
	return strings.Join(lines, "\r\n")
}

const expect = "Expect: 100-continue"

// TestExpectContinueBringsTheBody: a client that holds its body back until it
// is asked for is asked when the body is wanted, and the upstream gets it.
func TestExpectContinueBringsTheBody(t *testing.T) {
	b := newTestbed(t)
	for _, test := range []struct {
		name   string
		header func(proof url.Values) string
		body   func(proof url.Values) string
	}{
		{"proof in the header", proofLines, func(url.Values) string { return "a=b" }},
		{"proof in the body", func(url.Values) string { return "A: b" }, url.Values.Encode},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.t = t
			proof := b.solve(geetestV4)
			body := test.body(proof)
			client := dial(t, b.plain)
			client.say(post(expect, test.header(proof), "Content-Type: "+formType, fmt.Sprint("Content-Length: ", len(body))))
			if response := client.hear(); response.StatusCode != http.StatusContinue {
				t.Fatal(response.Status)
			}
			client.say(body)
			response := client.hear()
			for response.StatusCode == http.StatusContinue { // of the upstream, forwarded
				response = client.hear()
			}
			if response.StatusCode != http.StatusOK || response.Close {
				t.Errorf("%s, Connection: close %v", response.Status, response.Close)
			}
			if a := <-b.arrivals; a.Size != int64(len(body)) || a.Err != "" {
				t.Errorf("%d bytes arrived, %s", a.Size, a.Err)
			}
		})
	}
}

// TestRefusalsDoNotWaitForTheBody: a refusal that needs no body comes at once,
// without asking for it, and tells the client to close the connection, on which
// it might still send the body.
func TestRefusalsDoNotWaitForTheBody(t *testing.T) {
	b := newTestbed(t, "from header form json")
	spent := b.solve(geetestV4)
	b.send(b.versions()[0], upload{"header", 0, length}, gateHost, spent)
	b.begun.Store(0)
	for _, test := range []struct {
		name, lines, outcome string
	}{
		{"no type", "A: b", "missing"},
		{"a type without proofs", "Content-Type: image/png", "missing"},
		{"compressed", "Content-Type: " + formType + "\r\nContent-Encoding: gzip", "missing"},
		{"an upgrade", "Content-Type: " + formType + "\r\nConnection: Upgrade\r\nUpgrade: websocket", "missing"},
		{"an upgrade to h2c", "Content-Type: " + formType + "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "missing"},
		{"incremental", "Content-Type: " + formType + "\r\nIncremental: ?1", "missing"},
		{"malformed header", "Captcha-Gen-Time: 1\r\nCaptcha-Gen-Time: 2", "malformed"},
		{"spent proof", proofLines(spent), "replayed"},
	} {
		for _, framing := range []string{"Content-Length: 1000000", "Transfer-Encoding: chunked"} {
			for _, expects := range []string{expect, "X-Expect: nothing"} {
				passed := t.Run(test.name+", "+framing+", "+expects, func(t *testing.T) {
					client := dial(t, b.plain)
					client.say(post(expects, test.lines, framing))
					response := client.hear()
					if outcome := response.Header.Get("Captcha-Outcome"); outcome != test.outcome {
						t.Errorf("%s, outcome %q", response.Status, outcome)
					}
					if !response.Close {
						t.Error("the client may use the connection again")
					}
				})
				if !passed {
					return // the others would wait as long
				}
			}
		}
	}
	if n := b.begun.Load(); n > 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// TestARefusalAfterTheBodyKeepsTheConnection: once the body is read there is
// no need to close.
func TestARefusalAfterTheBodyKeepsTheConnection(t *testing.T) {
	b := newTestbed(t)
	client := dial(t, b.plain)
	for range 3 {
		client.say(post(expect, "Content-Type: "+formType, "Content-Length: 3"))
		if response := client.hear(); response.StatusCode != http.StatusContinue {
			t.Fatal(response.Status)
		}
		client.say("a=b")
		if response := client.hear(); response.Header.Get("Captcha-Outcome") != "missing" || response.Close {
			t.Errorf("%s, Connection: close %v", response.Status, response.Close)
		}
	}
}

// TestARefusalOfALongBodyClosesTheConnection: what is behind the part that was
// searched stays unread.
func TestARefusalOfALongBodyClosesTheConnection(t *testing.T) {
	b := newTestbed(t, "body_limit 8KiB")
	client := dial(t, b.plain)
	client.say(post("Content-Type: "+formType, "Content-Length: 1000000"))
	client.say(strings.Repeat("x", 8<<10+1))
	response := client.hear()
	if response.Header.Get("Captcha-Outcome") != "missing" || !response.Close {
		t.Errorf("%s, Connection: close %v", response.Status, response.Close)
	}
	if n := b.begun.Load(); n > 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}
