package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// recordOptions runs in each document before its scripts. It keeps the options
// with which the page makes the provider's widget.
const recordOptions = `(() => {
	const record = (options) => { document.documentElement.dataset.options = JSON.stringify(options); };
	const wrap = (name, wrapped) => {
		let value;
		Object.defineProperty(self, name, { configurable: true, get: () => value, set: (v) => { value = wrapped(v); } });
	};
	for (const name of ["initGeetest4", "initGeetest"])
		wrap(name, (init) => (options, made) => { record(options); return init(options, made); });
	wrap("TencentCaptcha", (Captcha) => new Proxy(Captcha, { construct(target, args) { record(args[args.length - 1]); return Reflect.construct(target, args); } }));
})()`

// TestWidgetOptions: every option of the vendors' tables that an operator may
// set reaches the widget as it is, and a person still gets through.
func TestWidgetOptions(t *testing.T) {
	for _, test := range []struct {
		provider, name, value string
	}{
		{"geetest_v4", "hideSuccess", "true"},
		{"geetest_v4", "hideClose", "true"},
		{"geetest_v4", "mask", "`{\"bgColor\": \"#0008\", \"outside\": false}`"},
		{"geetest_v4", "timeout", "10000"},
		{"geetest_v4", "nextWidth", "260px"},
		{"geetest_v4", "riskType", "slide"},
		{"geetest_v4", "protocol", "http://"},
		{"geetest_v4", "apiServers", "`[\"PROVIDER\"]`"},
		{"geetest_v4", "staticServers", "`[\"PROVIDER\"]`"},
		{"geetest_v3", "width", "260px"},
		{"geetest_v3", "timeout", "10000"},
		{"geetest_v3", "https", "false"},
		{"geetest_v3", "api_server", "PROVIDER"},
		{"geetest_v3", "remUnit", "10"},
		{"geetest_v3", "zoomEle", "body"},
		{"geetest_v3", "hideSuccess", "true"},
		{"geetest_v3", "hideClose", "true"},
		{"tencent", "bizState", "`{\"door\": \"login\"}`"},
		{"tencent", "enableDarkMode", "force"},
		{"tencent", "enableDarkMode", "true"},
		{"tencent", "needFeedBack", "false"},
		{"tencent", "needFeedBack", "https://shop.example.com/help"},
		{"tencent", "enableAutoCheck", "true"},
		{"tencent", "type", "popup"},
		{"tencent", "type", "embed"},
	} {
		t.Run(strings.NewReplacer("/", "", " ", "").Replace(test.provider+" "+test.name+" "+test.value), func(t *testing.T) {
			w := newWorld(t, setup{provider: test.provider})
			value := strings.ReplaceAll(test.value, "PROVIDER", strings.TrimPrefix(w.provider, "http://"))
			verifier := w.verifier(setup{provider: test.provider})
			w.reload(verifier, strings.TrimSuffix(verifier, "}")+"widget "+test.name+" "+value+"\n}")
			p := newPerson(t)
			p.before(recordOptions)
			p.open(w.url + "/members")
			m := p.onPage()
			m.await("document.documentElement.dataset.options")
			want := strings.Trim(value, "`")
			if !json.Valid([]byte(want)) {
				want = fmt.Sprintf("%q", want)
			}
			arrived := fmt.Sprintf("JSON.stringify(JSON.parse(document.documentElement.dataset.options)[%q]) === JSON.stringify(%s)", test.name, want)
			if ok, err := browsertest.InFrame(p.ctx, m.frame, arrived); err != nil || !ok {
				t.Errorf("the widget did not get %s: %v", want, err)
			}
			m.click(solveButton)
			p.arrives("Members")
			p.sound()
		})
	}
}

// TestAlibaba: its number authentication service has GeeTest v4 under another
// name, which takes the README's two lines more.
func TestAlibaba(t *testing.T) {
	for place, where := range places {
		t.Run(place, func(t *testing.T) {
			w := newWorld(t, setup{script: simulator.V4AliPath})
			p := newPerson(t)
			p.before(strings.ReplaceAll(recordOptions, "initGeetest4", "initAlicom4"))
			p.open(w.url + where.path)
			m := where.arrive(p)
			m.await("document.documentElement.dataset.options") // it was made by that name
			m.click(solveButton)
			p.arrives(where.arrived)
			p.sound()
		})
	}
}
