package outcomes

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

func init() { caddy.RegisterModule(widgetless{}) }

// widgetless is somebody else's verifier, of proofs that an app obtains: it has
// no widget that a page could show.
type widgetless struct{}

func (widgetless) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.captcha.verifiers.widgetless", New: func() caddy.Module { return new(widgetless) }}
}

// UnmarshalCaddyfile takes no options.
func (*widgetless) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the verifier's name
	if d.NextArg() || d.NextBlock(d.Nesting()) {
		return d.ArgErr()
	}
	return nil
}

func (*widgetless) Captcha() (provider, id string) { return "widgetless", "1" }

func (*widgetless) Service() string { return "https://example.com" }

func (*widgetless) Fingerprint() [32]byte { return sha256.Sum256([]byte("widgetless")) }

func (*widgetless) Parameters() []verifier.Parameter {
	return []verifier.Parameter{{Name: "token", Header: "Widgetless-Token", MaxLength: 32}}
}

func (*widgetless) Check(verifier.Proof, time.Time, time.Duration) verifier.Verdict {
	return verifier.Verdict{}
}

func (*widgetless) ReplayKey(proof verifier.Proof) string { return proof[0] }

func (*widgetless) Verify(_ context.Context, proof verifier.Proof, _ verifier.Client) verifier.Verdict {
	if strings.HasPrefix(proof[0], "good") {
		return verifier.Verdict{Result: verifier.Passed}
	}
	return verifier.Verdict{Result: verifier.Rejected, Reason: "no"}
}

// TestAVerifierWithoutAWidget gates requests that carry proofs. There is no
// challenge to ask for, and a clearance, which takes a page, is a load error.
func TestAVerifierWithoutAWidget(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(`captcha /login* {
		verifier widgetless
	}
	` + g.Proxy())
	token := func(text string) url.Values { return url.Values{"token": {text}} }
	good := token("good" + rand.Text())
	g.WantPassed(g.Post(good))
	g.Want(g.Post(good), http.StatusForbidden, "replayed")
	g.Want(g.Post(token("bad")), http.StatusForbidden, "rejected")
	refused := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/login", "", "Sec-Fetch-Mode", "navigate", "Accept", "text/html"))
	g.Want(refused, http.StatusForbidden, "missing")
	if contentType := refused.Header.Get("Content-Type"); contentType != "application/problem+json" {
		t.Errorf("a navigation gets %s, which cannot show a widget", contentType)
	}
	if strings.Contains(refused.Text, `"challenge"`) {
		t.Errorf("the problem names a challenge that there is not: %s", refused.Text)
	}
	for _, endpoint := range []string{"challenge", "verify", "page"} {
		method := map[bool]string{true: "POST", false: "GET"}[endpoint == "verify"]
		if a := g.At(method, endpoint, ""); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s is %d, want 404", method, endpoint, a.StatusCode)
		}
	}

	clearance := "captcha /login* {\nverifier widgetless\nclearance 30m\n}\n"
	config, err := harness.Adapt(g.Caddyfile(clearance + g.Proxy()))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load([]byte(config), true); err == nil || !strings.Contains(err.Error(), "clearance") || !strings.Contains(err.Error(), `"default"`) {
		t.Errorf("a clearance without a widget: %v", err)
	}
}
