package outcomes

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// TestOneProofOneRequest is the promise, for all providers: nothing passes
// without a proof, a genuine one passes once, a made-up one never.
func TestOneProofOneRequest(t *testing.T) {
	for _, provider := range harness.Providers {
		t.Run(provider, func(t *testing.T) {
			g := harness.NewGate(t)
			g.Run(g.Captcha(provider) + g.Proxy())

			g.Want(g.Post(url.Values{"user": {"alice"}}), 403, "missing")
			proof := g.Proof(provider)
			g.WantPassed(g.Post(proof))
			if g.VerifyCalls() != 1 {
				t.Errorf("the provider was called %d times, want once", g.VerifyCalls())
			}
			g.Want(g.Post(proof), 403, "replayed")
			g.Want(g.GetWith(proof), 403, "replayed")
			if g.VerifyCalls() != 1 {
				t.Errorf("the provider was called %d times, want once: a replay costs no call", g.VerifyCalls())
			}
			g.WantPassed(g.GetWith(g.Proof(provider)))
			g.Want(g.Post(harness.MadeUp(proof)), 403, "rejected")

			body, _ := json.Marshal(harness.Members(g.Proof(provider)))
			g.WantPassed(harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/login", string(body), "Content-Type", "application/json")))
			if g.WantPassed(harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/other", ""))); g.VerifyCalls() > 4 {
				t.Errorf("the provider was called %d times, want at most 4", g.VerifyCalls())
			}
		})
	}
}

// TestSources: a proof is found wherever `from` says, and nowhere else.
func TestSources(t *testing.T) {
	g := harness.NewGate(t)
	send := func(source string, proof url.Values) harness.Answer {
		request := harness.NewRequest(t, "POST", g.URL+"/login", "")
		switch source {
		case "header":
			harness.SetHeaders(request.Header, proof)
		case "query":
			request.URL.RawQuery = proof.Encode()
		case "cookie":
			for name := range proof {
				request.AddCookie(&http.Cookie{Name: name, Value: proof.Get(name)})
			}
		case "form":
			request = harness.NewRequest(t, "POST", g.URL+"/login", proof.Encode(), "Content-Type", harness.FormType)
		case "json":
			body, _ := json.Marshal(harness.Members(proof))
			request = harness.NewRequest(t, "POST", g.URL+"/login", string(body), "Content-Type", "application/json")
		}
		return harness.Send(t, request)
	}
	sources := []string{"header", "query", "cookie", "form", "json"}
	for _, source := range sources {
		t.Run(source, func(t *testing.T) {
			g.T = t
			g.Run(g.Captcha(harness.GeeTestV4, "from "+source) + g.Proxy())
			for _, other := range sources {
				if other != source {
					g.Want(send(other, g.Proof(harness.GeeTestV4)), 403, "missing")
				}
			}
			g.WantPassed(send(source, g.Proof(harness.GeeTestV4)))
		})
	}
}

// TestRenamedParameters: field and header give the parameters other names.
func TestRenamedParameters(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.Tencent, "field ticket captcha.ticket captchaTicket", "field randstr captcha.rand", "header ticket X-Ticket") + g.Proxy())

	proof := g.Proof(harness.Tencent)
	g.Want(g.Post(proof), 403, "missing")
	body, _ := json.Marshal(map[string]any{"user": "alice", "captcha": map[string]string{"ticket": proof.Get("ticket"), "rand": proof.Get("randstr")}})
	g.WantPassed(harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/login", string(body), "Content-Type", "application/json")))

	proof = g.Proof(harness.Tencent)
	g.WantPassed(g.Post(url.Values{"captcha.ticket": proof["ticket"], "captcha.rand": proof["randstr"]}))
	proof = g.Proof(harness.Tencent)
	g.Want(g.Post(url.Values{"captcha.ticket": proof["ticket"], "captchaTicket": proof["ticket"], "captcha.rand": proof["randstr"]}), 400, "malformed")
	g.WantPassed(g.Post(url.Values{"captchaTicket": proof["ticket"], "captcha.rand": proof["randstr"]}))
	proof = g.Proof(harness.Tencent)
	g.WantPassed(harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/login", "", "X-Ticket", proof.Get("ticket"), "Captcha-Randstr", proof.Get("randstr"))))
}

// TestGenTimeAsANumber: a script that reads the proof as JSON sends gen_time as
// the number that it is.
func TestGenTimeAsANumber(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4) + g.Proxy())
	members := make(map[string]any)
	for name, values := range g.Proof(harness.GeeTestV4) {
		members[name] = values[0]
	}
	members["gen_time"] = json.Number(members["gen_time"].(string))
	body, _ := json.Marshal(members)
	g.WantPassed(harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/login", string(body), "Content-Type", "application/json")))
}

// TestStrip: what strip lists does not reach the app, and nothing else is lost.
func TestStrip(t *testing.T) {
	g := harness.NewGate(t)
	var got *http.Request
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	t.Cleanup(upstream.Close)
	g.Run(g.Captcha(harness.GeeTestV4, "from header query cookie", "strip header query cookie") + "reverse_proxy " + upstream.Listener.Addr().String())

	proof := g.Proof(harness.GeeTestV4)
	request := harness.NewRequest(t, "GET", g.URL+"/login?b=2&"+proof.Encode()+"&a=%201", "", "X-Other", "kept", "Cookie", "session=kept")
	harness.SetHeaders(request.Header, proof)
	for name := range proof {
		request.AddCookie(&http.Cookie{Name: name, Value: proof.Get(name)})
	}
	if a := harness.Send(t, request); a.StatusCode != 200 {
		t.Fatalf("status %d: %s", a.StatusCode, a.Text)
	}
	if got.URL.RawQuery != "b=2&a=%201" {
		t.Errorf("query %q", got.URL.RawQuery)
	}
	if got.Header.Get("Cookie") != "session=kept" || got.Header.Get("X-Other") != "kept" {
		t.Errorf("cookie %q, other header %q", got.Header.Get("Cookie"), got.Header.Get("X-Other"))
	}
	for name := range strings.FieldsSeq(harness.V4Headers) {
		if got.Header.Get(name) != "" {
			t.Errorf("header %s reached the app", name)
		}
	}
}

// TestProofSurvivesARewriteOfTheQuery: a rewrite that drops the query does not
// lose the proof that the client sent in it.
func TestProofSurvivesARewriteOfTheQuery(t *testing.T) {
	g := harness.NewGate(t)
	g.Run("rewrite * /index.php?page=login\n" + g.Captcha(harness.GeeTestV4, "from query") + g.Proxy())
	g.WantPassed(harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/login?"+g.Proof(harness.GeeTestV4).Encode(), "")))
}

// TestPolicies: two sites and two policies with one captcha share its claims;
// two handlers on the way of one request share its claim and verdict.
func TestPolicies(t *testing.T) {
	g := harness.NewGate(t)
	gate := func(name string) string {
		return "captcha /login* " + name + " {\n" + g.Verifier(harness.GeeTestV4) + "}\n"
	}
	site := func(host, body string) string {
		return "http://" + host + ":0 {\nbind 127.0.0.1\n" + body + g.Proxy() + "}\n"
	}
	harness.Run(t, "{\n"+harness.Globals+"}\n"+site("a.test", gate("one"))+site("b.test", gate("two"))+site("c.test", gate("one")+gate("two")))
	g.URL = "http://" + harness.Address(t, "srv0")
	post := func(host string, proof url.Values) harness.Answer {
		request := harness.NewRequest(t, "POST", g.URL+"/login", proof.Encode(), "Content-Type", harness.FormType)
		request.Host = host
		return harness.Send(t, request)
	}
	proof := g.Proof(harness.GeeTestV4)
	g.WantPassed(post("a.test", proof))
	for _, host := range []string{"a.test", "b.test", "c.test"} {
		g.Want(post(host, proof), 403, "replayed")
	}
	before := g.VerifyCalls()
	proof = g.Proof(harness.GeeTestV4)
	g.WantPassed(post("c.test", proof))
	if g.VerifyCalls() != before+1 {
		t.Errorf("two handlers on one request asked the provider %d times, want once", g.VerifyCalls()-before)
	}
	g.Want(post("a.test", proof), 403, "replayed")
}

// TestTwoHandlersOneProof: handlers with the same credentials on the way of
// one request, the error route included, decide alike, although the first one
// has spent the proof and removed it.
func TestTwoHandlersOneProof(t *testing.T) {
	g := harness.NewGate(t)
	strict := "captcha /login* {\n" + g.Verifier(harness.GeeTestV4) + "strip header\n}\n"
	wide := "captcha * {\n" + g.Verifier(harness.GeeTestV4) + "strip header\n}\n"
	g.Run(strict + wide + "reverse_proxy 127.0.0.1:1\nhandle_errors {\n" + wide + g.Proxy() + "}\n")
	g.WantPassed(g.GetWith(g.Proof(harness.GeeTestV4))) // 502, and then the error route
	if g.VerifyCalls() != 1 {
		t.Errorf("the provider was called %d times, want once", g.VerifyCalls())
	}

	g = harness.NewGate(t)
	monitor := "captcha /login* watched {\n" + g.Verifier(harness.GeeTestV4) + "mode monitor\n}\n"
	g.Run(monitor + g.Captcha(harness.GeeTestV4) + g.Proxy())
	g.WantPassed(g.Post(g.Proof(harness.GeeTestV4)))
	g.Want(g.Post(url.Values{}), 403, "missing")
	proof := harness.MadeUpToken(g.Proof(harness.GeeTestV4))
	g.Want(g.Post(proof), 403, "rejected")
	hold := make(chan struct{})
	g.FailNext(1, simulator.Fault{Hold: hold})
	g.Want(g.Post(g.Proof(harness.GeeTestV4)), 503, "outage") // the first gave up after a second
	close(hold)
}

// TestSharedVerdictNeedsTheSameVerifier: a second handler with another rule for
// the same captcha does not take over the first one's verdict.
func TestSharedVerdictNeedsTheSameVerifier(t *testing.T) {
	g := harness.NewGate(t)
	lenient := "captcha /login* lenient {\n" + g.Verifier(harness.Tencent) + "}\n"
	strict := "captcha /login* strict {\n" + g.Verifier(harness.Tencent, "max_score 50") + "}\n"
	g.Run(lenient + strict + g.Proxy())
	g.Want(g.Post(g.Proof(harness.Tencent, simulator.SolveOptions{Score: 90})), 403, "replayed")
}

// TestImportedTwice: one snippet protects several sites.
func TestImportedTwice(t *testing.T) {
	g := harness.NewGate(t)
	harness.Run(t, "{\n"+harness.Globals+"}\n(gate) {\n"+g.Captcha(harness.GeeTestV4)+g.Proxy()+"}\nhttp://a.test:0 {\nbind 127.0.0.1\nimport gate\n}\nhttp://b.test:0 {\nbind 127.0.0.1\nimport gate\n}\n")
	g.URL = "http://" + harness.Address(t, "srv0")
	for _, host := range []string{"a.test", "b.test"} {
		request := harness.NewRequest(t, "GET", g.URL+"/login", "")
		request.Host = host
		g.Want(harness.Send(t, request), 403, "missing")
	}
	if seen := g.Seen(); slices.Contains(seen, "GET /login") {
		t.Errorf("the app saw %q", seen)
	}
}
