package outcomes

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestNoSecretInTheHandler: what Caddy's tracing would log of the handler, or
// anyone else who marshals it, holds no key, be it literal or expanded.
func TestNoSecretInTheHandler(t *testing.T) {
	t.Setenv("CAPTCHA_TEST_SECRET", "canary-expanded")
	for name, verifier := range map[string]string{
		harness.GeeTestV4: `{"provider": "geetest_v4", "captcha_id": "x", "captcha_key": "%s"}`,
		harness.GeeTestV3: `{"provider": "geetest_v3", "captcha_id": "x", "captcha_key": "%s"}`,
		harness.Tencent:   `{"provider": "tencent", "site": "cn", "captcha_app_id": "1", "app_secret_key": "%[1]s", "secret_id": "%[1]s", "secret_key": "%[1]s"}`,
	} {
		for _, key := range []string{"canary-literal", "{env.CAPTCHA_TEST_SECRET}"} {
			handler := harness.Provision(t, fmt.Sprintf(`{"verifier": `+verifier+`}`, key))
			text, err := json.Marshal(handler)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte("canary")) {
				t.Errorf("%s with key %s: %s", name, key, text)
			}
		}
	}
}

// TestEarlyData: before the TLS handshake is complete the client's address is
// not known, and nothing is decided by it.
func TestEarlyData(t *testing.T) {
	provider := httptest.NewServer(harness.Vouch)
	t.Cleanup(provider.Close)
	handler := harness.Provision(t, harness.CaptchaJSON(provider.URL))
	forwarded := 0
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { forwarded++; return nil })

	proof := harness.FreshProofs(1)
	early := harness.V4Request(proof, "192.0.2.1")
	early.TLS = &tls.ConnectionState{HandshakeComplete: false}
	err := handler.ServeHTTP(httptest.NewRecorder(), early, next)
	var handlerErr caddyhttp.HandlerError
	if !errors.As(err, &handlerErr) || handlerErr.StatusCode != http.StatusTooEarly || forwarded != 0 {
		t.Errorf("early data: %v, %d forwarded", err, forwarded)
	}
	// The client sends it again after the handshake, as it should.
	late := harness.V4Request(proof, "192.0.2.1")
	late.TLS = &tls.ConnectionState{HandshakeComplete: true}
	if err := handler.ServeHTTP(httptest.NewRecorder(), late, next); err != nil || forwarded != 1 {
		t.Errorf("after the handshake: %v, %d forwarded", err, forwarded)
	}
}

// TestCanceled: a client that leaves during the verification is no outage, and
// its proof is good for one identical request within a minute, without another
// call to the provider.
func TestCanceled(t *testing.T) {
	called, hold := make(chan struct{}, 10), make(chan struct{})
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		<-hold
		harness.Vouch(w, r)
	}))
	t.Cleanup(provider.Close)
	handler := harness.Provision(t, harness.CaptchaJSON(provider.URL))
	forwarded := 0
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { forwarded++; return nil })

	ctx, leave := context.WithCancel(t.Context())
	proof := harness.FreshProofs(1)
	first := harness.V4Request(proof, "192.0.2.1")
	first = first.WithContext(valuesOf{ctx, first.Context()})
	go func() {
		<-called
		leave()
		close(hold)
	}()
	err := handler.ServeHTTP(httptest.NewRecorder(), first, next)
	var handlerErr caddyhttp.HandlerError
	if !errors.As(err, &handlerErr) || handlerErr.StatusCode != 499 || forwarded != 0 {
		t.Errorf("the client that left: %v, %d forwarded", err, forwarded)
	}
	repl := first.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if outcome, _ := repl.GetString("http.captcha.outcome"); outcome != "canceled" {
		t.Errorf("outcome %q", outcome)
	}
	for i, want := range []int{1, 1} {
		recorder := httptest.NewRecorder()
		if err := handler.ServeHTTP(recorder, harness.V4Request(proof, "192.0.2.1"), next); err != nil || forwarded != want {
			t.Errorf("request %d after it: %v, %d forwarded, want %d: %s", i, err, forwarded, want, recorder.Body)
		}
	}
	if len(called) != 0 {
		t.Errorf("the provider was called %d times more", len(called))
	}
}

// valuesOf is a context that ends as the one and has the values of the other.
type valuesOf struct {
	context.Context
	values context.Context
}

func (v valuesOf) Value(key any) any { return v.values.Value(key) }

// TestErrorsOfNextAreReturnedUnchanged, and what failed upstream has spent its
// proof all the same.
func TestErrorsOfNextAreReturnedUnchanged(t *testing.T) {
	provider := httptest.NewServer(harness.Vouch)
	t.Cleanup(provider.Close)
	handler := harness.Provision(t, harness.CaptchaJSON(provider.URL))
	failure := errors.New("upstream")
	proof := harness.FreshProofs(2)
	err := handler.ServeHTTP(httptest.NewRecorder(), harness.V4Request(proof, "192.0.2.1"),
		caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return failure }))
	if err != failure {
		t.Errorf("got %v", err)
	}
	panics := func(n int) {
		defer func() {
			if recover() == nil {
				t.Error("the panic of the next handler is gone")
			}
		}()
		_ = handler.ServeHTTP(httptest.NewRecorder(), harness.V4Request(n, "192.0.2.1"),
			caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }))
	}
	panics(proof + 1)
	for n := range 2 {
		w := httptest.NewRecorder()
		if err := handler.ServeHTTP(w, harness.V4Request(proof+n, "192.0.2.1"), harness.Nothing); err != nil || w.Code != 403 {
			t.Errorf("the proof after a failure upstream: %v, status %d", err, w.Code)
		}
	}
}

// TestMatcherErrorIsReturned: a matcher that cannot say refuses.
func TestMatcherErrorIsReturned(t *testing.T) {
	handler := harness.Provision(t, `{"match": [{"remote_ip": {"ranges": ["192.0.2.0/24"]}}], `+harness.CaptchaJSON("http://127.0.0.1:1")[1:])
	r := harness.V4Request(harness.FreshProofs(1), "192.0.2.1")
	r.TLS = &tls.ConnectionState{HandshakeComplete: false} // Caddy's IP matchers answer 425 to it
	err := handler.ServeHTTP(httptest.NewRecorder(), r,
		caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { t.Error("forwarded"); return nil }))
	var handlerErr caddyhttp.HandlerError
	if !errors.As(err, &handlerErr) || handlerErr.StatusCode != http.StatusTooEarly {
		t.Errorf("got %v", err)
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if outcome, _ := repl.GetString("http.captcha.outcome"); outcome != "error" {
		t.Errorf("outcome %q", outcome)
	}
}

// TestMatchersSeeTheOriginalThroughACopy: placeholders of the method and URI
// are the original's too when a handler before ours has copied the request, and
// are what they were afterwards.
func TestMatchersSeeTheOriginalThroughACopy(t *testing.T) {
	for _, expression := range []string{
		`{http.request.method} == 'POST'`, `{http.request.uri.path} == '/login'`, `{http.request.uri} == '/login?a=b'`,
		`{http.request.uri.query} == 'a=b'`, `{http.request.uri.query.a} == 'b'`,
	} {
		handler := harness.Provision(t, `{"match": [{"expression": `+fmt.Sprintf("%q", expression)+`}], `+harness.CaptchaJSON("http://127.0.0.1:1")[1:])
		r := caddyhttp.PrepareRequest(httptest.NewRequest("POST", "/login?a=b", nil), caddy.NewReplacer(), httptest.NewRecorder(), nil)
		r.Method, r.RequestURI, r.URL.Path, r.URL.RawQuery = "GET", "/index.php", "/index.php", ""
		copied := r.WithContext(t.Context())
		copied = copied.WithContext(r.Context())
		w := httptest.NewRecorder()
		if err := handler.ServeHTTP(w, copied, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			t.Errorf("forwarded although %s", expression)
			return nil
		})); err != nil || w.Code != 403 {
			t.Errorf("%s: %v, status %d", expression, err, w.Code)
		}
		if copied.Method != "GET" || copied.URL.String() != "/index.php" || copied.RequestURI != "/index.php" {
			t.Errorf("%s: the request is now %s %s %s", expression, copied.Method, copied.URL, copied.RequestURI)
		}
	}
}

// TestSpoofableAddresses: trusted proxies that are not strict get one warning,
// and the address is the client's, not the proxy's.
func TestSpoofableAddresses(t *testing.T) {
	for strict, warnings := range map[string]int{"": 1, "trusted_proxies_strict": 0} {
		g := harness.NewGate(t)
		config := g.Caddyfile(g.Captcha(harness.Tencent) + g.Proxy())
		config = strings.Replace(config, "{\n", "{\nservers {\ntrusted_proxies static 127.0.0.0/8\n"+strict+"\n}\n", 1)
		harness.Run(t, config)
		g.URL = "http://" + harness.Address(t, "srv0")
		for range 3 {
			request := harness.NewRequest(t, "POST", g.URL+"/login", g.Proof(harness.Tencent).Encode(), "Content-Type", harness.FormType, "X-Forwarded-For", "203.0.113.7")
			g.WantPassed(harness.Send(t, request))
		}
		if n := len(g.Entries("clients can make up the address")); n != warnings {
			t.Errorf("%q: %d warnings, want %d", strict, n, warnings)
		}
		call, _ := g.LastCall("/")
		if !bytes.Contains(call.Body, []byte(`"UserIp":"203.0.113.7"`)) {
			t.Errorf("the provider was not told the client's address: %s", call.Body)
		}
	}
}
