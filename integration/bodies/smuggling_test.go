package bodies

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// wire is a listener that keeps what comes over each of its connections.
type wire struct {
	net.Listener

	mu    sync.Mutex
	conns []*wireConn
}

type wireConn struct {
	net.Conn
	wire   *wire
	text   bytes.Buffer
	closed bool
}

func (w *wire) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, &wireConn{Conn: conn, wire: w})
	return w.conns[len(w.conns)-1], nil
}

func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	c.text.Write(p[:n])
	return n, err
}

func (c *wireConn) Close() error {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	c.closed = true
	return c.Conn.Close()
}

// quiet reports whether all connections are closed.
func (w *wire) quiet() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(w.conns, func(c *wireConn) bool { return !c.closed })
}

// requests returns the whole requests that came since the last call. Each has
// a connection to itself; what else came over it is a request, too.
func (w *wire) requests() (requests []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns {
		for reader := bufio.NewReader(&conn.text); ; {
			request, err := http.ReadRequest(reader)
			if err == io.EOF {
				break
			}
			if err != nil {
				rest, _ := io.ReadAll(reader)
				requests = append(requests, fmt.Sprintf("no request: %v, and %q", err, rest))
				break
			}
			body, err := io.ReadAll(request.Body)
			if err != nil {
				break // it was broken off
			}
			request.Header.Del("X-Forwarded-Host")
			requests = append(requests, strings.ReplaceAll(fmt.Sprintf("%s %s %v %d %v %q %v",
				request.Method, request.RequestURI, request.Header, request.ContentLength, request.TransferEncoding, body, request.Trailer), harness.BareHost, harness.GateHost))
		}
	}
	w.conns = nil
	return requests
}

// The parts of a corpus entry. HOST and PROOF are filled in, PROOF with header
// lines; BODY is what a form holds and LENGTH and CHUNK its length.
const (
	postLine = "POST /login HTTP/1.1\r\nHost: HOST\r\nPROOFContent-Type: application/x-www-form-urlencoded\r\n"
	inner    = "GET /inner HTTP/1.1\r\nHost: HOST\r\nPROOF\r\n"
	last     = "GET /last HTTP/1.1\r\nHost: HOST\r\nPROOFConnection: close\r\n\r\n"
	chunks   = "CHUNK\r\nBODY\r\n0\r\n\r\n"
)

// smuggling is a corpus of requests with framing that two servers might read
// in two ways, and of their harmless relatives.
var smuggling = map[string]string{
	"length":                         postLine + "Content-Length: LENGTH\r\n\r\nBODY",
	"chunked":                        postLine + "Transfer-Encoding: chunked\r\n\r\n" + chunks,
	"none":                           postLine + "\r\n",
	"none, but a request follows":    postLine + "Content-Length: 0\r\n\r\n" + inner,
	"pipelined":                      postLine + "Content-Length: LENGTH\r\n\r\nBODY" + inner,
	"both, chunks count":             postLine + "Content-Length: LENGTH\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
	"both, chunks end early":         postLine + "Content-Length: 400\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
	"both, length ends early":        postLine + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunks + inner,
	"two lengths":                    postLine + "Content-Length: LENGTH\r\nContent-Length: 4\r\n\r\nBODY" + inner,
	"a length twice":                 postLine + "Content-Length: LENGTH\r\nContent-Length: LENGTH\r\n\r\nBODY",
	"a list of lengths":              postLine + "Content-Length: LENGTH, LENGTH\r\n\r\nBODY",
	"a length with a sign":           postLine + "Content-Length: +LENGTH\r\n\r\nBODY",
	"a negative length":              postLine + "Content-Length: -1\r\n\r\nBODY",
	"a length in hexadecimal":        postLine + "Content-Length: 0xCHUNK\r\n\r\nBODY",
	"an empty length":                postLine + "Content-Length:\r\n\r\n" + inner,
	"a huge length":                  postLine + "Content-Length: 99999999999999999999\r\n\r\nBODY",
	"a length that is too short":     postLine + "Content-Length: 3\r\n\r\nBODY",
	"a length that is too long":      postLine + "Content-Length: LENGTH0\r\n\r\nBODY" + inner + strings.Repeat("x", 0xffff),
	"chunked twice":                  postLine + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
	"chunked, identity":              postLine + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunks,
	"identity, chunked":              postLine + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
	"identity and a length":          postLine + "Transfer-Encoding: identity\r\nContent-Length: LENGTH\r\n\r\nBODY",
	"not quite chunked":              postLine + "Transfer-Encoding: xchunked\r\nContent-Length: LENGTH\r\n\r\nBODY",
	"chunked in capitals":            postLine + "TRANSFER-ENCODING: Chunked\r\n\r\n" + chunks,
	"space before the colon":         postLine + "Transfer-Encoding : chunked\r\n\r\n" + chunks,
	"tab before the value":           postLine + "Transfer-Encoding:\tchunked\r\n\r\n" + chunks,
	"vertical tab before the value":  postLine + "Transfer-Encoding: \vchunked\r\n\r\n" + chunks,
	"folded line":                    postLine + "X: a\r\n b\r\nContent-Length: LENGTH\r\n\r\nBODY",
	"folded coding":                  postLine + "Transfer-Encoding:\r\n chunked\r\n\r\n" + chunks,
	"folded length":                  postLine + "Content-Length:\r\n LENGTH\r\n\r\nBODY",
	"coding in a folded line":        postLine + "X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n\r\nBODY",
	"a carriage return in a line":    postLine + "X: a\rTransfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n\r\nBODY",
	"a NUL in a line":                postLine + "X: a\x00b\r\nContent-Length: LENGTH\r\n\r\nBODY",
	"line feeds only":                strings.ReplaceAll(postLine, "\r", "") + "Content-Length: LENGTH\n\nBODY",
	"chunks with line feeds only":    postLine + "Transfer-Encoding: chunked\r\n\r\n" + strings.ReplaceAll(chunks, "\r", ""),
	"no chunk size":                  postLine + "Transfer-Encoding: chunked\r\n\r\n\r\nBODY\r\n0\r\n\r\n",
	"a chunk size that is none":      postLine + "Transfer-Encoding: chunked\r\n\r\nzz\r\nBODY\r\n0\r\n\r\n",
	"a negative chunk size":          postLine + "Transfer-Encoding: chunked\r\n\r\n-1\r\nBODY\r\n0\r\n\r\n",
	"a chunk size with a prefix":     postLine + "Transfer-Encoding: chunked\r\n\r\n0x" + chunks,
	"a chunk size with a space":      postLine + "Transfer-Encoding: chunked\r\n\r\nCHUNK \r\nBODY\r\n0\r\n\r\n",
	"a huge chunk size":              postLine + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nBODY\r\n0\r\n\r\n",
	"a chunk that is too short":      postLine + "Transfer-Encoding: chunked\r\n\r\nfff\r\nBODY\r\n0\r\n\r\n" + strings.Repeat("x", 0xfff),
	"a chunk that is too long":       postLine + "Transfer-Encoding: chunked\r\n\r\n2\r\nBODY\r\n0\r\n\r\n" + inner,
	"a chunk extension":              postLine + "Transfer-Encoding: chunked\r\n\r\nCHUNK;a=b\r\nBODY\r\n0\r\n\r\n",
	"a chunk extension with a break": postLine + "Transfer-Encoding: chunked\r\n\r\nCHUNK;a=\nb\r\nBODY\r\n0\r\n\r\n",
	"a trailer":                      postLine + "Transfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\nCHUNK\r\nBODY\r\n0\r\nDigest: x\r\n\r\n",
	"a trailer that was not named":   postLine + "Transfer-Encoding: chunked\r\n\r\nCHUNK\r\nBODY\r\n0\r\nDigest: x\r\n\r\n",
	"a trailer that frames":          postLine + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\nCHUNK\r\nBODY\r\n0\r\nContent-Length: 4\r\n\r\n",
	"a trailer that is broken":       postLine + "Transfer-Encoding: chunked\r\n\r\nCHUNK\r\nBODY\r\n0\r\nDigest x\r\n\r\n" + inner,
	"chunked in HTTP/1.0":            strings.Replace(postLine, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n" + chunks,
	"a GET with a body":              strings.Replace(postLine, "POST", "GET", 1) + "Content-Length: LENGTH\r\n\r\nBODY",
	"a request in a body":            postLine + "Content-Length: LENGTH\r\n\r\nBODY",
	"a header that asks to drop one": postLine + "Connection: Content-Length\r\nContent-Length: LENGTH\r\n\r\nBODY",
	"expecting":                      postLine + "Expect: 100-continue\r\nContent-Length: LENGTH\r\n\r\nBODY",
}

// TestFramingCannotBeSmuggledPast: of requests with ambiguous or broken framing
// the upstream sees what it sees without a captcha, or they are refused.
func TestFramingCannotBeSmuggledPast(t *testing.T) {
	b, upstream := harness.NewUpstream(t), new(wire)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	upstream.Listener, server.Listener = server.Listener, upstream
	server.Start()
	t.Cleanup(server.Close)
	b.Serve(b.Directive(), b.ProxyTo(server, "transport http {", "keepalive off", "}"))

	forwarded := 0
	for name, text := range smuggling {
		for _, kind := range []string{"header", "form"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				b.T = t
				text, proof := fill(b, text+last, kind)
				see := func(host string) []string {
					client := harness.Dial(t, b.Plain)
					client.Say(strings.ReplaceAll(text, "HOST", host))
					if _, err := io.Copy(io.Discard, client.Reader); err != nil && !strings.Contains(err.Error(), "reset by peer") {
						t.Errorf("at %s the connection ended with %v", host, err)
					}
					harness.AwaitRest(t)
					harness.Await(t, "the upstream's connections to end", upstream.quiet)
					return upstream.requests()
				}
				gated, bare := see(harness.GateHost), see(harness.BareHost)
				forwarded += len(gated)
				// A form that is cut off before the proof is over has none.
				bare = slices.DeleteFunc(bare, func(request string) bool {
					return !strings.Contains(request, proof) && !strings.Contains(request, "Captcha-Lot-Number")
				})
				// When it is refused the connection may end with it.
				refused := !slices.ContainsFunc(bare, func(request string) bool { return strings.Contains(request, proof) })
				if !slices.Equal(gated, bare) && (!refused || len(gated) > 0) {
					t.Errorf("the upstream saw\n%s\nrather than\n%s", strings.Join(gated, "\n"), strings.Join(bare, "\n"))
				}
			})
		}
	}
	if forwarded < len(smuggling) {
		t.Errorf("only %d requests reached the upstream", forwarded)
	}
}

// fill gives every request of the text a proof, in its header or, where it has
// a form, in that. It returns the form's proof, too.
func fill(b *harness.Testbed, text, kind string) (filled, proof string) {
	form := "a=b&inner=" + url.QueryEscape("GET /inner HTTP/1.1\r\n\r\n")
	if kind == "form" {
		proof = b.Proof(harness.GeeTestV4).Encode()
		form += "&" + proof
		text = strings.Replace(text, "PROOF", "", 1)
	}
	form += "&z=end"
	for strings.Contains(text, "PROOF") {
		text = strings.Replace(text, "PROOF", harness.ProofLines(b.Proof(harness.GeeTestV4))+"\r\n", 1)
	}
	return strings.NewReplacer("BODY", form, "LENGTH", fmt.Sprint(len(form)), "CHUNK", fmt.Sprintf("%x", len(form))).Replace(text), proof
}
