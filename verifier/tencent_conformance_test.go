package verifier_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/verifier"
	"github.com/caddycaptcha/caddycaptcha/verifier/verifiertest"
)

// tencent is the subject, with or without max_score.
func tencent(maxScore any) verifiertest.Subject {
	harmless := map[string]verifiertest.Change{
		// Tencent judges not every client.
		"Response.EvilLevel": verifiertest.Removed | verifiertest.Null,
		"retcode":            verifiertest.Ignored,
		"retmsg":             verifiertest.Ignored,
	}
	for _, name := range []string{"CaptchaMsg", "GetCaptchaTime", "SubmitCaptchaTime", "EvilBitmap", "DeviceRiskCategory", "RequestId"} {
		harmless["Response."+name] = verifiertest.Ignored
	}
	risky := map[string]verifiertest.Change{"Response.EvilLevel": verifiertest.Removed | verifiertest.Null}
	if maxScore == nil {
		harmless["Response.Score"] = verifiertest.Ignored // nobody looks at it
	}
	answers := []verifiertest.Answer{
		{
			Body:     `{"Response":{"CaptchaCode":1,"CaptchaMsg":"OK","EvilLevel":0,"GetCaptchaTime":0,"SubmitCaptchaTime":1700000000,"EvilBitmap":null,"DeviceRiskCategory":"301","Score":12,"RequestId":"c3f2a1d0"},"retcode":0,"retmsg":"success"}`,
			Result:   verifier.Passed,
			Harmless: harmless,
		},
		{
			Body:   `{"Response":{"CaptchaCode":1,"EvilLevel":100,"Score":12,"RequestId":"r"}}`,
			Result: verifier.Risky, Reason: "evil_level", Harmless: risky,
		},
		{Body: `{"Response":{"CaptchaCode":9,"CaptchaMsg":"ticket reused","EvilLevel":0,"RequestId":"r"}}`, Result: verifier.Replayed, Reason: "captcha_code_9"},
		{Body: `{"Response":{"CaptchaCode":26,"EvilLevel":0,"RequestId":"r"}}`, Result: verifier.Unknown, Reason: verifier.ReasonService},
		{Body: `{"Response":{"Error":{"Code":"AuthFailure.SignatureFailure","Message":"m"},"RequestId":"r"}}`, Result: verifier.Misconfigured, Reason: "AuthFailure.SignatureFailure"},
		{Body: `{"Response":{"Error":{"Code":"RequestLimitExceeded","Message":"m"},"RequestId":"r"}}`, Result: verifier.Overloaded, Reason: verifier.ReasonRateLimited},
	}
	if maxScore != nil {
		answers = append(answers,
			verifiertest.Answer{Body: `{"Response":{"CaptchaCode":1,"EvilLevel":0,"Score":51,"RequestId":"r"}}`, Result: verifier.Risky, Reason: "score"},
			verifiertest.Answer{Body: `{"Response":{"CaptchaCode":1,"EvilLevel":0,"RequestId":"r"}}`, Result: verifier.Misconfigured, Reason: "no_score"})
	}
	return verifiertest.Subject{
		Module: "http.captcha.verifiers.tencent",
		Options: []verifiertest.Option{
			{Name: "site", Value: "cn", Other: "intl", Role: verifiertest.RoleVerdict},
			{Name: "captcha_app_id", Value: "199999164", Other: "2", Role: verifiertest.RoleVerdict},
			{Name: "app_secret_key", Value: "E4kwK9AcXQMHkktiItyMEyQPn", Other: "other", Role: verifiertest.RoleSecret},
			{Name: "secret_id", Value: "AKIDEXAMPLE", Other: "other", Role: verifiertest.RoleSecret},
			{Name: "secret_key", Value: "SKEXAMPLE", Other: "other", Role: verifiertest.RoleSecret},
			{Name: "endpoint", Role: verifiertest.RoleService},
			{Name: "script", Other: "https://example.com/TJCaptcha.js", Role: verifiertest.RoleBrowser},
			{Name: "widget", Other: map[string]any{"mask": map[string]any{"outside": false}}, Role: verifiertest.RoleBrowser},
			{Name: "encrypt_app_id", Value: "cbc", Other: "gcm", Role: verifiertest.RoleBrowser},
			{Name: "encrypt_app_id_ttl", Other: "1h", Role: verifiertest.RoleBrowser},
			{Name: "max_score", Value: maxScore, Other: 51, Role: verifiertest.RoleVerdict},
			{Name: "proxy", Other: "http://alice:CANARY@127.0.0.1:9", Role: verifiertest.RoleVerdict},
			{Name: "ca", Other: "testdata/ca.pem", Role: verifiertest.RoleVerdict},
			{Name: "timeout", Other: "6s", Role: verifiertest.RoleTimeout},
		},
		Proof: tencentProof("tr03EXAMPLE_TICKET-0123456789ABCDEFGH*"),
		Now:   time.Unix(1700000000, 0),
		Plausible: func(p verifier.Proof) bool {
			return len(p[0]) >= 32 && len(p[0]) <= 1024 && regexp.MustCompile(`\A[!-~]+\z`).MatchString(p[0]) && regexp.MustCompile(`\A[!-~]{1,64}\z`).MatchString(p[1]) &&
				!regexp.MustCompile(`\Atr?error_`).MatchString(p[0])
		},
		Spellings: []verifier.Proof{
			{"tr03EXAMPLE_TICKET-0123456789ABCDEFGH*", "@other"},
			tencentProof("tr03EXAMPLE_TICKET-0123456789ABCDEFGH"),
			tencentProof("tr03EXAMPLE/TICKET+0123456789ABCDEFGH=="),
			tencentProof("tr03EXAMPLE_TICKET-0123456789ABCDEFxy*"), // base64 has bits to spare there
		},
		Others: []verifier.Proof{
			tencentProof("tr03EXAMPLE_TICKET-0123456789ABCDEGGH*"),
			tencentProof("tr03example_ticket-0123456789abcdefgh*"),
		},
		Verify: verifiertest.Call{Answers: answers},
	}
}

func tencentProof(ticket string) verifier.Proof { return verifier.Proof{ticket, "@Vki"} }

func TestTencentConforms(t *testing.T) { verifiertest.Run(t, tencent(nil)) }

func TestTencentWithMaxScoreConforms(t *testing.T) { verifiertest.Run(t, tencent(50)) }

func FuzzTencentProof(f *testing.F) { verifiertest.Fuzz(f, tencent(nil)) }
