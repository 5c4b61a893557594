package simulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWidgetFilesAreServedAsWhatTheyAre(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for _, file := range staticFiles {
		w := do(sim, http.MethodGet, file.path, "", "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != file.contentType || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s, %d bytes", file.path, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		if got := w.Header().Get("Access-Control-Allow-Origin"); (got == "*") != file.cors {
			t.Errorf("%s: Access-Control-Allow-Origin %q", file.path, got)
		}
		if got := do(sim, http.MethodPost, file.path, "", ""); got.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", file.path, got.Code)
		}
		sim.FailNext(1, Fault{Path: file.path, Kind: Respond, Status: http.StatusServiceUnavailable})
		if got := do(sim, http.MethodGet, file.path, "", ""); got.Code != http.StatusServiceUnavailable {
			t.Errorf("%s does not fail: %d", file.path, got.Code)
		}
	}
}

func TestOnlyWhatTheWidgetsReadHasCORSHeaders(t *testing.T) {
	sim, _ := newTestSimulator(t)
	sim.FailNext(1, Fault{Path: TencentVerifyPath, Kind: Respond, Status: http.StatusBadGateway})
	for range 2 {
		w := do(sim, http.MethodPost, TencentVerifyPath, formType, "")
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("status %d: Access-Control-Allow-Origin %q", w.Code, got)
		}
	}
	for _, path := range []string{V3RegisterPath, V3ValidatePath, V4ValidatePath, TencentPath, V4LoadPath, V3GetPath, TencentPrehandlePath, "/solve/geetest_v4", "/fault", "/behaviour"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			if got := do(sim, method, path, "", "").Header().Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("%s %s: Access-Control-Allow-Origin %q", method, path, got)
			}
		}
	}
}

// jsonpPaths are the endpoints that take a callback.
func jsonpPaths(sim *Simulator) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(sim.endpoints)), func(path string) bool { return !sim.endpoints[path].jsonp })
}

func TestJSONPCallsTheCallbackOrNothing(t *testing.T) {
	sim, _ := newTestSimulator(t)
	paths := jsonpPaths(sim)
	if len(paths) != 8 {
		t.Fatalf("got %q", paths)
	}
	for _, path := range paths {
		plain := do(sim, http.MethodGet, path, "", "")
		if got := plain.Header().Get("Content-Type"); got != jsonType || !json.Valid(plain.Body.Bytes()) {
			t.Errorf("%s: %s %s", path, got, plain.Body)
		}
		w := do(sim, http.MethodGet, path+"?callback=geetest_1", "", "")
		if got := w.Header().Get("Content-Type"); got != scriptType || w.Body.String() != "geetest_1("+plain.Body.String()+")" {
			t.Errorf("%s: %s %s", path, got, w.Body)
		}
		for _, callback := range []string{"alert(1)", "a.b", "1a", "<script>", "a b", "a\n", "a;b", strings.Repeat("a", 65), "é"} {
			w := do(sim, http.MethodGet, path+"?callback="+url.QueryEscape(callback), "", "")
			if got := w.Header().Get("Content-Type"); w.Code != http.StatusBadRequest || got != jsonType || !strings.Contains(w.Body.String(), "-50004") || strings.Contains(w.Body.String(), callback) {
				t.Errorf("%s with callback %q: %d %s %s", path, callback, w.Code, got, w.Body)
			}
		}
	}
}

func TestFaultsOfJSONPCallTheCallback(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for name, test := range map[string]struct{ query, body, want, contentType string }{
		"JSON":               {"?callback=f", `{"status": "error", "msg": "</script>"}`, `f({"msg":"\u003c/script\u003e","status":"error"})`, scriptType},
		"no JSON":            {"?callback=f", `{"status"`, `{"status"`, jsonType},
		"empty":              {"?callback=f", "", "", jsonType},
		"no callback":        {"", "{}", "{}", jsonType},
		"no callback's name": {"?callback=alert(1)", "{}", "{}", jsonType},
	} {
		sim.FailNext(1, Fault{Path: V4LoadPath, Kind: Respond, Body: test.body})
		w := do(sim, http.MethodGet, V4LoadPath+test.query, "", "")
		if w.Code != http.StatusOK || w.Body.String() != test.want || w.Header().Get("Content-Type") != test.contentType {
			t.Errorf("%s: %d %s %s", name, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}

// jsonp calls an endpoint as a widget does and returns its answer.
func jsonp(t *testing.T, sim *Simulator, path string, parameters url.Values) (answer struct {
	Status    string         `json:"status"`
	Code      string         `json:"code"`
	ErrorCode string         `json:"error_code"`
	Data      map[string]any `json:"data"`
	State     int            `json:"state"`
	Session   string         `json:"sess"`
},
) {
	t.Helper()
	body := get(t, sim, path+"?"+with(parameters, "callback", "cb").Encode())
	body, ok := strings.CutPrefix(body, "cb(")
	if !ok || json.Unmarshal([]byte(strings.TrimSuffix(body, ")")), &answer) != nil {
		t.Fatalf("%s: %s", path, body)
	}
	return answer
}

func TestGeeTestV4JudgesVerify(t *testing.T) {
	sim, clock := newTestSimulator(t)
	loaded := jsonp(t, sim, V4LoadPath, url.Values{"captcha_id": {testV4.CaptchaID}}).Data
	good := url.Values{"captcha_id": {testV4.CaptchaID}, "w": {"x"}}
	for _, name := range []string{"lot_number", "payload", "process_token"} {
		good.Set(name, loaded[name].(string))
	}
	for _, test := range []struct{ name, value, want string }{
		{"lot_number", "-", "-50302"},
		{"lot_number", "x", "-50301"},
		{"captcha_id", otherV4.CaptchaID, "-50304"},
		{"process_token", "x", "-50306"},
		{"payload", "x", "-50307"},
		{"w", "-", "-50002"},
	} {
		if got := jsonp(t, sim, V4VerifyPath, with(good, test.name, test.value)); got.Status != "error" || got.Code != test.want {
			t.Errorf("%s %q: %+v, want %s", test.name, test.value, got, test.want)
		}
	}
	sim.BehaveNext(1, Behaviour{Fail: true})
	failed := jsonp(t, sim, V4VerifyPath, good).Data
	if failed["result"] != "fail" || failed["fail_count"] != 1.0 || failed["payload"] == loaded["payload"] {
		t.Fatalf("got %v", failed)
	}
	if got := jsonp(t, sim, V4VerifyPath, good); got.Code != "-50306" {
		t.Errorf("with the tokens of before: %+v", got)
	}
	good.Set("payload", failed["payload"].(string))
	good.Set("process_token", failed["process_token"].(string))
	clock.advance(v4Lifetime + time.Second)
	if got := jsonp(t, sim, V4VerifyPath, good); got.Code != "-50305" {
		t.Errorf("too late: %+v", got)
	}
	clock.advance(-2 * time.Second)
	if got := jsonp(t, sim, V4VerifyPath, good); got.Data["result"] != "success" {
		t.Errorf("in time: %+v", got)
	}
	if got := jsonp(t, sim, V4VerifyPath, good); got.Code != "-50003" {
		t.Errorf("again: %+v", got)
	}
	for id, want := range map[string]string{"": "-50101", "x": "-50102", strings.Repeat("0", 32): "-50103"} {
		if got := jsonp(t, sim, V4LoadPath, url.Values{"captcha_id": {id}}); got.Code != want {
			t.Errorf("/load of %q: %+v, want %s", id, got, want)
		}
	}
}

func TestGeeTestV3JudgesWhatTheWidgetSends(t *testing.T) {
	sim, clock := newTestSimulator(t)
	challenge := sim.issueV3(testV3, randomHex(16), "sha256")
	good := url.Values{"gt": {testV3.CaptchaID}, "challenge": {challenge}, "w": {"x"}}
	for _, test := range []struct{ name, value, want string }{
		{"gt", "-", "error_31"},
		{"gt", "x", "error_32"},
		{"gt", otherV3.CaptchaID, "error_23"},
		{"challenge", "-", "error_22"},
		{"challenge", "x", "error_23"},
		{"w", "-", "error_03"},
	} {
		if got := jsonp(t, sim, V3AjaxPath, with(good, test.name, test.value)); got.Status != "error" || got.ErrorCode != test.want {
			t.Errorf("%s %q: %+v, want %s", test.name, test.value, got, test.want)
		}
	}
	for i := range v3Refreshes + 1 {
		want := "success"
		if i == v3Refreshes {
			want = "error"
		}
		if got := jsonp(t, sim, V3RefreshPath, good); got.Status != want {
			t.Errorf("refresh %d: %+v", i+1, got)
		}
	}
	clock.advance(v3Lifetime + time.Second)
	for _, path := range []string{V3GetPath, V3AjaxPath, V3RefreshPath} {
		if got := jsonp(t, sim, path, good); got.ErrorCode != "error_21" {
			t.Errorf("%s, too late: %+v", path, got)
		}
	}
	renewed := jsonp(t, sim, V3ResetPath, good).Data["challenge"].(string)
	if len(renewed) != 64 {
		t.Fatalf("the new challenge is %s", renewed)
	}
	good.Set("challenge", renewed)
	if got := jsonp(t, sim, V3AjaxPath, good); got.Data["result"] != "success" {
		t.Fatalf("got %+v", got)
	}
	for _, path := range []string{V3GetPath, V3AjaxPath} {
		if got := jsonp(t, sim, path, good); got.ErrorCode != "error_02" {
			t.Errorf("%s, solved before: %+v", path, got)
		}
	}
	if got := jsonp(t, sim, V3ResetPath, with(good, "gt", otherV3.CaptchaID)); got.ErrorCode != "error_23" {
		t.Errorf("reset of another's challenge: %+v", got)
	}
	if got := jsonp(t, sim, V3TypePath, url.Values{"gt": {"x"}}); got.Status != "error" {
		t.Errorf("gettype.php: %+v", got)
	}
}

func TestTencentJudgesWhatTheWidgetSends(t *testing.T) {
	sim, clock := newTestSimulator(t)
	shown := jsonp(t, sim, TencentPrehandlePath, url.Values{"aid": {testTencent.CaptchaAppID}})
	if shown.State != 1 {
		t.Fatalf("got %+v", shown)
	}
	good := url.Values{"aid": {testTencent.CaptchaAppID}, "sess": {shown.Session}, "ans": {"42"}}
	verify := func(form url.Values) string {
		var answer newVerifyAnswer
		if err := json.Unmarshal([]byte(post(t, sim, TencentVerifyPath, form)), &answer); err != nil {
			t.Fatal(err)
		}
		if (answer.Ticket != "") != (answer.ErrorCode == "0") {
			t.Errorf("got %+v", answer)
		}
		return answer.ErrorCode
	}
	for _, test := range []struct{ name, value, want string }{
		{"sess", "x", "12"},
		{"aid", siblingTencent.CaptchaAppID, "12"},
		{"ans", "-", "50"},
	} {
		if got := verify(with(good, test.name, test.value)); got != test.want {
			t.Errorf("%s %q: %s, want %s", test.name, test.value, got, test.want)
		}
	}
	clock.advance(ticketLifetime + time.Second)
	if got := verify(good); got != "12" {
		t.Errorf("too late: %s", got)
	}
	clock.advance(-2 * time.Second)
	if got := verify(good); got != "0" {
		t.Errorf("in time: %s", got)
	}
	if got := verify(good); got != "12" {
		t.Errorf("again: %s", got)
	}
}

// FuzzJSONP shows that whatever the parameters, the answer is plain JSON, or a
// call of the function that was named with nothing but JSON.
func FuzzJSONP(f *testing.F) {
	f.Add(uint8(0), "callback=geetest_1&gt=c9c4facd1a6feeb80802222cbb74ca8e&challenge=x")
	f.Add(uint8(1), "callback=alert(1)//&captcha_id=</script>")
	f.Add(uint8(2), "callback=a&callback=b;c&lot_number=%E2%80%A8&aid=2000000001")
	sim, err := New(Config{GeeTestV3: []GeeTestV3{testV3}, GeeTestV4: []GeeTestV4{testV4}, Tencent: []Tencent{testTencent}})
	if err != nil {
		f.Fatal(err)
	}
	paths := jsonpPaths(sim)
	f.Fuzz(func(t *testing.T, which uint8, query string) {
		call := Call{Method: http.MethodGet, Path: paths[int(which)%len(paths)]}
		call.Query, _ = url.ParseQuery(query)
		a := sim.endpoints[call.Path].answer(call)
		body := string(a.body)
		if a.contentType == scriptType {
			name := call.Query.Get("callback")
			if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$") != "" {
				t.Fatalf("the callback %q is called", name)
			}
			body = strings.TrimSuffix(strings.TrimPrefix(body, name+"("), ")")
		}
		if !json.Valid([]byte(body)) || strings.ContainsAny(body, "<>\u2028\u2029") {
			t.Fatalf("%s?%s: %s", call.Path, query, a.body)
		}
	})
}
