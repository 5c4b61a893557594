package verifiertest_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/verifier"
	"github.com/caddycaptcha/caddycaptcha/verifier/verifiertest"
)

func init() { caddy.RegisterModule(stranger{}) }

// stranger is a verifier as somebody else could write one, with nothing of
// this module's but the interface. broken names what is wrong with it.
type stranger struct {
	Key     string         `json:"key,omitempty"`
	Service string         `json:"service,omitempty"`
	Timeout caddy.Duration `json:"timeout,omitempty"`
	Script  string         `json:"script,omitempty"`

	verifying
}

// verifying is what becomes of the options.
type verifying struct {
	key, service, script string
	timeout              time.Duration
	client               *http.Client
}

var broken = os.Getenv("VERIFIERTEST_BROKEN")

func (stranger) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.captcha.verifiers.stranger", New: func() caddy.Module { return new(strangerModule) }}
}

// strangerModule has the methods, since stranger has a field named Service.
type strangerModule struct{ stranger }

func (s *strangerModule) Provision(caddy.Context) error {
	key, err := caddy.NewReplacer().ReplaceOrErr(s.Key, true, true)
	if err != nil || key == "" || strings.Contains(key, "\n") {
		return errors.New("key is missing, empty or of two lines")
	}
	s.verifying = verifying{key: key, service: s.stranger.Service, script: cmp.Or(s.Script, "https://example.com/a.js"), timeout: time.Duration(s.Timeout)}
	transport := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 1 << 16, DialContext: (&net.Dialer{}).DialContext}
	s.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	switch broken {
	case "redirects":
		s.client.CheckRedirect = nil
	case "proxy":
		transport.Proxy = http.ProxyFromEnvironment
	case "json":
		return nil
	}
	s.Key = ""
	return nil
}

func (s *strangerModule) Captcha() (provider, id string) { return "stranger", "1" }

func (s *strangerModule) Service() string { return s.service }

func (s *strangerModule) Fingerprint() [32]byte {
	parts := []string{s.key, s.service, s.timeout.String()}
	switch broken {
	case "fingerprint without timeout":
		parts = parts[:2]
	case "fingerprint with script":
		parts = append(parts, s.script)
	}
	text, _ := json.Marshal(parts)
	return sha256.Sum256(text)
}

func (s *strangerModule) Parameters() []verifier.Parameter {
	return []verifier.Parameter{{Name: "token", Header: "Stranger-Token", MaxLength: 32}}
}

func (s *strangerModule) Check(proof verifier.Proof, _ time.Time, _ time.Duration) verifier.Verdict {
	switch {
	case broken == "panic" && proof[0] == "":
		return verifier.Verdict{Result: verifier.Malformed, Reason: "token"}
	case broken == "lax" && len(proof) == 1 && proof[0] != "":
		return verifier.Verdict{}
	case len(proof) != 1:
		return verifier.Verdict{Result: verifier.Malformed, Reason: verifier.ReasonProof}
	case !plausible(proof):
		return verifier.Verdict{Result: verifier.Malformed, Reason: "token"}
	}
	return verifier.Verdict{}
}

func plausible(proof verifier.Proof) bool {
	return len(proof[0]) == 16 && strings.Trim(proof[0], "0123456789abcdefABCDEF") == ""
}

func (s *strangerModule) ReplayKey(proof verifier.Proof) string {
	if broken == "replay key" {
		return proof[0]
	}
	return strings.ToLower(proof[0])
}

func (s *strangerModule) Verify(ctx context.Context, proof verifier.Proof, _ verifier.Client) verifier.Verdict {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	verdict := s.ask(ctx, proof)
	if broken == "retry" && verdict.Reason == verifier.ReasonConnection {
		return s.ask(ctx, proof)
	}
	if broken == "open" && verdict.Result == verifier.Unknown {
		return verifier.Verdict{Result: verifier.Passed}
	}
	return verdict
}

func (s *strangerModule) ask(ctx context.Context, proof verifier.Proof) verifier.Verdict {
	form := url.Values{"key": {s.key}, "token": proof}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.service, strings.NewReader(form))
	if err != nil {
		return verifier.Verdict{Reason: verifier.ReasonConnection, Err: errors.New("the URL is none")}
	}
	response, err := s.client.Do(request)
	if err != nil {
		return s.failure(ctx, err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusTooManyRequests:
		return verifier.Verdict{Result: verifier.Overloaded, Reason: verifier.ReasonRateLimited}
	case response.StatusCode != http.StatusOK && broken != "status":
		return verifier.Verdict{Reason: verifier.ReasonHTTPStatus, Err: errors.New("another status")}
	}
	const most = 1 << 16
	limited := io.LimitReader(response.Body, most+1)
	if broken == "endless" {
		limited = response.Body
	}
	body, err := io.ReadAll(limited)
	switch {
	case err != nil:
		return s.failure(ctx, err)
	case len(body) > most:
		return verifier.Verdict{Reason: verifier.ReasonAnswer, Err: errors.New("the answer is too long")}
	}
	return judge(body)
}

func (s *strangerModule) failure(ctx context.Context, err error) verifier.Verdict {
	shown := errors.New("the call failed")
	if broken == "error" {
		shown = err
	}
	switch {
	case ctx.Err() != nil:
		return verifier.Verdict{Reason: verifier.ReasonTimeout, Err: shown}
	case strings.Contains(err.Error(), "tls:"):
		return verifier.Verdict{Reason: verifier.ReasonTLS, Err: shown}
	}
	return verifier.Verdict{Reason: verifier.ReasonConnection, Err: shown}
}

// judge takes what is written in one way only.
func judge(body []byte) verifier.Verdict {
	var answer struct {
		Verdict, Note string
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if strict.Decode(&answer) != nil {
		return verifier.Verdict{Reason: verifier.ReasonAnswer, Err: errors.New("the answer is not the protocol's")}
	}
	canonical := []string{`{"verdict":"` + answer.Verdict + `","note":"` + answer.Note + `"}`, `{"verdict":"` + answer.Verdict + `"}`}
	switch {
	case broken != "lenient" && broken != "reason" && !slices.Contains(canonical, string(body)):
		return verifier.Verdict{Reason: verifier.ReasonAnswer, Err: errors.New("the answer is not the protocol's")}
	case answer.Verdict == "yes":
		return verifier.Verdict{Result: verifier.Passed}
	case answer.Verdict == "no" && broken == "reason":
		return verifier.Verdict{Result: verifier.Rejected, Reason: answer.Note}
	case answer.Verdict == "no":
		return verifier.Verdict{Result: verifier.Rejected, Reason: "no"}
	}
	return verifier.Verdict{Reason: verifier.ReasonAnswer, Err: errors.New("the answer is not the protocol's")}
}

var subject = verifiertest.Subject{
	Module: "http.captcha.verifiers.stranger",
	Options: []verifiertest.Option{
		{Name: "key", Value: "a secret key", Other: "another", Role: verifiertest.RoleSecret},
		{Name: "service", Role: verifiertest.RoleService},
		{Name: "timeout", Other: "6s", Role: verifiertest.RoleTimeout},
		{Name: "script", Other: "https://example.com/b.js", Role: verifiertest.RoleBrowser},
	},
	Proof:     verifier.Proof{"0123456789abcdef"},
	Plausible: plausible,
	Spellings: []verifier.Proof{{"0123456789ABCDEF"}},
	Others:    []verifier.Proof{{"0123456789abcdee"}},
	Verify: verifiertest.Call{Answers: []verifiertest.Answer{
		{Body: `{"verdict":"yes","note":"n"}`, Result: verifier.Passed, Harmless: map[string]verifiertest.Change{"note": verifiertest.Removed}},
		{Body: `{"verdict":"no","note":"no"}`, Result: verifier.Rejected, Reason: "no"},
	}},
}

// A verifier that shares no code with ours conforms.
func TestAStrangerConforms(t *testing.T) { verifiertest.Run(t, subject) }

// What the suite does not find is not tested by it.
func TestTheSuiteFindsWhatIsBroken(t *testing.T) {
	expectFound(t, "TestAStrangerConforms", map[string]string{
		"redirects": "verify/redirects", "proxy": "proxy", "json": "configuration", "panic": "check", "lax": "check",
		"fingerprint without timeout": "fingerprint", "fingerprint with script": "fingerprint", "replay key": "replay_key",
		"retry": "verify/breaks", "open": "verify/statuses", "status": "verify/statuses", "endless": "verify/floods/a_body",
		"error": "verify/echoes", "lenient": "verify/mutations", "reason": "verify/echoes",
	})
}

// expectFound runs a part of a test with each fault, which has to fail, and
// without, where it has not.
func expectFound(t *testing.T, test string, faults map[string]string) {
	t.Helper()
	for fault, where := range faults {
		t.Run(fault, func(t *testing.T) {
			pattern := "^" + test + "$/^" + strings.ReplaceAll(where, "/", "$/^") + "$"
			for _, broken := range []string{"", fault} {
				command := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern) //nolint:gosec // the test itself
				command.Env = append(os.Environ(), "VERIFIERTEST_BROKEN="+broken)
				output, err := command.CombinedOutput()
				found := err != nil && (strings.Contains(string(output), "--- FAIL: "+test+"/"+where) || strings.Contains(string(output), "panic:"))
				if found != (broken != "") {
					t.Errorf("broken is %q, and the suite says (%v)\n%s", broken, err, output)
				}
			}
		})
	}
}
