package bodies

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestRefusalsOutliveTheBody: a client that reads the answer only when it has
// sent all of its body, as browsers do, gets the answer, although nobody wanted
// the body. A connection that is closed with bytes unread is reset, and what
// the client has not read by then is lost (RFC 9112, section 9.6).
func TestRefusalsOutliveTheBody(t *testing.T) {
	const size = 4 << 20
	b := harness.NewTestbed(t, "clearance 30m", "from header form json")
	for _, test := range []struct {
		name, head string
		status     int
	}{
		{"problem", "POST /login HTTP/1.1\r\nContent-Type: image/png", 403},
		{"page", "POST /login HTTP/1.1\r\nContent-Type: text/plain\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html", 403},
		{"a form too long to be sent again", "POST /login HTTP/1.1\r\nContent-Type: " + harness.FormType + "\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html", 403},
		{"no target", "POST x:login HTTP/1.1\r\nContent-Type: image/png", 400},
		{"no endpoint", "POST /.captcha/default/none HTTP/1.1\r\nSec-Fetch-Site: same-origin", 404},
		{"an endpoint without a body", "POST /.captcha/default/challenge HTTP/1.1\r\nSec-Fetch-Site: same-origin", 405},
		{"an endpoint with a short body", "POST /.captcha/default/verify HTTP/1.1", 403},
		{"an endpoint with a question", "POST /.captcha/default/needed HTTP/1.1\r\nSec-Fetch-Site: same-origin", 400},
	} {
		for framing, body := range map[string]string{
			fmt.Sprint("Content-Length: ", size): strings.Repeat("x", size),
			"Transfer-Encoding: chunked":         fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, strings.Repeat("x", size)),
		} {
			t.Run(test.name+", "+framing, func(t *testing.T) {
				client := harness.Dial(t, b.Plain)
				client.Say(test.head + "\r\nHost: " + harness.GateHost + "\r\n" + framing + "\r\n\r\n")
				client.Say(body)
				response := client.Hear()
				if response.StatusCode != test.status {
					t.Errorf("%s, want %d", response.Status, test.status)
				}
				if _, err := io.Copy(io.Discard, client); err != nil {
					t.Errorf("after the answer: %v", err)
				}
			})
		}
	}
	if n := b.Begun.Load(); n > 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// TestASilentClientIsLetGo: a client that has the answer, sends no more of its
// body and does not close either keeps nothing for long.
func TestASilentClientIsLetGo(t *testing.T) {
	b := harness.NewTestbed(t, "from header form json")
	client := harness.Dial(t, b.Plain)
	client.Say(post("Content-Type: image/png", "Content-Length: 1000000"))
	if response := client.Hear(); response.StatusCode != 403 {
		t.Error(response.Status)
	}
	if rest, err := io.ReadAll(client.Reader); len(rest) > 0 || err != nil {
		t.Errorf("after the answer came %q, %v", rest, err)
	}
}

// TestWhoIsReadToTheEndHoldsNothing: clients that have their answer, and whose
// body is still read, take no slot that others could want.
func TestWhoIsReadToTheEndHoldsNothing(t *testing.T) {
	b := harness.NewTestbed(t, "clearance 30m")
	for _, head := range []string{
		"GET /.captcha/default/challenge", "GET /.captcha/default/page", "POST /.captcha/default/needed", "POST /.captcha/default/verify", "POST /login",
	} {
		ask := func() int {
			client := harness.Dial(t, b.Plain)
			client.Say(head + " HTTP/1.1\r\nHost: " + harness.GateHost + "\r\nSec-Fetch-Site: same-origin\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1<<10))
			return client.Hear().StatusCode
		}
		first := ask()
		for n := range 40 { // a client has 16 slots, and its network 64
			if status := ask(); status != first {
				t.Fatalf("%s: the first is answered with %d, and number %d with %d", head, first, n+2, status)
			}
		}
	}
}
