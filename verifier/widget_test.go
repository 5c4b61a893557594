package verifier

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// What an operator gives the widget reaches the page as it is: as JSON, or else
// as text.
func TestWidgetOptionsReachTheChallenge(t *testing.T) {
	const options = `
		widget mask '{"outside": false}'
		widget nextWidth 260px
		widget hideClose true
		widget big 12345678901234567890
		widget quoted "\"text\""
	}`
	for id, text := range map[string]string{
		"geetest_v4": " {\n captcha_id a\n captcha_key b",
		"geetest_v3": " {\n captcha_id a\n captcha_key b",
		"tencent":    " {\n site cn\n captcha_app_id 1\n app_secret_key a\n secret_id b\n secret_key c",
	} {
		t.Run(id, func(t *testing.T) {
			config, err := adapt(t, id, text+strings.ReplaceAll(options, "'", "`"))
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Widget map[string]json.RawMessage `json:"widget"`
			}
			if err := json.Unmarshal([]byte(config), &got); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{
				"mask": `{"outside":false}`, "nextWidth": `"260px"`, "hideClose": "true", "big": "12345678901234567890", "quoted": `"text"`,
			} {
				if string(got.Widget[name]) != want {
					t.Errorf("%s is %s, want %s", name, got.Widget[name], want)
				}
			}
			if id == "geetest_v3" {
				return // its challenge takes a call, see challenge_test.go
			}
			challenger := load(t, id, set(t, configs[id], "widget", `{"hideBar": ["close"]}`))
			challenge, _ := challenger.Challenge(t.Context(), Client{}, "")
			encoded, err := json.Marshal(challenge)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(encoded), `"widget":{"hideBar":["close"]}`) {
				t.Errorf("the challenge is %s", encoded)
			}
		})
	}
}

func TestBadWidgetOptions(t *testing.T) {
	for text, want := range map[string]string{
		"widget":                        "widget takes a name and a value",
		"widget hideClose":              "widget takes a name and a value",
		"widget a b c":                  "widget takes a name and a value",
		"widget product float":          "widget product: this option is set by the module itself",
		"widget language eng":           "widget language: this",
		"widget captchaId x":            "widget captchaId: this",
		"widget onError x":              "widget onError: this",
		"widget __proto__ {}":           "widget __proto__: this",
		"widget mask 1\n widget mask 2": "widget mask is given twice",
	} {
		_, err := adapt(t, "geetest_v4", " {\n captcha_id a\n captcha_key b\n "+text+"\n}")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want one with %q", text, err, want)
		}
	}
	for id, own := range map[string][]string{"geetest_v3": geetestV3Own, "geetest_v4": geetestV4Own, "tencent": tencentOwn} {
		for _, name := range own {
			v := module(t, id, set(t, configs[id], "widget", `{"`+name+`": 1}`))
			if err := v.(caddy.Provisioner).Provision(caddy.Context{}); err == nil || !strings.Contains(err.Error(), "widget "+name) {
				t.Errorf("%s takes %s: %v", id, name, err)
			}
		}
	}
}

// A service that is not GeeTest's own has a widget that calls it, and hosts
// that the widget's options name.
func TestHostsOfAnotherService(t *testing.T) {
	for _, test := range []struct{ id, endpoint, widget, want string }{
		{"geetest_v4", "https://captcha.alicaptcha.com", `{}`, "https://captcha.alicaptcha.com https://captchabak.alicaptcha.com"},
		{
			"geetest_v4", "https://captcha.example.com", `{"apiServers": ["api.example.com:8443", "b.example.com/x"], "staticServers": "s.example.com"}`,
			"api.example.com:8443 b.example.com https://captcha.example.com s.example.com",
		},
		{"geetest_v3", "https://api.example.com", `{"api_server": "c.example.com"}`, "c.example.com https://api.example.com"},
		{"geetest_v4", "https://gcaptcha4.geetest.com", `{"apiServers": ["*; script-src *", "", 1]}`, ""},
	} {
		config := set(t, set(t, configs[test.id], "endpoint", `"`+test.endpoint+`"`), "widget", test.widget)
		own := scripted(t, test.id, "").Sources()
		for directive, all := range load(t, test.id, config).Sources() {
			if got := strings.Join(all[len(own[directive]):], " "); got != test.want || !slices.Equal(all[:len(own[directive])], own[directive]) {
				t.Errorf("%s with %s %s: %s gets %q, want %q", test.id, test.endpoint, test.widget, directive, got, test.want)
			}
		}
	}
}

func TestAdapters(t *testing.T) {
	for id, config := range configs {
		adapter := load(t, id, config).Adapter()
		for _, parameter := range load(t, id, config).Parameters() {
			if !strings.Contains(adapter, `"`+parameter.Name+`"`) {
				t.Errorf("the adapter of %s does not name %s", id, parameter.Name)
			}
		}
	}
}
