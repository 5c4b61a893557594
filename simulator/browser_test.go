package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// policies allow what each provider's widget needs and nothing else; ORIGIN
// stands for the simulator.
var policies = map[string]map[string]string{
	"geetest_v3": {"script-src": "'nonce-test' ORIGIN", "style-src": "'unsafe-inline' ORIGIN", "img-src": "ORIGIN"},
	"geetest_v4": {"script-src": "'nonce-test' ORIGIN", "style-src": "'unsafe-inline' ORIGIN", "img-src": "ORIGIN", "worker-src": "blob:"},
	"tencent": {
		"script-src": "'nonce-test' ORIGIN", "style-src": "'unsafe-inline'", "img-src": "ORIGIN",
		"frame-src": "ORIGIN", "connect-src": "ORIGIN", "worker-src": "blob:",
	},
}

// policy joins the directives but for one.
func policy(directives map[string]string, without string) string {
	text := "default-src 'none'"
	for name, sources := range directives {
		if name != without {
			text += "; " + name + " " + sources
		}
	}
	return text
}

// tab is a page of somebody's that loads one of the look-alikes.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string // the simulator's
}

// options of openTab.
type opening struct {
	script string // the path of the provider's script
	policy string
	code   string // run when the page is loaded; it may use the array log
	html   string // more of the page
}

// openTab opens a page with the elements #box and #form.
func openTab(t *testing.T, sim *Simulator, o opening) *tab {
	t.Helper()
	provider := httptest.NewServer(sim)
	t.Cleanup(provider.Close)
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if o.policy != "" {
			w.Header().Set("Content-Security-Policy", strings.ReplaceAll(o.policy, "ORIGIN", provider.URL))
		}
		fmt.Fprintf(w, `<!DOCTYPE html><html lang="en"><body><div id="box"></div><form id="form"></form>%s
<script nonce="test">
var log = [], violations = [], held = {};
// The widgets' timeouts pass when the test says so.
const wait = window.setTimeout;
window.setTimeout = (f, delay, ...more) => delay >= 5000 ? ((held[delay] ??= []).push(f), 0) : wait(f, delay, ...more);
addEventListener('error', (event) => event.message && log.push('thrown: ' + event.message));
addEventListener('securitypolicyviolation', (event) => violations.push(event.effectiveDirective.replace('-elem', '')));
</script>
<script nonce="test" src="%s%s"></script>
<script nonce="test">addEventListener('load', () => { %s
log.push('run'); });</script>`, o.html, provider.URL, o.script, o.code)
	}))
	t.Cleanup(application.Close)
	tb := &tab{t, browsertest.New(t), provider.URL}
	if err := chromedp.Do(tb.ctx, browsertest.Open(application.URL)); err != nil {
		t.Fatal(err)
	}
	return tb
}

func (tb *tab) await(expression string) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, browsertest.Await(expression)); err != nil {
		tb.t.Fatalf("%v; the log is %s", err, tb.json("log"))
	}
}

// awaitLog waits until the log has the entry and returns it whole.
func (tb *tab) awaitLog(entry string) []string {
	tb.t.Helper()
	tb.await(fmt.Sprintf("log.includes(%q)", entry))
	var entries []string
	if err := json.Unmarshal([]byte(tb.json("log")), &entries); err != nil {
		tb.t.Fatal(err)
	}
	return entries
}

// json returns the value of the expression.
func (tb *tab) json(expression string) string {
	tb.t.Helper()
	text, err := chromedp.Run(tb.ctx, chromedp.Evaluate[string]("String(JSON.stringify("+expression+"))"))
	if err != nil {
		tb.t.Fatalf("%s: %v", expression, err)
	}
	return text
}

// run runs statements.
func (tb *tab) run(code string) {
	tb.t.Helper()
	if _, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool]("(() => {"+code+"; return true})()")); err != nil {
		tb.t.Fatalf("%s: %v", code, err)
	}
}

// press waits until a button is there, can be pressed and is covered by
// nothing, and presses it.
func (tb *tab) press(selector string) {
	tb.t.Helper()
	tb.await(fmt.Sprintf(`(() => {
		const button = document.querySelector(%q);
		if (!button || button.disabled) return false;
		button.scrollIntoView();
		const {left, top, width, height} = button.getBoundingClientRect();
		if (document.elementFromPoint(left + width / 2, top + height / 2) !== button) return false;
		button.click();
		return true;
	})()`, selector))
}

// key presses a key.
func (tb *tab) key(key string) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, chromedp.KeyEvent(key)); err != nil {
		tb.t.Fatal(err)
	}
}

// pass makes the timeouts of so many milliseconds pass, once the call that is
// waited for has arrived.
func (tb *tab) pass(sim *Simulator, path, milliseconds string) {
	tb.t.Helper()
	if err := sim.AwaitCalls(tb.ctx, path, 1); err != nil {
		tb.t.Fatal(err)
	}
	tb.run("held[" + milliseconds + "].splice(0).forEach((f) => f())")
}

// proof returns the members of the expression's value.
func (tb *tab) proof(expression string) url.Values {
	tb.t.Helper()
	var members map[string]any
	text := tb.json(expression)
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		tb.t.Fatalf("%s is %s: %v", expression, text, err)
	}
	values := url.Values{}
	for name, value := range members {
		values.Set(name, fmt.Sprint(value))
	}
	return values
}

const (
	solveButton = ".captcha-simulator-solve"
	closeButton = ".captcha-simulator-close"
	openButton  = ".captcha-simulator-open"
)

// widgets are how a page shows each widget at once, with all its events in the
// log and its proof in the variable proof.
var widgets = map[string]opening{
	"geetest_v3": {script: V3ScriptPath},
	"geetest_v4": {script: V4ScriptPath, code: `
		initGeetest4({captchaId: '` + testV4.CaptchaID + `', product: 'bind'}, (c) => {
			window.captcha = c;
			c.onReady(() => c.showCaptcha()).onSuccess(() => { window.proof = c.getValidate(); log.push('success'); })
				.onError((e) => log.push('error ' + e.code)).onClose(() => log.push('close'));
		});`},
	"tencent": {script: TencentScript2Path, code: `
		window.captcha = new TencentCaptcha('` + testTencent.CaptchaAppID + `', (r) => {
			window.proof = r;
			log.push(r.errorCode ? 'error ' + r.errorCode : r.ret === 0 ? 'success' : 'close');
		});
		captcha.show();`},
}

// showV3 is the code for a v3 widget, whose challenge the page has from its
// own server.
func showV3(sim *Simulator, options string) string {
	return `initGeetest(Object.assign({gt: '` + testV3.CaptchaID + `', challenge: '` + sim.issueV3(testV3, randomHex(16), "") + `', new_captcha: true, offline: false}, ` + options + `), (c) => {
		window.captcha = c;
		c.onReady(() => { log.push('ready'); c.verify(); }).onSuccess(() => { window.proof = c.getValidate(); log.push('success'); })
			.onError((e) => log.push('error ' + e.error_code)).onClose(() => log.push('close'));
	});`
}

func opened(sim *Simulator, provider string) opening {
	o := widgets[provider]
	if provider == "geetest_v3" {
		o.code = showV3(sim, "{product: 'bind'}")
	}
	return o
}

// passes asks the simulator's server about the proof.
func passes(t *testing.T, sim *Simulator, provider string, proof url.Values) bool {
	t.Helper()
	switch provider {
	case "geetest_v3":
		answer := post(t, sim, V3ValidatePath, validation(proof))
		return strings.Contains(answer, md5Hex(proof.Get("geetest_seccode")))
	case "geetest_v4":
		proof.Del("captcha_id")
		return strings.Contains(post(t, sim, testV4Target, signed(proof)), `"result":"success"`)
	default:
		return genuine(sim, proof).send(t, sim).verdict() == "1"
	}
}

func TestWidgetsYieldAProofThatPassesOnce(t *testing.T) {
	for provider := range widgets {
		t.Run(provider, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			o := opened(sim, provider)
			o.policy = policy(policies[provider], "")
			tb := openTab(t, sim, o)
			tb.press(solveButton)
			tb.awaitLog("success")
			proof := tb.proof("proof")
			if !passes(t, sim, provider, proof) {
				t.Error("the proof does not pass")
			}
			if passes(t, sim, provider, proof) {
				t.Error("the proof passes twice")
			}
			if got := tb.json("[typeof loadScript, typeof jsonp, typeof addStyle, typeof flavour]"); got != `["undefined","undefined","undefined","undefined"]` {
				t.Errorf("the scripts leave globals behind: %s", got)
			}
			if got := browsertest.Problems(tb.ctx); len(got) > 0 {
				t.Errorf("the browser reports %q", got)
			}
			if got := tb.json("violations"); got != "[]" {
				t.Errorf("the policy was violated: %s", got)
			}
		})
	}
}

// TestWidgetsNeedTheSourcesOfTheirPolicy shows that every directive counts, so
// that a page whose policy lacks one is found out.
func TestWidgetsNeedTheSourcesOfTheirPolicy(t *testing.T) {
	for provider, directives := range policies {
		for directive := range directives {
			t.Run(provider+" "+directive, func(t *testing.T) {
				sim, _ := newTestSimulator(t)
				o := opened(sim, provider)
				if directive == "script-src" {
					// The page's own scripts stay, the provider's go.
					o.policy = strings.ReplaceAll(policy(directives, ""), "'nonce-test' ORIGIN", "'nonce-test'")
				} else {
					o.policy = policy(directives, directive)
				}
				tb := openTab(t, sim, o)
				if directive == "connect-src" || directive == "worker-src" {
					tb.press(solveButton)
				}
				tb.await(fmt.Sprintf("violations.includes(%q)", directive))
			})
		}
	}
}

func TestWidgetsAreOfUseWithTheKeyboardAlone(t *testing.T) {
	for provider := range widgets {
		t.Run(provider, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			tb := openTab(t, sim, opened(sim, provider))
			const focused = "document.activeElement && document.activeElement.matches('" + solveButton + "') && !document.activeElement.disabled"
			tb.await(focused)
			tb.key("\x1b") // Escape
			tb.awaitLog("close")
			if got := tb.json("document.querySelectorAll('.captcha-simulator').length"); got != "0" {
				t.Fatalf("%s boxes are left", got)
			}
			tb.run("(captcha.verify || captcha.showCaptcha || captcha.show)()")
			tb.await(focused)
			tb.key("\r")
			tb.awaitLog("success")
		})
	}
}

func TestWidgetsHaveACloseButton(t *testing.T) {
	for provider := range widgets {
		t.Run(provider, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			tb := openTab(t, sim, opened(sim, provider))
			tb.press(closeButton)
			tb.awaitLog("close")
			if provider != "tencent" {
				if got := tb.json("captcha.getValidate()"); got != "false" {
					t.Fatalf("getValidate gives %s", got)
				}
				return
			}
			if got := tb.json("[proof.ret, proof.ticket, proof.appid, captcha.getTicket()]"); got != `[2,null,"2000000001",{"CaptchaAppId":"2000000001","ticket":null}]` {
				t.Fatalf("got %s", got)
			}
		})
	}
}

func TestWidgetsShowTheFailuresAndForgeriesOfPeople(t *testing.T) {
	for provider := range widgets {
		t.Run(provider, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			sim.BehaveNext(2, Behaviour{Provider: provider, Fail: true})
			sim.BehaveNext(1, Behaviour{Forge: true})
			tb := openTab(t, sim, opened(sim, provider))
			for range 2 {
				tb.press(solveButton)
				tb.await("document.querySelector('.captcha-simulator').dataset.state === 'failed'")
			}
			tb.press(solveButton)
			if got := tb.awaitLog("success"); slices.Contains(got, "close") {
				t.Errorf("the log is %q", got)
			}
			if passes(t, sim, provider, tb.proof("proof")) {
				t.Error("a forged proof passes")
			}
		})
	}
}

func TestTheNextWidgetOfThePageYieldsAnotherProof(t *testing.T) {
	for provider := range widgets {
		t.Run(provider, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			tb := openTab(t, sim, opened(sim, provider))
			tb.press(solveButton)
			tb.awaitLog("success")
			first := tb.proof("proof")
			tb.run("log.length = 0; captcha.reset && captcha.reset(); (captcha.verify || captcha.showCaptcha || captcha.show)()")
			tb.press(solveButton)
			tb.awaitLog("success")
			second := tb.proof("proof")
			if first.Encode() == second.Encode() {
				t.Fatal("the same proof came twice")
			}
			for _, proof := range []url.Values{first, second} {
				if !passes(t, sim, provider, proof) {
					t.Errorf("%v does not pass", proof)
				}
			}
		})
	}
}

func TestDestroyedWidgetsAreGoneAndSilent(t *testing.T) {
	for provider := range widgets {
		t.Run(provider, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			tb := openTab(t, sim, opened(sim, provider))
			hold := make(chan struct{})
			defer close(hold)
			path := map[string]string{"geetest_v3": V3AjaxPath, "geetest_v4": V4VerifyPath, "tencent": TencentVerifyPath}[provider]
			sim.FailNext(1, Fault{Path: path, Hold: hold})
			tb.press(solveButton)
			if err := sim.AwaitCalls(tb.ctx, path, 1); err != nil {
				t.Fatal(err)
			}
			tb.run("captcha.destroy(); captcha.destroy()")
			hold <- struct{}{}
			// The answer is there, and what waits for it has had its turn.
			tb.await("performance.getEntriesByType('resource').some((entry) => entry.name.includes('" + path + "'))")
			tb.run("window.later = false; setTimeout(() => { window.later = true }, 50)")
			tb.await("later")
			if got := tb.json("[document.querySelectorAll('.captcha-simulator').length, log]"); got != `[0,["run","ready"]]` && got != `[0,["run"]]` {
				t.Fatalf("got %s", got)
			}
		})
	}
}
