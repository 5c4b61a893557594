package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddyserver/caddy/v2"
)

// The hosts of a testbed. A request to bareHost meets nothing but
// reverse_proxy: what the upstream then sees is what it has to see.
const (
	gateHost = "gate.test"
	bareHost = "bare.test"
)

// arrival is a request as the upstream got it.
type arrival struct {
	Line    string // method and target
	Header  http.Header
	Length  int64    // of Content-Length, or -1
	Coding  []string // of Transfer-Encoding
	Size    int64
	Sum     [sha256.Size]byte
	Trailer http.Header
	Err     string // that ended the body, if it is not complete
}

// testbed is a Caddy that serves gateHost and bareHost over every version of
// HTTP, in front of an upstream that records what arrives.
type testbed struct {
	*gate
	upstream *httptest.Server
	plain    string // address for http
	secure   string // address for https
	roots    *x509.CertPool
	global   string // options that serve adds

	begun    atomic.Int64 // the requests that reached the upstream
	received atomic.Int64 // the bytes of their bodies
	arrivals chan arrival // them when their bodies have ended
	logged   int          // how much of the access log was looked at
}

// newTestbed makes a testbed in which the captcha has the options.
func newTestbed(t *testing.T, options ...string) *testbed {
	t.Helper()
	b := newUpstream(t)
	b.serve(b.directive(options...), b.proxyTo(b.upstream))
	return b
}

// directive is a captcha directive with the options.
func (b *testbed) directive(options ...string) string {
	return "captcha {\n" + b.verifier(geetestV4) + strings.Join(options, "\n") + "\n}\n"
}

// proxyTo is a reverse_proxy directive with the options.
func (b *testbed) proxyTo(upstream *httptest.Server, options ...string) string {
	return "reverse_proxy " + upstream.Listener.Addr().String() + " {\n" + strings.Join(options, "\n") + "\n}\n"
}

// newUpstream makes a testbed whose Caddy does not run yet.
func newUpstream(t *testing.T) *testbed {
	t.Helper()
	b := &testbed{gate: newGate(t), arrivals: make(chan arrival, 100)}
	b.upstream = httptest.NewServer(http.HandlerFunc(b.record))
	t.Cleanup(b.upstream.Close)
	return b
}

func (b *testbed) record(_ http.ResponseWriter, r *http.Request) {
	b.begun.Add(1)
	a := arrival{Line: r.Method + " " + r.RequestURI, Header: r.Header, Length: r.ContentLength, Coding: r.TransferEncoding}
	delete(a.Header, "X-Forwarded-Host") // tells gateHost and bareHost apart
	digest := sha256.New()
	var err error
	if a.Size, err = io.Copy(io.MultiWriter(digest, (*counter)(&b.received)), r.Body); err != nil {
		a.Err = err.Error()
	}
	a.Sum, a.Trailer = [sha256.Size]byte(digest.Sum(nil)), r.Trailer
	b.arrivals <- a
}

// counter is a writer that counts bytes.
type counter atomic.Int64

func (c *counter) Write(p []byte) (int, error) {
	(*atomic.Int64)(c).Add(int64(len(p)))
	return len(p), nil
}

// serve runs Caddy with the directives at both hosts, and the captcha and what
// else there is before them at gateHost. HTTP/3 needs a port that is known beforehand, and another
// process may take it before Caddy does.
func (b *testbed) serve(captcha, directives string) {
	b.t.Helper()
	certificate := b.certify()
	b.t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			b.t.Errorf("stopping Caddy: %v", err)
		}
	})
	for attempt := 1; ; attempt++ {
		b.secure = freePort(b.t)
		_, port, _ := net.SplitHostPort(b.secure)
		site := func(host, directives string) string {
			return fmt.Sprintf("http://%[1]s:0 {\nbind 127.0.0.1\n%[2]s\n}\nhttps://%[1]s:%[3]s {\nbind 127.0.0.1\ntls %[4]s\n%[2]s\n}\n",
				host, directives, port, certificate)
		}
		config, err := adapt("{\n" + globals + "storage file_system " + b.t.TempDir() + "\nservers {\nprotocols h1 h2 h2c h3\n}\nlog {\noutput file " + b.logs + "\n}\n" + b.global + "}\n" +
			site(gateHost, captcha+directives) + site(bareHost, directives))
		if err != nil {
			b.t.Fatalf("adapting: %v", err)
		}
		if err = caddy.Load([]byte(config), true); err == nil {
			break
		}
		if attempt == 10 {
			b.t.Fatalf("loading: %v", err)
		}
	}
	b.plain = address(b.t, "srv0")
	if b.plain == b.secure {
		b.plain = address(b.t, "srv1")
	}
}

// freePort returns an address at which nothing listens, neither TCP nor UDP.
func freePort(t *testing.T) string {
	t.Helper()
	for range 10 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := packets.LocalAddr().String()
		listener, err := net.Listen("tcp", addr)
		packets.Close()
		if err == nil {
			listener.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// certify makes a certificate for the hosts and returns its files.
func (b *testbed) certify() string {
	b.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{gateHost, bareHost},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		b.t.Fatal(err)
	}
	b.roots = x509.NewCertPool()
	b.roots.AddCert(certificate)
	dir := b.t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	return certFile + " " + keyFile
}

// version is a client for one version of HTTP.
type version struct {
	name string
	url  string
	http.RoundTripper
}

// versions returns a client for every version of HTTP.
func (b *testbed) versions() []version {
	clear := new(http.Protocols)
	clear.SetUnencryptedHTTP2(true)
	config := &tls.Config{RootCAs: b.roots, ServerName: gateHost}
	h1, h2c := &http.Transport{}, &http.Transport{Protocols: clear}
	h2 := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}
	h3 := &http3.Transport{TLSClientConfig: config}
	b.t.Cleanup(func() {
		h1.CloseIdleConnections()
		h2c.CloseIdleConnections()
		h2.CloseIdleConnections()
		h3.Close()
	})
	return []version{
		{"HTTP/1.1", "http://" + b.plain, h1},
		{"HTTP/2.0", "https://" + b.secure, h2},
		{"HTTP/2.0 in clear text", "http://" + b.plain, h2c},
		{"HTTP/3.0", "https://" + b.secure, h3},
	}
}

// filler is a body of letters that does not repeat itself for a while.
type filler struct{ offset, end int64 }

var letters = func() []byte {
	text := make([]byte, 65521) // a prime, so as not to hide a shift by a buffer
	seed := uint32(1)
	for i := range text {
		seed = seed*1664525 + 1013904223
		text[i] = 'a' + byte(seed>>24)%26
	}
	return text
}()

func (f *filler) Read(p []byte) (int, error) {
	if f.offset == f.end {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), f.end-f.offset)]
	n := copy(p, letters[f.offset%int64(len(letters)):])
	f.offset += int64(n)
	return n, nil
}

// stacks returns the stacks of all goroutines.
func stacks() string {
	for size := 1 << 20; ; size *= 2 {
		if text := make([]byte, size); runtime.Stack(text, true) < size {
			return string(text)
		}
	}
}

// awaitRest waits until nothing in Caddy is busy with a request.
func awaitRest(t *testing.T) {
	t.Helper()
	await(t, "the requests to leave no goroutine", func() bool {
		text := stacks()
		return !strings.Contains(text, "caddyhttp.(*Server).ServeHTTP") && // a handler
			!strings.Contains(text, "caddyhttp.(*IdleTimeoutReader).Read") && // who reads a body
			!strings.Contains(text, "caddycaptcha/internal/") && !strings.Contains(text, "caddycaptcha/verifier")
	})
}

// arrived waits until nothing is under way and returns what has arrived.
func (b *testbed) arrived() (arrivals []arrival) {
	b.t.Helper()
	awaitRest(b.t)
	await(b.t, "the upstream to be done", func() bool { return !strings.Contains(stacks(), "(*testbed).record") })
	for len(b.arrivals) > 0 {
		arrivals = append(arrivals, <-b.arrivals)
	}
	return arrivals
}

// nextEntry returns what the access log says of the next request.
func (b *testbed) nextEntry() (status float64, outcome any) {
	b.t.Helper()
	b.logged++
	awaitEntries(b.t, b.gate, "handled request", b.logged)
	entry := b.entries("handled request")[b.logged-1]
	return entry["status"].(float64), entry["captcha_outcome"]
}
