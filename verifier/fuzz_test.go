package verifier

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"
	"unicode/utf8"
)

// strict and loose are two other readings of an answer. A verdict must not be
// Passed unless both agree: strict takes names exactly and refuses an answer
// that has a member twice; loose is what encoding/json makes of a struct, which
// for members that have to be there must be the same.
func strict(data []byte) map[string]any {
	var answer map[string]any
	if !utf8.Valid(data) || json.Unmarshal(data, &answer) != nil || colons(data) != count(answer) {
		return nil
	}
	return answer
}

func loose(data []byte, to any) bool { return json.Unmarshal(data, to) == nil }

// colons counts those outside of strings, which are as many as the members.
func colons(data []byte) (n int) {
	text, escaped := false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case text && c == '\\':
			escaped = true
		case c == '"':
			text = !text
		case c == ':' && !text:
			n++
		}
	}
	return n
}

// count counts the members at all depths of a decoded answer.
func count(value any) (n int) {
	switch value := value.(type) {
	case map[string]any:
		for _, member := range value {
			n += 1 + count(member)
		}
	case []any:
		for _, element := range value {
			n += count(element)
		}
	}
	return n
}

var reasonShape = regexp.MustCompile(`^[0-9A-Za-z_.]{0,40}$`)

// fuzzAnswers fuzzes the answers of a provider: passes says whether one may be
// let through, reasons are those that Reason may be.
func fuzzAnswers(f *testing.F, judge func(object) Verdict, reasons []string, passes func(data []byte) bool, seeds ...string) {
	common := []string{ReasonAnswer, ReasonService, ReasonRateLimited, ""}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		verdict := judged(data, judge)
		if verdict.Result == Passed && !passes(data) {
			t.Errorf("%q passed", data)
		}
		if !slices.Contains(slices.Concat(common, reasons), verdict.Reason) || !reasonShape.MatchString(verdict.Reason) {
			t.Errorf("the reason is %q", verdict.Reason)
		}
		if (verdict.Result == Misconfigured || ambiguous[verdict.Reason]) != (verdict.Advice != "") || (verdict.Result == Unknown) != (verdict.Err != nil) {
			t.Errorf("the verdict is %+v", verdict)
		}
	})
}

func FuzzGeetestV4Answer(f *testing.F) {
	reasons := []string{"code_other", "reason_other", "lot_number"}
	for _, verdicts := range []map[string]Verdict{geetestV4Codes, geetestV4Reasons} {
		for _, verdict := range verdicts {
			reasons = append(reasons, verdict.Reason)
		}
	}
	passes := func(data []byte) bool {
		answer := strict(data)
		status, hasStatus := answer["status"]
		args, hasArgs := answer["captcha_args"]
		members, isObject := args.(map[string]any)
		lotNumber, bound := members["lot_number"]
		var other struct{ Result any }
		return answer["result"] == "success" && (!hasStatus || status == "success") &&
			(!hasArgs || isObject) && (!bound || lotNumber == v4Proof[0]) &&
			loose(data, &other) && other.Result == "success"
	}
	fuzzAnswers(f, judgeV4, reasons, passes, v4Pass,
		`{"result":"success"}`,
		`{"status":"success","result":"fail","reason":"pass_token expire","captcha_args":{"lot_number":"x"}}`,
		`{"status":"success","result":"fail","reason":"sign_token error"}`,
		`{"status":"error","code":"-50101","msg":"not captcha_id","desc":{"type":"defined error"}}`,
		`{"status":"error","code":-50000}`,
		`{"result":"fail","Result":"success"}`,
		`{"result":"success","re\u0073ult":"fail"}`,
		`{"result":"success","captcha_args":{"lot_number":"4dc3cfc2cdff448cad8d13107198d473","LOT_NUMBER":""}}`,
		`{"a":[[[[{"result":"success"}]]]],"result":null}`)
}

func FuzzGeetestV3Answer(f *testing.F) {
	passes := func(data []byte) bool {
		answer := strict(data)
		var other struct{ Seccode any }
		return answer["seccode"] == "c6d0002491cee7bd0d495162b9a47cb7" && answer["status"] != "fail" &&
			loose(data, &other) && other.Seccode == answer["seccode"]
	}
	fuzzAnswers(f, judgeV3, []string{"seccode_false", "seccode_other", "status_fail"}, passes, v3Pass,
		`{"seccode":"false"}`, `{"seccode":false}`, `{"status":"fail"}`, `"false"`, `0`,
		`{"seccode":"c6d0002491cee7bd0d495162b9a47cb7","Status":"fail"}`,
		`{"seccode":"c6d0002491cee7bd0d495162b9a47cb7","seccode":"false"}`)
}

func FuzzGeetestV3Register(f *testing.F) {
	genuine := regexp.MustCompile(`^[0-9a-f]{32}$`)
	passes := func(data []byte) bool {
		text, _ := strict(data)["challenge"].(string)
		var other struct{ Challenge any }
		return genuine.MatchString(text) && loose(data, &other) && other.Challenge == text
	}
	fuzzAnswers(f, readRegistered, []string{"register_0"}, passes, registerPass,
		`{"challenge":0}`, `{"challenge":"0"}`, `{"challenge":-0.0}`, `0`, `"0"`, `{}`,
		`{"challenge":"0123456789ABCDEF0123456789ABCDEF"}`,
		`{"challenge":"0123456789abcdef0123456789abcdef","Challenge":"x"}`,
		`{"challenge":"\u0030123456789abcdef0123456789abcdef"}`,
		`{"challenge":0,"challenge":"0123456789abcdef0123456789abcdef"}`)
}

func FuzzTencentAnswer(f *testing.F) {
	reasons := []string{"captcha_code_other", "error_other", "evil_level", "score", "no_score"}
	for _, e := range tencentErrors {
		reasons = append(reasons, e.class)
	}
	for _, code := range captchaCodes {
		reasons = append(reasons, "captcha_code_"+itoa(int(code)))
	}
	v := newTencent(f, "", 0)
	v.MaxScore = new(int)
	*v.MaxScore = 50
	passes := func(data []byte) bool {
		response, _ := strict(data)["Response"].(map[string]any)
		_, failed := response["Error"]
		evil, isNumber := response["EvilLevel"].(float64)
		score, hasScore := response["Score"].(float64)
		var other struct {
			Response struct{ CaptchaCode, EvilLevel, Score any }
		}
		return !failed && response["CaptchaCode"] == 1.0 && (isNumber && evil != 100 || response["EvilLevel"] == nil) && hasScore && 0 <= score && score <= 50 &&
			loose(data, &other) && other.Response.CaptchaCode == 1.0 &&
			other.Response.EvilLevel == response["EvilLevel"] && other.Response.Score == score
	}
	fuzzAnswers(f, v.judge, reasons, passes, tencentPass,
		response(`"CaptchaCode":1,"EvilLevel":100,"Score":1`),
		response(`"CaptchaCode":1,"EvilLevel":0,"Score":51`),
		response(`"CaptchaCode":1.0,"EvilLevel":0,"Score":1`),
		response(`"CaptchaCode":9,"CaptchaMsg":"ticket reused","EvilLevel":0`),
		response(`"CaptchaCode":26,"EvilLevel":0`),
		response(`"CaptchaCode":1,"captchacode":9,"EvilLevel":0,"Score":1`),
		response(`"Error":{"Code":"AuthFailure.SecretIdNotFound","Message":"m"}`),
		response(`"Error":{"Code":"InternalError","Message":"m"}`),
		response(`"Error":{"Code":"RequestLimitExceeded.IPLimitExceeded","Message":"m"}`),
		response(`"Error":null,"CaptchaCode":1,"EvilLevel":0,"Score":1`))
}
