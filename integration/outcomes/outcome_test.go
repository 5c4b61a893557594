// Package outcomes tests what becomes of a request, and who is told of it.
package outcomes

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

func tencentError(code string) simulator.Fault {
	return harness.Respond(200, `{"Response":{"Error":{"Code":"`+code+`","Message":"text of the provider"},"RequestId":"r"}}`)
}

// TestOutcomes: each outcome has its status, headers and problem details, and
// tells a client what it may do with its proof.
func TestOutcomes(t *testing.T) {
	g := harness.NewGate(t)
	for _, test := range []struct {
		name     string
		provider string
		options  string
		fault    simulator.Fault
		solve    simulator.SolveOptions
		edit     func(proof url.Values)
		outcome  string
		reason   string
		status   int
		proof    string
		retry    string
		calls    int
		again    string // the outcome of the same proof when the fault is gone
	}{
		{name: "missing", provider: harness.GeeTestV4, edit: func(p url.Values) { clear(p) }, outcome: "missing", reason: "none", status: 403, again: "missing"},
		{name: "incomplete", provider: harness.GeeTestV4, edit: func(p url.Values) { p.Del("pass_token") }, outcome: "missing", reason: "incomplete", status: 403, again: "missing"},
		{name: "malformed", provider: harness.GeeTestV4, edit: func(p url.Values) { p.Set("gen_time", "soon") }, outcome: "malformed", status: 400, proof: "spent", again: "malformed"},
		{name: "duplicate", provider: harness.GeeTestV4, edit: func(p url.Values) { p.Add("gen_time", p.Get("gen_time")) }, outcome: "malformed", reason: "duplicate", status: 400, proof: "spent", again: "malformed"},
		{name: "relation", provider: harness.GeeTestV3, edit: func(p url.Values) { p.Set("geetest_challenge", strings.Repeat("0", 32)) }, outcome: "rejected", status: 403, proof: "spent", again: "rejected"},
		{name: "offline", provider: harness.GeeTestV3, edit: func(p url.Values) {
			p.Set("geetest_validate", p.Get("geetest_challenge")[:32])
			p.Set("geetest_seccode", p.Get("geetest_challenge")[:32]+"|jordan")
			p.Set("geetest_challenge", p.Get("geetest_challenge")[:32])
		}, outcome: "rejected", status: 403, proof: "spent", again: "rejected"},
		{name: "disaster ticket", provider: harness.Tencent, edit: func(p url.Values) { p.Set("ticket", "trerror_1001_199999164_1700000000") }, outcome: "rejected", status: 403, proof: "spent", again: "rejected"},
		{name: "old proof", provider: harness.GeeTestV4, solve: simulator.SolveOptions{Age: 26 * time.Minute}, outcome: "expired", status: 403, proof: "spent", again: "expired"},
		{name: "provider says expired", provider: harness.Tencent, solve: simulator.SolveOptions{Age: 6 * time.Minute}, outcome: "expired", status: 403, proof: "spent", calls: 1, again: "replayed"},
		{name: "provider says used", provider: harness.GeeTestV4, fault: harness.Respond(200, `{"status":"error","code":"-50003","msg":"illegal verify","desc":{}}`), outcome: "replayed", status: 403, proof: "spent", calls: 1, again: "replayed"},
		{name: "provider rejects", provider: harness.GeeTestV4, fault: harness.Respond(200, `{"status":"success","result":"fail","reason":"pass_token error","captcha_args":{}}`), outcome: "rejected", status: 403, proof: "spent", calls: 1, again: "rejected"},
		{name: "evil", provider: harness.Tencent, solve: simulator.SolveOptions{EvilLevel: 100}, outcome: "risky", status: 403, proof: "spent", calls: 1, again: "replayed"},
		{name: "score", provider: harness.Tencent, options: "max_score 70", solve: simulator.SolveOptions{Score: 71}, outcome: "risky", status: 403, proof: "spent", calls: 1, again: "replayed"},
		{name: "rate limit", provider: harness.GeeTestV4, fault: harness.Respond(429, ""), outcome: "overloaded", status: 503, proof: "reusable", retry: "1", calls: 1},
		{name: "provider's limit", provider: harness.Tencent, fault: tencentError("RequestLimitExceeded.UinLimitExceeded"), outcome: "overloaded", status: 503, proof: "reusable", retry: "1", calls: 1},
		{name: "wrong key", provider: harness.Tencent, fault: tencentError("AuthFailure.SignatureFailure"), outcome: "misconfigured", status: 503, proof: "reusable", calls: 1},
		{name: "server error", provider: harness.GeeTestV4, fault: harness.Respond(502, "<html>"), outcome: "outage", reason: "http_status", status: 503, proof: "unknown", retry: "5", calls: 1},
		{name: "redirect", provider: harness.GeeTestV4, fault: simulator.Fault{Kind: simulator.Respond, Status: 302, Location: "http://127.0.0.1:1/"}, outcome: "outage", reason: "http_status", status: 503, proof: "unknown", retry: "5", calls: 1},
		{name: "not JSON", provider: harness.GeeTestV3, fault: harness.Respond(200, "<html>"), outcome: "outage", reason: "answer", status: 503, proof: "unknown", retry: "5", calls: 1},
		{name: "nothing", provider: harness.Tencent, fault: harness.Respond(200, ""), outcome: "outage", reason: "answer", status: 503, proof: "unknown", retry: "5", calls: 1},
		{name: "internal error", provider: harness.Tencent, fault: tencentError("InternalError"), outcome: "outage", reason: "service", status: 503, proof: "unknown", retry: "5", calls: 1},
		{name: "silent", provider: harness.GeeTestV4, options: "timeout 100ms", fault: simulator.Fault{Kind: simulator.Stall}, outcome: "outage", reason: "timeout", status: 503, proof: "unknown", retry: "5", calls: 1},
		{name: "stalls in its body", provider: harness.GeeTestV4, options: "timeout 100ms", fault: simulator.Fault{Kind: simulator.StallInBody}, outcome: "outage", reason: "timeout", status: 503, proof: "unknown", retry: "5", calls: 1},
		{name: "resets", provider: harness.GeeTestV4, fault: simulator.Fault{Kind: simulator.Reset}, outcome: "outage", reason: "connection", status: 503, proof: "unknown", retry: "5", calls: 1},
		{name: "endless", provider: harness.GeeTestV4, fault: simulator.Fault{Kind: simulator.Endless}, outcome: "outage", reason: "answer", status: 503, proof: "unknown", retry: "5", calls: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.T = t
			g.Run("captcha /login* login {\n" + g.Verifier(test.provider, test.options) + "}\n" + g.Proxy())
			g.Heal()
			proof := g.Proof(test.provider, test.solve)
			if test.edit != nil {
				test.edit(proof)
			}
			if test.fault.Kind != simulator.Answer {
				g.Fail(test.fault)
			}
			before := g.VerifyCalls()
			a := g.Post(proof)
			g.Want(a, test.status, test.outcome)
			// An unknown verdict has the provider probed, which takes another call.
			if calls := g.VerifyCalls() - before; calls != test.calls && (test.outcome != "outage" || calls != test.calls+1) {
				t.Errorf("the provider was called %d times, want %d", calls, test.calls)
			}
			for name, want := range map[string]string{
				"Captcha-Policy": "login", "Cache-Control": "no-store", "Content-Type": "application/problem+json", "Retry-After": test.retry,
			} {
				if got := a.Header.Get(name); got != want {
					t.Errorf("%s %q, want %q", name, got, want)
				}
			}
			problem := a.Problem(t)
			for name, want := range map[string]any{
				"type": "about:blank", "title": http.StatusText(test.status), "status": float64(test.status),
				"outcome": test.outcome, "policy": "login", "provider": test.provider,
			} {
				if problem[name] != want {
					t.Errorf("problem %s: %v, want %v", name, problem[name], want)
				}
			}
			if got, _ := problem["proof"].(string); got != test.proof {
				t.Errorf("problem proof %q, want %q", got, test.proof)
			}
			if got, _ := problem["reason"].(string); test.reason != "" && got != test.reason || test.reason == "" && test.outcome != "missing" && got == "" {
				t.Errorf("problem reason %q, want %q", got, test.reason)
			}
			if problem["detail"] == "" {
				t.Error("problem without detail")
			}
			g.Heal()
			again := g.Post(proof)
			if test.again == "" {
				g.WantPassed(again)
			} else {
				g.Want(again, map[string]int{"malformed": 400}[test.again]+403*btoi(test.again != "malformed"), test.again)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestHEADAndClosedConnection: a refusal has no body for HEAD, and closes the
// connection when part of the request's body was left unread.
func TestHEADAndClosedConnection(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "from header") + g.Proxy())
	a := harness.Send(t, harness.NewRequest(t, "HEAD", g.URL+"/login", ""))
	g.Want(a, 403, "missing")
	if a.Text != "" || a.Close {
		t.Errorf("HEAD: body %q, closed %v", a.Text, a.Close)
	}
	if a := g.Post(url.Values{"user": {"alice"}}); !a.Close {
		t.Error("the connection stays open with an unread body on it")
	}
}

// TestRefusalError: with `refusal error` the site's error routes answer, with
// the headers of the refusal, and the safe form does not reach the app.
func TestRefusalError(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "refusal error") + g.Proxy() + `
		handle_errors {
			header Content-Type text/plain
			respond "{err.status_code} {http.captcha.outcome} {http.captcha.reason} {http.captcha.policy} {http.captcha.provider} {err.message}"
		}`)
	a := g.Post(url.Values{"lot_number": {"x"}})
	g.Want(a, 403, "missing")
	if want := "403 missing incomplete default geetest_v4 captcha missing (incomplete)"; a.Text != want {
		t.Errorf("error page %q, want %q", a.Text, want)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Error("the error page may be cached")
	}
	g.Fail(harness.Respond(500, ""))
	a = g.Post(g.Proof(harness.GeeTestV4))
	g.Want(a, 503, "outage")
	if a.Header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
}

// TestErrorRoutes: an error that is not a refusal, such as a broken body, goes
// to the site's error routes whatever refusal says. One that proxies to the app
// is safe with a captcha of its own.
func TestErrorRoutes(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4) + g.Proxy() + "handle_errors {\n" + g.Captcha(harness.GeeTestV4) + g.Proxy() + "}\n")
	broken := "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: " + harness.FormType + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\ncanary-trailer\r\n\r\n"
	status := harness.RawRequest(t, strings.TrimPrefix(g.URL, "http://"), broken)
	if seen := g.Seen(); len(seen) > 0 || !strings.Contains(status, " 400 ") {
		t.Errorf("%s, the app saw %q", status, seen)
	}
	if strings.Contains(g.Log(), "canary-trailer") {
		t.Error("what the client sent as a trailer is in the log")
	}
}

// TestPreflight: preflights are forwarded only when the operator says so, and
// only when there is nothing else to them.
func TestPreflight(t *testing.T) {
	preflight := func(g *harness.Gate, method string, header ...string) harness.Answer {
		request := harness.NewRequest(g.T, method, g.URL+"/login", "", append([]string{"Origin", "https://b.test", "Access-Control-Request-Method", "POST"}, header...)...)
		return harness.Send(g.T, request)
	}
	t.Run("refuse", func(t *testing.T) {
		g := harness.NewGate(t)
		g.Run(g.Captcha(harness.GeeTestV4) + g.Proxy())
		g.Want(preflight(g, "OPTIONS"), 403, "missing")
	})
	t.Run("forward", func(t *testing.T) {
		g := harness.NewGate(t)
		g.Run(g.Captcha(harness.GeeTestV4, "preflight forward") + g.Proxy())
		g.WantPassed(preflight(g, "OPTIONS"))
		if entries := g.Entries("handled request"); len(entries) > 0 && entries[0]["captcha_outcome"] != "exempt" {
			t.Errorf("logged %v", entries[0]["captcha_outcome"])
		}
		for _, header := range [][]string{
			{"Cookie", "a=b"},
			{"Authorization", "Bearer x"},
			{"Proxy-Authorization", "Basic x"},
			{"Upgrade", "websocket", "Connection", "Upgrade"},
			{"X-HTTP-Method-Override", "POST"},
			{"X-HTTP-Method", "POST"},
			{"X-Method-Override", "POST"},
		} {
			g.Want(preflight(g, "OPTIONS", header...), 403, "missing")
		}
		for _, method := range []string{"GET", "POST", "options"} {
			g.Want(preflight(g, method), 403, "missing")
		}
		g.Want(harness.Send(t, harness.NewRequest(t, "OPTIONS", g.URL+"/login", "", "Origin", "https://b.test")), 403, "missing")
		g.Want(harness.Send(t, harness.NewRequest(t, "OPTIONS", g.URL+"/login", "a=b", "Origin", "https://b.test", "Access-Control-Request-Method", "POST")), 403, "missing")
	})
}

// TestMonitor: monitor mode forwards everything, spends proofs and records
// what it would have done.
func TestMonitor(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "mode monitor") + g.Proxy())
	outcomes := func() []any {
		var outcomes []any
		for _, entry := range g.Entries("handled request") {
			outcomes = append(outcomes, entry["captcha_outcome"])
		}
		return outcomes
	}
	proof := g.Proof(harness.GeeTestV4)
	bad := g.Proof(harness.GeeTestV4)
	bad.Set("pass_token", strings.Repeat("0", 64))
	for _, form := range []url.Values{{}, proof, proof, bad, bad, {"lot_number": {"x", "y"}}} {
		g.WantPassed(g.Post(form))
	}
	hold := make(chan struct{})
	g.FailNext(1, simulator.Fault{Hold: hold})
	g.WantPassed(g.Post(g.Proof(harness.GeeTestV4))) // it waits a second, no longer
	close(hold)
	want := []any{"missing", "passed", "replayed", "rejected", "rejected", "malformed", "outage"}
	harness.Await(t, "the access log", func() bool { return len(outcomes()) >= len(want) })
	if got := outcomes(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("recorded %v, want %v", got, want)
	}
	if len(g.Entries("captcha refused")) > 0 {
		t.Error("monitor mode says that it refused")
	}
	if n := len(g.Entries("captcha would have refused")); n != 6 {
		t.Errorf("%d entries of what would have been refused, want 6", n)
	}
}

// TestAlerts: an operator is told which credential is wrong and what to do,
// and not once a request.
func TestAlerts(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.Tencent) + g.Proxy())
	g.Fail(tencentError("AuthFailure.SecretIdNotFound"))
	for range 5 {
		g.Want(g.Post(g.Proof(harness.Tencent)), 503, "misconfigured")
	}
	entries := g.Entries("the captcha provider does not work with this configuration")
	if len(entries) != 1 {
		t.Fatalf("%d alerts, want 1", len(entries))
	}
	if text := entries[0]["advice"].(string); !strings.Contains(text, "secret_id") || entries[0]["level"] != "error" {
		t.Errorf("alert %v", entries[0])
	}
	g.Heal()
	g.Fail(harness.Respond(500, ""))
	for range 5 {
		g.Want(g.Post(g.Proof(harness.Tencent)), 503, "outage")
	}
	if n := len(g.Entries("the captcha provider could not be asked")); n != 1 {
		t.Errorf("%d alerts of an outage, want 1", n)
	}
}

// TestAdviceWhileNobodyGetsThrough: a wrong key that looks like a made-up proof
// is named, until a proof has passed.
func TestAdviceWhileNobodyGetsThrough(t *testing.T) {
	for provider, edit := range map[string]func(string) string{
		harness.GeeTestV3: func(caddyfile string) string {
			return strings.Replace(caddyfile, harness.V3Key, strings.Repeat("0", 32), 1)
		},
		harness.Tencent: func(caddyfile string) string {
			return strings.Replace(caddyfile, harness.AppSecret, "another-app-secret-key", 1)
		},
	} {
		t.Run(provider, func(t *testing.T) {
			const warning = "no proof has passed"
			g := harness.NewGate(t)
			g.Run(edit(g.Captcha(provider) + g.Proxy()))
			for range 3 {
				g.Want(g.Post(g.Proof(provider)), 403, "rejected")
			}
			entries := g.Entries(warning)
			if len(entries) != 1 || !strings.Contains(entries[0]["advice"].(string), "_key may not be") {
				t.Errorf("logged %v, want one advice about the key", entries)
			}
			harness.Load(t, g.Caddyfile(g.Captcha(provider)+g.Proxy()))
			g.URL = "http://" + harness.Address(t, "srv0")
			g.WantPassed(g.Post(g.Proof(provider)))
			g.Want(g.Post(harness.MadeUp(g.Proof(provider))), 403, "rejected")
			if n := len(g.Entries(warning)); n != 1 {
				t.Errorf("%d warnings after a proof has passed, want no more", n)
			}
		})
	}
}

// TestNothingSecretIsShown: no key, proof, cookie or body value is in a log,
// an answer or a metric, whatever goes wrong. The access log uses the filter
// of the README.
func TestNothingSecretIsShown(t *testing.T) {
	g := harness.NewGate(t)
	g.Run("log {\noutput file " + g.LogFile + "\nformat filter {\nrequest>headers>Captcha-Ticket delete\nrequest>headers>Captcha-Randstr delete\nrequest>uri query {\ndelete ticket\ndelete randstr\n}\n}\n}\n" +
		g.Captcha(harness.Tencent, "from header query cookie form json", "refusal auto") + g.Proxy())
	secrets := []string{harness.AppSecret, harness.SecretKey, "canary-password", "canary-cookie"}
	var answers strings.Builder
	try := func() {
		for _, source := range []string{"header", "query", "cookie", "form", "json"} {
			proof := g.Proof(harness.Tencent)
			secrets = append(secrets, proof.Get("ticket"), proof.Get("randstr"))
			for range 2 {
				request := harness.NewRequest(t, "POST", g.URL+"/login", "password=canary-password", "Content-Type", harness.FormType, "Cookie", "session=canary-cookie")
				switch source {
				case "header":
					harness.SetHeaders(request.Header, proof)
				case "query":
					request.URL.RawQuery = proof.Encode()
				case "cookie":
					request.Header.Set("Cookie", "session=canary-cookie; ticket="+proof.Get("ticket")+"; randstr="+proof.Get("randstr"))
				case "form":
					request = harness.NewRequest(t, "POST", g.URL+"/login", "password=canary-password&"+proof.Encode(), "Content-Type", harness.FormType)
				case "json":
					request = harness.NewRequest(t, "POST", g.URL+"/login", `{"password":"canary-password","ticket":"`+proof.Get("ticket")+`","randstr":"`+proof.Get("randstr")+`"}`, "Content-Type", "application/json")
				}
				a := harness.Send(t, request)
				answers.WriteString(a.Text)
				_ = a.Header.Write(&answers)
			}
		}
	}
	try()
	for _, fault := range []simulator.Fault{
		harness.Respond(500, "x"), harness.Respond(429, ""), harness.Respond(200, "{"), tencentError("AuthFailure.SignatureFailure"),
		tencentError("InternalError"),
		{Kind: simulator.Reset},
	} {
		g.Fail(fault)
		try()
		g.Heal()
	}
	metrics := harness.Metrics(t)
	for _, secret := range secrets {
		for sink, text := range map[string]string{"log": g.Log(), "answers": answers.String(), "metrics": metrics} {
			if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
				t.Errorf("%q is in the %s", secret, sink)
			}
		}
	}
	if !strings.Contains(g.Log(), "captcha refused") || !strings.Contains(g.Log(), "handled request") || !strings.Contains(metrics, "caddy_captcha_requests_total") {
		t.Error("the sinks were not written")
	}
}
