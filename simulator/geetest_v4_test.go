package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"
)

func TestV4SignTokenAgreesWithTheVectors(t *testing.T) {
	for lotNumber, want := range map[string]string{
		"4dc3cfc2cdff448cad8d13107198d473": "c99f3aa68104bdcd085f372dc6556a17a5a830a1a3d25125fb0010466977f3d8",
		"c4c69a52999045aea1d34b57f1ef29f2": "142733d93745d0fa2538afe1b91f35b06e8011941c052dba337ffe0cd0e024b1",
		"":                                 "b8bb62f461a0cdf43d654740132898c1592d62c0739544030dcae4b0eb68a1ee",
		"test_lot_number":                  "0077fcda7586a17f3c9da521b44551e0b8b763efd8376ab91276892be10bb219",
	} {
		if got := testV4.signToken(lotNumber); got != want {
			t.Errorf("%q: got %s, want %s", lotNumber, got, want)
		}
	}
	rfc4231 := GeeTestV4{CaptchaKey: "Jefe"}
	if got := rfc4231.signToken("what do ya want for nothing?"); got != "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" {
		t.Errorf("RFC 4231, case 2: got %s", got)
	}
}

// signed returns the form of a call with the proof.
func signed(proof url.Values) url.Values {
	return with(proof, "sign_token", testV4.signToken(proof.Get("lot_number")))
}

const testV4Target = V4ValidatePath + "?captcha_id=647f5ed2ed8acb4be36784e01556bb71"

func TestV4ValidatePassesAProofOnce(t *testing.T) {
	for name, call := range map[string]func(sim *Simulator, form url.Values) string{
		"id in the URL, the rest a form": func(sim *Simulator, form url.Values) string {
			return post(t, sim, testV4Target, form)
		},
		"everything a form": func(sim *Simulator, form url.Values) string {
			return post(t, sim, V4ValidatePath, with(form, "captcha_id", testV4.CaptchaID))
		},
		"POST with everything in the URL": func(sim *Simulator, form url.Values) string {
			return do(sim, http.MethodPost, testV4Target+"&"+form.Encode(), "", "").Body.String()
		},
		"GET with everything in the URL": func(sim *Simulator, form url.Values) string {
			return get(t, sim, testV4Target+"&"+form.Encode())
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			form := signed(solve(t, sim, "geetest_v4", SolveOptions{ID: testV4.CaptchaID}))
			var got struct {
				Status, Result string
				Reason         *string
				Args           map[string]string `json:"captcha_args"`
			}
			if err := json.Unmarshal([]byte(call(sim, form)), &got); err != nil {
				t.Fatal(err)
			}
			if got.Status != "success" || got.Result != "success" || got.Reason == nil || *got.Reason != "" {
				t.Fatalf("not passed: %+v", got)
			}
			if got.Args["lot_number"] != form.Get("lot_number") || got.Args["used_type"] != "slide" ||
				got.Args["user_ip"] == "" || got.Args["scene"] == "" || got.Args["referer"] == "" {
				t.Fatalf("captcha_args are %v", got.Args)
			}
			want := `{"status":"error","code":"-50003","msg":"illegal verify","desc":{"type":"defined error"}}`
			if again := call(sim, form); again != want {
				t.Fatalf("second time: got %s, want %s", again, want)
			}
		})
	}
}

func v4ErrorBody(code, msg string) string {
	return `{"status":"error","code":"` + code + `","msg":"` + msg + `","desc":{"type":"defined error"}}`
}

func v4FailBody(reason string) string {
	return `{"status":"success","result":"fail","reason":"` + reason + `","captcha_args":{}}`
}

func TestV4ValidateRefusesAndKeepsTheProofGood(t *testing.T) {
	sim, _ := newTestSimulator(t)
	good := signed(solve(t, sim, "geetest_v4", SolveOptions{ID: testV4.CaptchaID}))
	foreign := signed(solve(t, sim, "geetest_v4", SolveOptions{ID: otherV4.CaptchaID}))
	wrongKey := GeeTestV4{CaptchaKey: "wrong"}
	madeUp := signed(with(good, "lot_number", "c4c69a52999045aea1d34b57f1ef29f2", "gen_time", "1682136049",
		"pass_token", "4b774095664ce55ad3ffe5c73b26af02430119056ec18bd5f25f21301bb19608"))
	for name, test := range map[string]struct {
		target string
		form   url.Values
		want   string
	}{
		"no captcha_id":        {V4ValidatePath, good, v4ErrorBody("-50101", "not captcha_id")},
		"empty captcha_id":     {V4ValidatePath + "?captcha_id=", good, v4ErrorBody("-50101", "not captcha_id")},
		"malformed captcha_id": {V4ValidatePath + "?captcha_id=1", good, v4ErrorBody("-50102", "illegal captcha_id")},
		"unknown captcha_id":   {V4ValidatePath + "?captcha_id=00000000000000000000000000000000", good, v4ErrorBody("-50103", "not captcha")},
		"gen_time with dot":    {testV4Target, with(good, "gen_time", "1.5"), v4ErrorBody("-50005", "illegal gen_time")},
		"no gen_time":          {testV4Target, with(good, "gen_time", "-"), v4ErrorBody("-50005", "illegal gen_time")},
		"wrong key":            {testV4Target, with(good, "sign_token", wrongKey.signToken(good.Get("lot_number"))), v4FailBody("sign_token error")},
		"empty key":            {testV4Target, with(good, "sign_token", GeeTestV4{}.signToken(good.Get("lot_number"))), v4FailBody("sign_token error")},
		"key and message swapped": {testV4Target, with(good, "lot_number", "4dc3cfc2cdff448cad8d13107198d473",
			"sign_token", "d5b372bba77dea32ff572f2b3f222615abd5879854e61181516c6ad9f996473b"), v4FailBody("sign_token error")},
		"no sign_token":        {testV4Target, with(good, "sign_token", "-"), v4FailBody("sign_token error")},
		"made up":              {testV4Target, madeUp, v4FailBody("pass_token error")},
		"no lot_number":        {testV4Target, signed(with(good, "lot_number", "-")), v4FailBody("pass_token error")},
		"wrong pass_token":     {testV4Target, with(good, "pass_token", "x"), v4FailBody("pass_token error")},
		"wrong captcha_output": {testV4Target, with(good, "captcha_output", "x"), v4FailBody("pass_token error")},
		"wrong gen_time":       {testV4Target, with(good, "gen_time", "1682136049"), v4FailBody("pass_token error")},
		"foreign proof":        {testV4Target, foreign, v4FailBody("pass_token error")},
	} {
		if got := post(t, sim, test.target, test.form); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
	body, err := json.Marshal(map[string]string{
		"lot_number": good.Get("lot_number"), "captcha_output": good.Get("captcha_output"), "pass_token": good.Get("pass_token"),
		"gen_time": good.Get("gen_time"), "sign_token": good.Get("sign_token"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if w := do(sim, http.MethodPost, testV4Target, "application/json", string(body)); w.Body.String() != v4ErrorBody("-50005", "illegal gen_time") {
		t.Errorf("JSON body: got %s", w.Body)
	}
	var last struct{ Result string }
	if err := json.Unmarshal([]byte(post(t, sim, testV4Target, good)), &last); err != nil || last.Result != "success" {
		t.Errorf("the good one afterwards: %v %+v", err, last)
	}
}

func TestV4ProofExpiresAfterTenMinutes(t *testing.T) {
	for _, test := range []struct {
		age, wait time.Duration
		expired   bool
	}{
		{0, 10 * time.Minute, false},
		{0, 10*time.Minute + time.Second, true},
		{11 * time.Minute, 0, true},
	} {
		sim, clock := newTestSimulator(t)
		form := signed(solve(t, sim, "geetest_v4", SolveOptions{ID: testV4.CaptchaID, Age: test.age}))
		clock.advance(test.wait)
		if got := post(t, sim, testV4Target, form) == v4FailBody("pass_token expire"); got != test.expired {
			t.Errorf("age %s, after %s: expired is %v, want %v", test.age, test.wait, got, test.expired)
		}
	}
}
