package verifier

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestGeetestV4SignsAsGeetestDoes(t *testing.T) {
	for lotNumber, want := range map[string]string{
		"4dc3cfc2cdff448cad8d13107198d473": "c99f3aa68104bdcd085f372dc6556a17a5a830a1a3d25125fb0010466977f3d8",
		"c4c69a52999045aea1d34b57f1ef29f2": "142733d93745d0fa2538afe1b91f35b06e8011941c052dba337ffe0cd0e024b1",
		"":                                 "b8bb62f461a0cdf43d654740132898c1592d62c0739544030dcae4b0eb68a1ee",
		"test_lot_number":                  "0077fcda7586a17f3c9da521b44551e0b8b763efd8376ab91276892be10bb219",
	} {
		if got := signToken(v4Key, lotNumber); got != want {
			t.Errorf("sign_token of %q is %s, want %s", lotNumber, got, want)
		}
	}
	// RFC 4231, test case 2.
	if got := signToken("Jefe", "what do ya want for nothing?"); got != "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" {
		t.Errorf("HMAC-SHA256 is %s", got)
	}
}

// The request line, content type and body are those that GeeTest's Go demo
// sent for this proof and captcha, byte for byte.
func TestGeetestV4SendsWhatTheOfficialDemoSends(t *testing.T) {
	endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, got := range [][2]string{
			{r.Method + " " + r.RequestURI, "POST /validate?captcha_id=647f5ed2ed8acb4be36784e01556bb71"},
			{r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"},
			{strconv.FormatInt(r.ContentLength, 10), "239"},
			{string(body), "captcha_output=Ab-_9%3D&gen_time=1682136049&lot_number=4dc3cfc2cdff448cad8d13107198d473&pass_token=4b774095664ce55ad3ffe5c73b26af02430119056ec18bd5f25f21301bb19608&sign_token=c99f3aa68104bdcd085f372dc6556a17a5a830a1a3d25125fb0010466977f3d8"},
		} {
			if got[0] != got[1] {
				t.Errorf("sent %q, want %q", got[0], got[1])
			}
		}
		_, _ = io.WriteString(w, v4Pass)
	})
	// An endpoint may have a path.
	expect(t, newV4(t, endpoint+"/", forever).Verify(t.Context(), v4Proof, Client{}), Passed, "")
	if got := newV4(t, endpoint+"/a/b/", 0).validate.url(); got != endpoint+"/a/b/validate?captcha_id="+v4ID {
		t.Errorf("the URL is %s", got)
	}
	if got := newV4(t, "", 0).validate.url(); got != "https://gcaptcha4.geetest.com/validate?captcha_id="+v4ID {
		t.Errorf("the default URL is %s", got)
	}
}

func judgeV4(answer object) Verdict { return judgeGeetestV4(answer, v4Proof[0]) }

func TestGeetestV4Answers(t *testing.T) {
	for _, c := range []struct {
		answer string
		result Result
		reason string
	}{
		{v4Pass, Passed, ""},
		{`{"result":"success"}`, Passed, ""},
		{`{"status":"success","result":"success"}`, Passed, ""},
		{`{"result":"success","reason":"","captcha_args":{}}`, Passed, ""},
		{`{"result":"success","captcha_args":{"lot_number":"4dc3cfc2cdff448cad8d13107198d473"},"new":[1]}`, Passed, ""},
		{`{"result":"success","captcha_args":{"lot_number":"4dc3cfc2cdff448cad8d13107198d474"}}`, Rejected, "lot_number"},
		{`{"result":"success","captcha_args":{"lot_number":"4DC3CFC2CDFF448CAD8D13107198D473"}}`, Rejected, "lot_number"},
		{`{"result":"success","captcha_args":{"lot_number":""}}`, Rejected, "lot_number"},

		{`{"status":"success","result":"fail","reason":"pass_token expire","captcha_args":{}}`, Expired, "pass_token_expire"},
		{`{"result":"fail","reason":"pass_token expire"}`, Expired, "pass_token_expire"},
		{`{"status":"success","result":"fail","reason":"pass_token error"}`, Rejected, "pass_token_error"},
		{`{"status":"success","result":"fail","reason":"sign_token error"}`, Misconfigured, "sign_token_error"},
		{`{"status":"success","result":"fail","reason":"lot_number error"}`, Rejected, "reason_other"},
		{`{"status":"success","result":"fail","reason":"PASS_TOKEN EXPIRE"}`, Rejected, "reason_other"},
		{`{"status":"success","result":"fail","reason":""}`, Rejected, "reason_other"},
		{`{"status":"success","result":"fail"}`, Rejected, "reason_other"},
		{`{"result":"fail","captcha_args":null}`, Rejected, "reason_other"},
		{`{"status":"success","result":"fail","reason":null}`, Unknown, ReasonAnswer},

		{`{"status":"error","code":"-50005","msg":"illegal gen_time","desc":{"type":"defined error"}}`, Rejected, "code_50005"},
		{`{"status":"error","code":"50005"}`, Rejected, "code_50005"},
		{`{"status":"error","code":-50005}`, Rejected, "code_50005"},
		{`{"status":"error","code":50005}`, Rejected, "code_50005"},
		{`{"status":"error","code":"-50005","result":"success"}`, Rejected, "code_50005"},
		{`{"status":"error","code":"--50005"}`, Rejected, "code_other"},
		{`{"status":"error","code":"-99999"}`, Rejected, "code_other"},
		{`{"status":"error","code":-50005.0}`, Rejected, "code_other"},
		{`{"status":"error","code":""}`, Rejected, "code_other"},
		{`{"status":"error","code":null}`, Unknown, ReasonAnswer},
		{`{"status":"error","code":["-50005"]}`, Unknown, ReasonAnswer},
		{`{"status":"error"}`, Unknown, ReasonAnswer},
		{`{"status":"error","result":"success"}`, Unknown, ReasonAnswer},

		{`{}`, Unknown, ReasonAnswer},
		{`{"status":"success"}`, Unknown, ReasonAnswer},
		{`{"status":"Success","result":"success"}`, Unknown, ReasonAnswer},
		{`{"status":"","result":"success"}`, Unknown, ReasonAnswer},
		{`{"status":null,"result":"success"}`, Unknown, ReasonAnswer},
		{`{"status":true,"result":"success"}`, Unknown, ReasonAnswer},
		{`{"status":["success"],"result":"success"}`, Unknown, ReasonAnswer},
		{`{"status":{},"result":{}}`, Unknown, ReasonAnswer},
		{`{"status":"success","result":"SUCCESS"}`, Unknown, ReasonAnswer},
		{`{"status":"success","result":"success "}`, Unknown, ReasonAnswer},
		{`{"status":"success","result":true}`, Unknown, ReasonAnswer},
		{`{"status":"success","result":1}`, Unknown, ReasonAnswer},
		{`{"status":"success","Result":"success"}`, Unknown, ReasonAnswer},
		{`{"data":{"status":"success","result":"success"}}`, Unknown, ReasonAnswer},
		{`{"result":"success","Status":"error"}`, Unknown, ReasonAnswer},
		{`{"result":"success","Reason":"x"}`, Unknown, ReasonAnswer},
		{`{"result":"success","Captcha_Args":{}}`, Unknown, ReasonAnswer},
		{`{"result":"success","captcha_args":{"LOT_NUMBER":"4dc3cfc2cdff448cad8d13107198d474"}}`, Unknown, ReasonAnswer},
		{`{"result":"success","captcha_args":null}`, Unknown, ReasonAnswer},
		{`{"result":"success","captcha_args":[]}`, Unknown, ReasonAnswer},
		{`{"result":"success","captcha_args":"{}"}`, Unknown, ReasonAnswer},
		{`{"result":"success","captcha_args":{"lot_number":null}}`, Unknown, ReasonAnswer},
		{`{"result":"success","captcha_args":{"lot_number":1}}`, Unknown, ReasonAnswer},
		{`{"result":"success","reason":null}`, Unknown, ReasonAnswer},
	} {
		expectJudged(t, judgeV4, c.answer, c.result, c.reason)
	}
}

func TestGeetestV4Codes(t *testing.T) {
	want := map[int]Result{
		50000: Unknown,
		50001: Rejected, 50002: Rejected, 50003: Replayed, 50004: Rejected, 50005: Rejected,
		50101: Misconfigured, 50102: Misconfigured, 50103: Misconfigured, 50104: Misconfigured, 50105: Misconfigured,
		50301: Rejected, 50302: Rejected, 50303: Rejected, 50304: Rejected,
		50305: Expired, 50306: Rejected, 50307: Rejected, 50308: Rejected,
	}
	for code := 49999; code < 50400; code++ {
		digits := strconv.Itoa(code)
		result, known := want[code]
		reason := "code_" + digits
		switch {
		case !known:
			result, reason = Rejected, "code_other"
		case result == Unknown:
			reason = ReasonService
		}
		for _, spelling := range []string{digits, "-" + digits, `"` + digits + `"`, `"-` + digits + `"`} {
			verdict := judged([]byte(`{"status":"error","code":`+spelling+`,"msg":"x"}`), judgeV4)
			expect(t, verdict, result, reason)
			if verdict.Result == Misconfigured && !strings.Contains(verdict.Advice, "captcha_id") {
				t.Errorf("the advice on %s does not name captcha_id: %s", digits, verdict.Advice)
			}
		}
	}
	verdict := judged([]byte(`{"result":"fail","reason":"sign_token error"}`), judgeV4)
	if !strings.Contains(verdict.Advice, "captcha_key") {
		t.Errorf("the advice on a refused signature does not name captcha_key: %s", verdict.Advice)
	}
}

func TestGeetestV4Check(t *testing.T) {
	v := newV4(t, "", 0)
	for _, c := range []struct {
		name   string
		proof  Proof
		result Result
		reason string
	}{
		{"genuine", v4Proof, Unknown, ""},
		{"shortest lot_number", with(v4Proof, 0, long(16)), Unknown, ""},
		{"longest lot_number", with(v4Proof, 0, long(62)+"-_"), Unknown, ""},
		{"upper-case lot_number", with(v4Proof, 0, strings.ToUpper(v4Proof[0])), Unknown, ""},
		{"longest captcha_output", with(v4Proof, 1, long(4096)), Unknown, ""},
		{"longest pass_token", with(v4Proof, 2, long(256)), Unknown, ""},

		{"nil", nil, Malformed, "proof"},
		{"a part too few", v4Proof[:3], Malformed, "proof"},
		{"a part too many", append(with(v4Proof, 0, v4Proof[0]), "x"), Malformed, "proof"},
		{"empty lot_number", with(v4Proof, 0, ""), Malformed, "lot_number"},
		{"short lot_number", with(v4Proof, 0, long(15)), Malformed, "lot_number"},
		{"long lot_number", with(v4Proof, 0, long(65)), Malformed, "lot_number"},
		{"lot_number with a newline", with(v4Proof, 0, v4Proof[0]+"\n"), Malformed, "lot_number"},
		{"lot_number with a percent", with(v4Proof, 0, v4Proof[0]+"%00"), Malformed, "lot_number"},
		{"lot_number with a slash", with(v4Proof, 0, v4Proof[0]+"/"), Malformed, "lot_number"},
		{"lot_number beyond ASCII", with(v4Proof, 0, v4Proof[0]+"é"), Malformed, "lot_number"},
		{"empty captcha_output", with(v4Proof, 1, ""), Malformed, "captcha_output"},
		{"long captcha_output", with(v4Proof, 1, long(4097)), Malformed, "captcha_output"},
		{"captcha_output with a space", with(v4Proof, 1, "a b"), Malformed, "captcha_output"},
		{"empty pass_token", with(v4Proof, 2, ""), Malformed, "pass_token"},
		{"long pass_token", with(v4Proof, 2, long(257)), Malformed, "pass_token"},
		{"pass_token with NUL", with(v4Proof, 2, "a\x00"), Malformed, "pass_token"},
		{"pass_token with DEL", with(v4Proof, 2, "a\x7f"), Malformed, "pass_token"},
		{"empty gen_time", with(v4Proof, 3, ""), Malformed, "gen_time"},
		{"gen_time with a sign", with(v4Proof, 3, "-1682136049"), Malformed, "gen_time"},
		{"gen_time with a plus", with(v4Proof, 3, "+1682136049"), Malformed, "gen_time"},
		{"gen_time with a point", with(v4Proof, 3, "1682136049.5"), Malformed, "gen_time"},
		{"gen_time with a space", with(v4Proof, 3, " 1682136049"), Malformed, "gen_time"},
		{"gen_time in other digits", with(v4Proof, 3, "١٦٨٢١٣٦٠٤٩"), Malformed, "gen_time"},
		{"gen_time in milliseconds", with(v4Proof, 3, "1682136049000"), Malformed, "gen_time"},
		{"gen_time beyond 64 bits", with(v4Proof, 3, "99999999999999999999"), Malformed, "gen_time"},
		{"gen_time too long", with(v4Proof, 3, "000000000001682136049"), Malformed, "gen_time"},
		{"gen_time of 1970", with(v4Proof, 3, "0"), Expired, "gen_time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			verdict := v.Check(c.proof, proofTime, 25*time.Minute)
			if verdict.Result != c.result || verdict.Reason != c.reason || verdict.Err != nil {
				t.Errorf("verdict is %+v, want %v %q", verdict, c.result, c.reason)
			}
		})
	}
}

func TestGeetestV4Age(t *testing.T) {
	v := newV4(t, "", 0)
	for _, c := range []struct {
		age    time.Duration
		result Result
	}{
		{-maxAhead - time.Second, Malformed},
		{-maxAhead, Unknown},
		{0, Unknown},
		{25 * time.Minute, Unknown},
		{25*time.Minute + time.Nanosecond, Expired},
		{24 * time.Hour, Expired},
	} {
		if verdict := v.Check(v4Proof, proofTime.Add(c.age), 25*time.Minute); verdict.Result != c.result {
			t.Errorf("%s after gen_time the verdict is %v, want %v", c.age, verdict.Result, c.result)
		}
	}
}

// Whatever the claim of a proof is remembered for, its gen_time must not be
// good for longer: the proof would be new again.
func TestGeetestV4ProofsExpireBeforeTheirClaim(t *testing.T) {
	v := newV4(t, "", 0)
	const ttl = 30 * time.Minute
	for ahead := time.Duration(0); v.Check(v4Proof, proofTime.Add(-ahead), ttl-maxAhead).Result == Unknown; ahead += time.Second {
		claimed := proofTime.Add(-ahead)
		if v.Check(v4Proof, claimed.Add(ttl+time.Second), ttl-maxAhead).Result != Expired {
			t.Fatalf("a proof claimed %s before its gen_time outlives its claim", ahead)
		}
	}
}

func TestGeetestV4Use(t *testing.T) {
	v := newV4(t, "", 0)
	use := v.ReplayKey(v4Proof)
	for i, value := range []string{strings.ToUpper(v4Proof[0]), "other", "other", "1"} {
		if got := v.ReplayKey(with(v4Proof, i, value)); got != use {
			t.Errorf("another %s makes it %q, not %q", v.Parameters()[i].Name, got, use)
		}
	}
	if got := v.ReplayKey(with(v4Proof, 0, "4dc3cfc2cdff448cad8d13107198d474")); got == use {
		t.Error("another lot_number is the same use")
	}
}
