package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

const (
	v4ID, v4Key           = "647f5ed2ed8acb4be36784e01556bb71", "b09a7aafbfd83f73b35a9b530d0337bf"
	v3ID, v3Key           = "c9c4facd1a6feeb80802222cbb74ca8e", "e4e298788aa8c768397639deb9b249a9"
	appID, appSecret      = "199999164", "E4kwK9AcXQMHkktiItyMEyQPn"
	secretID, secretKey   = "AKIDEXAMPLE", "SKEXAMPLE"
	geetestV3, geetestV4  = "geetest_v3", "geetest_v4"
	tencent               = "tencent"
	formType              = "application/x-www-form-urlencoded"
	v4Headers, v3Headers  = "Captcha-Lot-Number Captcha-Output Captcha-Pass-Token Captcha-Gen-Time", "Geetest-Challenge Geetest-Validate Geetest-Seccode"
	v4Parameters, v3Param = "lot_number captcha_output pass_token gen_time", "geetest_challenge geetest_validate geetest_seccode"
)

var providers = []string{geetestV3, geetestV4, tencent}

// parameterHeaders are the default headers of the parameters.
var parameterHeaders = func() map[string]string {
	headers := map[string]string{"ticket": "Captcha-Ticket", "randstr": "Captcha-Randstr"}
	for _, pair := range [][2]string{{v4Parameters, v4Headers}, {v3Param, v3Headers}} {
		parameters, names := strings.Fields(pair[0]), strings.Fields(pair[1])
		for i := range parameters {
			headers[parameters[i]] = names[i]
		}
	}
	return headers
}()

// gate is a running Caddy with a captcha in front of an app, and the provider.
type gate struct {
	*simulator.Simulator
	*app
	t        *testing.T
	provider *httptest.Server
	logs     string // the file that holds all of Caddy's logs
	url      string // of the first site
}

// newGate makes a provider, an app and a log file.
func newGate(t *testing.T) *gate {
	t.Helper()
	sim, err := simulator.New(simulator.Config{
		GeeTestV3: []simulator.GeeTestV3{{CaptchaID: v3ID, CaptchaKey: v3Key}},
		GeeTestV4: []simulator.GeeTestV4{{CaptchaID: v4ID, CaptchaKey: v4Key}},
		Tencent:   []simulator.Tencent{{CaptchaAppID: appID, AppSecretKey: appSecret, SecretID: secretID, SecretKey: secretKey}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Simulator: sim, app: newApp(t), t: t, logs: filepath.Join(t.TempDir(), "caddy.log")}
	g.provider = httptest.NewServer(sim)
	t.Cleanup(g.provider.Close)
	return g
}

// verifier is the verifier block of a Caddyfile for the provider.
func (g *gate) verifier(provider string, more ...string) string {
	options := map[string]string{
		geetestV3: "captcha_id " + v3ID + "\ncaptcha_key " + v3Key,
		geetestV4: "captcha_id " + v4ID + "\ncaptcha_key " + v4Key,
		tencent: "site cn\ncaptcha_app_id " + appID + "\napp_secret_key " + appSecret +
			"\nsecret_id " + secretID + "\nsecret_key " + secretKey,
	}[provider]
	return fmt.Sprintf("verifier %s {\n%s\nendpoint %s\n%s\n}\n", provider, options, g.provider.URL, strings.Join(more, "\n"))
}

// captcha is a captcha directive for /login* with the verifier and options.
func (g *gate) captcha(provider string, options ...string) string {
	return "captcha /login* {\n" + g.verifier(provider) + strings.Join(options, "\n") + "\n}\n"
}

func (g *gate) proxy() string { return "reverse_proxy " + g.app.Listener.Addr().String() + "\n" }

// caddyfile is a Caddyfile with one site, whose access log is a plain one
// unless the site has its own.
func (g *gate) caddyfile(site string) string {
	if !strings.Contains(site, "log {") {
		site = "log\n" + site
	}
	return "{\n" + globals + "log {\noutput file " + g.logs + "\n}\n}\nhttp://:0 {\nbind 127.0.0.1\n" + site + "\n}\n"
}

// run runs Caddy with one site.
func (g *gate) run(site string) {
	g.t.Helper()
	run(g.t, g.caddyfile(site))
	g.url = "http://" + address(g.t, "srv0")
}

// solve returns a genuine proof.
func (g *gate) solve(provider string, options ...simulator.SolveOptions) url.Values {
	g.t.Helper()
	proof, err := g.Solve(provider, append(options, simulator.SolveOptions{})[0])
	if err != nil {
		g.t.Fatal(err)
	}
	return proof
}

// post posts the form to /login.
func (g *gate) post(form url.Values) answer {
	g.t.Helper()
	return send(g.t, newRequest(g.t, "POST", g.url+"/login", form.Encode(), "Content-Type", formType))
}

// getWith sends the proof in headers.
func (g *gate) getWith(proof url.Values) answer {
	g.t.Helper()
	request := newRequest(g.t, "GET", g.url+"/login", "")
	setHeaders(request.Header, proof)
	return send(g.t, request)
}

func setHeaders(header http.Header, proof url.Values) {
	for parameter := range proof {
		header.Set(parameterHeaders[parameter], proof.Get(parameter))
	}
}

// calls is how often the provider was asked to verify.
func (g *gate) calls() int {
	return g.Calls(simulator.V3ValidatePath, simulator.V4ValidatePath, simulator.TencentPath)
}

// want checks an answer and that the app saw as many requests as it should.
func (g *gate) want(a answer, status int, outcome string) {
	g.t.Helper()
	seen := g.seen()
	if a.StatusCode != status {
		g.t.Errorf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	if got := a.Header.Get("Captcha-Outcome"); got != outcome {
		g.t.Errorf("Captcha-Outcome %q, want %q: %s", got, outcome, a.body)
	}
	forwarded := 0
	if outcome == "" {
		forwarded = 1
	}
	if len(seen) != forwarded {
		g.t.Errorf("the app saw %q, want %d requests", seen, forwarded)
	}
}

func (g *gate) wantPassed(a answer) { g.t.Helper(); g.want(a, 200, "") }

// log returns everything that Caddy has logged.
func (g *gate) log() string {
	text, err := os.ReadFile(g.logs)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// entries returns the log entries with the message.
func (g *gate) entries(message string) (entries []map[string]any) {
	g.t.Helper()
	for line := range strings.Lines(g.log()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			g.t.Fatalf("%v in %s", err, line)
		}
		if text, _ := entry["msg"].(string); strings.HasPrefix(text, message) {
			entries = append(entries, entry)
		}
	}
	return entries
}

// TestOneProofOneRequest is the promise, for all providers: nothing passes
// without a proof, a genuine one passes once, a made-up one never.
func TestOneProofOneRequest(t *testing.T) {
	for _, provider := range providers {
		t.Run(provider, func(t *testing.T) {
			g := newGate(t)
			g.run(g.captcha(provider) + g.proxy())

			g.want(g.post(url.Values{"user": {"alice"}}), 403, "missing")
			proof := g.solve(provider)
			g.wantPassed(g.post(proof))
			if g.calls() != 1 {
				t.Errorf("the provider was called %d times, want once", g.calls())
			}
			g.want(g.post(proof), 403, "replayed")
			g.want(g.getWith(proof), 403, "replayed")
			if g.calls() != 1 {
				t.Errorf("the provider was called %d times, want once: a replay costs no call", g.calls())
			}
			g.wantPassed(g.getWith(g.solve(provider)))
			g.want(g.post(madeUp(proof)), 403, "rejected")

			body, _ := json.Marshal(members(g.solve(provider)))
			g.wantPassed(send(t, newRequest(t, "POST", g.url+"/login", string(body), "Content-Type", "application/json")))
			if g.wantPassed(send(t, newRequest(t, "GET", g.url+"/other", ""))); g.calls() > 4 {
				t.Errorf("the provider was called %d times, want at most 4", g.calls())
			}
		})
	}
}

// madeUp returns a proof of the same shape as the genuine one.
func madeUp(proof url.Values) url.Values {
	fake := maps.Clone(proof)
	for _, parameter := range []string{"lot_number", "geetest_challenge", "ticket"} {
		if fake.Has(parameter) {
			text := []byte(fake.Get(parameter))
			for i := 8; i < 24; i++ {
				text[i] = '1' + text[i]%7
			}
			fake.Set(parameter, string(text))
		}
	}
	return fake
}

func members(proof url.Values) map[string]string {
	object := make(map[string]string)
	for name := range proof {
		object[name] = proof.Get(name)
	}
	return object
}

// TestSources: a proof is found wherever `from` says, and nowhere else.
func TestSources(t *testing.T) {
	g := newGate(t)
	send := func(source string, proof url.Values) answer {
		request := newRequest(t, "POST", g.url+"/login", "")
		switch source {
		case "header":
			setHeaders(request.Header, proof)
		case "query":
			request.URL.RawQuery = proof.Encode()
		case "cookie":
			for name := range proof {
				request.AddCookie(&http.Cookie{Name: name, Value: proof.Get(name)})
			}
		case "form":
			request = newRequest(t, "POST", g.url+"/login", proof.Encode(), "Content-Type", formType)
		case "json":
			body, _ := json.Marshal(members(proof))
			request = newRequest(t, "POST", g.url+"/login", string(body), "Content-Type", "application/json")
		}
		return send(t, request)
	}
	sources := []string{"header", "query", "cookie", "form", "json"}
	for _, source := range sources {
		t.Run(source, func(t *testing.T) {
			g.t = t
			g.run(g.captcha(geetestV4, "from "+source) + g.proxy())
			for _, other := range sources {
				if other != source {
					g.want(send(other, g.solve(geetestV4)), 403, "missing")
				}
			}
			g.wantPassed(send(source, g.solve(geetestV4)))
		})
	}
}

// TestRenamedParameters: field and header give the parameters other names.
func TestRenamedParameters(t *testing.T) {
	g := newGate(t)
	g.run(g.captcha(tencent, "field ticket captcha.ticket", "field randstr captcha.rand", "header ticket X-Ticket") + g.proxy())

	proof := g.solve(tencent)
	g.want(g.post(proof), 403, "missing")
	body, _ := json.Marshal(map[string]any{"user": "alice", "captcha": map[string]string{"ticket": proof.Get("ticket"), "rand": proof.Get("randstr")}})
	g.wantPassed(send(t, newRequest(t, "POST", g.url+"/login", string(body), "Content-Type", "application/json")))

	proof = g.solve(tencent)
	g.wantPassed(g.post(url.Values{"captcha.ticket": proof["ticket"], "captcha.rand": proof["randstr"]}))
	proof = g.solve(tencent)
	g.wantPassed(send(t, newRequest(t, "GET", g.url+"/login", "", "X-Ticket", proof.Get("ticket"), "Captcha-Randstr", proof.Get("randstr"))))
}

// TestStrip: what strip lists does not reach the app, and nothing else is lost.
func TestStrip(t *testing.T) {
	g := newGate(t)
	var got *http.Request
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	t.Cleanup(upstream.Close)
	g.run(g.captcha(geetestV4, "from header query cookie", "strip header query cookie") + "reverse_proxy " + upstream.Listener.Addr().String())

	proof := g.solve(geetestV4)
	request := newRequest(t, "GET", g.url+"/login?b=2&"+proof.Encode()+"&a=%201", "", "X-Other", "kept", "Cookie", "session=kept")
	setHeaders(request.Header, proof)
	for name := range proof {
		request.AddCookie(&http.Cookie{Name: name, Value: proof.Get(name)})
	}
	if a := send(t, request); a.StatusCode != 200 {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	if got.URL.RawQuery != "b=2&a=%201" {
		t.Errorf("query %q", got.URL.RawQuery)
	}
	if got.Header.Get("Cookie") != "session=kept" || got.Header.Get("X-Other") != "kept" {
		t.Errorf("cookie %q, other header %q", got.Header.Get("Cookie"), got.Header.Get("X-Other"))
	}
	for name := range strings.FieldsSeq(v4Headers) {
		if got.Header.Get(name) != "" {
			t.Errorf("header %s reached the app", name)
		}
	}
}

// TestProofSurvivesARewriteOfTheQuery: a rewrite that drops the query does not
// lose the proof that the client sent in it.
func TestProofSurvivesARewriteOfTheQuery(t *testing.T) {
	g := newGate(t)
	g.run("rewrite * /index.php?page=login\n" + g.captcha(geetestV4, "from query") + g.proxy())
	g.wantPassed(send(t, newRequest(t, "GET", g.url+"/login?"+g.solve(geetestV4).Encode(), "")))
}

// TestPolicies: two sites and two policies with one captcha share its claims;
// two handlers on the way of one request share its claim and verdict.
func TestPolicies(t *testing.T) {
	g := newGate(t)
	gate := func(name string) string {
		return "captcha /login* " + name + " {\n" + g.verifier(geetestV4) + "}\n"
	}
	site := func(host, body string) string {
		return "http://" + host + ":0 {\nbind 127.0.0.1\n" + body + g.proxy() + "}\n"
	}
	run(t, "{\n"+globals+"}\n"+site("a.test", gate("one"))+site("b.test", gate("two"))+site("c.test", gate("one")+gate("two")))
	g.url = "http://" + address(t, "srv0")
	post := func(host string, proof url.Values) answer {
		request := newRequest(t, "POST", g.url+"/login", proof.Encode(), "Content-Type", formType)
		request.Host = host
		return send(t, request)
	}
	proof := g.solve(geetestV4)
	g.wantPassed(post("a.test", proof))
	for _, host := range []string{"a.test", "b.test", "c.test"} {
		g.want(post(host, proof), 403, "replayed")
	}
	before := g.calls()
	proof = g.solve(geetestV4)
	g.wantPassed(post("c.test", proof))
	if g.calls() != before+1 {
		t.Errorf("two handlers on one request asked the provider %d times, want once", g.calls()-before)
	}
	g.want(post("a.test", proof), 403, "replayed")
}

// TestTwoHandlersOneProof: handlers with the same credentials on the way of
// one request, the error route included, decide alike, although the first one
// has spent the proof and removed it.
func TestTwoHandlersOneProof(t *testing.T) {
	g := newGate(t)
	strict := "captcha /login* {\n" + g.verifier(geetestV4) + "strip header\n}\n"
	wide := "captcha * {\n" + g.verifier(geetestV4) + "strip header\n}\n"
	g.run(strict + wide + "reverse_proxy 127.0.0.1:1\nhandle_errors {\n" + wide + g.proxy() + "}\n")
	g.wantPassed(g.getWith(g.solve(geetestV4))) // 502, and then the error route
	if g.calls() != 1 {
		t.Errorf("the provider was called %d times, want once", g.calls())
	}

	g = newGate(t)
	monitor := "captcha /login* watched {\n" + g.verifier(geetestV4) + "mode monitor\n}\n"
	g.run(monitor + g.captcha(geetestV4) + g.proxy())
	g.wantPassed(g.post(g.solve(geetestV4)))
	g.want(g.post(url.Values{}), 403, "missing")
	proof := madeUpToken(g.solve(geetestV4))
	g.want(g.post(proof), 403, "rejected")
	hold := make(chan struct{})
	g.FailNext(1, simulator.Fault{Hold: hold})
	g.want(g.post(g.solve(geetestV4)), 503, "outage") // the first gave up after a second
	close(hold)
}

// TestSharedVerdictNeedsTheSameVerifier: a second handler with another rule for
// the same captcha does not take over the first one's verdict.
func TestSharedVerdictNeedsTheSameVerifier(t *testing.T) {
	g := newGate(t)
	lenient := "captcha /login* lenient {\n" + g.verifier(tencent) + "}\n"
	strict := "captcha /login* strict {\n" + g.verifier(tencent, "max_score 50") + "}\n"
	g.run(lenient + strict + g.proxy())
	g.want(g.post(g.solve(tencent, simulator.SolveOptions{Score: 90})), 403, "replayed")
}

// TestImportedTwice: one snippet protects several sites.
func TestImportedTwice(t *testing.T) {
	g := newGate(t)
	run(t, "{\n"+globals+"}\n(gate) {\n"+g.captcha(geetestV4)+g.proxy()+"}\nhttp://a.test:0 {\nbind 127.0.0.1\nimport gate\n}\nhttp://b.test:0 {\nbind 127.0.0.1\nimport gate\n}\n")
	g.url = "http://" + address(t, "srv0")
	for _, host := range []string{"a.test", "b.test"} {
		request := newRequest(t, "GET", g.url+"/login", "")
		request.Host = host
		g.want(send(t, request), 403, "missing")
	}
	if seen := g.seen(); slices.Contains(seen, "GET /login") {
		t.Errorf("the app saw %q", seen)
	}
}
