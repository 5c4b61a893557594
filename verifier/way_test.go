package verifier

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/caddyserver/caddy/v2"
)

// authorityFile is a file with the certificate of a server.
func authorityFile(t *testing.T, server *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const proxyUser, proxyPassword = "alice", "s@cret/CANARY"

// join carries bytes between two connections until one ends.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			a.Close()
			b.Close()
		})
	}
	both.Wait()
}

// connectProxy is an HTTP proxy that wants a password, and counts what it
// carries.
func connectProxy(t *testing.T, carried *atomic.Int64) *httptest.Server {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != want {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		carried.Add(1)
		if r.Method != http.MethodConnect {
			r.RequestURI = ""
			r.Header.Del("Proxy-Authorization")
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer answer.Body.Close()
			w.WriteHeader(answer.StatusCode)
			_, _ = io.Copy(w, answer.Body)
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		join(here, there)
	}))
	server.Config.ErrorLog = discard
	t.Cleanup(server.Close)
	return server
}

// socksProxy is a SOCKS5 proxy (RFC 1928) that wants a password (RFC 1929).
func socksProxy(t *testing.T, carried *atomic.Int64) (address string) {
	return listening(t, func(c net.Conn) {
		read := func(n int) []byte {
			b := make([]byte, n)
			_, _ = io.ReadFull(c, b)
			return b
		}
		read(int(read(2)[1]))
		_, _ = c.Write([]byte{5, 2})
		user := string(read(int(read(2)[1])))
		password := string(read(int(read(1)[0])))
		if user != proxyUser || password != proxyPassword {
			_, _ = c.Write([]byte{1, 1})
			return
		}
		_, _ = c.Write([]byte{1, 0})
		var host string
		switch kind := read(4)[3]; kind {
		case 1:
			host = net.IP(read(4)).String()
		case 3:
			host = string(read(int(read(1)[0])))
		default:
			t.Errorf("the kind of address is %d", kind)
			return
		}
		carried.Add(1)
		there, err := net.Dial("tcp", net.JoinHostPort(host, portOf(read(2))))
		if err != nil {
			_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		join(c, there)
	})
}

func portOf(b []byte) string {
	return (&net.TCPAddr{Port: int(binary.BigEndian.Uint16(b))}).String()[1:]
}

// TestProxy: all calls, and the probes, go through the proxy and nowhere else,
// and without its password nowhere at all.
func TestProxy(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, v4Pass) }))
	defer plain.Close()
	secure := httptest.NewTLSServer(plain.Config.Handler)
	secure.Config.ErrorLog = discard
	defer secure.Close()
	file := authorityFile(t, secure)
	var carried atomic.Int64
	connect, overTLS := connectProxy(t, &carried), connectProxy(t, &carried)
	connect.Start()
	overTLS.StartTLS()
	for name, proxy := range map[string]string{
		"http":   connect.Listener.Addr().String(),
		"https":  overTLS.Listener.Addr().String(),
		"socks5": socksProxy(t, &carried),
	} {
		for _, endpoint := range []string{plain.URL, secure.URL} {
			t.Run(name+" to "+endpoint[:strings.Index(endpoint, ":")], func(t *testing.T) {
				through := func(password string) *GeetestV4 {
					at := url.URL{Scheme: name, User: url.UserPassword(proxyUser, password), Host: proxy}
					v := &GeetestV4{CaptchaID: v4ID, CaptchaKey: v4Key, Endpoint: endpoint, Proxy: at.String(), CA: file, Timeout: caddy.Duration(forever)}
					v = provisioned(t, v)
					t.Cleanup(func() {
						if err := v.Cleanup(); err != nil {
							t.Error(err)
						}
					})
					if v.Proxy != "" {
						t.Error("the password stays in an exported field")
					}
					return v
				}
				if name == "https" { // whose certificate is of the same authority
					overTLS.TLS.Certificates = secure.TLS.Certificates
				}
				before := carried.Load()
				v := through(proxyPassword)
				expect(t, v.Verify(t.Context(), v4Proof, testClient), Passed, "")
				if got := v.Probe(t.Context()); got != HealthGood {
					t.Errorf("the probe is %s", got)
				}
				if got := carried.Load() - before; got != 2 {
					t.Errorf("the proxy carried %d calls, want 2", got)
				}
				wrong := through("wrong")
				verdict := wrong.Verify(t.Context(), v4Proof, testClient)
				if verdict.Result != Unknown || verdict.Err == nil || strings.Contains(verdict.Err.Error(), "CANARY") {
					t.Errorf("with a wrong password: %+v", verdict)
				}
				if name != "socks5" && (!strings.Contains(verdict.Err.Error(), "407") || wrong.Probe(t.Context()) != HealthUnknown) {
					t.Errorf("with a wrong password: %v, and the probe is %s", verdict.Err, wrong.Probe(t.Context()))
				}
			})
		}
	}
}

// A proxy that is not there is an outage, and its error has no password.
func TestProxyThatIsNotThere(t *testing.T) {
	v := provisioned(t, &GeetestV4{
		CaptchaID: v4ID, CaptchaKey: v4Key, Proxy: "http://alice:CANARY@127.0.0.1:1", Timeout: caddy.Duration(forever),
	})
	verdict := v.Verify(t.Context(), v4Proof, testClient)
	expect(t, verdict, Unknown, ReasonConnection)
	if strings.Contains(verdict.Err.Error(), "CANARY") || !strings.Contains(verdict.Err.Error(), "127.0.0.1:1") {
		t.Errorf("the error is %v", verdict.Err)
	}
	if got := v.Probe(t.Context()); got != HealthFailed {
		t.Errorf("the probe is %s", got)
	}
}

// Only the authorities of the file are trusted.
func TestCA(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, v4Pass) }))
	server.Config.ErrorLog = discard
	defer server.Close()
	for file, want := range map[string]string{authorityFile(t, server): "", "testdata/ca.pem": ReasonTLS, "": ReasonTLS} {
		v := provisioned(t, &GeetestV4{CaptchaID: v4ID, CaptchaKey: v4Key, Endpoint: server.URL, CA: file, Timeout: caddy.Duration(forever)})
		if got := v.Verify(t.Context(), v4Proof, testClient); got.Reason != want {
			t.Errorf("ca %q: %+v", file, got)
		}
	}
	for option, want := range map[string]string{"testdata/none.pem": "testdata/none.pem", "way_test.go": "way_test.go holds no certificate", "{env.VERIFIER_UNSET}": "ca"} {
		err := (&GeetestV4{CaptchaID: v4ID, CaptchaKey: v4Key, CA: option}).Provision(caddy.Context{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ca %q: %v", option, err)
		}
	}
}

// Verifiers with the same options share a way, and its connections, as one
// config follows another.
func TestWaysAreShared(t *testing.T) {
	open := func(proxy, ca string) *way {
		w, err := openWay(proxy, ca)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := w.close(); err != nil {
				t.Error(err)
			}
		})
		return w
	}
	t.Setenv("VERIFIER_PASSWORD", "secret")
	all := []*way{
		open("", ""), open("http://proxy.example:3128", ""), open("http://alice:secret@proxy.example:3128", ""),
		open("http://alice:other@proxy.example:3128", ""), open("", "testdata/ca.pem"), open("http://proxy.example:3128", "testdata/ca.pem"),
	}
	for i, one := range all {
		for _, other := range all[:i] {
			if one == other || one.key == other.key {
				t.Errorf("way %d is that of other options", i)
			}
		}
	}
	if open("http://alice:{env.VERIFIER_PASSWORD}@proxy.example:3128", "") != all[2] || open("", "") != direct {
		t.Error("the same options have another way")
	}
}

// A name server that does not answer is an outage, and no hang.
func TestADeadNameServer(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var mu sync.Mutex
	var asked []net.Conn // which the lookups outlive the calls with
	over := false
	dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return nil, net.ErrClosed
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "udp", silent.LocalAddr().String())
		asked = append(asked, conn)
		return conn, err
	}}
	defer func() {
		dialer.Resolver = nil
		mu.Lock()
		defer mu.Unlock()
		over = true
		for _, conn := range asked {
			conn.Close()
		}
	}()
	v := newV4(t, "https://captcha.example", forever)
	expect(t, v.Verify(t.Context(), v4Proof, testClient), Unknown, ReasonTimeout)
	if got := v.Probe(t.Context()); got != HealthFailed {
		t.Errorf("the probe is %s", got)
	}
}

// TestBothFamilies: a provider that has an address of each is reached where one
// of them leads nowhere, without waiting for that one to fail.
func TestBothFamilies(t *testing.T) {
	names := bothFamilies(t)
	dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", names)
	}}
	defer func() { dialer.Resolver, dialer.ControlContext = nil, nil }()
	for reached, lost := range map[string]string{"tcp4": "tcp6", "tcp6": "tcp4"} {
		var waiting, besides atomic.Bool
		dialer.ControlContext = func(ctx context.Context, network, _ string, _ syscall.RawConn) error {
			if network == lost {
				waiting.Store(true)
				<-ctx.Done() // as where packets vanish
				waiting.Store(false)
				return ctx.Err()
			}
			besides.Store(waiting.Load())
			return nil
		}
		address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[reached]
		listener, err := net.Listen(reached, address)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, v4Pass) }))
		server.Listener.Close()
		server.Listener = listener
		server.StartTLS()
		defer server.Close()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		v := provisioned(t, &GeetestV4{CaptchaID: v4ID, CaptchaKey: v4Key, Endpoint: "https://example.com:" + port, CA: authorityFile(t, server), Timeout: caddy.Duration(forever)})
		expect(t, v.Verify(t.Context(), v4Proof, testClient), Passed, "")
		// The one tried first is IPv6; when that works nothing else is tried.
		if lost == "tcp6" && !besides.Load() {
			t.Error("IPv4 was tried only when IPv6 had failed")
		}
	}
}

// bothFamilies is a name server that knows both loopback addresses by every
// name.
func bothFamilies(t *testing.T) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var query dnsmessage.Message
			if query.Unpack(buffer[:n]) != nil || len(query.Questions) != 1 {
				continue
			}
			q := query.Questions[0]
			header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: query.ID, Response: true}, Questions: query.Questions}
			if q.Type == dnsmessage.TypeA {
				answer.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
			}
			if q.Type == dnsmessage.TypeAAAA {
				answer.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}}}}
			}
			if packed, err := answer.Pack(); err == nil {
				conn.WriteTo(packed, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}
