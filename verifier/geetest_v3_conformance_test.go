package verifier_test

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/verifier"
	"github.com/caddycaptcha/caddycaptcha/verifier/verifiertest"
)

const geetestV3Key = "e4e298788aa8c768397639deb9b249a9"

var geetestV3 = verifiertest.Subject{
	Module: "http.captcha.verifiers.geetest_v3",
	Options: []verifiertest.Option{
		{Name: "captcha_id", Value: "c9c4facd1a6feeb80802222cbb74ca8e", Other: "other", Role: verifiertest.RoleVerdict},
		{Name: "captcha_key", Value: geetestV3Key, Other: "other", Role: verifiertest.RoleSecret},
		{Name: "digest", Other: "sha256", Role: verifiertest.RoleVerdict},
		{Name: "endpoint", Role: verifiertest.RoleService},
		{Name: "bypass_endpoint", Value: "off", Other: "https://example.com/bypass_status.php", Role: verifiertest.RoleHealth},
		{Name: "script", Other: "https://example.com/gt.js", Role: verifiertest.RoleBrowser},
		{Name: "widget", Other: map[string]any{"mask": map[string]any{"outside": false}}, Role: verifiertest.RoleBrowser},
		{Name: "proxy", Other: "http://alice:CANARY@127.0.0.1:9", Role: verifiertest.RoleVerdict},
		{Name: "ca", Other: "testdata/ca.pem", Role: verifiertest.RoleVerdict},
		{Name: "timeout", Other: "6s", Role: verifiertest.RoleTimeout},
	},
	Proof: geetestV3Proof("fa7025c83249ab263bc1f11f11ae21a5a7"),
	Plausible: func(p verifier.Proof) bool {
		challenge, validate := p[0], p[1]
		return regexp.MustCompile(`\A[0-9a-z]{32}([0-9a-z]{2})?\z`).MatchString(challenge) &&
			regexp.MustCompile(`\A[0-9a-f]{32}\z`).MatchString(validate) &&
			validate != challenge && validate != hexMD5(challenge) && validate == hexMD5(geetestV3Key+"geetest"+challenge) &&
			p[2] == validate+"|jordan"
	},
	Spellings: []verifier.Proof{
		// The seccode is made of the validate alone.
		{"another", "f62da4225c52b76f088bf5b6e91252ae", "f62da4225c52b76f088bf5b6e91252ae|jordan"},
		{"another", "f62da4225c52b76f088bf5b6e91252ae", "another"},
	},
	Others: []verifier.Proof{geetestV3Proof("fa7025c83249ab263bc1f11f11ae21a5"), geetestV3Proof("fa7025c83249ab263bc1f11f11ae21a5a8")},
	Verify: verifiertest.Call{Answers: []verifiertest.Answer{
		{Body: `{"seccode":"c6d0002491cee7bd0d495162b9a47cb7"}`, Result: verifier.Passed},
		{Body: `{"seccode":"false"}`, Result: verifier.Rejected, Reason: "seccode_false"},
		{Body: `{"seccode":"anything-at-all"}`, Result: verifier.Rejected, Reason: "seccode_other"},
		{Body: `{"status":"fail"}`, Result: verifier.Rejected, Reason: "status_fail"},
	}},
	Challenge: &verifiertest.Call{
		Answers: []verifiertest.Answer{
			{Body: `{"challenge":"0123456789abcdef0123456789abcdef"}`, Result: verifier.Passed},
			{Body: `{"challenge":0}`, Result: verifier.Misconfigured, Reason: "register_0"},
			{Body: `{"challenge":"0"}`, Result: verifier.Misconfigured, Reason: "register_0"},
		},
		Statuses: map[int]verifier.Result{http.StatusForbidden: verifier.Misconfigured},
	},
	Secrets: []string{"0123456789abcdef0123456789abcdef"}, // of which the widget gets a digest
	Now:     time.Unix(1700000000, 0),
}

func hexMD5(text string) string { return fmt.Sprintf("%x", md5.Sum([]byte(text))) }

// geetestV3Proof is what GeeTest's widget makes of a challenge.
func geetestV3Proof(challenge string) verifier.Proof {
	validate := hexMD5(geetestV3Key + "geetest" + challenge)
	return verifier.Proof{challenge, validate, validate + "|jordan"}
}

func TestGeetestV3Conforms(t *testing.T) { verifiertest.Run(t, geetestV3) }

func FuzzGeetestV3Proof(f *testing.F) { verifiertest.Fuzz(f, geetestV3) }
