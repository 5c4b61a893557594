package simulator

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The requests in this file were recorded from the providers' official clients.

// replay serves a recorded request: its head and body as they were sent, but
// for the Content-Length, which is made to fit.
func replay(t *testing.T, sim *Simulator, head, body string) string {
	t.Helper()
	raw := strings.ReplaceAll(strings.TrimSpace(head), "\n", "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// proveWithSuffix makes the v3 proof of the recorded calls good.
func proveWithSuffix(t *testing.T, sim *Simulator, captcha GeeTestV3) {
	t.Helper()
	const challenge = "9fc95cc48fad4d75f2b24198eccfff1f"
	sim.v3Challenges.add(challenge, v3Challenge{captcha: captcha, issued: sim.now()}, sim.now())
	if _, err := sim.proveV3(captcha, challenge, "a7", SolveOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestCallsOfTheGeeTestV3NodeSDK(t *testing.T) {
	sim, _ := newTestSimulator(t)
	var registered struct{ Challenge string }
	if err := json.Unmarshal([]byte(replay(t, sim, `
GET /register.php?gt=002bc30ff1eef93e912f45814945e752&json_format=1&sdk=Node_2.0.0&client_type=web&ip_address=203.0.113.7 HTTP/1.1
host: 127.0.0.1:18999
accept: application/json
Connection: keep-alive
`, "")), &registered); err != nil || len(registered.Challenge) != 32 {
		t.Fatalf("register: %+v, error %v", registered, err)
	}
	// The challenge that the SDK derived from the origin 0123....
	if got := sim.issueV3(otherV3, "0123456789abcdef0123456789abcdef", ""); got != "9fc95cc48fad4d75f2b24198eccfff1f" {
		t.Fatalf("the challenge is %s", got)
	}
	proveWithSuffix(t, sim, otherV3)
	got := replay(t, sim, `
POST /validate.php HTTP/1.1
host: 127.0.0.1:18999
content-type: application/x-www-form-urlencoded
accept: application/json
Connection: keep-alive
`, "gt=002bc30ff1eef93e912f45814945e752&seccode=2a4e4b15ce2d2ab367cf77c32f466396%7Cjordan&json_format=1")
	if want := `{"seccode":"6b48fee16df0f029869aacdff5cb0cb9"}`; got != want {
		t.Fatalf("validate: got %s, want %s", got, want)
	}
}

func TestCallsOfTheOtherGeeTestV3SDKs(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for name, target := range map[string]string{
		"Go 3.1.0":    "client_type=web&digestmod=md5&gt=c9c4facd1a6feeb80802222cbb74ca8e&ip_address=127.0.0.1&json_format=1&sdk=golang-gin%3A3.1.0&user_id=test",
		"Go classic":  "gt=c9c4facd1a6feeb80802222cbb74ca8e&ip_adress=203.0.113.7&new_captcha=1&user_id=alice",
		"Python":      "gt=c9c4facd1a6feeb80802222cbb74ca8e&user_id=alice&json_format=1&client_type=web&ip_address=203.0.113.7",
		"legacy node": "gt=c9c4facd1a6feeb80802222cbb74ca8e",
	} {
		body := replay(t, sim, "GET /register.php?"+target+" HTTP/1.1\nHost: 127.0.0.1:18998\nUser-Agent: Go-http-client/1.1", "")
		want := 32 // the bare challenge
		if strings.Contains(target, "json_format") {
			want = len(`{"challenge":""}`) + 32
		}
		if len(body) != want {
			t.Errorf("register of %s: %s", name, body)
		}
	}
	const (
		head    = "POST /validate.php HTTP/1.1\nHost: 127.0.0.1:18998\nContent-Type: application/x-www-form-urlencoded"
		seccode = "seccode=c686906dd70987baae0bfe4157ea85a3%7Cjordan"
	)
	want := md5Hex("c686906dd70987baae0bfe4157ea85a3|jordan")
	for name, test := range map[string]struct{ body, want string }{
		"Go 3.1.0":   {"captchaid=c9c4facd1a6feeb80802222cbb74ca8e&challenge=9fc95cc48fad4d75f2b24198eccfff1fa7&client_type=web&ip_address=127.0.0.1&json_format=1&sdk=golang-gin%3A3.1.0&" + seccode + "&user_id=test", `{"seccode":"` + want + `"}`},
		"Go classic": {"captchaid=c9c4facd1a6feeb80802222cbb74ca8e&challenge=9fc95cc48fad4d75f2b24198eccfff1fa7&ip_adress=203.0.113.7&sdk=golang_v1.0.0&" + seccode + "&user_id=alice", want},
		"Python":     {seccode + "&sdk=python_3.0.0&user_id=alice&data=&timestamp=1795237566.682166&challenge=9fc95cc48fad4d75f2b24198eccfff1fa7&userinfo=&json_format=1", `{"seccode":"` + want + `"}`},
		"Java, raw":  {"challenge=9fc95cc48fad4d75f2b24198eccfff1fa7&validate=c686906dd70987baae0bfe4157ea85a3&seccode=c686906dd70987baae0bfe4157ea85a3|jordan&json_format=1", `{"seccode":"` + want + `"}`},
	} {
		sim, _ := newTestSimulator(t)
		proveWithSuffix(t, sim, testV3)
		if got := replay(t, sim, head, test.body); got != test.want {
			t.Errorf("validate of %s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestCallsOfTheGeeTestV4Demos(t *testing.T) {
	const (
		form = "captcha_output=Ab-_9%3D&gen_time=1682136049&lot_number=4dc3cfc2cdff448cad8d13107198d473&pass_token=4b774095664ce55ad3ffe5c73b26af02430119056ec18bd5f25f21301bb19608&sign_token=c99f3aa68104bdcd085f372dc6556a17a5a830a1a3d25125fb0010466977f3d8"
		id   = "captcha_id=647f5ed2ed8acb4be36784e01556bb71"
	)
	for name, call := range map[string][2]string{
		"Go":        {"POST /validate?" + id + " HTTP/1.1\nHost: 127.0.0.1:18996\nContent-Type: application/x-www-form-urlencoded", form},
		"Node":      {"POST /validate?" + id + "&" + form + " HTTP/1.1\nHost: 127.0.0.1:18996", ""},
		"Node, GET": {"GET /validate?" + id + "&" + form + " HTTP/1.1\nHost: 127.0.0.1:18996", ""},
	} {
		sim, _ := newTestSimulator(t)
		if got, want := replay(t, sim, call[0], call[1]), v4FailBody("pass_token error"); got != want {
			t.Errorf("%s, proof unknown: got %s, want %s", name, got, want)
		}
		sim.v4Proofs.add("4dc3cfc2cdff448cad8d13107198d473", v4Proof{
			captchaID:     testV4.CaptchaID,
			captchaOutput: "Ab-_9=",
			passToken:     "4b774095664ce55ad3ffe5c73b26af02430119056ec18bd5f25f21301bb19608",
			genTime:       "1682136049",
			issued:        sim.now(),
		}, sim.now())
		if got := replay(t, sim, call[0], call[1]); !strings.Contains(got, `"result":"success"`) {
			t.Errorf("%s, proof known: got %s", name, got)
		}
	}
}

func TestCallsOfTheTencentSDKs(t *testing.T) {
	for name, call := range map[string]struct {
		at         int64
		head, body string
	}{
		"Go common 1.3.103, host signed with port": {
			1795237325, `
POST / HTTP/1.1
Host: 127.0.0.1:40427
User-Agent: Go-http-client/1.1
Authorization: TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;host, Signature=901b1443f3cc4e4f0b7f121034046a0768d4f6617c24a2f0a7e91e683acbb542
Content-Type: application/json
X-Tc-Action: DescribeCaptchaResult
X-Tc-Language: zh-CN
X-Tc-Requestclient: SDK_GO_1.3.103
X-Tc-Timestamp: 1795237325
X-Tc-Version: 2019-07-22
Accept-Encoding: gzip`,
			`{"AppSecretKey":"APP-SECRET-KEY-VISIBLE","CaptchaAppId":2000000001,"CaptchaType":9,"Randstr":"@Vki","Ticket":"t03TICKET\u003c\u0026\u003e*","UserIp":"203.0.113.7"}`,
		},
		"Node 4.1.313, host signed without port": {
			1795238206, `
POST / HTTP/1.1
X-TC-TraceId: 4db4a295-bfb2-4ab7-93aa-df96433b1f55
Host: captcha.tencentcloudapi.com:42923
X-TC-Action: DescribeCaptchaResult
X-TC-Timestamp: 1795238206
X-TC-Version: 2019-07-22
X-TC-RequestClient: SDK_NODEJS_4.1.313
Content-Type: application/json
Authorization: TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2026-11-21/captcha/tc3_request, SignedHeaders=content-type;host, Signature=d3218dae282b6f96224f9b6b5cba42c1837141008f8e5b24a6190402468815e2
Accept: */*
User-Agent: node-fetch/1.0 (+https://github.com/bitinn/node-fetch)
Accept-Encoding: gzip,deflate
Connection: keep-alive`,
			`{"CaptchaType":9,"Ticket":"t03TICKET<&>*","UserIp":"203.0.113.7","Randstr":"@Vki","CaptchaAppId":2000000001,"AppSecretKey":"APP-SECRET-KEY-VISIBLE"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim, clock := newTestSimulator(t)
			clock.advance(time.Unix(call.at, 0).Sub(clock.now()))
			verdict := func(body string) string {
				var answer tencentAnswer
				if err := json.Unmarshal([]byte(replay(t, sim, call.head, body)), &answer); err != nil {
					t.Fatal(err)
				}
				return answer.verdict()
			}
			if got := verdict(call.body); got != "15" {
				t.Fatalf("ticket unknown: got %s", got)
			}
			sim.tickets.add("t03TICKET<&>*", ticket{captchaAppID: testTencent.CaptchaAppID, randstr: "@Vki", issued: sim.now()}, sim.now())
			if got := verdict(call.body); got != "1" {
				t.Fatalf("ticket known: got %s", got)
			}
			if got := verdict(strings.Replace(call.body, "203.0.113.7", "203.0.113.8", 1)); got != "AuthFailure.SignatureFailure" {
				t.Fatalf("body changed: got %s", got)
			}
		})
	}
}
