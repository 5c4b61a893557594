package harness

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
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddyserver/caddy/v2"
)

// The hosts of a testbed. A request to BareHost meets nothing but
// reverse_proxy: what the upstream then sees is what it has to see.
const (
	GateHost = "gate.test"
	BareHost = "bare.test"
)

// Arrival is a request as the upstream got it.
type Arrival struct {
	Line    string // method and target
	Header  http.Header
	Length  int64    // of Content-Length, or -1
	Coding  []string // of Transfer-Encoding
	Size    int64
	Sum     [sha256.Size]byte
	Trailer http.Header
	Err     string // that ended the body, if it is not complete
}

// Testbed is a Caddy that serves GateHost and BareHost over every version of
// HTTP, in front of an upstream that records what arrives.
type Testbed struct {
	*Gate
	Upstream *httptest.Server
	Plain    string // address for http
	Secure   string // address for https
	Roots    *x509.CertPool
	Global   string // options that Serve adds

	Begun    atomic.Int64 // the requests that reached the upstream
	Received atomic.Int64 // the bytes of their bodies
	Arrivals chan Arrival // them when their bodies have ended
	logged   int          // how much of the access log was looked at
}

// NewTestbed makes a testbed in which the captcha has the options.
func NewTestbed(t *testing.T, options ...string) *Testbed {
	t.Helper()
	b := NewUpstream(t)
	b.Serve(b.Directive(options...), b.ProxyTo(b.Upstream))
	return b
}

// Directive is a captcha directive with the options.
func (b *Testbed) Directive(options ...string) string {
	return "captcha {\n" + b.Verifier(GeeTestV4) + strings.Join(options, "\n") + "\n}\n"
}

// ProxyTo is a reverse_proxy directive with the options.
func (b *Testbed) ProxyTo(upstream *httptest.Server, options ...string) string {
	return "reverse_proxy " + upstream.Listener.Addr().String() + " {\n" + strings.Join(options, "\n") + "\n}\n"
}

// NewUpstream makes a testbed whose Caddy does not run yet.
func NewUpstream(t *testing.T) *Testbed {
	t.Helper()
	b := &Testbed{Gate: NewGate(t), Arrivals: make(chan Arrival, 100)}
	b.Upstream = httptest.NewServer(http.HandlerFunc(b.record))
	t.Cleanup(b.Upstream.Close)
	return b
}

func (b *Testbed) record(_ http.ResponseWriter, r *http.Request) {
	b.Begun.Add(1)
	a := Arrival{Line: r.Method + " " + r.RequestURI, Header: r.Header, Length: r.ContentLength, Coding: r.TransferEncoding}
	delete(a.Header, "X-Forwarded-Host") // tells GateHost and BareHost apart
	digest := sha256.New()
	var err error
	if a.Size, err = io.Copy(io.MultiWriter(digest, (*counter)(&b.Received)), r.Body); err != nil {
		a.Err = err.Error()
	}
	a.Sum, a.Trailer = [sha256.Size]byte(digest.Sum(nil)), r.Trailer
	b.Arrivals <- a
}

// counter is a writer that counts bytes.
type counter atomic.Int64

func (c *counter) Write(p []byte) (int, error) {
	(*atomic.Int64)(c).Add(int64(len(p)))
	return len(p), nil
}

// Serve runs Caddy with the directives at both hosts, and the captcha and what
// else there is before them at GateHost. HTTP/3 needs a port that is known
// beforehand, and another process may take it before Caddy does.
func (b *Testbed) Serve(captcha, directives string) {
	b.T.Helper()
	certificate := b.certify()
	b.T.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			b.T.Errorf("stopping Caddy: %v", err)
		}
	})
	for attempt := 1; ; attempt++ {
		b.Secure = FreeAddress(b.T)
		_, port, _ := net.SplitHostPort(b.Secure)
		site := func(host, directives string) string {
			return fmt.Sprintf("http://%[1]s:0 {\nbind 127.0.0.1\n%[2]s\n}\nhttps://%[1]s:%[3]s {\nbind 127.0.0.1\ntls %[4]s\n%[2]s\n}\n",
				host, directives, port, certificate)
		}
		config, err := Adapt("{\n" + Globals + "storage file_system " + b.T.TempDir() + "\nservers {\nprotocols h1 h2 h2c h3\n}\nlog {\noutput file " + b.LogFile + "\n}\n" + b.Global + "}\n" +
			site(GateHost, captcha+directives) + site(BareHost, directives))
		if err != nil {
			b.T.Fatalf("adapting: %v", err)
		}
		if err = caddy.Load([]byte(config), true); err == nil {
			break
		}
		if attempt == 10 {
			b.T.Fatalf("loading: %v", err)
		}
	}
	b.Plain = Address(b.T, "srv0")
	if b.Plain == b.Secure {
		b.Plain = Address(b.T, "srv1")
	}
}

// FreeAddress returns an address at which nothing listens, neither TCP nor UDP.
func FreeAddress(t *testing.T) string {
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
func (b *Testbed) certify() string {
	b.T.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.T.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{GateHost, BareHost},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		b.T.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.T.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		b.T.Fatal(err)
	}
	b.Roots = x509.NewCertPool()
	b.Roots.AddCert(certificate)
	dir := b.T.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			b.T.Fatal(err)
		}
	}
	return certFile + " " + keyFile
}

// Version is a client for one version of HTTP.
type Version struct {
	Name string
	URL  string
	http.RoundTripper
}

// Versions returns a client for every version of HTTP.
func (b *Testbed) Versions() []Version {
	clear := new(http.Protocols)
	clear.SetUnencryptedHTTP2(true)
	config := &tls.Config{RootCAs: b.Roots, ServerName: GateHost}
	h1, h2c := &http.Transport{}, &http.Transport{Protocols: clear}
	h2 := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}
	h3 := &http3.Transport{TLSClientConfig: config}
	b.T.Cleanup(func() {
		h1.CloseIdleConnections()
		h2c.CloseIdleConnections()
		h2.CloseIdleConnections()
		h3.Close()
	})
	return []Version{
		{"HTTP/1.1", "http://" + b.Plain, h1},
		{"HTTP/2.0", "https://" + b.Secure, h2},
		{"HTTP/2.0 in clear text", "http://" + b.Plain, h2c},
		{"HTTP/3.0", "https://" + b.Secure, h3},
	}
}

// Arrived waits until nothing is under way and returns what has arrived.
func (b *Testbed) Arrived() (arrivals []Arrival) {
	b.T.Helper()
	AwaitRest(b.T)
	Await(b.T, "the upstream to be done", func() bool { return !strings.Contains(Stacks(), "(*Testbed).record") })
	for len(b.Arrivals) > 0 {
		arrivals = append(arrivals, <-b.Arrivals)
	}
	return arrivals
}

// NextEntry returns what the access log says of the next request.
func (b *Testbed) NextEntry() (status float64, outcome any) {
	b.T.Helper()
	b.logged++
	AwaitEntries(b.T, b.Gate, "handled request", b.logged)
	entry := b.Entries("handled request")[b.logged-1]
	return entry["status"].(float64), entry["captcha_outcome"]
}
