package verifier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/internal/digest"
	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

// way is a way to providers. All verifiers with the same options proxy and ca
// share one, for as long as a config has it, so that connections survive a
// reload.
//
// Its transports are used without an http.Client, so they follow no redirect
// and keep no cookie. They retry a POST only if nothing of it was written: that
// is what net/http does without an Idempotency-Key. (A GET they may send twice;
// the only one asks for a challenge, of which one more costs nothing.) They
// ignore the proxies of the environment, because keys go where the configuration
// says and nowhere else. And they speak HTTP/1.1 only: over HTTP/2 all calls to
// a provider would share one connection, and that one stalling would stall
// every verification.
type way struct {
	key    digest.Sum
	calls  *http.Transport
	probes *http.Transport // each makes a connection of its own: that has to be possible
	tls    *tls.Config
}

// direct is the way of verifiers without the options.
var direct = newWay(nil, nil)

// ways are the others.
var ways = caddy.NewUsagePool()

var (
	// An address that resolves to both families is tried over IPv6 first and,
	// 300 ms later, over IPv4 beside it (RFC 8305, section 5).
	dialer           = &net.Dialer{Timeout: 2 * time.Second}
	handshakeTimeout = 3 * time.Second
)

func newWay(proxy *url.URL, roots *x509.CertPool) *way {
	w := &way{tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}}
	// The captcha handlers bound how many calls run at once, and by that how
	// many connections there are. The 30 s are less than the 60 s for which
	// Tencent keeps an idle one, so that few calls meet a closed connection.
	w.calls = w.transport(proxy)
	w.calls.MaxIdleConnsPerHost = 4096
	w.calls.IdleConnTimeout = 30 * time.Second
	w.probes = w.transport(proxy)
	w.probes.DisableKeepAlives = true
	return w
}

func (w *way) transport(proxy *url.URL) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	t := &http.Transport{
		DialContext:            dialer.DialContext,
		DialTLSContext:         w.dialTLS,
		Protocols:              protocols,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,

		// Calls and answers are less than a kilobyte each, and thousands may
		// wait.
		ReadBufferSize:  1 << 10,
		WriteBufferSize: 1 << 10,

		// What follows is for calls through a proxy, where http.Transport
		// itself makes the TLS connection to the provider.
		TLSClientConfig:        w.tls.Clone(),
		TLSHandshakeTimeout:    handshakeTimeout,
		OnProxyConnectResponse: refusedByProxy,
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	return t
}

// handshakeError is a failed TLS handshake. That http.Transport's own one
// cannot be told from other failures is why there is dialTLS.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

func (w *way) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	config := w.tls.Clone()
	config.ServerName = host
	secure := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, handshakeError{err}
	}
	return secure, nil
}

// proxyError is the status with which a proxy refused to make a connection.
type proxyError int

func (e proxyError) Error() string {
	return fmt.Sprintf("the proxy answered with status %d (%s)", int(e), http.StatusText(int(e)))
}

func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return proxyError(answer.StatusCode)
	}
	return nil
}

// openWay returns the way that the options proxy and ca describe. It has to be
// closed.
func openWay(proxy, ca string) (*way, error) {
	if proxy == "" && ca == "" {
		return direct, nil
	}
	at, err := proxyURL(proxy)
	if err != nil {
		return nil, err
	}
	roots, file, err := authorities(ca)
	if err != nil {
		return nil, err
	}
	through := ""
	if at != nil {
		through = at.String()
	}
	key := digest.Of("way", through, string(file))
	shared, _, err := ways.LoadOrNew(key, func() (caddy.Destructor, error) {
		w := newWay(at, roots)
		w.key = key
		return w, nil
	})
	if err != nil {
		return nil, err
	}
	return shared.(*way), nil
}

// close ends a verifier's use of the way. Calls that are under way end as they
// would.
func (w *way) close() error {
	if w == nil || w == direct {
		return nil
	}
	_, err := ways.Delete(w.key)
	return err
}

// Destruct closes the connections that are not in use.
func (w *way) Destruct() error {
	w.calls.CloseIdleConnections()
	w.probes.CloseIdleConnections()
	return nil
}

var proxySchemes = []string{"http", "https", "socks5"}

const (
	expectedProxy = "a URL such as http://proxy.example:3128, with the scheme http, https or socks5"
	expectedCA    = "a file with certificates in PEM"
)

// proxyURL returns the URL of the option proxy, or nil where there is none. No
// error quotes it: it may hold a password.
func proxyURL(option string) (*url.URL, error) {
	if option == "" {
		return nil, nil
	}
	text, err := setting.Expand("proxy", option)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(text)
	if err != nil || !slices.Contains(proxySchemes, at.Scheme) || at.Hostname() == "" || strings.Trim(at.Path, "/") != "" || at.RawQuery != "" || at.Fragment != "" {
		return nil, errors.New("proxy must be " + expectedProxy + ", a host, and perhaps user:password@ before it, in which special characters are percent-encoded")
	}
	return at, nil
}

// authorities returns those in the file of the option ca, which are then the
// only ones, or nil for the system's where there is none.
func authorities(option string) (roots *x509.CertPool, file []byte, err error) {
	if option == "" {
		return nil, nil, nil
	}
	name, err := setting.Expand("ca", option)
	if err != nil {
		return nil, nil, err
	}
	if file, err = os.ReadFile(name); err != nil {
		return nil, nil, fmt.Errorf("ca: %w", err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(file) {
		return nil, nil, fmt.Errorf("ca: %s holds no certificate in PEM", name)
	}
	return roots, file, nil
}

// proxyTo takes the option proxy.
func proxyTo(to *string) setters {
	return urlTo(to, func(url string) error {
		_, err := proxyURL(url)
		return err
	})
}
