package verifiertest_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/verifier"
	"github.com/caddycaptcha/caddycaptcha/verifier/verifiertest"
)

func init() { caddy.RegisterModule(hermit{}) }

// hermit is a verifier that asks nobody: it wants back what it has issued, with
// a "+" before it. broken names what is wrong with it.
type hermit struct{}

func (hermit) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.captcha.verifiers.hermit", New: func() caddy.Module { return new(hermit) }}
}

func (*hermit) Captcha() (provider, id string) { return "hermit", "cave" }

func (*hermit) Service() string {
	if broken == "service" {
		return "http://127.0.0.1:9/"
	}
	return ""
}

func (*hermit) Fingerprint() [32]byte { return sha256.Sum256([]byte("hermit")) }

func (*hermit) Parameters() []verifier.Parameter {
	return []verifier.Parameter{{Name: "word", Header: "Hermit-Word", MaxLength: 256}}
}

func (*hermit) Lifetime() time.Duration { return 10 * time.Minute }

func (*hermit) Rate() (perClient, inAll int) {
	if broken == "rate" {
		return 2, 1
	}
	return 1, 1
}

type hermitsChallenge struct {
	Provider string `json:"provider"`
	Script   string `json:"script"`
	Word     string `json:"word"` // "<text>.<Unix time of its end>.<mark>"
}

func (h *hermit) Challenge(_ context.Context, client verifier.Client, _ string) (challenge any, failure verifier.Verdict) {
	text := rand.Text()
	if broken == "one challenge" {
		text = strings.Repeat("A", len(text))
	}
	text = fmt.Sprintf("%s.%d", text, time.Now().Add(h.Lifetime()).Unix())
	mark, err := client.Seal.Mark([]byte(text))
	if err != nil && broken != "keys" {
		return nil, verifier.Verdict{Reason: verifier.ReasonService, Err: err}
	}
	script := "hermit.js"
	if broken == "script" {
		script = "other.js"
	}
	return hermitsChallenge{"hermit", script, text + "." + mark}, verifier.Verdict{}
}

func (*hermit) Check(proof verifier.Proof, now time.Time, _ time.Duration) verifier.Verdict {
	if len(proof) != 1 || !isHermitsWord(proof) {
		return verifier.Verdict{Result: verifier.Malformed, Reason: "word"}
	}
	end, err := strconv.ParseInt(strings.Split(proof[0], ".")[1], 10, 64)
	if err != nil || !now.Before(time.Unix(end, 0)) && broken != "lifetime" {
		return verifier.Verdict{Result: verifier.Expired, Reason: "end"}
	}
	return verifier.Verdict{}
}

func isHermitsWord(proof verifier.Proof) bool {
	printable := strings.IndexFunc(proof[0], func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	return printable && len(proof[0]) <= 256 && strings.HasPrefix(proof[0], "+") && strings.Count(proof[0], ".") == 2
}

func (*hermit) ReplayKey(proof verifier.Proof) string {
	if broken == "replay key" {
		return proof[0]
	}
	text, _, _ := strings.Cut(strings.TrimLeft(proof[0], "+"), ".")
	return text
}

func (*hermit) Verify(_ context.Context, proof verifier.Proof, client verifier.Client) verifier.Verdict {
	text := strings.TrimPrefix(proof[0], "+")
	if broken == "replay key" {
		text = strings.TrimLeft(proof[0], "+")
	}
	dot := strings.LastIndex(text, ".")
	marked, err := client.Seal.Marked([]byte(text[:dot]), text[dot+1:])
	switch {
	case err != nil && broken != "keys":
		return verifier.Verdict{Reason: verifier.ReasonService, Err: err}
	case !marked && broken == "echo":
		return verifier.Verdict{Result: verifier.Rejected, Reason: "word", Advice: "what is " + proof[0] + "?"}
	case !marked && broken != "seal":
		return verifier.Verdict{Result: verifier.Rejected, Reason: "word"}
	}
	return verifier.Verdict{Result: verifier.Passed}
}

func (*hermit) Sources() map[string][]string { return nil }

func (*hermit) Adapter() string { return "" }

func (*hermit) Files() map[string][]byte { return map[string][]byte{"hermit.js": nil} }

var solitude = verifiertest.Subject{
	Module:    "http.captcha.verifiers.hermit",
	Proof:     verifier.Proof{"+ABCDEFGHIJKLMNOPQRSTUVWXYZ.1800000600.0123456789abcdef"},
	Now:       time.Unix(1_800_000_000, 0),
	Plausible: isHermitsWord,
	Spellings: []verifier.Proof{{"+ABCDEFGHIJKLMNOPQRSTUVWXYZ.1800000600.0123456789abcdee"}},
	Others:    []verifier.Proof{{"+ABCDEFGHIJKLMNOPQRSTUVWXYA.1800000600.0123456789abcdef"}},
	Solve:     func(challenge any) verifier.Proof { return verifier.Proof{"+" + challenge.(hermitsChallenge).Word} },
}

// A verifier that asks nobody conforms, too.
func TestAHermitConforms(t *testing.T) { verifiertest.Run(t, solitude) }

func TestTheSuiteFindsWhatIsBrokenOfAHermit(t *testing.T) {
	expectFound(t, "TestAHermitConforms", map[string]string{
		"service": "configuration", "rate": "local", "one challenge": "local", "keys": "local", "script": "local",
		"lifetime": "local", "replay key": "local", "seal": "local", "echo": "local",
	})
}
