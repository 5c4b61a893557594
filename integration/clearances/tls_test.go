package clearances

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// secureVersions returns a client for every version of HTTP over TLS.
func secureVersions(b *harness.Testbed) []harness.Version {
	config := &tls.Config{RootCAs: b.Roots, ServerName: harness.GateHost}
	h1 := &http.Transport{TLSClientConfig: config.Clone()} // without HTTP/2, which a config of one's own turns off
	h2 := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}
	h3 := &http3.Transport{TLSClientConfig: config}
	b.T.Cleanup(func() {
		h1.CloseIdleConnections()
		h2.CloseIdleConnections()
		h3.Close()
	})
	url := "https://" + b.Secure
	return []harness.Version{{Name: "HTTP/1.1", URL: url, RoundTripper: h1}, {Name: "HTTP/2.0", URL: url, RoundTripper: h2}, {Name: "HTTP/3.0", URL: url, RoundTripper: h3}}
}

// visit sends a request to GateHost over one version of HTTP.
func visit(b *harness.Testbed, v harness.Version, method, path, body string, header ...string) harness.Answer {
	b.T.Helper()
	request := harness.NewRequest(b.T, method, v.URL+path, body, header...)
	request.Host = harness.GateHost
	response, err := v.RoundTrip(request)
	if err != nil {
		b.T.Fatalf("%s over %s: %v", path, v.Name, err)
	}
	defer response.Body.Close()
	if !strings.HasPrefix(v.Name, response.Proto) {
		b.T.Fatalf("%s was answered in %s", v.Name, response.Proto)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.T.Fatal(err)
	}
	return harness.Answer{Response: response, Text: string(text)}
}

// clearOver gets a clearance over one version of HTTP.
func clearOver(b *harness.Testbed, v harness.Version) *http.Cookie {
	b.T.Helper()
	a := visit(b, v, "POST", "/.captcha/default/verify", b.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType)
	if a.StatusCode != http.StatusNoContent || len(a.Cookies()) == 0 {
		b.T.Fatalf("%s: verify answered %d with cookies %v: %s", v.Name, a.StatusCode, a.Cookies(), a.Text)
	}
	return a.Cookies()[0]
}

// TestSecureClearances: over https the cookie is one that no sibling domain and
// nobody on the network can set, and the two kinds of clearance are worth
// nothing in each other's place.
func TestSecureClearances(t *testing.T) {
	b := harness.NewTestbed(t, "clearance 30m", "refusal problem")
	plain := b.Versions()[0]
	open := clearOver(b, plain)
	if open.Name != harness.PlainName || open.Secure {
		t.Errorf("over http the cookie is %s", open.Raw)
	}
	forwarded := func(what string, v harness.Version, reason, cookies string) {
		t.Helper()
		before := b.Begun.Load()
		a := visit(b, v, "GET", "/", "", "Cookie", cookies)
		if reason == "" {
			if a.StatusCode != 200 || b.Begun.Load() != before+1 {
				t.Errorf("%s over %s: status %d", what, v.Name, a.StatusCode)
				return
			}
			if got := (<-b.Arrivals).Header.Get("Cookie"); got != "" {
				t.Errorf("%s over %s: the app got the cookies %q", what, v.Name, got)
			}
			return
		}
		if a.StatusCode != 403 || b.Begun.Load() != before {
			t.Errorf("%s over %s: status %d", what, v.Name, a.StatusCode)
			return
		}
		if got := a.Problem(t)["reason"]; got != reason {
			t.Errorf("%s over %s: reason %v, want %s", what, v.Name, got, reason)
		}
	}
	forwarded("the plain cookie", plain, "", harness.PlainName+"="+open.Value)
	secureVersions := secureVersions(b)
	for _, issued := range secureVersions {
		c := clearOver(b, issued)
		if c.Name != harness.SecureName || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("over %s the cookie is %s", issued.Name, c.Raw)
		}
		for _, v := range secureVersions {
			forwarded("the secure cookie", v, "", harness.SecureName+"="+c.Value)
		}
		forwarded("the secure cookie", plain, "none", harness.SecureName+"="+c.Value)
		forwarded("the secure clearance in the plain cookie", plain, "invalid", harness.PlainName+"="+c.Value)
		forwarded("the plain cookie", issued, "none", harness.PlainName+"="+open.Value)
		forwarded("the plain clearance in the secure cookie", issued, "invalid", harness.SecureName+"="+open.Value)
		forwarded("the secure clearance in the plain cookie", issued, "none", harness.PlainName+"="+c.Value)
		forwarded("both", issued, "", harness.PlainName+"="+open.Value+"; "+harness.SecureName+"="+c.Value)
		forwarded("both", plain, "", harness.SecureName+"="+c.Value+"; "+harness.PlainName+"="+open.Value)
	}
}

// TestSecureBehindAProxy: a proxy that is trusted says whether the client uses
// https. Nobody else does.
func TestSecureBehindAProxy(t *testing.T) {
	for _, c := range []struct {
		proxy  string
		header []string
		secure bool
	}{
		{"trusted", nil, false},
		{"trusted", []string{"https"}, true},
		{"trusted", []string{"HTTPS"}, true},
		{"trusted", []string{" https ,http"}, true},
		{"trusted", []string{"http, https"}, false},
		{"trusted", []string{"https", "http"}, true},
		{"trusted", []string{"http", "https"}, false},
		{"trusted", []string{""}, false},
		{"trusted", []string{"httpsx"}, false},
		{"trusted", []string{"wss"}, false},
		{"untrusted", []string{"https"}, false},
	} {
		t.Run(c.proxy+" "+strings.Join(c.header, "+"), func(t *testing.T) {
			g := harness.NewGate(t)
			trusted := "127.0.0.0/8"
			if c.proxy != "trusted" {
				trusted = "192.0.2.0/24"
			}
			harness.Run(t, strings.Replace(g.Caddyfile(g.Captcha(harness.GeeTestV4, "clearance 30m")+g.Proxy()), harness.Globals,
				harness.Globals+"servers {\ntrusted_proxies static "+trusted+"\ntrusted_proxies_strict\n}\n", 1))
			g.URL = "http://" + harness.Address(t, "srv0")
			var header []string
			for _, value := range c.header {
				header = append(header, "X-Forwarded-Proto", value)
			}
			cookie := g.Clear(harness.GeeTestV4, header...)
			want := harness.PlainName
			if c.secure {
				want = harness.SecureName
			}
			if cookie.Name != want || cookie.Secure != c.secure {
				t.Fatalf("the cookie is %s", cookie.Raw)
			}
			g.WantPassed(g.GetCleared(cookie.Name+"="+cookie.Value, header...))
			if c.secure {
				g.Want(g.GetCleared(cookie.Name+"="+cookie.Value), 403, "missing")
			}
		})
	}
}

// exchange sends the text over a connection of its own and returns the answer.
func exchange(t *testing.T, addr, text string) harness.Answer {
	t.Helper()
	conn := harness.Dial(t, addr)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, conn, text)
}

// TestAClearanceIsForTheHostInTheRequest asks with one clearance under all
// spellings of hosts and of request targets that name one.
func TestAClearanceIsForTheHostInTheRequest(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m", "refusal problem") + g.Proxy())
	addr := strings.TrimPrefix(g.URL, "http://")
	verify := func(start, host string) harness.Answer {
		body := g.Proof(harness.GeeTestV4).Encode()
		return exchange(t, addr, start+"\r\n"+host+"Content-Type: "+harness.FormType+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\nConnection: close\r\n\r\n"+body)
	}
	const path = "/.captcha/default/verify"
	for _, issued := range []struct {
		name, start, host string
		good, other       []string // what is the same host, and what is not
		refused           []string // what is no request
	}{
		{
			"a name and a port", "POST " + path + " HTTP/1.1", "Host: shop.example:8080\r\n",
			[]string{
				"GET /login HTTP/1.1\r\nHost: shop.example:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: SHOP.Example:8080\r\n",
				"GET /login HTTP/1.0\r\nHost: shop.example:8080\r\n",
				"GET http://shop.example:8080/login HTTP/1.1\r\nHost: other.example\r\n",
				"GET http://Shop.example:8080/login HTTP/1.1\r\nHost: shop.example:8080\r\n",
				"GET http://user:word@shop.example:8080/login HTTP/1.1\r\nHost: other.example\r\n",
			},
			[]string{
				"GET /login HTTP/1.1\r\nHost: shop.example\r\n",
				"GET /login HTTP/1.1\r\nHost: shop.example:80\r\n",
				"GET /login HTTP/1.1\r\nHost: shop.example:08080\r\n",
				"GET /login HTTP/1.1\r\nHost: shop.example.:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: shop.example.\r\n",
				"GET /login HTTP/1.1\r\nHost: other.example:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: shop.example:8080:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: shop%2eexample:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: shop.example:8080, other.example\r\n",
				"GET /login HTTP/1.1\r\nHost:\r\n",
				"GET /login HTTP/1.0\r\n",
				"GET http://other.example/login HTTP/1.1\r\nHost: shop.example:8080\r\n",
				"GET https://shop.example/login HTTP/1.1\r\nHost: shop.example:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: other.example\r\nX-Forwarded-Host: shop.example:8080\r\nForwarded: host=shop.example:8080\r\n",
			},
			[]string{
				"GET /login HTTP/1.1\r\n",
				"GET /login HTTP/1.1\r\nHost: shop.example:8080\r\nHost: shop.example:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: shop.example:8080\r\nHost: other.example\r\n",
				"GET /login HTTP/1.1\r\nHost: shop.example:8080\x01\r\n",
				"GET /login HTTP/1.1\r\nHost: ſhop.example:8080\r\n",
			},
		},
		{
			"an IPv6 address", "POST " + path + " HTTP/1.1", "Host: [2001:db8::a]:8080\r\n",
			[]string{
				"GET /login HTTP/1.1\r\nHost: [2001:db8::a]:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: [2001:DB8::A]:8080\r\n",
			},
			[]string{
				"GET /login HTTP/1.1\r\nHost: [2001:db8::a]\r\n",
				"GET /login HTTP/1.1\r\nHost: [2001:db8:0::a]:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: [2001:db8::a%25eth0]:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: 2001:db8::a:8080\r\n",
				"GET /login HTTP/1.1\r\nHost: [2001:db8::a]:8080]\r\n",
			},
			nil,
		},
		{
			"an absolute target", "POST http://shop.example" + path + " HTTP/1.1", "Host: other.example\r\n",
			[]string{"GET /login HTTP/1.1\r\nHost: shop.example\r\n"},
			[]string{"GET /login HTTP/1.1\r\nHost: other.example\r\n"},
			nil,
		},
		{
			"no host", "POST " + path + " HTTP/1.0", "",
			[]string{"GET /login HTTP/1.0\r\n"},
			[]string{"GET /login HTTP/1.1\r\nHost: shop.example\r\n", "GET /login HTTP/1.1\r\nHost: .\r\n"},
			nil,
		},
	} {
		a := verify(issued.start, issued.host)
		if a.StatusCode != 204 || len(a.Cookies()) == 0 {
			t.Fatalf("%s: verify answered %d with cookies %v: %s", issued.name, a.StatusCode, a.Cookies(), a.Text)
		}
		if domain := a.Cookies()[0].Domain; domain != "" {
			t.Errorf("%s: the cookie is for the domain %q", issued.name, domain)
		}
		cookie := "Cookie: " + a.Cookies()[0].Name + "=" + a.Cookies()[0].Value + "\r\nConnection: close\r\n\r\n"
		for _, request := range issued.good {
			if a := exchange(t, addr, request+cookie); a.StatusCode != 200 || len(g.Seen()) != 1 {
				t.Errorf("%s: %q: status %d: %s", issued.name, request, a.StatusCode, a.Text)
			}
		}
		for _, request := range issued.other {
			a := exchange(t, addr, request+cookie)
			if seen := g.Seen(); len(seen) != 0 || a.StatusCode != 403 && a.StatusCode != 400 {
				t.Errorf("%s: %q: status %d, the app saw %q", issued.name, request, a.StatusCode, seen)
			}
			if a.StatusCode == 403 && a.Problem(t)["reason"] != "invalid" {
				t.Errorf("%s: %q: %s", issued.name, request, a.Text)
			}
		}
		for _, request := range issued.refused {
			if a := exchange(t, addr, request+cookie); a.StatusCode != 400 || len(g.Seen()) != 0 {
				t.Errorf("%s: %q: status %d", issued.name, request, a.StatusCode)
			}
		}
	}
}

// TestAClearanceIsForTheAuthority: in HTTP/2 the host is the :authority, and
// the Host field only where there is none.
func TestAClearanceIsForTheAuthority(t *testing.T) {
	g := harness.NewGate(t)
	harness.Run(t, strings.Replace(g.Caddyfile(g.Captcha(harness.GeeTestV4, "clearance 30m", "refusal problem")+g.Proxy()), harness.Globals, harness.Globals+"servers {\nprotocols h1 h2c\n}\n", 1))
	g.URL = "http://" + harness.Address(t, "srv0")
	cookie := g.Cookie() // for example.com
	for _, c := range []struct {
		authority, host, status string
	}{
		{"example.com", "", "200"},
		{"EXAMPLE.com", "", "200"},
		{"example.com", "example.com", "200"},
		{"", "example.com", "200"},
		{"other.example", "example.com", "403"},
		{"other.example", "", "403"},
		{"example.com:80", "", "403"},
		{"example.com.", "", "403"},
		{"", "", "403"},
	} {
		status := h2Status(t, strings.TrimPrefix(g.URL, "http://"), c.authority, c.host, cookie)
		seen := g.Seen()
		if c.status == "200" && (status != "200" || len(seen) != 1) {
			t.Errorf("authority %q, host %q: status %q", c.authority, c.host, status)
		}
		// A server may also call a request malformed and reset its stream.
		if c.status != "200" && (len(seen) != 0 || status != c.status && status != "400" && status != "reset") {
			t.Errorf("authority %q, host %q: status %q, the app saw %q", c.authority, c.host, status, seen)
		}
	}
}

// h2Status sends GET /login over HTTP/2 in clear text, with an authority and a
// Host field as no client library would send them, and returns the status of
// the answer, or "reset".
func h2Status(t *testing.T, addr, authority, host, cookie string) string {
	t.Helper()
	conn := harness.Dial(t, addr)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "GET"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: "/login"},
		{Name: ":authority", Value: authority},
		{Name: "host", Value: host},
		{Name: "cookie", Value: cookie},
	} {
		if field.Value != "" {
			encoder.WriteField(field) //nolint:errcheck // into memory
		}
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("authority %q, host %q: %v", authority, host, err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				framer.WriteSettingsAck() //nolint:errcheck // the next read tells
			}
		case *http2.RSTStreamFrame:
			return "reset"
		case *http2.MetaHeadersFrame:
			i := slices.IndexFunc(frame.Fields, func(f hpack.HeaderField) bool { return f.Name == ":status" })
			return frame.Fields[i].Value
		}
	}
}

// readAnswer reads the answer to the request in text.
func readAnswer(t *testing.T, conn net.Conn, text string) harness.Answer {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer to %q: %v", text, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("reading the answer to %q: %v", text, err)
	}
	return harness.Answer{Response: response, Text: string(body)}
}
