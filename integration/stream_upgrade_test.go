package integration

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
)

// newStreams makes a testbed whose upstream speaks what lives longer than a
// request: it repeats what comes after an upgrade or CONNECT, and sends events.
// The second event waits for the channel.
func newStreams(t *testing.T) (b *testbed, more chan struct{}) {
	t.Helper()
	b, more = newUpstream(t), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.begun.Add(1)
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
	b.serve(b.directive(), b.proxyTo(upstream))
	return b, more
}

// TestUpgradesNeedAProof: an upgrade passes with a proof in the header, to
// become a tunnel, and is refused without one, or with a spent one, before
// anything is a tunnel.
func TestUpgradesNeedAProof(t *testing.T) {
	b, _ := newStreams(t)
	upgrade := func(lines string) (line, *http.Response) {
		client := dial(t, b.plain)
		client.say("GET /socket HTTP/1.1\r\nHost: " + gateHost + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + lines + "\r\n\r\n")
		response, err := http.ReadResponse(client.reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		return client, response
	}
	proof := b.solve(geetestV4)
	client, response := upgrade(proofLines(proof))
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Upgrade") != "websocket" {
		t.Fatal(response.Status)
	}
	for _, text := range []string{"ping", "pong"} {
		client.say(text)
		echo := make([]byte, len(text))
		if _, err := io.ReadFull(client.reader, echo); err != nil || string(echo) != text {
			t.Errorf("%q came back as %q, %v", text, echo, err)
		}
	}
	client.Close()
	awaitRest(t)

	b.begun.Store(0)
	for _, test := range []struct{ lines, outcome string }{{"A: b", "missing"}, {proofLines(proof), "replayed"}} {
		if _, response := upgrade(test.lines); response.StatusCode != http.StatusForbidden || response.Header.Get("Captcha-Outcome") != test.outcome {
			t.Errorf("%s, outcome %q", response.Status, response.Header.Get("Captcha-Outcome"))
		}
	}
	if n := b.begun.Load(); n > 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// TestConnectNeedsAProof: a CONNECT is proxied as without a captcha, if it has
// a proof.
func TestConnectNeedsAProof(t *testing.T) {
	b, _ := newStreams(t)
	connect := func(host, lines string) (status string) {
		client := dial(t, b.plain)
		client.say("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n" + lines + "\r\n\r\n")
		response, err := http.ReadResponse(client.reader, &http.Request{Method: "CONNECT"})
		if err != nil {
			t.Fatal(err)
		}
		return response.Status
	}
	bare, passed := connect(bareHost, "A: b"), connect(gateHost, proofLines(b.solve(geetestV4)))
	if passed != bare || b.begun.Load() != 2 {
		t.Errorf("with a proof %s rather than %s; %d requests reached the upstream", passed, bare, b.begun.Load())
	}
	if refused := connect(gateHost, "A: b"); refused != "403 Forbidden" || b.begun.Load() != 2 {
		t.Errorf("without a proof %s; %d requests reached the upstream", refused, b.begun.Load())
	}
}

// TestWebSocketsOverHTTP3 use an extended CONNECT (RFC 9220).
func TestWebSocketsOverHTTP3(t *testing.T) {
	b, _ := newStreams(t)
	v := b.versions()[3]
	b.extendedConnect(v, func(request *http.Request) { request.Proto = "websocket" })
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
	v := b.versions()[1]
	//nolint:staticcheck // http.Transport does not let the pseudo-header pass
	client := &http2.Transport{TLSClientConfig: v.RoundTripper.(*http.Transport).TLSClientConfig}
	defer client.CloseIdleConnections() //nolint:staticcheck // as above
	v.RoundTripper = client
	b.extendedConnect(v, func(request *http.Request) { request.Header[":protocol"] = []string{"websocket"} })
}

// extendedConnect opens a WebSocket with a proof and fails to open one without,
// although the stream that takes the place of a body begins with a proof.
func (b *testbed) extendedConnect(v version, set func(*http.Request)) {
	b.t.Helper()
	b.begun.Store(0)
	open := func(proof url.Values) (*http.Response, *io.PipeWriter) {
		body, w := io.Pipe()
		b.t.Cleanup(func() { w.Close() })
		request := newRequest(b.t, "CONNECT", v.url+"/socket", "", "Content-Type", formType, "Sec-WebSocket-Version", "13")
		request.Host, request.Body, request.ContentLength, request.GetBody = gateHost, body, -1, nil
		set(request)
		setHeaders(request.Header, proof)
		go io.WriteString(w, b.solve(geetestV4).Encode()+"&")
		response, err := v.RoundTrip(request)
		if err != nil {
			b.t.Fatalf("%s: %v", v.name, err)
		}
		b.t.Cleanup(func() { response.Body.Close() })
		return response, w
	}
	if response, _ := open(nil); response.StatusCode != http.StatusForbidden || b.begun.Load() > 0 {
		b.t.Errorf("%s: without a proof %s; %d requests reached the upstream", v.name, response.Status, b.begun.Load())
	}
	response, w := open(b.solve(geetestV4))
	if response.StatusCode != http.StatusOK || b.begun.Load() != 1 {
		b.t.Fatalf("%s: with a proof %s; %d requests reached the upstream", v.name, response.Status, b.begun.Load())
	}
	io.WriteString(w, "ping\n")
	text, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil || !strings.HasSuffix(text, "&ping\n") {
		b.t.Errorf("%s: %q came back, %v", v.name, text, err)
	}
	w.Close()
	response.Body.Close()
	awaitRest(b.t)
}

// TestEventsArriveAsTheyAreSent: the captcha does not hold an answer back.
func TestEventsArriveAsTheyAreSent(t *testing.T) {
	b, more := newStreams(t)
	for _, v := range b.versions() {
		b.begun.Store(0)
		get := func(proof url.Values) *http.Response {
			request := newRequest(t, "GET", v.url+"/events", "")
			request.Host = gateHost
			setHeaders(request.Header, proof)
			response, err := v.RoundTrip(request)
			if err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			t.Cleanup(func() { response.Body.Close() })
			return response
		}
		if response := get(nil); response.StatusCode != http.StatusForbidden || b.begun.Load() > 0 {
			t.Errorf("%s: without a proof %s; %d requests reached the upstream", v.name, response.Status, b.begun.Load())
		}
		events := bufio.NewReader(get(b.solve(geetestV4)).Body)
		for i := 1; i <= 2; i++ {
			event, err := events.ReadString('\n')
			if err != nil || event != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("%s: event %d is %q, %v", v.name, i, event, err)
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
	b := newTestbed(t)
	for _, v := range b.versions() {
		request := newRequest(t, "POST", v.url+"/upload", "", "Content-Type", formType, "Incremental", "?1")
		request.ContentLength = -1
		upload := b.trickle(v, request)
		go io.WriteString(upload, b.solve(geetestV4).Encode())
		if answer := <-upload.answer; answer != "403 Forbidden" {
			t.Errorf("%s: %s", v.name, answer)
		}
		upload.Close()
	}
	if b.begun.Load() > 0 || b.calls() > 0 {
		t.Errorf("the upstream saw %d requests, the provider %d", b.begun.Load(), b.calls())
	}
}
