package verifier_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/verifier"
	"github.com/caddycaptcha/caddycaptcha/verifier/verifiertest"
)

var geetestV4 = verifiertest.Subject{
	Module: "http.captcha.verifiers.geetest_v4",
	Options: []verifiertest.Option{
		{Name: "captcha_id", Value: "647f5ed2ed8acb4be36784e01556bb71", Other: "other", Role: verifiertest.RoleVerdict},
		{Name: "captcha_key", Value: "b09a7aafbfd83f73b35a9b530d0337bf", Other: "other", Role: verifiertest.RoleSecret},
		{Name: "endpoint", Role: verifiertest.RoleService},
		{Name: "script", Other: "https://example.com/gt4.js", Role: verifiertest.RoleBrowser},
		{Name: "widget", Other: map[string]any{"mask": map[string]any{"outside": false}}, Role: verifiertest.RoleBrowser},
		{Name: "proxy", Other: "http://alice:CANARY@127.0.0.1:9", Role: verifiertest.RoleVerdict},
		{Name: "ca", Other: "testdata/ca.pem", Role: verifiertest.RoleVerdict},
		{Name: "timeout", Other: "6s", Role: verifiertest.RoleTimeout},
	},
	Proof: geetestV4Proof("4dc3cfc2cdff448cad8d13107198d473"),
	Now:   time.Unix(1682136049, 0),
	Plausible: func(p verifier.Proof) bool {
		printable := regexp.MustCompile(`\A[!-~]+\z`)
		return regexp.MustCompile(`\A[0-9A-Za-z_-]{16,64}\z`).MatchString(p[0]) && printable.MatchString(p[1]) &&
			printable.MatchString(p[2]) && regexp.MustCompile(`\A[0-9]{1,20}\z`).MatchString(p[3])
	},
	Spellings: []verifier.Proof{
		geetestV4Proof(strings.ToUpper("4dc3cfc2cdff448cad8d13107198d473")),
		{"4dc3cfc2cdff448cad8d13107198d473", "another", "another", "1682136050"},
	},
	Others: []verifier.Proof{geetestV4Proof("4dc3cfc2cdff448cad8d13107198d474")},
	Verify: verifiertest.Call{Answers: []verifiertest.Answer{
		{
			Body:   `{"status":"success","result":"success","reason":"","captcha_args":{"used_type":"slide","user_ip":"127.0.0.1","lot_number":"4dc3cfc2cdff448cad8d13107198d473","scene":"反爬虫 anti crawler","referer":"http://127.0.0.1:8077/"}}`,
			Result: verifier.Passed,
			Harmless: map[string]verifiertest.Change{
				// One of GeeTest's pages shows answers without status; reason
				// and captcha_args only explain. GeeTest documents none of
				// them as null.
				"status": verifiertest.Removed, "reason": verifiertest.Removed,
				"captcha_args": verifiertest.Removed, "captcha_args.lot_number": verifiertest.Removed,
				"captcha_args.used_type": verifiertest.Ignored, "captcha_args.user_ip": verifiertest.Ignored,
				"captcha_args.scene": verifiertest.Ignored, "captcha_args.referer": verifiertest.Ignored,
			},
		},
		{
			Body:   `{"status":"success","result":"fail","reason":"pass_token expire","captcha_args":{"lot_number":"4dc3cfc2cdff448cad8d13107198d473"}}`,
			Result: verifier.Expired, Reason: "pass_token_expire",
		},
		{Body: `{"status":"success","result":"fail","reason":"sign_token error"}`, Result: verifier.Misconfigured, Reason: "sign_token_error"},
		{Body: `{"status":"error","code":"-50000","msg":"runtime error"}`, Result: verifier.Unknown, Reason: verifier.ReasonService},
		{Body: `{"status":"error","code":"-50005","msg":"illegal gen_time","desc":{"type":"defined error"}}`, Result: verifier.Rejected, Reason: "code_50005"},
	}},
	Secrets: []string{"c99f3aa68104bdcd085f372dc6556a17a5a830a1a3d25125fb0010466977f3d8"}, // sign_token
}

func geetestV4Proof(lotNumber string) verifier.Proof {
	return verifier.Proof{lotNumber, "Ab-_9=", "4b774095664ce55ad3ffe5c73b26af02430119056ec18bd5f25f21301bb19608", "1682136049"}
}

func TestGeetestV4Conforms(t *testing.T) { verifiertest.Run(t, geetestV4) }

func FuzzGeetestV4Proof(f *testing.F) { verifiertest.Fuzz(f, geetestV4) }
