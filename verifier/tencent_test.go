package verifier

import (
	"encoding/base64"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The body and signature that Tencent's Node SDK makes of this proof.
func TestTencentSendsTheCallOfTheVectors(t *testing.T) {
	for _, c := range []struct{ site, url, signature string }{
		{"cn", "https://captcha.tencentcloudapi.com", "e459388782bca68ac19c2b42421a9e650e23252960a2b71bfe7a1b3324fb33b4"},
		{"intl", "https://captcha.intl.tencentcloudapi.com", "a74324f7d75e341b7de305ff5bc033bedb5f9ea964807dcc58a54d6db9513dd3"},
	} {
		v := provisioned(t, &Tencent{Site: c.site, CaptchaAppID: appID, AppSecretKey: appSecret, SecretID: secretID, SecretKey: secretKey})
		v.now = func() time.Time { return time.Unix(1700000000, 0) }
		if v.describe.url() != c.url {
			t.Errorf("the endpoint of %s is %s, want %s", c.site, v.describe.url(), c.url)
		}
		body := v.body(Proof{"tr03EXAMPLE_TICKET-0123456789*", "@Vki"}, testClient)
		if string(body) != captchaBody || len(body) != 167 {
			t.Errorf("the body is %s, want %s", body, captchaBody)
		}
		want := "TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2023-11-14/captcha/tc3_request, SignedHeaders=content-type;host, Signature=" + c.signature
		if got := v.header(body).Get("Authorization"); got != want {
			t.Errorf("%s signed\n%s, want\n%s", c.site, got, want)
		}
	}
}

func TestTencentSignsWhatItSends(t *testing.T) {
	for address, userIP := range map[string]string{"": "127.0.0.1", "203.0.113.7": "203.0.113.7", "2001:db8::7": "2001:db8::7"} {
		endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			seconds, _ := strconv.ParseInt(r.Header.Get("X-TC-Timestamp"), 10, 64)
			signer := &tc3{secretID: secretID, secretKey: secretKey, service: "captcha"}
			headers := []signedHeader{{"content-type", r.Header.Get("Content-Type")}, {"host", r.Host}}
			want := http.Header{
				"Authorization":      {signer.authorization(time.Unix(seconds, 0), r.Method, r.URL.RawQuery, headers, body)},
				"Content-Type":       {"application/json"},
				"X-Tc-Action":        {"DescribeCaptchaResult"},
				"X-Tc-Version":       {"2019-07-22"},
				"X-Tc-Language":      {"en-US"},
				"X-Tc-Requestclient": {"caddycaptcha"},
			}
			for name := range want {
				if got := r.Header.Get(name); got != want.Get(name) {
					t.Errorf("%s is %q, want %q", name, got, want.Get(name))
				}
			}
			call, err := parseObject(body)
			if err != nil || call["UserIp"] != userIP {
				t.Errorf("UserIp is %v, want %s (%v)", call["UserIp"], userIP, err)
			}
			if r.Method != http.MethodPost || r.RequestURI != "/" {
				t.Errorf("%s %s", r.Method, r.RequestURI)
			}
			_, _ = io.WriteString(w, tencentPass)
		})
		verdict := newTencent(t, endpoint, forever).Verify(t.Context(), tencentProof, Client{IP: testAddr(address)})
		expect(t, verdict, Passed, "")
	}
}

func response(members string) string { return `{"Response":{` + members + `,"RequestId":"r"}}` }

func TestTencentAnswers(t *testing.T) {
	judge := newTencent(t, "", 0).judge
	for _, c := range []struct {
		answer string
		result Result
		reason string
	}{
		{tencentPass, Passed, ""},
		{response(`"CaptchaCode":1,"EvilLevel":0`), Passed, ""},
		{response(`"CaptchaCode":1,"EvilLevel":99`), Passed, ""},
		{response(`"CaptchaCode":1,"EvilLevel":0,"Score":100`), Passed, ""},
		{response(`"CaptchaCode":1,"EvilLevel":0,"Score":null`), Passed, ""},
		{response(`"CaptchaCode":1,"EvilLevel":100`), Risky, "evil_level"},
		{response(`"CaptchaCode":1,"EvilLevel":100,"Score":0`), Risky, "evil_level"},
		{response(`"CaptchaCode":7,"EvilLevel":100`), Rejected, "captcha_code_7"},

		// Not judged, as Tencent's SDKs say of answers to the visible captcha.
		{response(`"CaptchaCode":1`), Passed, ""},
		{response(`"CaptchaCode":1,"EvilLevel":null`), Passed, ""},
		{response(`"CaptchaCode":8,"EvilLevel":null`), Expired, "captcha_code_8"},

		{response(`"CaptchaCode":1,"EvilLevel":"0"`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":1,"evilLevel":100`), Unknown, ReasonAnswer}, // to some readers it is there
		{response(`"CaptchaCode":1,"EvilLevel":100.0`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":1,"EvilLevel":false`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":"1","EvilLevel":0`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":1.0,"EvilLevel":0`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":1e0,"EvilLevel":0`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":true,"EvilLevel":0`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":null,"EvilLevel":0`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":[1],"EvilLevel":0`), Unknown, ReasonAnswer},
		{response(`"captchaCode":1,"EvilLevel":0`), Unknown, ReasonAnswer},
		{response(`"EvilLevel":0`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":1,"EvilLevel":0,"Error":null`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":1,"EvilLevel":0,"Error":{}`), Unknown, ReasonAnswer},
		{response(`"CaptchaCode":1,"EvilLevel":0,"Error":{"Code":"AuthFailure","Message":""}`), Unknown, ReasonAnswer},
		{response(`"Error":null`), Unknown, ReasonAnswer},
		{response(`"Error":"AuthFailure"`), Unknown, ReasonAnswer},
		{response(`"Error":{"Message":"AuthFailure"}`), Unknown, ReasonAnswer},
		{response(`"Error":{"Code":9}`), Unknown, ReasonAnswer},
		{`{}`, Unknown, ReasonAnswer},
		{`{"Response":null}`, Unknown, ReasonAnswer},
		{`{"Response":{}}`, Unknown, ReasonAnswer},
		{`{"Response":[{"CaptchaCode":1,"EvilLevel":0}]}`, Unknown, ReasonAnswer},
		{`{"response":{"CaptchaCode":1,"EvilLevel":0}}`, Unknown, ReasonAnswer},
		{`{"CaptchaCode":1,"EvilLevel":0}`, Unknown, ReasonAnswer},
		{`{"response":"1","evil_level":"0","err_msg":"OK"}`, Unknown, ReasonAnswer},
	} {
		expectJudged(t, judge, c.answer, c.result, c.reason)
	}
}

func TestTencentScores(t *testing.T) {
	score := func(limit int) *int { return &limit }
	for _, c := range []struct {
		max    *int
		score  string
		result Result
		reason string
	}{
		{nil, `,"Score":100`, Passed, ""},
		{score(50), `,"Score":49`, Passed, ""},
		{score(50), `,"Score":50`, Passed, ""},
		{score(50), `,"Score":51`, Risky, "score"},
		{score(0), `,"Score":0`, Passed, ""},
		{score(0), `,"Score":1`, Risky, "score"},
		{score(100), `,"Score":100`, Passed, ""},
		{score(100), `,"Score":101`, Unknown, ReasonAnswer},
		{score(50), `,"Score":-1`, Unknown, ReasonAnswer},
		{score(50), ``, Misconfigured, "no_score"},
		{score(50), `,"score":1`, Unknown, ReasonAnswer},
		{score(50), `,"Score":null`, Misconfigured, "no_score"},
		{score(50), `,"Score":"1"`, Unknown, ReasonAnswer},
		{score(50), `,"Score":1.5`, Unknown, ReasonAnswer},
		{score(50), `,"Score":18446744073709551617`, Unknown, ReasonAnswer},
	} {
		v := newTencent(t, "", 0)
		v.MaxScore = c.max
		expectJudged(t, v.judge, response(`"CaptchaCode":1,"EvilLevel":0`+c.score), c.result, c.reason)
		expectJudged(t, v.judge, response(`"CaptchaCode":1,"EvilLevel":100`+c.score), Risky, "evil_level")
		expectJudged(t, v.judge, response(`"CaptchaCode":8,"EvilLevel":0`+c.score), Expired, "captcha_code_8")
	}
}

// Without a Score max_score refuses everybody. The operator has to be told of
// max_score then, and not of a network that works.
func TestTencentSaysThatMaxScoreNeedsAScore(t *testing.T) {
	v := newTencent(t, "", 0)
	v.MaxScore = new(int)
	verdict := judged([]byte(response(`"CaptchaCode":1`)), v.judge)
	expect(t, verdict, Misconfigured, "no_score")
	if !strings.Contains(verdict.Advice, "remove max_score") {
		t.Errorf("the advice is %q", verdict.Advice)
	}
}

func TestTencentScoresAreReported(t *testing.T) {
	v := newTencent(t, "", 0)
	verdict := judged([]byte(tencentPass), v.judge)
	if !verdict.HasScore || verdict.Score != 12 {
		t.Errorf("the score is %d, %v", verdict.Score, verdict.HasScore)
	}
	verdict = judged([]byte(response(`"CaptchaCode":1,"EvilLevel":0,"Score":101`)), v.judge)
	if verdict.HasScore || verdict.Score != 0 {
		t.Errorf("a score of 101 is %d, %v", verdict.Score, verdict.HasScore)
	}
}

func TestTencentCheck(t *testing.T) {
	v := newTencent(t, "", 0)
	for _, c := range []struct {
		name   string
		proof  Proof
		result Result
		reason string
	}{
		{"genuine", tencentProof, Unknown, ""},
		{"shortest ticket", with(tencentProof, 0, long(32)), Unknown, ""},
		{"longest ticket", with(tencentProof, 0, long(1024)), Unknown, ""},
		{"longest randstr", with(tencentProof, 1, long(64)), Unknown, ""},

		// Spellings of Tencent's documents, scripts and plugins.
		{"disaster, 2022", with(tencentProof, 0, "terror_1006_2031483705_1649302812"), Rejected, "offline"},
		{"disaster, no underscore", with(tencentProof, 0, "terror_1001_20314837051649302812"), Rejected, "offline"},
		{"disaster, 2024", with(tencentProof, 0, "trerror_1001_199999164_1733100000"), Rejected, "offline"},
		{"disaster, no id", with(tencentProof, 0, "terror_1001__1649302812"), Rejected, "offline"},
		{"disaster, suffix", with(tencentProof, 0, "trerror_1013_199999164_1733100000_abc"), Rejected, "offline"},
		{"disaster, nothing else", with(tencentProof, 0, "terror_"), Rejected, "offline"},

		{"nil", nil, Malformed, "proof"},
		{"a part too few", tencentProof[:1], Malformed, "proof"},
		{"empty ticket", with(tencentProof, 0, ""), Malformed, "ticket"},
		{"short ticket", with(tencentProof, 0, long(31)), Malformed, "ticket"},
		{"long ticket", with(tencentProof, 0, long(1025)), Malformed, "ticket"},
		{"long disaster ticket", with(tencentProof, 0, "terror_"+long(1018)), Malformed, "ticket"},
		{"ticket with a space", with(tencentProof, 0, long(32)+" "), Malformed, "ticket"},
		{"ticket with a newline", with(tencentProof, 0, long(32)+"\n"), Malformed, "ticket"},
		{"ticket beyond ASCII", with(tencentProof, 0, long(32)+"é"), Malformed, "ticket"},
		{"ticket that is no UTF-8", with(tencentProof, 0, long(32)+"\xff"), Malformed, "ticket"},
		{"empty randstr", with(tencentProof, 1, ""), Malformed, "randstr"},
		{"long randstr", with(tencentProof, 1, long(65)), Malformed, "randstr"},
		{"randstr with a tab", with(tencentProof, 1, "@V\t"), Malformed, "randstr"},
	} {
		t.Run(c.name, func(t *testing.T) {
			verdict := v.Check(c.proof, time.Time{}, 0)
			if verdict.Result != c.result || verdict.Reason != c.reason || verdict.Err != nil {
				t.Errorf("verdict is %+v, want %v %q", verdict, c.result, c.reason)
			}
		})
	}
}

func TestTencentUse(t *testing.T) {
	v := newTencent(t, "", 0)
	ticket := tencentProof[0] // ends in GH*
	if got := v.ReplayKey(tencentProof); got != "tr03EXAMPLETICKET0123456789ABCDEF" {
		t.Errorf("the use is %q", got)
	}
	for name, proof := range map[string]Proof{
		"randstr":            with(tencentProof, 1, "@other"),
		"padding":            with(tencentProof, 0, strings.TrimSuffix(ticket, "*")),
		"more padding":       with(tencentProof, 0, ticket+"**="),
		"the other alphabet": with(tencentProof, 0, strings.NewReplacer("-", "+", "_", "/").Replace(ticket)),
		"spare bits":         with(tencentProof, 0, strings.Replace(ticket, "GH*", "xy*", 1)),
	} {
		if got := v.ReplayKey(proof); got != v.ReplayKey(tencentProof) {
			t.Errorf("another spelling (%s) makes it %q", name, got)
		}
	}
	for name, proof := range map[string]Proof{
		"case":    with(tencentProof, 0, strings.ToLower(ticket)),
		"content": with(tencentProof, 0, strings.Replace(ticket, "0", "1", 1)),
	} {
		if v.ReplayKey(proof) == v.ReplayKey(tencentProof) {
			t.Errorf("another ticket (%s) is the same use", name)
		}
	}
	if got := v.ReplayKey(Proof{strings.Repeat("*", 32), "@"}); got != "" {
		t.Errorf("the use of no letters is %q", got)
	}
}

// However a ticket's bytes are written in base64, and whatever lies between
// the characters, it is one key: the letters and digits but the last two.
// Tickets of other bytes have other keys unless they differ there only. The
// rule has one gap: a last character with bits to spare that is written as "-"
// or "_" in place of a letter or digit makes the key one character shorter.
func TestTencentReplayKeysAreThoseOfTheBytes(t *testing.T) {
	v := newTencent(t, "", 0)
	random := rand.New(rand.NewPCG(1, 2))
	key := func(ticket string) string {
		proof := Proof{ticket, "@" + strconv.Itoa(random.IntN(1000))}
		if verdict := v.Check(proof, time.Time{}, 0); verdict != (Verdict{}) {
			t.Fatalf("the check of %s says %+v", ticket, verdict)
		}
		return v.ReplayKey(proof)
	}
	for range 2000 {
		data := make([]byte, 48+random.IntN(60))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		ticket := base64.RawURLEncoding.EncodeToString(data)
		want := key(ticket)
		letters := regexp.MustCompile(`[^0-9A-Za-z]`).ReplaceAllString(ticket, "")
		if want != letters[:len(letters)-2] {
			t.Fatalf("%s has the key %s", ticket, want)
		}
		spellings := []string{
			base64.URLEncoding.EncodeToString(data), base64.StdEncoding.EncodeToString(data), base64.RawStdEncoding.EncodeToString(data), ticket + "**",
		}
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := len(ticket) - 1
		for i := range len(alphabet) { // in the last character there may be bits to spare
			other := ticket[:last] + alphabet[i:i+1]
			decoded, err := base64.RawURLEncoding.DecodeString(other)
			if err == nil && slices.Equal(decoded, data) {
				spellings = append(spellings, other)
			}
		}
		at := random.IntN(len(ticket))
		spellings = append(spellings, ticket[:at]+"!"+ticket[at:])
		for _, spelling := range spellings {
			bare := strings.TrimRight(spelling, "=*")
			gap := strings.ContainsAny(ticket[last:]+bare[len(bare)-1:], "-_+/")
			if got := key(spelling); got != want && !gap {
				t.Fatalf("%s has the key %s, and %s has %s", ticket, want, spelling, got)
			}
		}
		changed := []byte(ticket)
		at = random.IntN(len(ticket) - 4)
		for changed[at] == ticket[at] {
			changed[at] = "ABab01"[random.IntN(6)]
		}
		if key(string(changed)) == want {
			t.Fatalf("%s and %s have one key", ticket, changed)
		}
	}
}
