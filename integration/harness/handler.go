package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha"
)

// HandlerWithClearance is a handler outside a server, whose provider vouches
// for everything, and a cookie of its.
func HandlerWithClearance(t testing.TB, clearance string) (handler caddyhttp.MiddlewareHandler, cookie string) {
	t.Helper()
	provider := httptest.NewServer(Vouch)
	t.Cleanup(provider.Close)
	handler = Provision(t, `{"clearance": `+clearance+`, "refusal": "problem", `+CaptchaJSON(provider.URL)[1:])
	w := httptest.NewRecorder()
	if err := handler.ServeHTTP(w, VerifyRequest(FreshProofs(1)), Nothing); err != nil {
		t.Fatal(err)
	}
	cookies := w.Result().Cookies()
	if w.Code != http.StatusNoContent || len(cookies) == 0 {
		t.Fatalf("verify answered %d with cookies %v: %s", w.Code, cookies, w.Body)
	}
	return handler, Pair(cookies[0])
}

// Prepared is a request of a client as a server prepares it.
func Prepared(method, target, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "192.0.2.1")
	return r
}

// VerifyRequest takes a proof to the endpoint verify.
func VerifyRequest(n int) *http.Request {
	form := make(url.Values)
	for name, header := range parameterHeaders {
		if value := V4Request(n, "192.0.2.1").Header.Get(header); value != "" {
			form.Set(name, value)
		}
	}
	return Prepared("POST", "/.captcha/default/verify", form.Encode(), "Content-Type", FormType)
}

// Nothing is an application that does nothing.
var Nothing = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

// Vouch is a provider that vouches for everything.
var Vouch = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, `{"status":"success","result":"success","reason":"","captcha_args":{"lot_number":%q}}`, r.FormValue("lot_number"))
})

// CaptchaJSON is the config of a handler without limits, whose provider is at
// the endpoint and whose proofs are in headers.
func CaptchaJSON(endpoint string) string {
	return `{"verifier": {"provider": "geetest_v4", "captcha_id": "` + v4ID + `", "captcha_key": "` + V4Key + `", "endpoint": "` + endpoint + `"},
		"from": ["header"], "max_concurrent_verifications": 100000, "max_concurrent_verifications_per_client": 25000, "max_failures": 1000000}`
}

// Provision makes a handler outside a server.
func Provision(t testing.TB, config string) *caddycaptcha.Captcha {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	module, err := ctx.LoadModuleByID("http.handlers.captcha", json.RawMessage(config))
	if err != nil {
		t.Fatal(err)
	}
	return module.(*caddycaptcha.Captcha)
}

var usedProofs atomic.Int64

// FreshProofs returns the first of n numbers for V4Request that no test has
// used: the replay cache is the process's.
func FreshProofs(n int) int { return int(usedProofs.Add(int64(n))) - n }

// genTime is that of all proofs of V4Request: two requests with one proof are
// the same to the byte, whatever second it is.
var genTime = fmt.Sprint(time.Now().Unix())

// V4Request is a request as a server prepares it, with a proof in its header.
func V4Request(n int, clientIP string) *http.Request {
	r := httptest.NewRequest("GET", "/login", nil)
	r.Header["Captcha-Lot-Number"] = []string{fmt.Sprintf("storm%027d", n)}
	r.Header["Captcha-Output"] = []string{"output"}
	r.Header["Captcha-Pass-Token"] = []string{strings.Repeat("0", 64)}
	r.Header["Captcha-Gen-Time"] = []string{genTime}
	w := httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, clientIP)
	return r
}
