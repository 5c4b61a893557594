package simulator

import "testing"

// loaders holds, for each provider, a part that its loader loads, and how a
// page starts it: that logs "failed" or "made".
var loaders = map[string]struct {
	part, start string
}{
	"geetest_v3": {V3MainPath, `initGeetest({gt: '` + testV3.CaptchaID + `', challenge: 'x', new_captcha: true, product: 'bind', onError: () => log.push('failed')}, () => log.push('made'))`},
	"geetest_v4": {V4MainPath, `initGeetest4({captchaId: '` + testV4.CaptchaID + `', product: 'bind', onError: () => log.push('failed')}, () => log.push('made'))`},
	"tencent":    {TencentMainPath, `new TencentCaptcha('2000000001', (r) => log.push('failed'), {ready: () => log.push('made')}).show()`},
}

// The loaders remember for the life of the document that a part of theirs could
// not be loaded: trying again there fails, whatever has become of the provider.
func TestLoadersRememberAFailure(t *testing.T) {
	for provider, loader := range loaders {
		t.Run(provider, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			sim.Fail(Fault{Path: loader.part, Kind: Respond, Status: 404})
			o := widgets[provider]
			o.code = loader.start
			tb := openTab(t, sim, o)
			tb.awaitLog("failed")
			sim.Heal()
			for range 2 {
				tb.run("log.length = 0; " + loader.start)
				tb.awaitLog("failed")
			}
			// In a document of its own it works.
			again := openTab(t, sim, o)
			again.awaitLog("made")
		})
	}
}

// The loader of GeeTest v4 tries its hosts one after the other, and then says
// that it is offline, if somebody wants to know.
func TestTheLoaderTriesItsHostsInTurn(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for name, test := range map[string]struct{ hosts, want string }{
		"second":  {"['127.0.0.1:1', new URL(document.querySelector('script[src]').src).host]", "made"},
		"neither": {"['127.0.0.1:1', '127.0.0.1:1']", "offline"},
	} {
		t.Run(name, func(t *testing.T) {
			o := widgets["geetest_v4"]
			o.code = `initGeetest4({captchaId: '` + testV4.CaptchaID + `', product: 'bind', apiServers: ` + test.hosts + `,
				offlineCb: () => log.push('offline'), onError: () => log.push('failed')}, () => log.push('made'))`
			openTab(t, sim, o).awaitLog(test.want)
		})
	}
}

// The same loader is Alibaba Cloud's, under another name.
func TestTheLoaderHasAnotherName(t *testing.T) {
	sim, _ := newTestSimulator(t)
	o := widgets["geetest_v4"]
	o.script = V4AliPath
	o.code = `initAlicom4({captchaId: '` + testV4.CaptchaID + `', product: 'bind'}, () => log.push(typeof initGeetest4))`
	openTab(t, sim, o).awaitLog("undefined")
}

// The international script cannot be in a document twice, and takes the rest
// from where the element with its id is, or one with such a name.
func TestTencentLooksUpItsScript(t *testing.T) {
	sim, _ := newTestSimulator(t)
	o := widgets["tencent"]
	o.script = TencentIntlScript3Path
	o.code = `addEventListener('error', (e) => log.push(e.message === 'Script error.' ? 'twice' : e.message)); // all that another origin's script tells
		const again = document.createElement('script'); again.src = document.querySelector('script[src]').src; document.head.append(again)`
	openTab(t, sim, o).awaitLog("twice")

	o.script = TencentScript1Path
	o.html = `<script id="x" src="http://127.0.0.1:1/our/captcha.js"></script>`
	o.code = `new TencentCaptcha('2000000001', (r) => log.push('code ' + r.errorCode)).show()`
	openTab(t, sim, o).awaitLog("code 1004") // from our host, which has none of it
}
