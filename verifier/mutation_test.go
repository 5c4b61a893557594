package verifier

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// members are the members of a JSON object in their order. Unlike a map they
// can hold one twice.
type members []member

type member struct {
	name  string
	value any // members, or what encoding/json decodes to
}

func parseMembersOf(t *testing.T, decoder *json.Decoder) any {
	t.Helper()
	next := func() json.Token {
		token, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := next()
	if token != json.Delim('{') {
		return token
	}
	var all members
	for decoder.More() {
		name := next().(string)
		all = append(all, member{name, parseMembersOf(t, decoder)})
	}
	next()
	return all
}

func (m members) MarshalJSON() ([]byte, error) {
	var parts []string
	for _, member := range m {
		value, err := json.Marshal(member.value)
		if err != nil {
			return nil, err
		}
		parts = append(parts, fmt.Sprintf("%q:%s", member.name, value))
	}
	return []byte("{" + strings.Join(parts, ",") + "}"), nil
}

// change calls visit with each object that is m but for one change to one
// member, at any depth.
func change(m members, path string, visit func(change, path string, changed members)) {
	for i, one := range m {
		at := path + one.name
		replaced := func(others ...member) members { return slices.Replace(slices.Clone(m), i, i+1, others...) }
		visit("removed", at, replaced())
		for _, value := range []any{nil, true, false, json.Number("0"), json.Number("1"), 1.5, "", "1", "success", []any{}, []any{one.value}, members{}, members{one}} {
			if fmt.Sprintf("%T", value) != fmt.Sprintf("%T", one.value) {
				visit(fmt.Sprintf("retyped as %T %v", value, value), at, replaced(member{one.name, value}))
			}
		}
		for _, name := range []string{one.name, strings.ToUpper(one.name), strings.ToLower(one.name)} {
			visit("repeated as "+name, at, replaced(one, member{name, one.value}))
			visit("repeated after another "+name, at, replaced(member{name, "x"}, one))
			visit("repeated before another "+name, at, replaced(one, member{name, nil}))
		}
		if inner, ok := one.value.(members); ok {
			change(inner, at+".", func(change, path string, changed members) {
				visit(change, path, replaced(member{one.name, changed}))
			})
		}
	}
}

// No answer passes with a member missing, of another type or there twice.
// The exceptions are what the protocols allow to be missing, and members that
// nobody looks at, which may be what they like but not be there twice.
func TestNoDamagedAnswerPasses(t *testing.T) {
	strict := newTencent(t, "", 0)
	strict.MaxScore = new(int)
	*strict.MaxScore = 50
	for _, c := range []struct {
		name     string
		judge    func(object) Verdict
		answers  []string
		optional []string // may be missing
		nullable []string // may be null
		ignored  []string // may be anything
	}{
		{
			"geetest_v4", judgeV4,
			[]string{
				v4Pass,
				`{"status":"success","result":"fail","reason":"pass_token expire","captcha_args":{"lot_number":"4dc3cfc2cdff448cad8d13107198d473"}}`,
				`{"status":"error","code":"-50005","msg":"illegal gen_time","desc":{"type":"defined error"}}`,
			},
			// One of GeeTest's pages shows answers without status; reason
			// and captcha_args only explain.
			[]string{"status", "reason", "captcha_args", "captcha_args.lot_number"},
			nil,
			[]string{"captcha_args.used_type", "captcha_args.user_ip", "captcha_args.scene", "captcha_args.referer"},
		},
		{
			"geetest_v3", judgeV3,
			[]string{v3Pass, `{"seccode":"false"}`, `{"status":"fail"}`},
			nil, nil, nil,
		},
		{
			register, readRegistered,
			[]string{registerPass, `{"challenge":0}`, `{"challenge":"0"}`},
			nil, nil, nil,
		},
		{
			"tencent", newTencent(t, "", 0).judge,
			[]string{
				tencentPass,
				response(`"CaptchaCode":1,"EvilLevel":100`),
				response(`"CaptchaCode":9,"CaptchaMsg":"ticket reused","EvilLevel":0`),
				response(`"Error":{"Code":"AuthFailure.SignatureFailure","Message":"m"}`),
			},
			// Tencent judges not every client.
			[]string{"Response.EvilLevel"},
			[]string{"Response.EvilLevel"},
			[]string{
				"Response.CaptchaMsg", "Response.GetCaptchaTime", "Response.SubmitCaptchaTime", "Response.EvilBitmap",
				"Response.DeviceRiskCategory", "Response.Score", "Response.RequestId", "retcode", "retmsg",
			},
		},
		{
			"tencent with max_score", strict.judge,
			[]string{
				tencentPass,
				response(`"CaptchaCode":1,"EvilLevel":0,"Score":51`),
				response(`"CaptchaCode":1,"EvilLevel":100,"Score":12`),
			},
			// Tencent judges not every client.
			[]string{"Response.EvilLevel"},
			[]string{"Response.EvilLevel"},
			[]string{
				"Response.CaptchaMsg", "Response.GetCaptchaTime", "Response.SubmitCaptchaTime", "Response.EvilBitmap",
				"Response.DeviceRiskCategory", "Response.RequestId", "retcode", "retmsg",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, answer := range c.answers {
				decoder := json.NewDecoder(strings.NewReader(answer))
				decoder.UseNumber()
				// What makes an answer Risky may be missing as well.
				vouched := i == 0 || judged([]byte(answer), c.judge).Result == Risky
				tried := 0
				change(parseMembersOf(t, decoder).(members), "", func(change, path string, changed members) {
					tried++
					text, err := json.Marshal(changed)
					if err != nil {
						t.Fatal(err)
					}
					repeated := strings.HasPrefix(change, "repeated")
					mayPass := vouched && !repeated && (slices.Contains(c.ignored, path) || change == "removed" && slices.Contains(c.optional, path) || change == "retyped as <nil> <nil>" && slices.Contains(c.nullable, path))
					verdict := judged(text, c.judge)
					if (verdict.Result == Passed) != mayPass && (i == 0 || verdict.Result != Risky) {
						t.Errorf("%s %s: %v, in %s", path, change, verdict.Result, text)
					}
					if repeated && verdict.Reason != ReasonAnswer {
						t.Errorf("%s %s: %v %q, in %s", path, change, verdict.Result, verdict.Reason, text)
					}
				})
				if tried < 20 {
					t.Errorf("only %d changes of %s were tried", tried, answer)
				}
			}
		})
	}
}
