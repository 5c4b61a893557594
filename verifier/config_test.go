package verifier

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// module decodes a configuration as Caddy does.
func module(t testing.TB, id, config string) Challenger {
	t.Helper()
	info, err := caddy.GetModule("http.captcha.verifiers." + id)
	if err != nil {
		t.Fatal(err)
	}
	v := info.New()
	if err := caddy.StrictUnmarshalJSON([]byte(config), v); err != nil {
		t.Fatal(err)
	}
	return v.(Challenger)
}

// configs are the smallest ones.
var configs = map[string]string{
	"geetest_v3": `{"captcha_id":"id","captcha_key":"CANARY"}`,
	"geetest_v4": `{"captcha_id":"id","captcha_key":"CANARY"}`,
	"tencent":    `{"site":"cn","captcha_app_id":"1","app_secret_key":"CANARY","secret_id":"CANARY","secret_key":"CANARY"}`,
}

// set returns a configuration with one member set to a JSON value, or without
// it if that is empty.
func set(t testing.TB, config, member, value string) string {
	t.Helper()
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(config), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, member)
	if value != "" {
		members[member] = json.RawMessage(value)
	}
	changed, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(changed)
}

func TestTheSmallestConfigurationIsEnough(t *testing.T) {
	for id, config := range configs {
		v := module(t, id, config)
		if err := v.(caddy.Provisioner).Provision(caddy.Context{}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		provider, captchaID := v.Captcha()
		if provider != id || captchaID != map[bool]string{true: "1", false: "id"}[id == "tencent"] {
			t.Errorf("Captcha returns %s, %s", provider, captchaID)
		}
	}
	if got := newV4(t, "", 0).validate.timeout; got != 5*time.Second {
		t.Errorf("the default timeout is %s", got)
	}
}

func TestAWrongOptionIsRefusedByName(t *testing.T) {
	t.Setenv("CANARY_WORD", "CANARY")
	for _, c := range []struct{ id, option, value string }{
		{"geetest_v4", "captcha_id", ``},
		{"geetest_v4", "captcha_id", `""`},
		{"geetest_v4", "captcha_key", ``},
		{"geetest_v4", "captcha_key", `"{env.CAPTCHA_TEST_UNSET}"`},
		{"geetest_v4", "captcha_key", `"{file./nonexistent/key}"`},
		{"geetest_v4", "captcha_key", `"{http.request.header.key}"`},
		{"geetest_v4", "endpoint", `"http://gcaptcha4.geetest.com"`},
		{"geetest_v4", "endpoint", `"gcaptcha4.geetest.com"`},
		{"geetest_v4", "endpoint", `"https://gcaptcha4.geetest.com/?a=b"`},
		{"geetest_v4", "script", `"http://static.geetest.com/v4/gt4.js"`},
		{"geetest_v4", "script", `"https://static.geetest.com/v4/gt4.js?CANARY"`},
		{"geetest_v4", "script", `"https://static.geetest.com;script-src/gt4.js"`},
		{"geetest_v4", "script", `"https://*.geetest.com/gt4.js"`},
		{"geetest_v4", "script", `"{env.CAPTCHA_TEST_UNSET}"`},
		{"geetest_v4", "timeout", `-1`},
		{"geetest_v3", "captcha_id", ``},
		{"geetest_v3", "captcha_key", ``},
		{"geetest_v3", "digest", `"hmac_sha256"`},
		{"geetest_v3", "digest", `"MD5"`},
		{"geetest_v3", "endpoint", `"http://api.geetest.com"`},
		{"geetest_v3", "script", `"ftp://CANARY"`},
		{"geetest_v3", "timeout", `"-1s"`},
		{"tencent", "site", ``},
		{"tencent", "site", `"china"`},
		{"tencent", "captcha_app_id", ``},
		{"tencent", "captcha_app_id", `"{env.CANARY_WORD}"`},
		{"tencent", "captcha_app_id", `"0"`},
		{"tencent", "captcha_app_id", `"-1"`},
		{"tencent", "captcha_app_id", `"1e3"`},
		{"tencent", "captcha_app_id", `"18446744073709551616"`},
		{"tencent", "app_secret_key", ``},
		{"tencent", "secret_id", ``},
		{"tencent", "secret_key", ``},
		{"tencent", "endpoint", `"http://captcha.tencentcloudapi.com"`},
		{"tencent", "script", `"/TJCaptcha.js"`},
		{"tencent", "encrypt_app_id", `"CBC"`},
		{"tencent", "encrypt_app_id", `"{env.CANARY_WORD}"`},
		{"tencent", "encrypt_app_id_ttl", `"1h"`}, // without encrypt_app_id
		{"tencent", "max_score", `-1`},
		{"tencent", "max_score", `101`},
		{"tencent", "timeout", `-5`},
	} {
		err := module(t, c.id, set(t, configs[c.id], c.option, c.value)).(caddy.Provisioner).Provision(caddy.Context{})
		switch {
		case err == nil:
			t.Errorf("%s: %s %s is taken", c.id, c.option, c.value)
		case !strings.HasPrefix(err.Error(), c.option), strings.Contains(err.Error(), "CANARY"):
			t.Errorf("%s: the error on %s %s is %q", c.id, c.option, c.value, err)
		}
	}
}

func TestPlaceholdersAreExpanded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(file, []byte(v4Key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CAPTCHA_TEST_ID", v4ID)
	v := provisioned(t, &GeetestV4{CaptchaID: "{env.CAPTCHA_TEST_ID}", CaptchaKey: "{file." + file + "}"})
	if v.Fingerprint() != newV4(t, "", 0).Fingerprint() {
		t.Error("the placeholders are another configuration")
	}
	t.Setenv("CAPTCHA_TEST_APP_ID", appID)
	tencent := provisioned(t, &Tencent{Site: "cn", CaptchaAppID: "{env.CAPTCHA_TEST_APP_ID}", AppSecretKey: appSecret, SecretID: secretID, SecretKey: secretKey})
	if tencent.Fingerprint() != newTencent(t, "", 0).Fingerprint() {
		t.Error("the placeholder is another CaptchaAppId")
	}
}

func TestFingerprintsTellConfigurationsApart(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, c := range []struct{ id, option, value string }{
		{"geetest_v4", "timeout", `"5s"`}, // the default
		{"geetest_v4", "captcha_id", `"idC"`},
		{"geetest_v4", "captcha_key", `"ANARY"`},
		{"geetest_v4", "endpoint", `"https://gcaptcha4.geevisit.com"`},
		{"geetest_v4", "timeout", `"6s"`},
		{"geetest_v3", "digest", `"md5"`}, // the default
		{"geetest_v3", "captcha_id", `"idC"`},
		{"geetest_v3", "captcha_key", `"ANARY"`},
		{"geetest_v3", "digest", `"sha256"`},
		{"geetest_v3", "digest", `"hmac-sha256"`},
		{"geetest_v3", "endpoint", `"https://api-na.geetest.com"`},
		{"geetest_v3", "timeout", `"6s"`},
		{"tencent", "max_score", `null`}, // the default
		{"tencent", "site", `"intl"`},
		{"tencent", "captcha_app_id", `"2"`},
		{"tencent", "app_secret_key", `"CANAR"`},
		{"tencent", "secret_id", `"YCANARY"`},
		{"tencent", "secret_id", `"CANARYC"`},
		{"tencent", "secret_key", `"ANARY"`},
		{"tencent", "endpoint", `"https://captcha.ap-singapore.tencentcloudapi.com"`},
		{"tencent", "max_score", `0`},
		{"tencent", "max_score", `100`},
		{"tencent", "timeout", `"6s"`},
	} {
		var sums [2][32]byte
		for i := range sums {
			v := module(t, c.id, set(t, configs[c.id], c.option, c.value))
			if err := v.(caddy.Provisioner).Provision(caddy.Context{}); err != nil {
				t.Fatal(err)
			}
			sums[i] = v.Fingerprint()
		}
		name := fmt.Sprintf("%s with %s %s", c.id, c.option, c.value)
		if sums[0] != sums[1] {
			t.Errorf("%s has two fingerprints", name)
		}
		if other, found := seen[sums[0]]; found {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[sums[0]] = name
	}
}

func TestServiceIsTheEndpoint(t *testing.T) {
	for id, want := range map[string]string{
		"geetest_v3": "https://api.geetest.com",
		"geetest_v4": "https://gcaptcha4.geetest.com",
		"tencent":    "https://captcha.tencentcloudapi.com",
	} {
		for _, c := range []struct{ endpoint, want string }{
			{``, want},
			{`"https://example.com/a/"`, "https://example.com/a/"},
			{`"{env.CAPTCHA_TEST_ENDPOINT}"`, "http://127.0.0.1:9000"},
		} {
			t.Setenv("CAPTCHA_TEST_ENDPOINT", "http://127.0.0.1:9000")
			v := module(t, id, set(t, configs[id], "endpoint", c.endpoint))
			if err := v.(caddy.Provisioner).Provision(caddy.Context{}); err != nil {
				t.Fatal(err)
			}
			if got := v.Service(); got != c.want {
				t.Errorf("%s with the endpoint %s is at %s, want %s", id, c.endpoint, got, c.want)
			}
		}
	}
}

func TestFingerprintsTellWhereAPartEnds(t *testing.T) {
	if fingerprint("ab", "c") == fingerprint("a", "bc") || fingerprint("a") == fingerprint("a", "") {
		t.Error("other parts have the same fingerprint")
	}
}

func TestParametersAreThoseOfTheWidgets(t *testing.T) {
	want := map[string]string{
		"geetest_v3": "[{geetest_challenge Geetest-Challenge 66 false} {geetest_validate Geetest-Validate 66 false} {geetest_seccode Geetest-Seccode 73 false}]",
		"geetest_v4": "[{lot_number Captcha-Lot-Number 64 false} {captcha_output Captcha-Output 4096 false} {pass_token Captcha-Pass-Token 256 false} {gen_time Captcha-Gen-Time 20 true}]",
		"tencent":    "[{ticket Captcha-Ticket 1024 false} {randstr Captcha-Randstr 64 false}]",
	}
	for id, config := range configs {
		// They are asked for before a verifier is provisioned, too.
		if got := fmt.Sprint(module(t, id, config).Parameters()); got != want[id] {
			t.Errorf("%s has the parameters %s", id, got)
		}
	}
}
