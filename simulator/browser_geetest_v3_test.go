package simulator

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// openV3 opens a page with a v3 widget that logs its events. Options may use
// $GT and $CHALLENGE; without them it gets good ones.
func openV3(t *testing.T, sim *Simulator, options, begin string) *tab {
	t.Helper()
	code := `window.begin = (c) => {` + begin + `};
	try {
		initGeetest(Object.assign({gt: '$GT', challenge: '$CHALLENGE', new_captcha: true, offline: false, onError: (e) => log.push('config error ' + e.error_code)}, ` + options + `), (c) => {
			window.captcha = c;
			log.push('callback');
			['onReady', 'onSuccess', 'onClose'].forEach((name) => {
				if (c[name](() => log.push(name)) !== c) log.push('no chain');
			});
			c.onError((e) => log.push('onError ' + e.error_code));
			begin(c);
		});
	} catch (error) { log.push('thrown ' + error.message); }`
	code = strings.NewReplacer("$GT", testV3.CaptchaID, "$CHALLENGE", sim.issueV3(testV3, randomHex(16), "")).Replace(code)
	return openTab(t, sim, opening{script: V3ScriptPath, code: code})
}

func TestGeeTestV3CallsItsHandlersInOrder(t *testing.T) {
	sim, _ := newTestSimulator(t)
	tb := openV3(t, sim, "{product: 'bind'}", "log.push('validate ' + c.getValidate()); c.verify(); log.push('boxes ' + document.querySelectorAll('.captcha-simulator').length)")
	tb.awaitLog("onReady")
	tb.run("captcha.verify().verify()")
	tb.press(solveButton)
	got := tb.awaitLog("onSuccess")
	if want := []string{"run", "callback", "validate false", "boxes 0", "onReady", "onSuccess"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGeeTestV3SolvesTheChallengeItIsGiven(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for _, length := range []int{34, 32} { // the simulator's slide and click
		tb := openV3(t, sim, "{product: 'float'}", "window.given = '$CHALLENGE'; c.appendTo('#box')")
		tb.press("#box > .captcha-simulator " + solveButton)
		tb.awaitLog("onSuccess")
		proof := tb.proof("captcha.getValidate()")
		if got := proof.Get("geetest_challenge"); len(got) != length || `"`+got[:32]+`"` != tb.json("given") {
			t.Errorf("the proof is for %s, the challenge was %s", got, tb.json("given"))
		}
		if !passes(t, sim, "geetest_v3", proof) {
			t.Error("the proof does not pass")
		}
	}
}

func TestGeeTestV3PutsTheProofIntoForms(t *testing.T) {
	sim, _ := newTestSimulator(t)
	const values = "Array.from(document.querySelectorAll('#form input[type=hidden], #box input[type=hidden]'), (input) => input.name + '=' + (input.value === (captcha.getValidate() || {})[input.name] || input.value))"
	tb := openV3(t, sim, "{product: 'float'}", "c.appendTo('#box').bindForm('#form')")
	tb.await("document.querySelector('" + solveButton + "')")
	empty := `"geetest_challenge=","geetest_validate=","geetest_seccode="`
	if got := tb.json(values); got != "["+empty+","+empty+"]" {
		t.Fatalf("before: %s", got)
	}
	tb.press(solveButton)
	tb.awaitLog("onSuccess")
	full := strings.ReplaceAll(empty, `=`, `=true`)
	if got := tb.json(values); got != "["+full+","+full+"]" {
		t.Fatalf("after: %s", got)
	}
	tb.run("captcha.reset()")
	if got := tb.json(values); got != "["+empty+","+empty+"]" {
		t.Fatalf("after reset: %s", got)
	}
	tb.press(solveButton)
	tb.await("captcha.getValidate()")
	if !passes(t, sim, "geetest_v3", tb.proof("captcha.getValidate()")) {
		t.Error("the proof after the reset does not pass")
	}
	tb.run("captcha.destroy()")
	if got := tb.json("document.querySelectorAll('input[type=hidden], .captcha-simulator').length"); got != "0" {
		t.Errorf("destroy leaves %s elements", got)
	}
}

func TestGeeTestV3ProductsShowThemselvesAsTheyShould(t *testing.T) {
	for _, test := range []struct {
		options, begin string
		opens          bool // by a button
		selector       string
	}{
		{"{}", "c.appendTo('#box')", true, "body > .captcha-simulator-popup"},
		{"{product: 'popup'}", "c.appendTo('#box')", true, "body > .captcha-simulator-popup"},
		{"{product: 'custom', area: '#form'}", "c.appendTo('#box')", true, "#form > .captcha-simulator"},
		{"{product: 'embed'}", "c.appendTo('#box')", false, "#box > .captcha-simulator"},
		{"{product: 'bind'}", "c.appendTo('#box').onReady(() => c.verify())", false, "body > .captcha-simulator-popup"},
	} {
		t.Run(test.options, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			tb := openV3(t, sim, test.options, test.begin)
			if test.opens {
				tb.press("#box > " + openButton)
			}
			tb.await("document.querySelector('" + test.selector + "')")
			tb.press(solveButton)
			tb.await("captcha.getValidate()")
		})
	}
}

func TestGeeTestV3RefusesWrongArguments(t *testing.T) {
	sim, _ := newTestSimulator(t)
	tb := openTab(t, sim, opening{script: V3ScriptPath, code: `
		const attempt = (...args) => { try { initGeetest(...args); log.push('fine'); } catch (error) { log.push(error.message); } };
		attempt();
		attempt({gt: '1'});
		attempt({}, () => log.push('called'));
	`})
	got := tb.awaitLog("run")
	if want := []string{"initGeetest needs a config", "initGeetest needs a callback", "error_103 gt is no string", "run"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGeeTestV3ReportsErrorsByTheirCodes(t *testing.T) {
	notFound := func(path string) func(*Simulator) {
		return func(sim *Simulator) { sim.Fail(Fault{Path: path, Kind: Respond, Status: http.StatusNotFound}) }
	}
	const bind, show = "{product: 'bind'}", "c.onReady(() => c.verify())"
	for name, test := range map[string]struct {
		fault          func(*Simulator)
		options, begin string
		press          bool
		want           string
	}{
		"no challenge":        {nil, "{challenge: ''}", "", false, "onError error_114"},
		"unknown challenge":   {nil, "{challenge: '0123'}", "", false, "onError error_23"},
		"appendTo nothing":    {nil, "{}", "c.appendTo('#nothing')", false, "onError error_100"},
		"bindForm nothing":    {nil, "{}", "c.bindForm('#nothing')", false, "onError error_101"},
		"handler no function": {nil, "{}", "c.onReady('x')", false, "onError error_102"},
		"handler throws":      {nil, bind, "c.onReady(() => { throw 'x' })", false, "onError error_116"},
		"no area":             {nil, "{product: 'custom'}", "", false, "onError error_112"},
		"no get.php":          {notFound(V3GetPath), bind, "", false, "onError error_104"},
		"get.php stalls":      {func(sim *Simulator) { sim.Fail(Fault{Path: V3GetPath, Kind: Stall}) }, "{product: 'bind', timeout: 6000}", "", false, "onError error_104"},
		"get.php refuses": {func(sim *Simulator) {
			sim.Fail(Fault{Path: V3GetPath, Kind: Respond, Body: `{"status":"error","error_code":"error_113","error":"forbidden"}`})
		}, bind, "", false, "onError error_113"},
		"no ajax.php":       {notFound(V3AjaxPath), bind, show, true, "onError error_105"},
		"no style sheet":    {notFound(V3StylePath), bind, "", false, "onError error_107"},
		"no picture":        {notFound(V3PicturePath), bind, show, false, "onError error_108"},
		"no main script":    {notFound(V3MainPath), bind, "", false, "config error error_111"},
		"no offline script": {notFound(V3OfflinePath), "{offline: true}", "", false, "config error error_111"},
		"the puzzle of old": {nil, "{offline: true, new_captcha: false}", "", false, "config error error_111"},
		"no refresh.php": {func(sim *Simulator) {
			notFound(V3RefreshPath)(sim)
			sim.Behave(Behaviour{Fail: true})
		}, bind, show, true, "onError error_106"},
		"no reset.php": {notFound(V3ResetPath), bind, "c.onReady(() => c.reset())", false, "onError error_109"},
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			if test.fault != nil {
				test.fault(sim)
			}
			tb := openV3(t, sim, test.options, test.begin)
			if test.press {
				tb.press(solveButton)
			}
			if strings.Contains(test.options, "timeout") {
				tb.pass(sim, V3GetPath, "6000")
			}
			tb.awaitLog(test.want)
		})
	}
}

func TestGeeTestV3IsOfflineWhenToldOrWhenItCannotReachTheProvider(t *testing.T) {
	for name, test := range map[string]struct {
		fault   Fault
		options string
		calls   int // of gettype.php
	}{
		"told":               {Fault{Path: V3GetPath, Kind: Reset}, "{product: 'bind', offline: true}", 0},
		"gettype fails":      {Fault{Path: V3TypePath, Kind: Respond, Status: http.StatusBadGateway}, "{product: 'bind'}", 1},
		"gettype is unhappy": {Fault{Path: V3TypePath, Kind: Respond, Body: `{"status":"error"}`}, "{product: 'bind'}", 1},
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			sim.Fail(test.fault)
			tb := openV3(t, sim, test.options, "window.given = '$CHALLENGE'; c.onReady(() => c.verify())")
			tb.press(solveButton)
			tb.awaitLog("onSuccess")
			proof := tb.proof("captcha.getValidate()")
			given := strings.Trim(tb.json("given"), `"`)
			if proof.Get("geetest_challenge") != given || proof.Get("geetest_validate") != md5Hex(given) || proof.Get("geetest_seccode") != md5Hex(given)+"|jordan" {
				t.Errorf("got %v for %s", proof, given)
			}
			if got := sim.Calls(V3TypePath); got != test.calls {
				t.Errorf("gettype.php was called %d times, want %d", got, test.calls)
			}
			if got := sim.Calls(V3GetPath, V3AjaxPath); got != 0 {
				t.Errorf("the API was called %d times", got)
			}
			if passes(t, sim, "geetest_v3", proof) {
				t.Error("the server knows the proof")
			}
		})
	}
}

func TestGeeTestV3RenewsAChallengeBeforeItExpires(t *testing.T) {
	sim, _ := newTestSimulator(t)
	tb := openTab(t, sim, opening{script: V3ScriptPath, code: showV3(sim, "{product: 'bind'}")})
	tb.await("document.querySelector('" + solveButton + "')")
	tb.pass(sim, V3GetPath, "540000")
	if err := sim.AwaitCalls(tb.ctx, V3ResetPath, 1); err != nil {
		t.Fatal(err)
	}
	tb.await("performance.getEntriesByType('resource').some((entry) => entry.name.includes('" + V3ResetPath + "'))")
	before, _ := sim.LastCall(V3ResetPath)
	tb.press(solveButton)
	tb.awaitLog("success")
	proof := tb.proof("proof")
	if strings.HasPrefix(proof.Get("geetest_challenge"), before.Query.Get("challenge")) {
		t.Error("the challenge is the old one")
	}
	if !passes(t, sim, "geetest_v3", proof) {
		t.Error("the proof does not pass")
	}
}
