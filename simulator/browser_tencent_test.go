package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var tencentScripts = []string{TencentScript1Path, TencentScript2Path, TencentIntlScript2Path, TencentIntlScript3Path}

// tencentHTML has the elements that the constructors are tried with.
const tencentHTML = `<button id="bound" data-appid="2000000001" data-cbfn="bound" data-biz-state="7">Log in</button>
<button id="TencentCaptcha" data-appid="2000000001" data-cbfn="bound">Reserved</button>`

// TestTencentConstructors tries every form of the constructor on every script.
func TestTencentConstructors(t *testing.T) {
	const (
		appFirst     = "'2000000001', () => {}"
		withOptions  = "'2000000001', () => {}, {type: 'popup'}"
		elementFirst = "document.getElementById('box'), '2000000001', () => {}, {}"
		elementOnly  = "document.getElementById('bound')"
	)
	forms := []string{
		appFirst, withOptions, elementFirst, elementOnly,
		"", "'2000000001'", "2000000001, () => {}", "null, '2000000001', () => {}, {}", "document.getElementById('nothing'), '2000000001', () => {}",
		"document.getElementById('box')", "'2000000001', () => {}, {type: 'embed'}",
	}
	good := map[string][]string{
		TencentScript1Path:     {appFirst, withOptions, elementFirst, elementOnly},
		TencentScript2Path:     {appFirst, withOptions, elementFirst, elementOnly},
		TencentIntlScript2Path: {appFirst, withOptions},
		TencentIntlScript3Path: {elementFirst},
	}
	for _, script := range tencentScripts {
		t.Run(script, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			var code strings.Builder
			code.WriteString("window.bound = () => {};")
			for i, form := range forms {
				fmt.Fprintf(&code, "try { new TencentCaptcha(%s); log.push('good %d'); } catch (error) { log.push(error.name + ' %d'); }\n", form, i, i)
			}
			tb := openTab(t, sim, opening{script: script, html: tencentHTML, code: code.String()})
			got := tb.awaitLog("run")
			for i, form := range forms {
				want := fmt.Sprintf("TypeError %d", i)
				if slices.Contains(good[script], form) {
					want = fmt.Sprintf("good %d", i)
				}
				if got[i] != want {
					t.Errorf("new TencentCaptcha(%s): %s, want %s", form, got[i], want)
				}
			}
			isIntl := strings.Contains(script, "global")
			if got := tb.json("window.TCaptchaGlobal === true"); got != fmt.Sprint(isIntl) {
				t.Errorf("TCaptchaGlobal: %s", got)
			}
		})
	}
}

func TestTencentHandsItsCallbackTheWholeResult(t *testing.T) {
	for script, want := range map[string]string{
		TencentScript1Path:     "CaptchaAppId,appid,bizState,randstr,ret,ticket",
		TencentScript2Path:     "CaptchaAppId,actionDuration,appid,bizState,randstr,ret,sid,ticket,verifyDuration",
		TencentIntlScript2Path: "CaptchaAppId,appid,bizState,randstr,ret,ticket",
		TencentIntlScript3Path: "CaptchaAppId,appid,bizState,randstr,ret,ticket",
	} {
		t.Run(script, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			element, selector := "", "body > .captcha-simulator-popup "
			if script == TencentIntlScript3Path {
				element, selector = "document.getElementById('box'), ", "#box > .captcha-simulator "
			}
			tb := openTab(t, sim, opening{script: script, code: `
				window.captcha = new TencentCaptcha(` + element + `'2000000001', (r) => { window.proof = r; log.push('called'); }, {
					bizState: {a: 1}, ready: (size) => log.push('ready ' + (size.sdkView.width > 0 && size.sdkView.height > 0)),
				});
				captcha.show();
				captcha.show();`})
			tb.press(selector + solveButton)
			if got := tb.awaitLog("called"); !slices.Equal(got, []string{"run", "ready true", "called"}) {
				t.Errorf("the log is %q", got)
			}
			if got := tb.json("Object.keys(proof).sort().join()"); got != `"`+want+`"` {
				t.Errorf("got %s, want %s", got, want)
			}
			if got := tb.json("[proof.ret, proof.bizState, proof.appid, proof.CaptchaAppId, captcha.getTicket().ticket === proof.ticket, document.querySelectorAll('.captcha-simulator').length]"); got != `[0,{"a":1},"2000000001","2000000001",true,0]` {
				t.Errorf("got %s", got)
			}
			if !passes(t, sim, "tencent", tb.proof("proof")) {
				t.Error("the ticket does not pass")
			}
		})
	}
}

func TestTencentElementsOpenTheCaptchaWhenClicked(t *testing.T) {
	sim, _ := newTestSimulator(t)
	const code = "window.bound = (r) => { window.proof = r; log.push('called'); }; new TencentCaptcha(document.getElementById('bound'));"
	tb := openTab(t, sim, opening{script: TencentScript2Path, html: tencentHTML, code: code})
	tb.press("#bound")
	tb.press(solveButton)
	tb.awaitLog("called")
	if got := tb.json("proof.bizState"); got != `"7"` {
		t.Errorf("bizState is %s", got)
	}
	t.Run("reserved id", func(t *testing.T) {
		html := tencentHTML + "<script>window.bound = () => log.push('called')</script>"
		tb := openTab(t, sim, opening{script: TencentScript1Path, html: html})
		tb.press("#TencentCaptcha")
		tb.press(solveButton)
		tb.awaitLog("called")
	})
	t.Run("embedded", func(t *testing.T) {
		const code = "new TencentCaptcha(document.getElementById('box'), '2000000001', () => log.push('called'), {type: 'embed'}).show()"
		tb := openTab(t, sim, opening{script: TencentScript2Path, code: code})
		tb.press("#box > .captcha-simulator " + solveButton)
		tb.awaitLog("called")
	})
}

func TestTencentInternationalChecksByItself(t *testing.T) {
	sim, _ := newTestSimulator(t)
	tb := openTab(t, sim, opening{script: TencentIntlScript3Path, code: `
		window.captcha = new TencentCaptcha(document.getElementById('box'), '2000000001', (r) => { window.proof = r; log.push('called'); }, {enableAutoCheck: true});
		captcha.show();`})
	tb.awaitLog("called")
	first := tb.proof("proof")
	tb.run("log.length = 0; captcha.reload()")
	tb.awaitLog("called")
	if second := tb.proof("proof"); first.Get("ticket") == second.Get("ticket") || !passes(t, sim, "tencent", second) {
		t.Errorf("reload gives %v after %v", second, first)
	}
}

func TestTencentMakesUpTicketsWhenItFails(t *testing.T) {
	notFound := func(path string) Fault { return Fault{Path: path, Kind: Respond, Status: http.StatusNotFound} }
	for name, test := range map[string]struct {
		fault Fault
		press bool
		code  int
	}{
		"middle script stalls":    {Fault{Path: TencentMainPath, Kind: Stall}, false, 1003},
		"no middle script":        {notFound(TencentMainPath), false, 1004},
		"middle script is broken": {Fault{Path: TencentMainPath, Kind: Respond, Body: "<p>"}, false, 1004},
		"no prehandle":            {notFound(TencentPrehandlePath), false, 1006},
		"prehandle stalls":        {Fault{Path: TencentPrehandlePath, Kind: Stall}, false, 1006},
		"frame stalls":            {Fault{Path: TencentFramePath, Kind: Stall}, false, 1007},
		"no frame":                {notFound(TencentFramePath), false, 1008},
		"no picture":              {notFound(TencentPicturePath), false, 1012},
		"no verify":               {notFound(TencentVerifyPath), true, 1013},
		"verify is reset":         {Fault{Path: TencentVerifyPath, Kind: Reset}, true, 1013},
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			sim.Fail(test.fault)
			tb := openTab(t, sim, opened(sim, "tencent"))
			if test.press {
				tb.press(solveButton)
			}
			if test.fault.Kind == Stall {
				tb.pass(sim, test.fault.Path, "15000")
			}
			tb.awaitLog(fmt.Sprintf("error %d", test.code))
			var result struct {
				Ret          int    `json:"ret"`
				Ticket       string `json:"ticket"`
				Randstr      string `json:"randstr"`
				ErrorMessage string `json:"errorMessage"`
			}
			if err := json.Unmarshal([]byte(tb.json("proof")), &result); err != nil {
				t.Fatal(err)
			}
			form := regexp.MustCompile(fmt.Sprintf(`^trerror_%d_2000000001_\d{10}$`, test.code))
			if !form.MatchString(result.Ticket) || !regexp.MustCompile(`^@[0-9a-z]+$`).MatchString(result.Randstr) || result.Ret != 0 || result.ErrorMessage == "" {
				t.Errorf("got %+v", result)
			}
			if got := genuine(sim, tb.proof("proof")).send(t, sim).verdict(); got != "21" {
				t.Errorf("the server says %s of the ticket", got)
			}
		})
	}
	t.Run("of the first generation", func(t *testing.T) {
		sim, _ := newTestSimulator(t)
		sim.Fail(notFound(TencentPrehandlePath))
		tb := openTab(t, sim, opening{script: TencentScript1Path, code: opened(sim, "tencent").code})
		tb.awaitLog("error 1006")
		if got := tb.proof("proof").Get("ticket"); !strings.HasPrefix(got, "terror_1006_2000000001_") {
			t.Errorf("got %s", got)
		}
	})
}

func TestTencentTellsThePersonWhatItCannotShow(t *testing.T) {
	sim, err := New(Config{Tencent: []Tencent{{
		CaptchaAppID: "2000000001", AppSecretKey: "k", SecretID: "i", SecretKey: "s", ForceAidEncrypted: true,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]string{
		"'5', (r) => log.push('ret ' + r.ret)":                                                      "no such CaptchaAppId",
		"'2000000001', (r) => log.push('ret ' + r.ret)":                                             "aidEncrypted is missing",
		"'2000000001', (r) => log.push('ret ' + r.ret), {aidEncrypted: '!'}":                        "aidEncrypted is not base64",
		"'2000000001', (r) => log.push('ret ' + r.ret), {aidEncrypted: '', aidEncryptedType:'gcm'}": "aidEncrypted is missing",
	} {
		tb := openTab(t, sim, opening{script: TencentScript2Path, code: "new TencentCaptcha(" + code + ").show()"})
		tb.await("document.querySelector('.captcha-simulator-message')?.textContent === '" + want + "'")
		if got := tb.json("document.querySelector('" + solveButton + "').disabled"); got != "true" {
			t.Errorf("%s: the button can be pressed", code)
		}
		tb.press(closeButton)
		tb.awaitLog("ret 2")
	}
}

func TestTencentWidgetTakesAnAidEncrypted(t *testing.T) {
	sim, err := New(Config{Tencent: []Tencent{{
		CaptchaAppID: testTencent.CaptchaAppID, AppSecretKey: testTencent.AppSecretKey,
		SecretID: testTencent.SecretID, SecretKey: testTencent.SecretKey, ForceAidEncrypted: true,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("2000000001&%d&60", sim.now().Unix())
	for _, options := range []string{
		"{aidEncrypted: '" + sealCBC(testTencent.aidKey(), text) + "'}",
		"{aidEncrypted: '" + sealGCM(testTencent.aidKey(), text, "user:alice") + "', aidEncryptedType: 'GCM', aidEncryptedAad: btoa('user:alice')}",
	} {
		tb := openTab(t, sim, opening{script: TencentScript2Path, code: "new TencentCaptcha('2000000001', (r) => { window.proof = r; log.push('ret ' + r.ret); }, " + options + ").show()"})
		tb.press(solveButton)
		tb.awaitLog("ret 0")
		if !passes(t, sim, "tencent", tb.proof("proof")) {
			t.Error("the ticket does not pass")
		}
	}
}
