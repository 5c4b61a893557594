package simulator

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// vector is a signature published by Tencent, or made with its Node SDK.
type vector struct {
	name                                string
	method, query, host, contentType    string
	signAction                          bool
	body, secretKey, date, service      string
	timestamp                           int64
	requestDigest, signingKey, wantSign string
}

const (
	docBody     = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	docHost     = "cvm.tencentcloudapi.com"
	docJSON     = "application/json; charset=utf-8"
	captchaBody = `{"CaptchaType":9,"Ticket":"tr03EXAMPLE_TICKET-0123456789*","UserIp":"203.0.113.7","Randstr":"@Vki","CaptchaAppId":199999164,"AppSecretKey":"E4kwK9AcXQMHkktiItyMEyQPn"}`
	cnHost      = "captcha.tencentcloudapi.com"
	intlHost    = "captcha.intl.tencentcloudapi.com"
	keyDay14    = "6fbc8b167890d17486778284e5b688dcaa38f8409324a54120cfc785b8a09649"
	keyDay15    = "009fe67e41539f3b4b008898fff25c6d2c6436e3d27f06fdea37ca69b55c2e2c"
)

var vectors = []vector{
	{
		name: "current documents", method: "POST", host: docHost, contentType: docJSON, signAction: true, body: docBody,
		secretKey: strings.Repeat("*", 32), date: "2019-02-25", service: "cvm", timestamp: 1551113065,
		requestDigest: "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84",
		signingKey:    "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af",
		wantSign:      "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
	},
	{
		name: "older documents", method: "POST", host: docHost, contentType: docJSON, body: docBody,
		secretKey: "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", date: "2019-02-25", service: "cvm", timestamp: 1551113065,
		requestDigest: "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
		signingKey:    "ac658d5dde49e9bfdd14e04e062f66b05d9f637d44b8a8d845327d4a77f666b1",
		wantSign:      "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
	},
	{
		name: "sample code", method: "POST", host: docHost, contentType: docJSON, signAction: true, body: docBody,
		secretKey: "Gu5t9xGARNpq86cd98joQYCN3*******", date: "2019-02-25", service: "cvm", timestamp: 1551113065,
		wantSign: "be4f67d323c78ab9acb7395e43c0dbcf822a9cfac32fea2449a7bc7726b770a3",
	},
	{
		name: "GET", method: "GET", query: "Limit=10&Offset=0", host: docHost, contentType: "application/x-www-form-urlencoded",
		secretKey: "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", date: "2018-10-09", service: "cvm", timestamp: 1539084154,
		requestDigest: "91c9c192c14460df6c1ffc69e34e6c5e90708de2a6d282cccf957dbf1aa7f3a7",
		wantSign:      "5da7a33f6993f0614b047e5df4582db9e9bf4672ba50567dba16c6ccf174c474",
	},
	{
		name: "Node SDK unit test", method: "POST", host: docHost, contentType: "application/json",
		body:      `{"Action":"DescribeInstances","Version":"2017-03-12"}`,
		secretKey: "test-secret-key", date: "2022-01-01", service: "cvm", timestamp: 1640995200,
		wantSign: "96473b50fe407833672a5d6d067238d88bb44c8abcc39ef83baa3132afbfadd3",
	},
	captchaVector(cnHost, "application/json", 1700000000, "e459388782bca68ac19c2b42421a9e650e23252960a2b71bfe7a1b3324fb33b4",
		"89f6d7ec6b8a8b596f547fd4946be76239dae516e9118f58f4ec7f4dc1dbe42c"),
	captchaVector(cnHost, "application/json; charset=utf-8", 1700000000, "8358e083cb53d85b08b78c637c4e18f99647db299b434b90bf30abf04f5700d3", ""),
	captchaVector(cnHost, "application/json", 1700006399, "16a68f6df4b3c073248d0e1c34fed00cae6af5223db5994cfd2ca2da6366c700", ""),
	captchaVector(cnHost, "application/json", 1700006400, "4410e50c26143ee998dcca888789c00122b89f38087b5fb3b67df3cd4232a182", ""),
	captchaVector(intlHost, "application/json", 1700000000, "a74324f7d75e341b7de305ff5bc033bedb5f9ea964807dcc58a54d6db9513dd3",
		"67aa119a2d28b39db6482ee0672e7b65075a7067777ee6bb1ff869ed8b09a563"),
	captchaVector(intlHost, "application/json; charset=utf-8", 1700000000, "1af4849a851d8975929c46b51f54bd878000885192afd1ecfc5b3c907ec2033b", ""),
	captchaVector(intlHost, "application/json", 1700006399, "7d2712710d4ad4af47e1e28642526f107eaa83923c96351b321aaeecb044a175", ""),
	captchaVector(intlHost, "application/json", 1700006400, "1e50098088e7f95ce252d251937920b10c12d10365fefff44f22b310b20dd8b8", ""),
}

func captchaVector(host, contentType string, timestamp int64, signature, requestDigest string) vector {
	v := vector{
		name: host, method: "POST", host: host, contentType: contentType, body: captchaBody,
		secretKey: "SKEXAMPLE", date: "2023-11-14", service: "captcha", timestamp: timestamp,
		requestDigest: requestDigest, signingKey: keyDay14, wantSign: signature,
	}
	if timestamp == 1700006400 { // midnight UTC
		v.date, v.signingKey = "2023-11-15", keyDay15
	}
	return v
}

func TestSignaturesAgreeWithThePublishedVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			a := authorization{date: v.date, service: v.service, signedHeaders: []string{"content-type", "host"}}
			if v.signAction {
				a.signedHeaders = append(a.signedHeaders, "x-tc-action")
			}
			canonical := a.canonicalRequest(v.method, v.query, func(name string) string {
				return map[string]string{"content-type": v.contentType, "host": v.host, "x-tc-action": "DescribeInstances"}[name]
			}, []byte(v.body))
			if got := sha256Hex([]byte(canonical)); v.requestDigest != "" && got != v.requestDigest {
				t.Errorf("digest of the canonical request is %s, want %s", got, v.requestDigest)
			}
			if got := hex.EncodeToString(a.signingKey(v.secretKey)); v.signingKey != "" && got != v.signingKey {
				t.Errorf("signing key is %s, want %s", got, v.signingKey)
			}
			if got := a.sign(v.secretKey, canonical, v.timestamp); got != v.wantSign {
				t.Errorf("signature is %s, want %s", got, v.wantSign)
			}
		})
	}
}

var testSignature = strings.Repeat("0a", 32)

func TestParseAuthorizationTakesWhatTheSDKsSend(t *testing.T) {
	a, err := parseAuthorization("TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;host;x-tc-action, Signature=" + testSignature)
	if err != nil {
		t.Fatal(err)
	}
	if a.secretID != "AKIDEXAMPLE" || a.date != "2026-11-21" || a.service != "captcha" || a.signature != testSignature ||
		!slices.Equal(a.signedHeaders, []string{"content-type", "host", "x-tc-action"}) {
		t.Fatalf("got %+v", a)
	}
}

func TestParseAuthorizationRefusesEverythingElse(t *testing.T) {
	for _, value := range []string{
		"",
		"Bearer x",
		"TC3-HMAC-SHA256",
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;host",
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request,SignedHeaders=content-type;host,Signature=" + testSignature,
		"TC3-HMAC-SHA256 Credential=A/20261121/captcha/tc3_request, SignedHeaders=content-type;host, Signature=" + testSignature,
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/aws4_request, SignedHeaders=content-type;host, Signature=" + testSignature,
		"TC3-HMAC-SHA256 Credential=/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;host, Signature=" + testSignature,
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=host;content-type, Signature=" + testSignature,
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;host;host, Signature=" + testSignature,
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=Content-Type;Host, Signature=" + testSignature,
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=content-type, Signature=" + testSignature,
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=host, Signature=" + testSignature,
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;host, Signature=" + strings.ToUpper(testSignature),
		"TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;host, Signature=" + testSignature + "\n",
	} {
		if a, err := parseAuthorization(value); err == nil {
			t.Errorf("%q parsed as %+v", value, a)
		}
	}
}

// FuzzParseAuthorization shows that a header has one meaning: what parses is
// exactly what the parts, put together again, spell.
func FuzzParseAuthorization(f *testing.F) {
	f.Add("TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;host, Signature=" + testSignature)
	f.Add("TC3-HMAC-SHA256 Credential=A/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;;host, Signature=" + testSignature)
	f.Add("TC3-HMAC-SHA256 Credential=A/B/2026-11-21/captcha/tc3_request, SignedHeaders=a;b, Signature=")
	f.Fuzz(func(t *testing.T, value string) {
		a, err := parseAuthorization(value)
		if err != nil {
			return
		}
		again := "TC3-HMAC-SHA256 Credential=" + a.secretID + "/" + a.date + "/" + a.service + "/tc3_request, SignedHeaders=" +
			strings.Join(a.signedHeaders, ";") + ", Signature=" + a.signature
		if again != value {
			t.Fatalf("%q parsed as %q", value, again)
		}
	})
}
