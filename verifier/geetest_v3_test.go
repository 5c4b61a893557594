package verifier

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Challenges, and what GeeTest's SDKs make of them with v3Key.
var v3Vectors = []struct{ challenge, validate, answer string }{
	{"fa7025c83249ab263bc1f11f11ae21a5", "607aec6f62e2dda50ae517d10b57e091", "0fd85180f47eeb5ec664af64e7951516"},
	{"fa7025c83249ab263bc1f11f11ae21a5a7", "f62da4225c52b76f088bf5b6e91252ae", "c6d0002491cee7bd0d495162b9a47cb7"},
	{"1a76d9da01e21b0178824dbed1425ecaiy", "dd72ba103a2c9960354e78535d7749d1", "af243d4eef2b3449eb76c52de40d0b5e"},
}

func v3(challenge, validate string) Proof {
	return Proof{challenge, validate, validate + seccodeSuffix}
}

func TestGeetestV3AgreesWithTheOfficialSDKs(t *testing.T) {
	v := newV3(t, "", 0)
	for i, c := range v3Vectors {
		proof := v3(c.challenge, c.validate)
		if verdict := v.Check(proof, time.Time{}, 0); verdict != (Verdict{}) {
			t.Errorf("vector %d is %+v", i, verdict)
		}
		expect(t, judgeGeetestV3(object{"seccode": c.answer}, proof[2]), Passed, "")
		other := v3Vectors[(i+1)%len(v3Vectors)]
		expect(t, v.Check(v3(c.challenge, other.validate), time.Time{}, 0), Rejected, "relation")
		expect(t, judgeGeetestV3(object{"seccode": other.answer}, proof[2]), Rejected, "seccode_other")
	}
}

// All that two official SDKs sent for a proof, but for their version, and for
// user_id, which is optional and which nobody here knows.
func TestGeetestV3SendsWhatTheOfficialSDKsSend(t *testing.T) {
	node := "gt=c9c4facd1a6feeb80802222cbb74ca8e&seccode=c686906dd70987baae0bfe4157ea85a3%7Cjordan&json_format=1"
	golang := "captchaid=c9c4facd1a6feeb80802222cbb74ca8e&challenge=9fc95cc48fad4d75f2b24198eccfff1fa7&client_type=web&ip_address=127.0.0.1&json_format=1&seccode=c686906dd70987baae0bfe4157ea85a3%7Cjordan"
	ours := golang + "&gt=c9c4facd1a6feeb80802222cbb74ca8e&sdk=caddycaptcha"
	client := Client{IP: testAddr("127.0.0.1"), Type: "web"}
	endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.RequestURI != "/validate.php" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("%s %s, %s", r.Method, r.RequestURI, r.Header.Get("Content-Type"))
		}
		body, _ := io.ReadAll(r.Body)
		sent, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		for _, official := range []string{node, golang, ours} {
			want, _ := url.ParseQuery(official)
			for name := range want {
				if len(sent[name]) != 1 || sent.Get(name) != want.Get(name) {
					t.Errorf("%s is %q, want %q", name, sent[name], want[name])
				}
			}
			if official == ours && len(sent) != len(want) {
				t.Errorf("%d fields were sent, want %d", len(sent), len(want))
			}
		}
		_, _ = io.WriteString(w, `{"seccode":"`+md5Hex(sent.Get("seccode"))+`"}`)
	})
	proof := v3("9fc95cc48fad4d75f2b24198eccfff1fa7", "c686906dd70987baae0bfe4157ea85a3")
	expect(t, newV3(t, endpoint, forever).Verify(t.Context(), proof, client), Passed, "")
	if got := newV3(t, "", 0).validate.url(); got != "https://api.geetest.com/validate.php" {
		t.Errorf("the default URL is %s", got)
	}
}

func TestGeetestV3SendsTheAddressOfTheClient(t *testing.T) {
	for address, want := range map[string]string{
		"":            "unknown",
		"203.0.113.7": "203.0.113.7",
		"2001:db8::7": "2001:db8::7",
	} {
		endpoint := serving(t, func(_ http.ResponseWriter, r *http.Request) {
			if got := r.PostFormValue("ip_address"); got != want {
				t.Errorf("ip_address is %q, want %q", got, want)
			}
			if got := r.PostFormValue("client_type"); got != "h5" {
				t.Errorf("client_type is %q", got)
			}
		})
		newV3(t, endpoint, forever).Verify(t.Context(), v3Proof, Client{IP: testAddr(address), Type: "h5"})
	}
}

func judgeV3(answer object) Verdict { return judgeGeetestV3(answer, v3Proof[2]) }

func TestGeetestV3Answers(t *testing.T) {
	for _, c := range []struct {
		answer string
		result Result
		reason string
	}{
		{v3Pass, Passed, ""},
		{`{"seccode":"c6d0002491cee7bd0d495162b9a47cb7","status":"success","more":1}`, Passed, ""},
		{`{"seccode":"false"}`, Rejected, "seccode_false"},
		{`{"seccode":""}`, Rejected, "seccode_other"},
		{`{"seccode":"anything-at-all"}`, Rejected, "seccode_other"},
		{`{"seccode":"C6D0002491CEE7BD0D495162B9A47CB7"}`, Rejected, "seccode_other"},
		{`{"seccode":"c6d0002491cee7bd0d495162b9a47cb7 "}`, Rejected, "seccode_other"},
		{`{"seccode":"f62da4225c52b76f088bf5b6e91252ae|jordan"}`, Rejected, "seccode_other"},
		{`{"status":"fail"}`, Rejected, "status_fail"},
		{`{"status":"fail","seccode":"c6d0002491cee7bd0d495162b9a47cb7"}`, Rejected, "status_fail"},

		{`{}`, Unknown, ReasonAnswer},
		{`{"status":"success"}`, Unknown, ReasonAnswer},
		{`{"status":true}`, Unknown, ReasonAnswer},
		{`{"seccode":false}`, Unknown, ReasonAnswer},
		{`{"seccode":true}`, Unknown, ReasonAnswer},
		{`{"seccode":null}`, Unknown, ReasonAnswer},
		{`{"seccode":0}`, Unknown, ReasonAnswer},
		{`{"seccode":["c6d0002491cee7bd0d495162b9a47cb7"]}`, Unknown, ReasonAnswer},
		{`{"seccode":{}}`, Unknown, ReasonAnswer},
		{`{"Seccode":"c6d0002491cee7bd0d495162b9a47cb7"}`, Unknown, ReasonAnswer},
		{`{"challenge":"c6d0002491cee7bd0d495162b9a47cb7"}`, Unknown, ReasonAnswer},
	} {
		expectJudged(t, judgeV3, c.answer, c.result, c.reason)
	}
}

func TestGeetestV3Check(t *testing.T) {
	challenge, validate := v3Proof[0], v3Proof[1]
	relation := func(challenge string) Proof { return v3(challenge, md5Hex(v3Key+"geetest"+challenge)) }
	for _, c := range []struct {
		name   string
		proof  Proof
		result Result
		reason string
	}{
		{"genuine, slide", v3Proof, Unknown, ""},
		{"genuine, 32", relation(challenge[:32]), Unknown, ""},
		{"another validate", v3(challenge, strings.Repeat("a", 32)), Rejected, "relation"},
		{"another challenge", v3(challenge[:33]+"8", validate), Rejected, "relation"},

		// What the widgets make offline, from the challenges of the official
		// SDKs' own failback too.
		{"validate is the challenge", v3(challenge, challenge), Rejected, "offline"},
		{"validate is a challenge of 32", v3(long(31)+"z", long(31)+"z"), Rejected, "offline"},
		{"validate is its md5", v3(challenge, md5Hex(challenge)), Rejected, "offline"},
		{"classic, 0 and 1", v3("cfcd208495d565ef66e7dff9f98764dac4", "fdb24d93b1fdd81caf96513a003d5a03"), Rejected, "offline"},
		{"classic, 99 and 90", v3("ac627ab1ccbdb62ec96e702f07f6425b86", "2c2be3b39a5e0ecc4270ba4d7584bd4e"), Rejected, "offline"},
		{"md5 of nothing", v3("d41d8cd98f00b204e9800998ecf8427e", "74be16979710d4c4e7c6647856088456"), Rejected, "offline"},
		{"three words", v3("8f14e45fceea167a5a36dedd4bea2543ec", "eeeeeeeeeeeeee4_eeeeeeeeee44_eeeeeeeeeeee4441ff"), Rejected, "offline"},

		{"nil", nil, Malformed, "proof"},
		{"a part too few", v3Proof[:2], Malformed, "proof"},
		{"empty challenge", with(v3Proof, 0, ""), Malformed, "geetest_challenge"},
		{"challenge of 31", relation(challenge[:31]), Malformed, "geetest_challenge"},
		{"challenge of 33", relation(challenge[:33]), Malformed, "geetest_challenge"},
		{"challenge of 35", relation(challenge + "0"), Malformed, "geetest_challenge"},
		{"challenge of 64", relation(long(64)), Malformed, "geetest_challenge"},
		{"challenge of 66", relation(long(66)), Malformed, "geetest_challenge"},
		{"challenge in upper case", relation(strings.ToUpper(challenge)), Malformed, "geetest_challenge"},
		{"challenge with a newline", relation(challenge[:33] + "\n"), Malformed, "geetest_challenge"},
		{"empty validate", with(v3Proof, 1, ""), Malformed, "geetest_validate"},
		{"validate of 31", v3(challenge, validate[:31]), Malformed, "geetest_validate"},
		{"validate of 33", v3(challenge, validate+"a"), Malformed, "geetest_validate"},
		{"validate not hexadecimal", v3(challenge, validate[:31]+"g"), Malformed, "geetest_validate"},
		{"validate in upper case", v3(challenge, strings.ToUpper(validate)), Malformed, "geetest_validate"},
		{"validate of two words", v3(challenge, long(20)+"_"+long(20)), Malformed, "geetest_validate"},
		{"validate of four words", v3(challenge, "a_b_c_d"), Malformed, "geetest_validate"},
		{"empty seccode", with(v3Proof, 2, ""), Malformed, "geetest_seccode"},
		{"seccode alone", with(v3Proof, 2, validate), Malformed, "geetest_seccode"},
		{"seccode of another", with(v3Proof, 2, "a"+v3Proof[2][1:]), Malformed, "geetest_seccode"},
		{"seccode of another word", with(v3Proof, 2, validate+"|jordam"), Malformed, "geetest_seccode"},
		{"seccode with more", with(v3Proof, 2, v3Proof[2]+"x"), Malformed, "geetest_seccode"},
		{"seccode with a newline", with(v3Proof, 2, v3Proof[2]+"\n"), Malformed, "geetest_seccode"},
		{"offline without the word", with(v3(challenge, challenge), 2, challenge), Malformed, "geetest_seccode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			verdict := newV3(t, "", 0).Check(c.proof, time.Time{}, 0)
			if verdict.Result != c.result || verdict.Reason != c.reason || verdict.Err != nil {
				t.Errorf("verdict is %+v, want %v %q", verdict, c.result, c.reason)
			}
		})
	}
}

func TestGeetestV3ChecksTheRelationWithMD5Only(t *testing.T) {
	for _, digest := range []string{"sha256", "hmac-sha256"} {
		v := provisioned(t, &GeetestV3{CaptchaID: v3ID, CaptchaKey: v3Key, Digest: digest})
		for _, length := range []int{32, 34, 64, 66} {
			if verdict := v.Check(v3(long(length), md5Hex("x")), time.Time{}, 0); verdict != (Verdict{}) {
				t.Errorf("%s, challenge of %d: %+v", digest, length, verdict)
			}
			expect(t, v.Check(v3(long(length), long(length)), time.Time{}, 0), Rejected, "offline")
		}
		for _, length := range []int{31, 33, 48, 63, 65, 67} {
			expect(t, v.Check(v3(long(length), md5Hex("x")), time.Time{}, 0), Malformed, "geetest_challenge")
		}
	}
}

func TestGeetestV3Use(t *testing.T) {
	v := newV3(t, "", 0)
	if got := v.ReplayKey(Proof{"other", v3Proof[1], "other"}); got != v.ReplayKey(v3Proof) {
		t.Errorf("another challenge and seccode make it %q", got)
	}
	if v.ReplayKey(with(v3Proof, 1, "x")) == v.ReplayKey(v3Proof) {
		t.Error("another validate is the same use")
	}
}
