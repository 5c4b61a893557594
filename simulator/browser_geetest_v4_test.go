package simulator

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// initV4 is code that starts a v4 widget and logs its events.
func initV4(options string) string {
	return `try {
		initGeetest4(Object.assign({captchaId: '` + testV4.CaptchaID + `', onError: (e) => log.push('config error ' + e.code)}, ` + options + `), (c) => {
			window.captcha = c;
			log.push('callback ' + (c instanceof Geetest4));
			['onReady', 'onNextReady', 'onBoxShow', 'onSuccess', 'onClose'].forEach((name) => {
				if (c[name]((value) => log.push(name + (value ? ' ' + Object.keys(value).sort() : ''))) !== c) log.push('no chain');
			});
			c.onFail((f) => log.push('onFail ' + Object.keys(f).sort())).onError((e) => log.push('onError ' + e.code + ' ' + Object.keys(e).sort()));
			window.begin && begin(c);
		});
	} catch (error) { log.push('thrown ' + error.message); }`
}

func openV4(t *testing.T, sim *Simulator, options, begin string) *tab {
	t.Helper()
	return openTab(t, sim, opening{script: V4ScriptPath, code: "window.begin = (c) => {" + begin + "};" + initV4(options)})
}

func TestGeeTestV4CallsItsHandlersInOrder(t *testing.T) {
	sim, _ := newTestSimulator(t)
	sim.BehaveNext(1, Behaviour{Fail: true})
	tb := openV4(t, sim, "{product: 'bind', language: 'eng'}", "log.push('validate ' + c.getValidate()); c.showCaptcha(); log.push('boxes ' + document.querySelectorAll('.captcha-simulator').length)")
	tb.awaitLog("onReady")
	tb.run("captcha.showCaptcha().showCaptcha()")
	tb.awaitLog("onNextReady")
	tb.press(solveButton)
	tb.awaitLog("onFail captchaId,captchaType,lotNumber")
	tb.press(solveButton)
	got := tb.awaitLog("onSuccess captcha_id,captcha_output,gen_time,lot_number,pass_token")
	want := []string{
		"run", "callback true", "validate false", "boxes 0", "onReady", "onBoxShow", "onNextReady",
		"onFail captchaId,captchaType,lotNumber", "onSuccess captcha_id,captcha_output,gen_time,lot_number,pass_token",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := tb.json("[captcha.getValidate().captcha_id, Object.keys(captcha.getValidate()).length]"); got != `["`+testV4.CaptchaID+`",5]` {
		t.Errorf("getValidate gives %s", got)
	}
}

func TestGeeTestV4ProductsShowThemselvesAsTheyShould(t *testing.T) {
	for _, test := range []struct {
		options, begin string
		opens          bool // by a button
		selector       string
	}{
		{"{}", "c.appendTo('#box')", false, "#box > .captcha-simulator"},
		{"{product: 'float'}", "c.appendTo(document.getElementById('box'))", false, "#box > .captcha-simulator"},
		{"{product: 'popup'}", "c.appendTo('box')", true, "body > .captcha-simulator-popup"},
		{"{product: 'bind'}", "c.appendTo('#box').onReady(() => c.showBox())", false, "body > .captcha-simulator-popup"},
	} {
		t.Run(test.options, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			tb := openV4(t, sim, test.options, test.begin)
			if test.opens {
				tb.press("#box > " + openButton)
			}
			tb.await("document.querySelector('" + test.selector + "')")
			tb.press(solveButton)
			tb.await("captcha.getValidate()")
			tb.run("captcha.reset()")
			if tb.json("captcha.getValidate()") != "false" {
				t.Error("reset leaves the proof")
			}
			tb.run("captcha.destroy()")
			if got := tb.json("document.querySelectorAll('.captcha-simulator, .captcha-simulator-open').length"); got != "0" {
				t.Errorf("destroy leaves %s elements", got)
			}
		})
	}
}

func TestGeeTestV4RefusesWrongArguments(t *testing.T) {
	sim, _ := newTestSimulator(t)
	tb := openTab(t, sim, opening{script: V4ScriptPath, code: `
		const attempt = (...args) => { try { initGeetest4(...args); log.push('fine'); } catch (error) { log.push(error.message); } };
		attempt();
		attempt({captchaId: '1'});
		attempt({}, () => log.push('called'));
		attempt({onError: (e) => log.push(e.code + ' ' + typeof e.msg + ' ' + typeof e.desc.detail)}, () => log.push('called'));
	`})
	got := tb.awaitLog("run")
	want := []string{"initGeetest4 needs a config", "initGeetest4 needs a callback", "60001 the captchaId is wrong", "60001 string string", "fine", "run"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGeeTestV4ReportsErrorsByTheirCodes(t *testing.T) {
	notFound := func(path string) func(*Simulator) {
		return func(sim *Simulator) { sim.Fail(Fault{Path: path, Kind: Respond, Status: http.StatusNotFound}) }
	}
	for name, test := range map[string]struct {
		fault          func(*Simulator)
		options, begin string
		press          bool
		want           string
	}{
		"unknown id":   {nil, "{captchaId: '00000000000000000000000000000000'}", "", false, "config error 60100"},
		"malformed id": {nil, "{captchaId: 'x'}", "", false, "config error 60100"},
		"load refuses": {func(sim *Simulator) {
			sim.Fail(Fault{Path: V4LoadPath, Kind: Respond, Body: `{"status":"error","code":"-50105","msg":"captcha_id paused"}`})
		}, "{}", "", false, "config error 60100"},
		"no main script":    {notFound(V4MainPath), "{}", "", false, "config error 60204"},
		"no gct script":     {notFound(V4GctPath), "{}", "", false, "config error 60205"},
		"no style sheet":    {notFound(V4StylePath), "{}", "", false, "onError 60200 code,desc,msg"},
		"no picture":        {notFound(V4PicturePath), "{product: 'bind'}", "c.onReady(() => c.showCaptcha())", false, "onError 60202 code,desc,msg"},
		"appendTo nothing":  {nil, "{}", "c.appendTo('#nothing')", false, "onError 60002 code,desc,msg"},
		"appendTo a number": {nil, "{}", "c.appendTo(1)", false, "onError 60002 code,desc,msg"},
		"no verify":         {notFound(V4VerifyPath), "{product: 'bind'}", "c.onReady(() => c.showCaptcha())", true, "onError 60101 code,desc,msg"},
		"verify reset":      {func(sim *Simulator) { sim.Fail(Fault{Path: V4VerifyPath, Kind: Reset}) }, "{product: 'bind'}", "c.onReady(() => c.showCaptcha())", true, "onError 60101 code,desc,msg"},
		"verify stalls":     {func(sim *Simulator) { sim.Fail(Fault{Path: V4VerifyPath, Kind: Stall}) }, "{product: 'bind', timeout: 6000}", "c.onReady(() => c.showCaptcha())", true, "onError 60101 code,desc,msg"},
		"offline, no local": {func(sim *Simulator) { notFound(V4LoadPath)(sim); notFound(V4BypassPath)(sim) }, "{}", "", false, "config error 60204"},
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			if test.fault != nil {
				test.fault(sim)
			}
			tb := openV4(t, sim, test.options, test.begin)
			if test.press {
				tb.press(solveButton)
			}
			if strings.Contains(test.options, "timeout") {
				tb.pass(sim, V4VerifyPath, "6000")
			}
			tb.awaitLog(test.want)
		})
	}
}

func TestGeeTestV4GoesOfflineWhenLoadDoesNotAnswer(t *testing.T) {
	sim, _ := newTestSimulator(t)
	sim.Fail(Fault{Path: V4LoadPath, Kind: Reset})
	t.Run("with offlineCb", func(t *testing.T) {
		tb := openV4(t, sim, "{offlineCb: (...args) => log.push('offline ' + args.length)}", "")
		if got := tb.awaitLog("offline 0"); slices.ContainsFunc(got, func(entry string) bool { return strings.HasPrefix(entry, "callback") }) {
			t.Errorf("the log is %q", got)
		}
	})
	t.Run("without", func(t *testing.T) {
		tb := openV4(t, sim, "{product: 'bind'}", "c.onReady(() => c.showCaptcha())")
		tb.press(solveButton)
		tb.await("captcha.getValidate()")
		proof := tb.proof("captcha.getValidate()")
		proof.Del("captcha_id")
		if got := post(t, sim, testV4Target, signed(proof)); !strings.Contains(got, `"reason":"pass_token error"`) {
			t.Errorf("the server says %s of a local proof", got)
		}
	})
}

func TestWidgetsSpeakTheLanguageTheyAreTold(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for name, test := range map[string]struct {
		o    opening
		want string
	}{
		"v4":                    {opening{script: V4ScriptPath, code: "window.begin = (c) => c.onReady(() => c.showCaptcha());" + initV4("{product: 'bind', language: 'zho-tw'}")}, `["zho-tw","false","我是人类"]`},
		"v3":                    {opening{script: V3ScriptPath, code: showV3(sim, "{product: 'bind', lang: 'en'}")}, `["en","false","I am human"]`},
		"v3 by default":         {opening{script: V3ScriptPath, code: showV3(sim, "{product: 'bind'}")}, `["zh-cn","false","我是人类"]`},
		"tencent":               {opening{script: TencentScript1Path, code: "new TencentCaptcha('2000000001', () => {}, {userLanguage: 'en', enableDarkMode: 'force'}).show()"}, `["en","true","I am human"]`},
		"tencent in the bright": {opening{script: TencentScript1Path, code: "new TencentCaptcha('2000000001', () => {}, {userLanguage: 'zh-cn', enableDarkMode: true}).show()"}, `["zh-cn","false","我是人类"]`},
	} {
		t.Run(name, func(t *testing.T) {
			tb := openTab(t, sim, test.o)
			tb.await("document.querySelector('" + solveButton + "')")
			if got := tb.json("((box) => [box.dataset.language, box.dataset.dark, box.querySelector('button').textContent])(document.querySelector('.captcha-simulator'))"); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
