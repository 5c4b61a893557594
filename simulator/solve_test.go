package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// shapes are the forms of genuine proofs.
var shapes = map[string]map[string]string{
	"geetest_v3": {
		"geetest_challenge": `^([0-9a-f]{32}|[0-9a-f]{64})([0-9a-z]{2})?$`,
		"geetest_validate":  `^[0-9a-f]{32}$`,
		"geetest_seccode":   `^[0-9a-f]{32}\|jordan$`,
	},
	"geetest_v4": {
		"lot_number":     `^[0-9a-f]{32}$`,
		"captcha_output": `^[0-9A-Za-z_-]{235}=$`,
		"pass_token":     `^[0-9a-f]{64}$`,
		"gen_time":       `^1795237325$`,
	},
	"tencent": {
		"ticket":  `^t03[0-9A-Za-z_-]{136}\*$`,
		"randstr": `^@[0-9A-Za-z]{3}$`,
	},
}

func newSimulatorOfOneEach(t *testing.T) *Simulator {
	t.Helper()
	clock := &clock{at: time.Unix(1795237325, 0)}
	sim, err := New(Config{GeeTestV3: []GeeTestV3{otherV3}, GeeTestV4: []GeeTestV4{testV4}, Tencent: []Tencent{testTencent}, Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

func TestSolveHandsOutProofsInTheFormOfGenuineOnes(t *testing.T) {
	sim := newSimulatorOfOneEach(t)
	for provider, shape := range shapes {
		seen := make(map[string]bool)
		for range 4 {
			proof := solve(t, sim, provider, SolveOptions{})
			if len(proof) != len(shape) {
				t.Fatalf("%s: %d parameters, want %d", provider, len(proof), len(shape))
			}
			for name, pattern := range shape {
				if !regexp.MustCompile(pattern).MatchString(proof.Get(name)) {
					t.Errorf("%s: %s is %q, want %s", provider, name, proof.Get(name), pattern)
				}
			}
			if seen[proof.Encode()] {
				t.Errorf("%s: a proof came twice", provider)
			}
			seen[proof.Encode()] = true
		}
	}
}

func TestSolveAppendsTheSlideSuffixToEveryOtherV3Challenge(t *testing.T) {
	sim := newSimulatorOfOneEach(t)
	for _, want := range []int{34, 32, 34, 32} {
		if got := len(solve(t, sim, "geetest_v3", SolveOptions{}).Get("geetest_challenge")); got != want {
			t.Fatalf("the challenge has %d characters, want %d", got, want)
		}
	}
}

func TestSolveOverHTTPAnswersWithJSONOrAForm(t *testing.T) {
	sim := newSimulatorOfOneEach(t)
	for provider, shape := range shapes {
		for _, format := range []string{"", "?format=json", "?format=form"} {
			w := do(sim, http.MethodPost, "/solve/"+provider+format, "", "")
			if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
				t.Fatalf("%s%s: %d %s", provider, format, w.Code, w.Body)
			}
			proof := make(map[string]string)
			wantType := "application/json"
			if format == "?format=form" {
				wantType = formType
				form, err := url.ParseQuery(w.Body.String())
				if err != nil {
					t.Fatal(err)
				}
				for name := range form {
					proof[name] = form.Get(name)
				}
			} else if err := json.Unmarshal(w.Body.Bytes(), &proof); err != nil {
				t.Fatal(err)
			}
			if got := w.Header().Get("Content-Type"); got != wantType {
				t.Errorf("%s%s: Content-Type %q", provider, format, got)
			}
			for name, pattern := range shape {
				if !regexp.MustCompile(pattern).MatchString(proof[name]) {
					t.Errorf("%s%s: %s is %q, want %s", provider, format, name, proof[name], pattern)
				}
			}
		}
	}
}

func TestSolveOverHTTPTakesItsOptions(t *testing.T) {
	sim, _ := newTestSimulator(t)
	var proof map[string]string
	body := do(sim, http.MethodPost, "/solve/tencent", formType, "id=2000000001&age=2m&evil_level=100&score=40").Body
	if err := json.Unmarshal(body.Bytes(), &proof); err != nil {
		t.Fatal(err)
	}
	got := genuine(sim, url.Values{"ticket": {proof["ticket"]}, "randstr": {proof["randstr"]}}).send(t, sim).Response
	if got.EvilLevel != 100 || got.Score != 40 || got.SubmitCaptchaTime != sim.now().Add(-2*time.Minute).Unix() {
		t.Fatalf("got %+v", got)
	}
}

func TestSolveTakesAChallengeThatWasIssuedOnce(t *testing.T) {
	sim, _ := newTestSimulator(t)
	origin := get(t, sim, V3RegisterPath+"?digestmod=sha256&gt="+testV3.CaptchaID)
	challenge, _ := testV3.challenge(origin, "sha256")
	proof := solve(t, sim, "geetest_v3", SolveOptions{ID: testV3.CaptchaID, Challenge: challenge})
	if got := proof.Get("geetest_challenge"); !strings.HasPrefix(got, challenge) {
		t.Fatalf("the proof is for %s", got)
	}
	if got := post(t, sim, V3ValidatePath, validation(proof)); got == `{"seccode":"false"}` {
		t.Fatal("the proof was refused")
	}
	for name, options := range map[string]SolveOptions{
		"solved before": {ID: testV3.CaptchaID, Challenge: challenge},
		"never issued":  {ID: testV3.CaptchaID, Challenge: md5Hex("x")},
		"of another id": {ID: testV3.CaptchaID, Challenge: sim.issueV3(otherV3, randomHex(16), "")},
	} {
		if _, err := sim.Solve("geetest_v3", options); err == nil {
			t.Errorf("a challenge %s was solved", name)
		}
	}
}

func TestSolveRefusesOptionsThatMakeNoSense(t *testing.T) {
	sim, _ := newTestSimulator(t)
	only, err := New(Config{GeeTestV4: []GeeTestV4{testV4}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		sim          *Simulator
		target, want string
	}{
		{sim, "/solve/", "the provider must be"},
		{sim, "/solve/recaptcha", "the provider must be"},
		{sim, "/solve/geetest_v3", "several captchas"},
		{sim, "/solve/geetest_v4", "several captchas"},
		{sim, "/solve/tencent", "several captchas"},
		{sim, "/solve/geetest_v4?id=1", "no captcha of this provider has this id"},
		{only, "/solve/geetest_v3", "no captcha of this provider is configured"},
		{only, "/solve/geetest_v4?age=-1s", "age must not be negative"},
		{only, "/solve/geetest_v4?age=10", "age: "},
		{only, "/solve/geetest_v4?evil_level=100", "only tencent has"},
		{only, "/solve/geetest_v4?score=1", "only tencent has"},
		{only, "/solve/geetest_v4?challenge=x", "only geetest_v3 has a challenge"},
		{sim, "/solve/tencent?id=2000000001&evil_level=101", "from 0 to 100"},
		{sim, "/solve/tencent?id=2000000001&score=-1", "from 0 to 100"},
		{sim, "/solve/tencent?id=2000000001&score=x", "score: "},
		{only, "/solve/geetest_v4?format=xml", "format must be json or form"},
		{only, "/solve/geetest_v4?form=1", "unknown or repeated parameter"},
		{only, "/solve/geetest_v4?age=1s&age=2s", "unknown or repeated parameter"},
		{only, "/solve/geetest_v4?age=%zz", "not urlencoded"},
	} {
		w := do(test.sim, http.MethodPost, test.target, "", "")
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s, want 400 %s", test.target, w.Code, w.Body, test.want)
		}
	}
}

func TestSolveIsNotCountedAsAProviderCall(t *testing.T) {
	sim := newSimulatorOfOneEach(t)
	for provider := range shapes {
		do(sim, http.MethodPost, "/solve/"+provider, "", "")
	}
	if n := sim.Calls(); n != 0 {
		t.Fatalf("%d calls counted", n)
	}
}
