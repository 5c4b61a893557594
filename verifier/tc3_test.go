package verifier

import (
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	tencentcommon "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tencenthttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

// tc3Vector is a signature that Tencent published, or that one of its official
// SDKs made. Of hashed and key, those that are not empty are checked too.
type tc3Vector struct {
	name               string
	id, secret         string
	service            string
	at                 int64
	method, query      string
	contentType, host  string
	action             string // signed too unless empty
	body               string
	hashed, key, wants string
}

const (
	cvmHost    = "cvm.tencentcloudapi.com"
	cvmBody    = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	jsonUTF8   = "application/json; charset=utf-8"
	docsID     = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"
	docsSecret = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"

	captchaHost     = "captcha.tencentcloudapi.com"
	captchaIntlHost = "captcha.intl.tencentcloudapi.com"
	captchaBody     = `{"CaptchaType":9,"Ticket":"tr03EXAMPLE_TICKET-0123456789*","UserIp":"203.0.113.7","Randstr":"@Vki","CaptchaAppId":199999164,"AppSecretKey":"E4kwK9AcXQMHkktiItyMEyQPn"}`
	captchaHashed   = "89f6d7ec6b8a8b596f547fd4946be76239dae516e9118f58f4ec7f4dc1dbe42c"
	intlHashed      = "67aa119a2d28b39db6482ee0672e7b65075a7067777ee6bb1ff869ed8b09a563"
	captchaKey14    = "6fbc8b167890d17486778284e5b688dcaa38f8409324a54120cfc785b8a09649" // 2023-11-14
	captchaKey15    = "009fe67e41539f3b4b008898fff25c6d2c6436e3d27f06fdea37ca69b55c2e2c"

	capturedGo   = `{"AppSecretKey":"APP-SECRET-KEY-VISIBLE","CaptchaAppId":2000000001,"CaptchaType":9,"Randstr":"@Vki","Ticket":"t03TICKET\u003c\u0026\u003e*","UserIp":"203.0.113.7"}`
	capturedNode = `{"CaptchaType":9,"Ticket":"t03TICKET<&>*","UserIp":"203.0.113.7","Randstr":"@Vki","CaptchaAppId":2000000001,"AppSecretKey":"APP-SECRET-KEY-VISIBLE"}`
)

var tc3Vectors = []tc3Vector{
	{
		"docs", "AKID" + strings.Repeat("*", 32), strings.Repeat("*", 32), "cvm", 1551113065, "POST", "", jsonUTF8, cvmHost, "DescribeInstances", cvmBody,
		"7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84", "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af", "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
	},
	{
		"older docs", docsID, docsSecret, "cvm", 1551113065, "POST", "", jsonUTF8, cvmHost, "", cvmBody,
		"5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031", "ac658d5dde49e9bfdd14e04e062f66b05d9f637d44b8a8d845327d4a77f666b1", "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
	},
	{
		"sample code", docsID, "Gu5t9xGARNpq86cd98joQYCN3*******", "cvm", 1551113065, "POST", "", jsonUTF8, cvmHost, "DescribeInstances", cvmBody,
		"", "", "be4f67d323c78ab9acb7395e43c0dbcf822a9cfac32fea2449a7bc7726b770a3",
	},
	{
		"GET of the oldest docs", docsID, docsSecret, "cvm", 1539084154, "GET", "Limit=10&Offset=0", "application/x-www-form-urlencoded", cvmHost, "", "",
		"91c9c192c14460df6c1ffc69e34e6c5e90708de2a6d282cccf957dbf1aa7f3a7", "", "5da7a33f6993f0614b047e5df4582db9e9bf4672ba50567dba16c6ccf174c474",
	},
	{
		"test of the Node SDK", "test-secret-id", "test-secret-key", "cvm", 1640995200, "POST", "", "application/json", cvmHost, "", `{"Action":"DescribeInstances","Version":"2017-03-12"}`,
		"", "", "96473b50fe407833672a5d6d067238d88bb44c8abcc39ef83baa3132afbfadd3",
	},
	captchaVector("cn", captchaHost, 1700000000, "application/json", captchaHashed, captchaKey14, "e459388782bca68ac19c2b42421a9e650e23252960a2b71bfe7a1b3324fb33b4"),
	captchaVector("cn, charset", captchaHost, 1700000000, jsonUTF8, "", captchaKey14, "8358e083cb53d85b08b78c637c4e18f99647db299b434b90bf30abf04f5700d3"),
	captchaVector("cn, last second of a day", captchaHost, 1700006399, "application/json", captchaHashed, captchaKey14, "16a68f6df4b3c073248d0e1c34fed00cae6af5223db5994cfd2ca2da6366c700"),
	captchaVector("cn, first second of a day", captchaHost, 1700006400, "application/json", captchaHashed, captchaKey15, "4410e50c26143ee998dcca888789c00122b89f38087b5fb3b67df3cd4232a182"),
	captchaVector("intl", captchaIntlHost, 1700000000, "application/json", intlHashed, captchaKey14, "a74324f7d75e341b7de305ff5bc033bedb5f9ea964807dcc58a54d6db9513dd3"),
	captchaVector("intl, charset", captchaIntlHost, 1700000000, jsonUTF8, "", captchaKey14, "1af4849a851d8975929c46b51f54bd878000885192afd1ecfc5b3c907ec2033b"),
	captchaVector("intl, last second of a day", captchaIntlHost, 1700006399, "application/json", intlHashed, captchaKey14, "7d2712710d4ad4af47e1e28642526f107eaa83923c96351b321aaeecb044a175"),
	captchaVector("intl, first second of a day", captchaIntlHost, 1700006400, "application/json", intlHashed, captchaKey15, "1e50098088e7f95ce252d251937920b10c12d10365fefff44f22b310b20dd8b8"),
	{
		"call of the Go SDK", secretID, secretKey, "captcha", 1795237325, "POST", "", "application/json", "127.0.0.1:40427", "", capturedGo,
		"", "", "901b1443f3cc4e4f0b7f121034046a0768d4f6617c24a2f0a7e91e683acbb542",
	},
	{
		"call of the Node SDK", secretID, secretKey, "captcha", 1795238206, "POST", "", "application/json", captchaHost, "", capturedNode,
		"", "", "d3218dae282b6f96224f9b6b5cba42c1837141008f8e5b24a6190402468815e2",
	},
}

func captchaVector(name, host string, at int64, contentType, hashed, key, signature string) tc3Vector {
	return tc3Vector{name, secretID, secretKey, "captcha", at, "POST", "", contentType, host, "", captchaBody, hashed, key, signature}
}

func (v tc3Vector) headers() []signedHeader {
	headers := []signedHeader{{"content-type", v.contentType}, {"host", v.host}}
	if v.action != "" {
		headers = append(headers, signedHeader{"x-tc-action", v.action})
	}
	return headers
}

func TestTC3SignsAsTencentDoes(t *testing.T) {
	for _, v := range tc3Vectors {
		t.Run(v.name, func(t *testing.T) {
			at := time.Unix(v.at, 0)
			signer := &tc3{secretID: v.id, secretKey: v.secret, service: v.service}
			canonical, names := tc3Request(v.method, v.query, v.headers(), []byte(v.body))
			if got := hexSHA256([]byte(canonical)); v.hashed != "" && got != v.hashed {
				t.Errorf("the canonical request's digest is %s, want %s:\n%s", got, v.hashed, canonical)
			}
			date := at.UTC().Format(time.DateOnly)
			if got := hex.EncodeToString(signer.signingKey(date)); v.key != "" && got != v.key {
				t.Errorf("the signing key is %s, want %s", got, v.key)
			}
			want := "TC3-HMAC-SHA256 Credential=" + v.id + "/" + date + "/" + v.service + "/tc3_request, SignedHeaders=" + names + ", Signature=" + v.wants
			// Neither the time zone nor a key of another day makes a difference.
			signer.signingKey("2000-01-01")
			for _, zone := range []*time.Location{time.UTC, time.FixedZone("UTC+8", 8*3600), time.FixedZone("UTC-11", -11*3600)} {
				if got := signer.authorization(at.In(zone), v.method, v.query, v.headers(), []byte(v.body)); got != want {
					t.Errorf("in %s signed\n%s, want\n%s", zone, got, want)
				}
			}
		})
	}
}

func TestTC3KeysOfTheDayAreSharedSafely(t *testing.T) {
	signer := &tc3{secretID: secretID, secretKey: secretKey, service: "captcha"}
	var calls sync.WaitGroup
	for i := range 64 {
		date, want := "2023-11-14", captchaKey14
		if i%2 == 0 {
			date, want = "2023-11-15", captchaKey15
		}
		calls.Go(func() {
			for range 100 {
				if got := hex.EncodeToString(signer.signingKey(date)); got != want {
					t.Errorf("the key of %s is %s", date, got)
				}
			}
		})
	}
	calls.Wait()
}

// Tencent's official client calls a server here; what we would have sent in
// its place carries the same signature and headers.
func TestTencentSendsWhatTheOfficialClientSends(t *testing.T) {
	official := make(chan *http.Request, 1)
	var officialBody []byte
	endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
		officialBody, _ = io.ReadAll(r.Body)
		official <- r
		_, _ = io.WriteString(w, tencentPass)
	})
	clientProfile := profile.NewClientProfile()
	clientProfile.Language = "en-US"
	clientProfile.HttpProfile.Scheme = "HTTP"
	clientProfile.HttpProfile.Endpoint = strings.TrimPrefix(endpoint, "http://")
	call := tencenthttp.NewCommonRequest("captcha", "2019-07-22", "DescribeCaptchaResult")
	if err := call.SetActionParameters(map[string]any{
		"CaptchaType": 9, "Ticket": tencentProof[0], "UserIp": testClient.IP.String(), "Randstr": tencentProof[1],
		"CaptchaAppId": 199999164, "AppSecretKey": appSecret,
	}); err != nil {
		t.Fatal(err)
	}
	credential := tencentcommon.NewCredential(secretID, secretKey)
	if err := tencentcommon.NewCommonClient(credential, "", clientProfile).Send(call, tencenthttp.NewCommonResponse()); err != nil {
		t.Fatal(err)
	}
	theirs := <-official

	v := newTencent(t, endpoint, forever)
	timestamp, err := strconv.ParseInt(theirs.Header.Get("X-TC-Timestamp"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	v.now = func() time.Time { return time.Unix(timestamp, 0) }
	ours := v.header(officialBody)
	for _, name := range []string{"Authorization", "Content-Type", "X-TC-Action", "X-TC-Version", "X-TC-Timestamp", "X-TC-Language"} {
		if ours.Get(name) != theirs.Header.Get(name) {
			t.Errorf("%s is %q, the official client sends %q", name, ours.Get(name), theirs.Header.Get(name))
		}
	}
	wantBody, err := parseObject(officialBody)
	if err != nil {
		t.Fatal(err)
	}
	body, err := parseObject(v.body(tencentProof, testClient))
	if err != nil || len(body) != len(wantBody) {
		t.Fatalf("the body has %d members, theirs %d (%v)", len(body), len(wantBody), err)
	}
	for name := range wantBody {
		if body[name] != wantBody[name] {
			t.Errorf("%s is %v, the official client sends %v", name, body[name], wantBody[name])
		}
	}
}

// BenchmarkTC3 signs a call with the key of the day at hand, as all calls but
// the first of a day do. More than 5 µs would be felt at 1000 calls a second.
func BenchmarkTC3(b *testing.B) {
	signer := &tc3{secretID: secretID, secretKey: secretKey, service: "captcha"}
	headers := []signedHeader{{"content-type", "application/json"}, {"host", captchaHost}}
	body, now := []byte(captchaBody), time.Unix(1700000000, 0)
	b.ReportAllocs()
	for b.Loop() {
		signer.authorization(now, "POST", "", headers, body)
	}
}
