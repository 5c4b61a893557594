package verifier

import (
	"bufio"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAnAnswerOfTheProviderPasses(t *testing.T) {
	forEach(t, func(t *testing.T, s subject) {
		expect(t, s.verify(t, answering(t, http.StatusOK, s.pass), forever), Passed, "")
	})
}

func TestConnectionsAreReused(t *testing.T) {
	const parallel = 64
	var opened atomic.Int32
	var arrived sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived.Done()
		arrived.Wait() // all calls of a wave are under way at once
		_, _ = io.WriteString(w, v4Pass)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for range 3 {
		arrived.Add(parallel)
		var calls sync.WaitGroup
		for range parallel {
			// A new verifier for each call, as after a reload.
			v := newV4(t, server.URL, forever)
			calls.Go(func() { expect(t, v.Verify(t.Context(), v4Proof, testClient), Passed, "") })
		}
		calls.Wait()
	}
	if n := opened.Load(); n != parallel {
		t.Errorf("%d connections were opened for 3 waves of %d calls", n, parallel)
	}
}

func TestCookiesAreNotKept(t *testing.T) {
	endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			t.Error("a cookie was sent")
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
		_, _ = io.WriteString(w, v3Pass)
	})
	v := newV3(t, endpoint, forever)
	for range 2 {
		expect(t, v.Verify(t.Context(), v3Proof, testClient), Passed, "")
	}
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	if transport.Proxy != nil {
		t.Error("the transport has a proxy")
	}
}

func TestRequestsOfferNoCompressionAndNoIdempotencyKey(t *testing.T) {
	forEach(t, func(t *testing.T, s subject) {
		expect(t, s.verify(t, serving(t, func(w http.ResponseWriter, r *http.Request) {
			for _, name := range []string{"Accept-Encoding", "Idempotency-Key", "X-Idempotency-Key"} {
				if _, found := r.Header[name]; found {
					t.Errorf("the request has %s", name)
				}
			}
			_, _ = io.WriteString(w, s.pass)
		}), forever), Passed, "")
	})
}

// A server that closes a kept-alive connection once it has read the request is
// the case in which net/http sends some requests again. The one for a
// challenge it may: that spends nothing.
func TestADeliveredCallIsNotRepeated(t *testing.T) {
	forEach(t, func(t *testing.T, s subject) {
		var received atomic.Int32
		address := listening(t, func(conn net.Conn) {
			reader := bufio.NewReader(conn)
			for {
				request, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				if received.Add(1) > 1 {
					return
				}
				_, _ = io.WriteString(conn, httpOK(s.pass))
			}
		})
		v := s.new(t, "http://"+address, forever)
		expect(t, v.Verify(t.Context(), s.proof, testClient), Passed, "")
		expect(t, v.Verify(t.Context(), s.proof, testClient), Unknown, ReasonConnection)
		want := int32(2)
		if s.name == register {
			want = 3
		}
		if n := received.Load(); n != want {
			t.Errorf("2 calls were received %d times, want %d", n, want)
		}
	})
}

func TestARedirectGetsNothing(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		forEach(t, func(t *testing.T, s subject) {
			target := serving(t, func(http.ResponseWriter, *http.Request) {
				t.Error("the redirect was followed")
			})
			endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, target, status)
			})
			expect(t, s.verify(t, endpoint, forever), Unknown, ReasonHTTPStatus)
		})
	}
}

func TestTLSIsVerifiedAndNeverHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Proto != "HTTP/1.1" || r.Host != r.Context().Value(http.LocalAddrContextKey).(net.Addr).String() {
			t.Errorf("the request came for %s as %s", r.Host, r.Proto)
		}
		_, _ = io.WriteString(w, v4Pass)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = discard
	server.StartTLS()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	expect(t, subjects[1].verify(t, server.URL, forever), Unknown, ReasonTLS)

	tlsConfig.RootCAs = x509.NewCertPool()
	tlsConfig.RootCAs.AddCert(server.Certificate())
	defer func() { tlsConfig.RootCAs = nil }()
	expect(t, subjects[1].verify(t, server.URL, forever), Passed, "")
	// The certificate is trusted now, but not one of this name.
	expect(t, subjects[1].verify(t, "https://localhost:"+port, forever), Unknown, ReasonTLS)
}

// What a client can put into a proof stays one value of one field.
func TestProofsAreEncodedNotInjected(t *testing.T) {
	const hostile = "a&captcha_id=b%26c+d\r\nX-Header: e \x00é\"}"
	var form url.Values
	endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" && r.URL.RawQuery != "captcha_id="+v4ID {
			t.Errorf("the query is %q", r.URL.RawQuery)
		}
		if r.Header.Get("X-Header") != "" {
			t.Error("a header was injected")
		}
		_ = r.ParseForm()
		form = r.PostForm
	})
	newV4(t, endpoint, forever).Verify(t.Context(), Proof{hostile, hostile, hostile, hostile}, testClient)
	for _, name := range []string{"lot_number", "captcha_output", "pass_token", "gen_time"} {
		if got := form[name]; len(got) != 1 || got[0] != hostile {
			t.Errorf("%s arrived as %q", name, got)
		}
	}
	if len(form) != 5 {
		t.Errorf("%d fields arrived in v4, want 5", len(form))
	}
	newV3(t, endpoint, forever).Verify(t.Context(), Proof{hostile, hostile, hostile}, testClient)
	for _, name := range []string{"challenge", "seccode"} {
		if got := form[name]; len(got) != 1 || got[0] != hostile {
			t.Errorf("%s arrived as %q", name, got)
		}
	}
	if len(form) != 8 {
		t.Errorf("%d fields arrived in v3, want 8", len(form))
	}
	body, err := parseObject(newTencent(t, "", 0).body(Proof{hostile, hostile}, testClient))
	if err != nil || body["Ticket"] != hostile || body["Randstr"] != hostile || len(body) != 6 {
		t.Errorf("Tencent's body has %d members, Ticket %q, Randstr %q (%v)", len(body), body["Ticket"], body["Randstr"], err)
	}
}

func httpOK(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}
