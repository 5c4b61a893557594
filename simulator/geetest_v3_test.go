package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"
)

func TestV3ChallengeDerivationAgreesWithTheOfficialSDKs(t *testing.T) {
	const origin = "0123456789abcdef0123456789abcdef"
	for _, test := range []struct{ enabled, digest, want string }{
		{"md5", "", "fa7025c83249ab263bc1f11f11ae21a5"},
		{"", "md5", "fa7025c83249ab263bc1f11f11ae21a5"},
		{"sha256", "md5", "fa7025c83249ab263bc1f11f11ae21a5"},
		{"sha256", "sha256", "2d012f127fda63501fe9bb06bb5828193ddf2fce4a48471536a50aba15787e3a"},
		{"hmac-sha256", "hmac-sha256", "f1671ab708eade65865059d293612df4fe4207cb840389e5a248cd40a0974bc9"},
		{"hmac-sha256", "hmac_sha256", "f1671ab708eade65865059d293612df4fe4207cb840389e5a248cd40a0974bc9"},
		{"", "sha256", ""},
		{"hmac-sha256", "sha256", ""},
		{"sha256", "sha512", ""},
	} {
		captcha := testV3
		captcha.Digest = test.enabled
		got, ok := captcha.challenge(origin, test.digest)
		if got != test.want || ok != (test.want != "") {
			t.Errorf("%s of a captcha with %s: got %q, %v, want %q", test.digest, test.enabled, got, ok, test.want)
		}
	}
}

func TestV3ProofDerivationAgreesWithTheOfficialSDKs(t *testing.T) {
	for _, test := range []struct{ challenge, suffix, validate, answer string }{
		{"fa7025c83249ab263bc1f11f11ae21a5", "", "607aec6f62e2dda50ae517d10b57e091", "0fd85180f47eeb5ec664af64e7951516"},
		{"fa7025c83249ab263bc1f11f11ae21a5", "a7", "f62da4225c52b76f088bf5b6e91252ae", "c6d0002491cee7bd0d495162b9a47cb7"},
		{"1a76d9da01e21b0178824dbed1425eca", "iy", "dd72ba103a2c9960354e78535d7749d1", "af243d4eef2b3449eb76c52de40d0b5e"},
	} {
		sim, _ := newTestSimulator(t)
		sim.v3Challenges.add(test.challenge, v3Challenge{captcha: testV3, issued: sim.now()}, sim.now())
		proof, err := sim.proveV3(testV3, test.challenge, test.suffix, SolveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := proof.Get("geetest_validate"); got != test.validate {
			t.Errorf("validate of %s%s: %s, want %s", test.challenge, test.suffix, got, test.validate)
		}
		got := post(t, sim, V3ValidatePath, url.Values{"seccode": {test.validate + "|jordan"}})
		if got != test.answer {
			t.Errorf("answer to %s|jordan: %s, want %s", test.validate, got, test.answer)
		}
	}
}

func TestV3Register(t *testing.T) {
	sim, _ := newTestSimulator(t)
	isChallenge := regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString
	for _, query := range []string{"", "&digestmod=md5", "&digestmod=sha256", "&client_type=web&ip_address=127.0.0.1&user_id=test&sdk=golang-gin%3A3.1.0"} {
		var body map[string]any
		if err := json.Unmarshal([]byte(get(t, sim, V3RegisterPath+"?json_format=1&gt="+testV3.CaptchaID+query)), &body); err != nil {
			t.Fatal(err)
		}
		challenge, _ := body["challenge"].(string)
		if len(body) != 1 || !isChallenge(challenge) {
			t.Errorf("with %q: %v is not a challenge", query, body)
		}
		if bare := get(t, sim, V3RegisterPath+"?gt="+testV3.CaptchaID+query); !isChallenge(bare) || bare == challenge {
			t.Errorf("with %q: %q is not a new bare challenge", query, bare)
		}
	}
}

func TestV3RegisterOfABadIDGetsTheOddAnswers(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for _, test := range []struct {
		query  string
		status int
		body   string
	}{
		{"", 403, "403 Forbidden"},
		{"gt=123456789&json_format=1", 403, "403 Forbidden"},
		{"gt=00000000000000000000000000000000&json_format=1", 200, `{"challenge":0}`},
		{"gt=00000000000000000000000000000000", 200, "0"},
		{"gt=" + testV3.CaptchaID + "&digestmod=hmac-sha256&json_format=1", 200, `{"challenge":0}`},
		{"gt=" + otherV3.CaptchaID + "&digestmod=sha256", 200, "0"},
	} {
		w := do(sim, http.MethodGet, V3RegisterPath+"?"+test.query, "", "")
		if w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("%s: %d %s, want %d %s", test.query, w.Code, w.Body, test.status, test.body)
		}
	}
}

// validation returns what the most talkative of the SDKs sends to validate.php.
func validation(proof url.Values) url.Values {
	return url.Values{
		"seccode":     {proof.Get("geetest_seccode")},
		"challenge":   {proof.Get("geetest_challenge")},
		"validate":    {proof.Get("geetest_validate")},
		"captchaid":   {testV3.CaptchaID},
		"json_format": {"1"},
	}
}

func TestV3ValidateTakesTheCallsOfAllSDKs(t *testing.T) {
	for name, change := range map[string][]string{
		"everything":      {},
		"seccode only":    {"challenge", "-", "validate", "-", "captchaid", "-"},
		"gt instead":      {"captchaid", "-", "gt", testV3.CaptchaID},
		"plain text":      {"json_format", "-"},
		"more parameters": {"user_id", "alice", "data", "", "userinfo", "", "timestamp", "1795237566.682166"},
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			form := with(validation(solve(t, sim, "geetest_v3", SolveOptions{ID: testV3.CaptchaID})), change...)
			want := md5Hex(form.Get("seccode"))
			again := "false"
			if form.Has("json_format") {
				want, again = `{"seccode":"`+want+`"}`, `{"seccode":"false"}`
			}
			if got := post(t, sim, V3ValidatePath, form); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			if got := post(t, sim, V3ValidatePath, form); got != again {
				t.Fatalf("second time: got %s, want %s", got, again)
			}
		})
	}
}

func TestV3ValidateRefusesAndKeepsTheProofGood(t *testing.T) {
	sim, _ := newTestSimulator(t)
	good := validation(solve(t, sim, "geetest_v3", SolveOptions{ID: testV3.CaptchaID}))
	foreign := validation(solve(t, sim, "geetest_v3", SolveOptions{ID: otherV3.CaptchaID}))
	for name, test := range map[string]struct {
		form url.Values
		want string
	}{
		"forged seccode":     {with(good, "seccode", md5Hex("x")+"|jordan"), `{"seccode":"false"}`},
		"forged, plain text": {with(good, "seccode", "x", "json_format", "-"), "false"},
		"other challenge":    {with(good, "challenge", md5Hex("x")), `{"seccode":"false"}`},
		"other validate":     {with(good, "validate", md5Hex("x")), `{"seccode":"false"}`},
		"other captcha":      {with(good, "captchaid", otherV3.CaptchaID), `{"seccode":"false"}`},
		"foreign proof":      {foreign, `{"seccode":"false"}`},
		"no seccode":         {with(good, "seccode", "-"), `{"status":"fail"}`},
		"no seccode, plain":  {with(good, "seccode", "-", "json_format", "-"), "fail"},
	} {
		if got := post(t, sim, V3ValidatePath, test.form); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
	w := do(sim, http.MethodPost, V3ValidatePath, "application/json", `{"seccode":"x"}`)
	if w.Body.String() != "fail" {
		t.Errorf("JSON body: got %s", w.Body)
	}
	if got, want := post(t, sim, V3ValidatePath, good), `{"seccode":"`+md5Hex(good.Get("seccode"))+`"}`; got != want {
		t.Errorf("the good one afterwards: got %s, want %s", got, want)
	}
}

func TestV3ProofExpiresTenMinutesAfterItsChallenge(t *testing.T) {
	for _, test := range []struct {
		age, wait time.Duration
		good      bool
	}{
		{0, 10 * time.Minute, true},
		{0, 10*time.Minute + time.Second, false},
		{6 * time.Minute, 4 * time.Minute, true},
		{6 * time.Minute, 5 * time.Minute, false},
	} {
		sim, clock := newTestSimulator(t)
		form := validation(solve(t, sim, "geetest_v3", SolveOptions{ID: testV3.CaptchaID, Age: test.age}))
		clock.advance(test.wait)
		if got := post(t, sim, V3ValidatePath, form) != `{"seccode":"false"}`; got != test.good {
			t.Errorf("age %s, after %s: good is %v, want %v", test.age, test.wait, got, test.good)
		}
	}
}

func TestV3BypassStatus(t *testing.T) {
	sim, _ := newTestSimulator(t)
	if got := get(t, sim, V3BypassPath+"?gt="+testV3.CaptchaID); got != `{"status":"success"}` {
		t.Errorf("GET: %s", got)
	}
	if got := post(t, sim, V3BypassPath, url.Values{"gt": {testV3.CaptchaID}}); got != `{"status":"success"}` {
		t.Errorf("POST: %s", got)
	}
	if got := get(t, sim, V3BypassPath+"?gt=00000000000000000000000000000000"); got != `{"status":"fail"}` {
		t.Errorf("unknown id: %s", got)
	}
}
