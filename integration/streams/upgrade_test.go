// Package streams tests what lives longer than a request and an answer, or must
// not be held back.
package streams

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// newStreams makes a testbed whose upstream speaks what lives longer than a
// request: it repeats what comes after an upgrade or CONNECT, and sends events.
// The second event waits for the channel.
func newStreams(t *testing.T) (b *harness.Testbed, more chan struct{}) {
	t.Helper()
	b, more = harness.NewUpstream(t), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.Begun.Add(1)
		if r.Method == "GET" && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: 1\n\n")
			http.NewResponseController(w).Flush()
			select {
			case <-more:
				io.WriteString(w, "data: 2\n\n")
			case <-r.Context().Done():
			}
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		status := "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + r.Header.Get("Upgrade")
		if r.Method == "CONNECT" {
			status = "200 OK"
		}
		io.WriteString(conn, "HTTP/1.1 "+status+"\r\n\r\n")
		io.Copy(conn, buffered)
	}))
	t.Cleanup(upstream.Close)
	b.Serve(b.Directive(), b.ProxyTo(upstream))
	return b, more
}

// TestUpgradesNeedAProof: an upgrade passes with a proof in the header, to
// become a tunnel, and is refused without one, or with a spent one, before
// anything is a tunnel.
func TestUpgradesNeedAProof(t *testing.T) {
	b, _ := newStreams(t)
	upgrade := func(lines string) (harness.Line, *http.Response) {
		client := harness.Dial(t, b.Plain)
		client.Say("GET /socket HTTP/1.1\r\nHost: " + harness.GateHost + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + lines + "\r\n\r\n")
		response, err := http.ReadResponse(client.Reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		return client, response
	}
	proof := b.Proof(harness.GeeTestV4)
	client, response := upgrade(harness.ProofLines(proof))
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Upgrade") != "websocket" {
		t.Fatal(response.Status)
	}
	for _, text := range []string{"ping", "pong"} {
		client.Say(text)
		echo := make([]byte, len(text))
		if _, err := io.ReadFull(client.Reader, echo); err != nil || string(echo) != text {
			t.Errorf("%q came back as %q, %v", text, echo, err)
		}
	}
	client.Close()
	harness.AwaitRest(t)

	b.Begun.Store(0)
	for _, test := range []struct{ lines, outcome string }{{"A: b", "missing"}, {harness.ProofLines(proof), "replayed"}} {
		if _, response := upgrade(test.lines); response.StatusCode != http.StatusForbidden || response.Header.Get("Captcha-Outcome") != test.outcome {
			t.Errorf("%s, outcome %q", response.Status, response.Header.Get("Captcha-Outcome"))
		}
	}
	if n := b.Begun.Load(); n > 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// TestConnectNeedsAProof: a CONNECT is proxied as without a captcha, if it has
// a proof.
func TestConnectNeedsAProof(t *testing.T) {
	b, _ := newStreams(t)
	connect := func(host, lines string) (status string) {
		client := harness.Dial(t, b.Plain)
		client.Say("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n" + lines + "\r\n\r\n")
		response, err := http.ReadResponse(client.Reader, &http.Request{Method: "CONNECT"})
		if err != nil {
			t.Fatal(err)
		}
		return response.Status
	}
	bare, passed := connect(harness.BareHost, "A: b"), connect(harness.GateHost, harness.ProofLines(b.Proof(harness.GeeTestV4)))
	if passed != bare || b.Begun.Load() != 2 {
		t.Errorf("with a proof %s rather than %s; %d requests reached the upstream", passed, bare, b.Begun.Load())
	}
	if refused := connect(harness.GateHost, "A: b"); refused != "403 Forbidden" || b.Begun.Load() != 2 {
		t.Errorf("without a proof %s; %d requests reached the upstream", refused, b.Begun.Load())
	}
}

// TestWebSocketsOverHTTP3 use an extended CONNECT (RFC 9220).
func TestWebSocketsOverHTTP3(t *testing.T) {
	b, _ := newStreams(t)
	v := b.Versions()[3]
	extendedConnect(b, v, func(request *http.Request) { request.Proto = "websocket" })
}

// TestWebSocketsOverHTTP2 use an extended CONNECT (RFC 8441), which Go's server
// offers only when GODEBUG said so at the start of the process.
func TestWebSocketsOverHTTP2(t *testing.T) {
	const setting = "http2xconnect=1"
	if !strings.Contains(os.Getenv("GODEBUG"), setting) {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), "GODEBUG="+setting)
		if output, err := again.CombinedOutput(); err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, output)
		}
		return
	}
	b, _ := newStreams(t)
	v := b.Versions()[1]
	//nolint:staticcheck // http.Transport does not let the pseudo-header pass
	client := &http2.Transport{TLSClientConfig: v.RoundTripper.(*http.Transport).TLSClientConfig}
	defer client.CloseIdleConnections() //nolint:staticcheck // as above
	v.RoundTripper = client
	extendedConnect(b, v, func(request *http.Request) { request.Header[":protocol"] = []string{"websocket"} })
}

// extendedConnect opens a WebSocket with a proof and fails to open one without,
// although the stream that takes the place of a body begins with a proof.
func extendedConnect(b *harness.Testbed, v harness.Version, set func(*http.Request)) {
	b.T.Helper()
	b.Begun.Store(0)
	open := func(proof url.Values) (*http.Response, *io.PipeWriter) {
		body, w := io.Pipe()
		b.T.Cleanup(func() { w.Close() })
		request := harness.NewRequest(b.T, "CONNECT", v.URL+"/socket", "", "Content-Type", harness.FormType, "Sec-WebSocket-Version", "13")
		request.Host, request.Body, request.ContentLength, request.GetBody = harness.GateHost, body, -1, nil
		set(request)
		harness.SetHeaders(request.Header, proof)
		go io.WriteString(w, b.Proof(harness.GeeTestV4).Encode()+"&")
		response, err := v.RoundTrip(request)
		if err != nil {
			b.T.Fatalf("%s: %v", v.Name, err)
		}
		b.T.Cleanup(func() { response.Body.Close() })
		return response, w
	}
	if response, _ := open(nil); response.StatusCode != http.StatusForbidden || b.Begun.Load() > 0 {
		b.T.Errorf("%s: without a proof %s; %d requests reached the upstream", v.Name, response.Status, b.Begun.Load())
	}
	response, w := open(b.Proof(harness.GeeTestV4))
	if response.StatusCode != http.StatusOK || b.Begun.Load() != 1 {
		b.T.Fatalf("%s: with a proof %s; %d requests reached the upstream", v.Name, response.Status, b.Begun.Load())
	}
	io.WriteString(w, "ping\n")
	text, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil || !strings.HasSuffix(text, "&ping\n") {
		b.T.Errorf("%s: %q came back, %v", v.Name, text, err)
	}
	w.Close()
	response.Body.Close()
	harness.AwaitRest(b.T)
}

// TestEventsArriveAsTheyAreSent: the captcha does not hold an answer back.
func TestEventsArriveAsTheyAreSent(t *testing.T) {
	b, more := newStreams(t)
	for _, v := range b.Versions() {
		b.Begun.Store(0)
		get := func(proof url.Values) *http.Response {
			request := harness.NewRequest(t, "GET", v.URL+"/events", "")
			request.Host = harness.GateHost
			harness.SetHeaders(request.Header, proof)
			response, err := v.RoundTrip(request)
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			t.Cleanup(func() { response.Body.Close() })
			return response
		}
		if response := get(nil); response.StatusCode != http.StatusForbidden || b.Begun.Load() > 0 {
			t.Errorf("%s: without a proof %s; %d requests reached the upstream", v.Name, response.Status, b.Begun.Load())
		}
		events := bufio.NewReader(get(b.Proof(harness.GeeTestV4)).Body)
		for i := 1; i <= 2; i++ {
			event, err := events.ReadString('\n')
			if err != nil || event != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("%s: event %d is %q, %v", v.Name, i, event, err)
			}
			if i == 1 {
				more <- struct{}{}
				events.ReadString('\n') // the empty line
			}
		}
	}
}

// TestStreamsAreNotSearched: a request whose body has to be passed on as it
// comes is refused at once when only the body could hold the proof.
func TestStreamsAreNotSearched(t *testing.T) {
	b := harness.NewTestbed(t)
	for _, v := range b.Versions() {
		request := harness.NewRequest(t, "POST", v.URL+"/upload", "", "Content-Type", harness.FormType, "Incremental", "?1")
		request.ContentLength = -1
		upload := b.Trickle(v, request)
		go io.WriteString(upload, b.Proof(harness.GeeTestV4).Encode())
		if answer := <-upload.Answer; answer != "403 Forbidden" {
			t.Errorf("%s: %s", v.Name, answer)
		}
		upload.Close()
	}
	if b.Begun.Load() > 0 || b.VerifyCalls() > 0 {
		t.Errorf("the upstream saw %d requests, the provider %d", b.Begun.Load(), b.VerifyCalls())
	}
}
