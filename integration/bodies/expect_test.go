package bodies

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// post is the header section of a POST to GateHost, with more header lines.
func post(lines ...string) string {
	return "POST /login HTTP/1.1\r\nHost: " + harness.GateHost + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

const expect = "Expect: 100-continue"

// TestExpectContinueBringsTheBody: a client that holds its body back until it
// is asked for is asked when the body is wanted, and the upstream gets it.
func TestExpectContinueBringsTheBody(t *testing.T) {
	b := harness.NewTestbed(t)
	for _, test := range []struct {
		name   string
		header func(proof url.Values) string
		body   func(proof url.Values) string
	}{
		{"proof in the header", harness.ProofLines, func(url.Values) string { return "a=b" }},
		{"proof in the body", func(url.Values) string { return "A: b" }, url.Values.Encode},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.T = t
			proof := b.Proof(harness.GeeTestV4)
			body := test.body(proof)
			client := harness.Dial(t, b.Plain)
			client.Say(post(expect, test.header(proof), "Content-Type: "+harness.FormType, fmt.Sprint("Content-Length: ", len(body))))
			if response := client.Hear(); response.StatusCode != http.StatusContinue {
				t.Fatal(response.Status)
			}
			client.Say(body)
			response := client.Hear()
			for response.StatusCode == http.StatusContinue { // of the upstream, forwarded
				response = client.Hear()
			}
			if response.StatusCode != http.StatusOK || response.Close {
				t.Errorf("%s, Connection: close %v", response.Status, response.Close)
			}
			if a := <-b.Arrivals; a.Size != int64(len(body)) || a.Err != "" {
				t.Errorf("%d bytes arrived, %s", a.Size, a.Err)
			}
		})
	}
}

// TestRefusalsDoNotWaitForTheBody: a refusal that needs no body comes at once,
// without asking for it, and tells the client to close the connection, on which
// it might still send the body.
func TestRefusalsDoNotWaitForTheBody(t *testing.T) {
	b := harness.NewTestbed(t, "from header form json")
	spent := b.Proof(harness.GeeTestV4)
	b.Send(b.Versions()[0], harness.Upload{Kind: "header", Size: 0, Framing: harness.Length}, harness.GateHost, spent)
	b.Begun.Store(0)
	for _, test := range []struct {
		name, lines, outcome string
	}{
		{"no type", "A: b", "missing"},
		{"a type without proofs", "Content-Type: image/png", "missing"},
		{"compressed", "Content-Type: " + harness.FormType + "\r\nContent-Encoding: gzip", "missing"},
		{"an upgrade", "Content-Type: " + harness.FormType + "\r\nConnection: Upgrade\r\nUpgrade: websocket", "missing"},
		{"incremental", "Content-Type: " + harness.FormType + "\r\nIncremental: ?1", "missing"},
		{"malformed header", "Captcha-Gen-Time: 1\r\nCaptcha-Gen-Time: 2", "malformed"},
		{"spent proof", harness.ProofLines(spent), "replayed"},
	} {
		for _, framing := range []string{"Content-Length: 1000000", "Transfer-Encoding: chunked"} {
			for _, expects := range []string{expect, "X-Expect: nothing"} {
				passed := t.Run(test.name+", "+framing+", "+expects, func(t *testing.T) {
					client := harness.Dial(t, b.Plain)
					client.Say(post(expects, test.lines, framing))
					response := client.Hear()
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
	if n := b.Begun.Load(); n > 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// TestARefusalAfterTheBodyKeepsTheConnection: once the body is read there is
// no need to close.
func TestARefusalAfterTheBodyKeepsTheConnection(t *testing.T) {
	b := harness.NewTestbed(t)
	client := harness.Dial(t, b.Plain)
	for range 3 {
		client.Say(post(expect, "Content-Type: "+harness.FormType, "Content-Length: 3"))
		if response := client.Hear(); response.StatusCode != http.StatusContinue {
			t.Fatal(response.Status)
		}
		client.Say("a=b")
		if response := client.Hear(); response.Header.Get("Captcha-Outcome") != "missing" || response.Close {
			t.Errorf("%s, Connection: close %v", response.Status, response.Close)
		}
	}
}

// TestARefusalOfALongBodyClosesTheConnection: what is behind the part that was
// searched stays unread.
func TestARefusalOfALongBodyClosesTheConnection(t *testing.T) {
	b := harness.NewTestbed(t, "body_limit 8KiB")
	client := harness.Dial(t, b.Plain)
	client.Say(post("Content-Type: "+harness.FormType, "Content-Length: 1000000"))
	client.Say(strings.Repeat("x", 8<<10+1))
	response := client.Hear()
	if response.Header.Get("Captcha-Outcome") != "missing" || !response.Close {
		t.Errorf("%s, Connection: close %v", response.Status, response.Close)
	}
	if n := b.Begun.Load(); n > 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}
