package harness

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// The captchas that the simulated providers know, and the names and headers of
// what a proof of them consists of.
const (
	v4ID, V4Key           = "647f5ed2ed8acb4be36784e01556bb71", "b09a7aafbfd83f73b35a9b530d0337bf"
	v3ID, V3Key           = "c9c4facd1a6feeb80802222cbb74ca8e", "e4e298788aa8c768397639deb9b249a9"
	AppID, AppSecret      = "199999164", "E4kwK9AcXQMHkktiItyMEyQPn"
	SecretID, SecretKey   = "AKIDEXAMPLE", "SKEXAMPLE"
	GeeTestV3, GeeTestV4  = "geetest_v3", "geetest_v4"
	Tencent               = "tencent"
	FormType              = "application/x-www-form-urlencoded"
	V4Headers, v3Headers  = "Captcha-Lot-Number Captcha-Output Captcha-Pass-Token Captcha-Gen-Time", "Geetest-Challenge Geetest-Validate Geetest-Seccode"
	v4Parameters, v3Param = "lot_number captcha_output pass_token gen_time", "geetest_challenge geetest_validate geetest_seccode"
)

// Providers are the names of all providers.
var Providers = []string{GeeTestV3, GeeTestV4, Tencent}

// Gate is a running Caddy with a captcha in front of an app, and the provider.
type Gate struct {
	*simulator.Simulator
	*App
	T        *testing.T // that fails; subtests may put theirs here
	provider *httptest.Server
	LogFile  string // the file that holds all of Caddy's logs
	Global   string // more global options
	URL      string // of the first site
}

// NewGate makes a provider, an app and a log file.
func NewGate(t *testing.T) *Gate {
	t.Helper()
	sim, err := simulator.New(simulator.Config{
		GeeTestV3: []simulator.GeeTestV3{{CaptchaID: v3ID, CaptchaKey: V3Key}},
		GeeTestV4: []simulator.GeeTestV4{{CaptchaID: v4ID, CaptchaKey: V4Key}},
		Tencent:   []simulator.Tencent{{CaptchaAppID: AppID, AppSecretKey: AppSecret, SecretID: SecretID, SecretKey: SecretKey}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Simulator: sim, App: NewApp(t), T: t, LogFile: filepath.Join(t.TempDir(), "caddy.log")}
	g.provider = httptest.NewServer(sim)
	t.Cleanup(g.provider.Close)
	return g
}

// Provider is the URL of the simulated providers.
func (g *Gate) Provider() string { return g.provider.URL }

// Verifier is the verifier block of a Caddyfile for the provider.
func (g *Gate) Verifier(provider string, more ...string) string {
	options := map[string]string{
		GeeTestV3: "captcha_id " + v3ID + "\ncaptcha_key " + V3Key,
		GeeTestV4: "captcha_id " + v4ID + "\ncaptcha_key " + V4Key,
		Tencent: "site cn\ncaptcha_app_id " + AppID + "\napp_secret_key " + AppSecret +
			"\nsecret_id " + SecretID + "\nsecret_key " + SecretKey,
	}[provider]
	return fmt.Sprintf("verifier %s {\n%s\nendpoint %s\n%s\n}\n", provider, options, g.provider.URL, strings.Join(more, "\n"))
}

// Captcha is a captcha directive for /login* with the verifier and options.
func (g *Gate) Captcha(provider string, options ...string) string {
	return "captcha /login* {\n" + g.Verifier(provider) + strings.Join(options, "\n") + "\n}\n"
}

// Proxy is a reverse_proxy directive to the app.
func (g *Gate) Proxy() string { return "reverse_proxy " + g.App.Listener.Addr().String() + "\n" }

// Caddyfile is a Caddyfile with one site, whose access log is a plain one
// unless the site has its own.
func (g *Gate) Caddyfile(site string) string {
	if !strings.Contains(site, "log {") {
		site = "log\n" + site
	}
	return "{\n" + Globals + g.Global + "log {\noutput file " + g.LogFile + "\n}\n}\nhttp://:0 {\nbind 127.0.0.1\n" + site + "\n}\n"
}

// Run runs Caddy with one site.
func (g *Gate) Run(site string) {
	g.T.Helper()
	Run(g.T, g.Caddyfile(site))
	g.URL = "http://" + Address(g.T, "srv0")
}

// Proof returns a genuine proof.
func (g *Gate) Proof(provider string, options ...simulator.SolveOptions) url.Values {
	g.T.Helper()
	proof, err := g.Solve(provider, append(options, simulator.SolveOptions{})[0])
	if err != nil {
		g.T.Fatal(err)
	}
	return proof
}

// Post posts the form to /login.
func (g *Gate) Post(form url.Values) Answer {
	g.T.Helper()
	return Send(g.T, NewRequest(g.T, "POST", g.URL+"/login", form.Encode(), "Content-Type", FormType))
}

// GetWith sends the proof in headers.
func (g *Gate) GetWith(proof url.Values) Answer {
	g.T.Helper()
	request := NewRequest(g.T, "GET", g.URL+"/login", "")
	SetHeaders(request.Header, proof)
	return Send(g.T, request)
}

// VerifyCalls is how often the provider was asked to verify.
func (g *Gate) VerifyCalls() int {
	return g.Calls(simulator.V3ValidatePath, simulator.V4ValidatePath, simulator.TencentPath)
}

// Want checks an answer and that the app saw as many requests as it should.
func (g *Gate) Want(a Answer, status int, outcome string) {
	g.T.Helper()
	seen := g.Seen()
	if a.StatusCode != status {
		g.T.Errorf("status %d, want %d: %s", a.StatusCode, status, a.Text)
	}
	if got := a.Header.Get("Captcha-Outcome"); got != outcome {
		g.T.Errorf("Captcha-Outcome %q, want %q: %s", got, outcome, a.Text)
	}
	forwarded := 0
	if outcome == "" {
		forwarded = 1
	}
	if len(seen) != forwarded {
		g.T.Errorf("the app saw %q, want %d requests", seen, forwarded)
	}
}

// WantRefused checks that an answer is a refusal, of that outcome and reason,
// and that the app saw nothing.
func (g *Gate) WantRefused(what string, a Answer, outcome, reason string) {
	g.T.Helper()
	if got := a.Header.Get("Captcha-Outcome"); got != outcome || a.Problem(g.T)["reason"] != reason {
		g.T.Errorf("%s: %d %s, want %s (%s)", what, a.StatusCode, a.Text, outcome, reason)
	}
	if seen := g.Seen(); len(seen) != 0 {
		g.T.Errorf("%s: the app saw %q", what, seen)
	}
}

// WantPassed checks that a request reached the app, and its answer the client.
func (g *Gate) WantPassed(a Answer) { g.T.Helper(); g.Want(a, 200, "") }
