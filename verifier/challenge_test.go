package verifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// The challenge of the vectors, and what the official SDKs make of it with
// v3Key.
const origin = "0123456789abcdef0123456789abcdef"

var derived = map[string]string{
	"md5":         "fa7025c83249ab263bc1f11f11ae21a5",
	"sha256":      "2d012f127fda63501fe9bb06bb5828193ddf2fce4a48471536a50aba15787e3a",
	"hmac-sha256": "f1671ab708eade65865059d293612df4fe4207cb840389e5a248cd40a0974bc9",
}

func digesting(t testing.TB, digest, endpoint string) *GeetestV3 {
	t.Helper()
	return provisioned(t, &GeetestV3{CaptchaID: v3ID, CaptchaKey: v3Key, Digest: digest, Endpoint: endpoint, Timeout: caddy.Duration(forever)})
}

func TestGeetestV3DerivesWhatTheOfficialSDKsDerive(t *testing.T) {
	for digest, want := range derived {
		if got := digesting(t, digest, "").derive(origin); got != want {
			t.Errorf("%s makes it %s, want %s", digest, got, want)
		}
	}
	// The Node SDK's, with a key of its own.
	other := provisioned(t, &GeetestV3{CaptchaID: "002bc30ff1eef93e912f45814945e752", CaptchaKey: "4193a0e3247b82a26f563d595c447b1a"})
	if got := other.derive(origin); got != "9fc95cc48fad4d75f2b24198eccfff1f" {
		t.Errorf("md5 makes it %s", got)
	}
}

// encoded is a challenge as a browser gets it.
func encoded(t *testing.T, v Challenger) string {
	t.Helper()
	challenge, failure := v.Challenge(t.Context(), testClient, testUser)
	if challenge == nil || failure != (Verdict{}) {
		t.Fatalf("there is no challenge, but %+v", failure)
	}
	text, err := json.Marshal(challenge)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestChallengesAreWhatTheWidgetsNeed(t *testing.T) {
	endpoint := answering(t, http.StatusOK, registerPass)
	for digest, challenge := range derived {
		want := `{"provider":"geetest_v3","script":"https://static.geetest.com/static/tools/gt.js","success":1,"gt":"` + v3ID + `","challenge":"` + challenge + `","new_captcha":true}`
		if got := encoded(t, digesting(t, digest, endpoint)); got != want {
			t.Errorf("%s: %s, want %s", digest, got, want)
		}
	}
	for _, c := range []struct{ id, config, want string }{
		{"geetest_v4", configs["geetest_v4"], `{"provider":"geetest_v4","script":"https://static.geetest.com/v4/gt4.js","captcha_id":"id"}`},
		{"geetest_v4", set(t, configs["geetest_v4"], "script", `"http://localhost:9000/gt4.js"`), `{"provider":"geetest_v4","script":"http://localhost:9000/gt4.js","captcha_id":"id"}`},
		{"tencent", configs["tencent"], `{"provider":"tencent","script":"https://turing.captcha.qcloud.com/TJCaptcha.js","captcha_app_id":"1","site":"cn"}`},
		{"tencent", set(t, configs["tencent"], "site", `"intl"`), `{"provider":"tencent","script":"https://ca.turing.captcha.qcloud.com/TJNCaptcha-global.js","captcha_app_id":"1","site":"intl"}`},
	} {
		if got := encoded(t, load(t, c.id, c.config)); got != c.want {
			t.Errorf("%s: %s, want %s", c.id, got, c.want)
		}
	}
	for _, mode := range appIDCipherModes {
		var got map[string]string
		text := encoded(t, load(t, "tencent", set(t, configs["tencent"], "encrypt_app_id", `"`+mode+`"`)))
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != 6 || got["aidEncrypted"] == "" || got["aidEncryptedType"] != mode {
			t.Errorf("%s: %s", mode, text)
		}
	}
}

// All that the official Go SDK 3.1 sent to register, but for its version, and
// of what the Node SDK sent the same.
func TestGeetestV3RegistersAsTheOfficialSDKsDo(t *testing.T) {
	for _, c := range []struct{ digest, address, kind, user, want string }{
		{"md5", "127.0.0.1", "web", "test", "client_type=web&digestmod=md5&gt=c9c4facd1a6feeb80802222cbb74ca8e&ip_address=127.0.0.1&json_format=1&sdk=golang-gin%3A3.1.0&user_id=test"},
		{"sha256", "203.0.113.7", "h5", "", "client_type=h5&digestmod=sha256&gt=c9c4facd1a6feeb80802222cbb74ca8e&ip_address=203.0.113.7&json_format=1&sdk=golang-gin%3A3.1.0"},
		{"hmac-sha256", "2001:db8::7", "unknown", "a&gt=b#\r\n", "client_type=unknown&digestmod=hmac-sha256&gt=c9c4facd1a6feeb80802222cbb74ca8e&ip_address=2001%3Adb8%3A%3A7&json_format=1&sdk=golang-gin%3A3.1.0&user_id=a%26gt%3Db%23%0D%0A"},
		{"md5", "", "unknown", "", "client_type=unknown&digestmod=md5&gt=c9c4facd1a6feeb80802222cbb74ca8e&ip_address=unknown&json_format=1&sdk=golang-gin%3A3.1.0"},
	} {
		endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
			want := strings.Replace(c.want, "golang-gin%3A3.1.0", "caddycaptcha", 1)
			if got := r.Method + " " + r.RequestURI; got != "GET /register.php?"+want {
				t.Errorf("sent %s, want GET /register.php?%s", got, want)
			}
			if body, _ := io.ReadAll(r.Body); len(body) != 0 || r.ContentLength != 0 || r.Header.Get("Content-Type") != "" {
				t.Errorf("a body was sent: %q, %d bytes of %q", body, r.ContentLength, r.Header.Get("Content-Type"))
			}
			_, _ = io.WriteString(w, registerPass)
		})
		client := Client{IP: testAddr(c.address), Type: c.kind}
		if challenge, failure := digesting(t, c.digest, endpoint).Challenge(t.Context(), client, c.user); challenge == nil {
			t.Errorf("there is no challenge, but %+v", failure)
		}
	}
	for endpoint, want := range map[string]string{
		"":                          "https://api.geetest.com/register.php",
		"https://example.com/":      "https://example.com/register.php",
		"https://example.com/a/b/":  "https://example.com/a/b/register.php",
		"https://example.com/a%2Fb": "https://example.com/a%2Fb/register.php",
	} {
		if got := newV3(t, endpoint, 0).register.url(); got != want {
			t.Errorf("with the endpoint %q the URL is %s, want %s", endpoint, got, want)
		}
	}
}

// readRegistered is the verdict on an answer of /register.php: Passed if there
// is a challenge in it.
func readRegistered(answer object) Verdict {
	challenge, failure := readRegister(answer)
	if challenge == "" {
		return failure
	}
	if failure != (Verdict{}) {
		return Verdict{Err: errors.New("a challenge came with a failure")}
	}
	return Verdict{Result: Passed}
}

func TestGeetestV3RegisterAnswers(t *testing.T) {
	for _, c := range []struct {
		answer string
		result Result
		reason string
	}{
		{registerPass, Passed, ""},
		{`{"challenge":"0123456789abcdef0123456789abcdef","more":[0]}`, Passed, ""},
		{`{"challenge":"00000000000000000000000000000000"}`, Passed, ""},

		{`{"challenge":0}`, Misconfigured, "register_0"},
		{`{"challenge":"0"}`, Misconfigured, "register_0"},
		{`{"challenge":0,"status":"error"}`, Misconfigured, "register_0"},

		{`{}`, Unknown, ReasonAnswer},
		{`{"status":"success"}`, Unknown, ReasonAnswer},
		{`{"Challenge":"0123456789abcdef0123456789abcdef"}`, Unknown, ReasonAnswer},
		{`{"data":{"challenge":"0123456789abcdef0123456789abcdef"}}`, Unknown, ReasonAnswer},
		{`{"challenge":""}`, Unknown, ReasonAnswer},
		{`{"challenge":"00"}`, Unknown, ReasonAnswer},
		{`{"challenge":"0123456789abcdef0123456789abcde"}`, Unknown, ReasonAnswer},
		{`{"challenge":"0123456789abcdef0123456789abcdef0"}`, Unknown, ReasonAnswer},
		{`{"challenge":"0123456789abcdef0123456789abcdefiy"}`, Unknown, ReasonAnswer},
		{`{"challenge":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}`, Unknown, ReasonAnswer},
		{`{"challenge":"0123456789ABCDEF0123456789ABCDEF"}`, Unknown, ReasonAnswer},
		{`{"challenge":"0123456789abcdef0123456789abcdeg"}`, Unknown, ReasonAnswer},
		{`{"challenge":"0123456789abcdef0123456789abcde\n"}`, Unknown, ReasonAnswer},
		{`{"challenge":"0123456789abcdef0123456789abcdef\n"}`, Unknown, ReasonAnswer},
		{`{"challenge":" 123456789abcdef0123456789abcdef"}`, Unknown, ReasonAnswer},
		{`{"challenge":"０123456789abcdef0123456789abc"}`, Unknown, ReasonAnswer},
		{`{"challenge":false}`, Unknown, ReasonAnswer},
		{`{"challenge":true}`, Unknown, ReasonAnswer},
		{`{"challenge":null}`, Unknown, ReasonAnswer},
		{`{"challenge":1}`, Unknown, ReasonAnswer},
		{`{"challenge":-0}`, Unknown, ReasonAnswer},
		{`{"challenge":0.0}`, Unknown, ReasonAnswer},
		{`{"challenge":12345678901234567890123456789012}`, Unknown, ReasonAnswer},
		{`{"challenge":["0123456789abcdef0123456789abcdef"]}`, Unknown, ReasonAnswer},
		{`{"challenge":{"challenge":"0123456789abcdef0123456789abcdef"}}`, Unknown, ReasonAnswer},
		{`{"challenge":{}}`, Unknown, ReasonAnswer},
		{`"0123456789abcdef0123456789abcdef"`, Unknown, ReasonAnswer},
		{`0123456789abcdef0123456789abcdef`, Unknown, ReasonAnswer},
		{`0`, Unknown, ReasonAnswer},
		{`"0"`, Unknown, ReasonAnswer},
	} {
		expectJudged(t, readRegistered, c.answer, c.result, c.reason)
		// The same, and over the wire: no answer but a good one yields a
		// challenge.
		t.Run("wire", func(t *testing.T) {
			expect(t, subjects[3].verify(t, answering(t, http.StatusOK, c.answer), forever), c.result, c.reason)
		})
	}
}

func TestGeetestV3SaysWhatMayBeWrongWithAnID(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
	}{{http.StatusForbidden, "403 Forbidden"}, {http.StatusOK, `{"challenge":0}`}, {http.StatusOK, `{"challenge":"0"}`}} {
		challenge, failure := newV3(t, answering(t, c.status, c.body), forever).Challenge(t.Context(), testClient, "")
		if challenge != nil || failure.Result != Misconfigured || failure.Err != nil {
			t.Errorf("%d %s: %v, %+v", c.status, c.body, challenge, failure)
		}
		for _, option := range []string{"captcha_id", "digest", "endpoint"} {
			if !strings.Contains(failure.Advice, option) {
				t.Errorf("%d %s: the advice names no %s: %s", c.status, c.body, option, failure.Advice)
			}
		}
	}
}

// Challenges that are asked for at once are different calls, and what they
// share is not written to. (That the race detector is silent is half of it.)
func TestParallelCallsShareTheirRequestSafely(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	endpoint := serving(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Method+" "+r.URL.Query().Get("user_id")]++
		mu.Unlock()
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, registerPass)
			return
		}
		if r.URL.Path == "/validate.php" {
			_, _ = io.WriteString(w, v3Pass)
			return
		}
		_, _ = io.WriteString(w, tencentPass)
	})
	v, tencent := newV3(t, endpoint, forever), newTencent(t, endpoint, forever)
	shared := func() string {
		var all []any
		for _, a := range []api{v.register, v.validate, tencent.describe} {
			all = append(all, a.url(), a.request.Header, a.request.ContentLength, a.request.Body)
		}
		return fmt.Sprint(all...)
	}
	before := shared()
	const parallel = 64
	var calls sync.WaitGroup
	for i := range parallel {
		calls.Go(func() {
			challenge, failure := v.Challenge(t.Context(), testClient, "user"+itoa(i))
			if challenge == nil {
				t.Errorf("there is no challenge, but %+v", failure)
			}
		})
		calls.Go(func() { expect(t, v.Verify(t.Context(), v3Proof, testClient), Passed, "") })
		calls.Go(func() { expect(t, tencent.Verify(t.Context(), tencentProof, testClient), Passed, "") })
	}
	calls.Wait()
	for i := range parallel {
		if n := seen["GET user"+itoa(i)]; n != 1 {
			t.Errorf("user%d was registered %d times", i, n)
		}
	}
	if n := seen["POST "]; n != 2*parallel {
		t.Errorf("%d proofs arrived", n)
	}
	if after := shared(); after != before || len(tencentHeader) != 5 {
		t.Errorf("the calls turned %s into %s", before, after)
	}
}

// A call that meets a connection which the provider has closed goes on
// another, whether or not its body was taken already.
func TestABodyCanBeReadAgain(t *testing.T) {
	form := encodeForm([]string{"a", "b c", "d", "&"})
	at, _ := url.Parse("http://127.0.0.1/validate.php")
	request := newAPI(direct, http.MethodPost, at, formHeader, time.Second).newRequest(t.Context(), message{body: form})
	for range 3 {
		body, _ := io.ReadAll(request.Body)
		if string(body) != "a=b+c&d=%26" || request.ContentLength != int64(len(body)) {
			t.Errorf("the body is %q, of %d bytes", body, request.ContentLength)
		}
		request.Body, _ = request.GetBody()
	}
}
