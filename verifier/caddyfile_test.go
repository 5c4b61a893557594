package verifier

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// adapt turns "provider { ... }" into the provider's JSON.
func adapt(t *testing.T, provider, block string) (string, error) {
	t.Helper()
	d := caddyfile.NewTestDispenser("verifier " + provider + block)
	d.Next()
	d.NextArg()
	v, err := caddyfile.UnmarshalModule(d, "http.captcha.verifiers."+provider)
	if err != nil {
		return "", err
	}
	config, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(config), nil
}

func TestCaddyfileSetsEveryOption(t *testing.T) {
	for _, c := range []struct{ provider, block, want string }{
		{"geetest_v4", ` {
			captcha_id  a
			captcha_key {env.KEY}
		}`, `{"captcha_id":"a","captcha_key":"{env.KEY}"}`},
		{"geetest_v4", ` {
			timeout     1m
			script      http://localhost:9000/gt4.js
			endpoint    https://example.com/a
			captcha_key "b c"
			captcha_id  a
		}`, `{"captcha_id":"a","captcha_key":"b c","endpoint":"https://example.com/a","script":"http://localhost:9000/gt4.js","timeout":60000000000}`},
		{"geetest_v3", ` {
			captcha_id  a
			captcha_key b
			digest      hmac-sha256
			endpoint    https://example.com
			script      {env.SCRIPT}
			timeout     500ms
		}`, `{"captcha_id":"a","captcha_key":"b","digest":"hmac-sha256","endpoint":"https://example.com","script":"{env.SCRIPT}","timeout":500000000}`},
		{"tencent", ` {
			site           intl
			captcha_app_id {env.APP_ID}
			app_secret_key b
			secret_id      c
			secret_key     d
			endpoint       https://example.com
			script         https://example.com/TJCaptcha.js
			encrypt_app_id gcm 10m
			max_score      0
			timeout        2s
		}`, `{"site":"intl","captcha_app_id":"{env.APP_ID}","app_secret_key":"b","secret_id":"c","secret_key":"d","endpoint":"https://example.com","script":"https://example.com/TJCaptcha.js","encrypt_app_id":"gcm","encrypt_app_id_ttl":600000000000,"max_score":0,"timeout":2000000000}`},
		{"tencent", ` {
			site           cn
			captcha_app_id 1
			app_secret_key b
			secret_id      c
			secret_key     d
			encrypt_app_id cbc
		}`, `{"site":"cn","captcha_app_id":"1","app_secret_key":"b","secret_id":"c","secret_key":"d","encrypt_app_id":"cbc"}`},
	} {
		if got, err := adapt(t, c.provider, c.block); err != nil || got != c.want {
			t.Errorf("%s%s\nis %s (%v), want\n%s", c.provider, c.block, got, err, c.want)
		}
	}
}

func TestCaddyfileErrorsNameTheOption(t *testing.T) {
	const geetest = "captcha_id a\n captcha_key b\n "
	const tencent = "site cn\n captcha_app_id 1\n app_secret_key b\n secret_id c\n secret_key d\n "
	for _, c := range []struct{ provider, block, want string }{
		{"geetest_v4", ``, "geetest_v4 needs captcha_id"},
		{"geetest_v4", ` {
		}`, "geetest_v4 needs captcha_id"},
		{"geetest_v4", ` CANARY`, "geetest_v4 takes no arguments"},
		{"geetest_v4", " {\n captcha_id a\n }", "geetest_v4 needs captcha_key"},
		{"geetest_v4", " {\n captcha_key a\n }", "geetest_v4 needs captcha_id"},
		{"geetest_v4", " {\n captcha_id\n }", "captcha_id takes one argument"},
		{"geetest_v4", " {\n captcha_id \"\"\n }", "captcha_id takes one argument"},
		{"geetest_v4", " {\n captcha_key CANARY CANARY\n }", "captcha_key takes one argument"},
		{"geetest_v4", " {\n captcha_key CANARY\n captcha_key CANARY\n }", "captcha_key is given twice"},
		{"geetest_v4", " {\n captcha_key CANARY {\n }\n }", `unrecognized subdirective "{"`},
		{"geetest_v4", " {\n encrypt_app_id cbc\n }", `unrecognized subdirective "encrypt_app_id" of geetest_v4`},
		{"geetest_v4", " {\n script\n }", "script takes one argument"},
		{"geetest_v4", " {\n script https://example.com/CANARY https://example.com/CANARY\n }", "script takes one argument"},
		{"geetest_v4", " {\n script http://example.com/CANARY\n }", "script must be an https URL"},
		{"geetest_v4", " {\n script static.geetest.com/CANARY\n }", "script must be an https URL"},
		{"geetest_v4", " {\n script https://[2001:db8::1]/CANARY\n }", "script must be an https URL"},
		{"geetest_v4", " {\n script https://a/b\n script https://a/b\n }", "script is given twice"},
		{"geetest_v4", " {\n digest md5\n }", `unrecognized subdirective "digest"`},
		{"geetest_v4", " {\n " + geetest + "timeout 0\n }", "timeout must be a positive duration"},
		{"geetest_v4", " {\n " + geetest + "timeout -1s\n }", "timeout must be a positive duration"},
		{"geetest_v4", " {\n " + geetest + "timeout CANARY\n }", "timeout must be a positive duration"},
		{"geetest_v4", " {\n " + geetest + "proxy CANARY:3128\n }", "proxy must be a URL such as http://proxy.example:3128"},
		{"geetest_v4", " {\n " + geetest + "proxy ftp://alice:CANARY@proxy.example\n }", "proxy must be a URL"},
		{"tencent", " {\n " + tencent + "proxy http://CANARY.example/path\n }", "proxy must be a URL"},
		{"geetest_v3", " {\n " + geetest + "ca a.pem b.pem\n }", "ca takes one argument"},
		{"geetest_v3", " {\n " + geetest + "digest sha1\n }", "digest must be md5 or sha256 or hmac-sha256"},
		{"geetest_v3", " {\n " + geetest + "bypass_endpoint none\n }", "bypass_endpoint must be an https URL, or an http one of a loopback address, or off"},
		{"geetest_v3", " {\n " + geetest + "bypass_endpoint off\n bypass_endpoint off\n }", "bypass_endpoint is given twice"},
		{"geetest_v3", " {\n captcha_id a\n }", "geetest_v3 needs captcha_key"},
		{"tencent", " {\n site china\n }", "site must be cn or intl"},
		{"tencent", " {\n captcha_app_id 1\n app_secret_key b\n secret_id c\n secret_key d\n }", "tencent needs site"},
		{"tencent", " {\n site cn\n app_secret_key b\n secret_id c\n secret_key d\n }", "tencent needs captcha_app_id"},
		{"tencent", " {\n site cn\n captcha_app_id 1\n secret_id c\n secret_key d\n }", "tencent needs app_secret_key"},
		{"tencent", " {\n site cn\n captcha_app_id 1\n app_secret_key b\n secret_key d\n }", "tencent needs secret_id"},
		{"tencent", " {\n site cn\n captcha_app_id 1\n app_secret_key b\n secret_id c\n }", "tencent needs secret_key"},
		{"tencent", " {\n " + tencent + "max_score 101\n }", "max_score must be a number from 0 to 100"},
		{"tencent", " {\n " + tencent + "max_score -1\n }", "max_score must be a number"},
		{"tencent", " {\n " + tencent + "max_score 1.5\n }", "max_score must be a number"},
		{"tencent", " {\n " + tencent + "max_score {env.MAX}\n }", "max_score must be a number"},
		{"tencent", " {\n " + tencent + "encrypt_app_id\n }", "encrypt_app_id takes one or two arguments"},
		{"tencent", " {\n " + tencent + "encrypt_app_id cbc \"\"\n }", "encrypt_app_id takes one or two arguments"},
		{"tencent", " {\n " + tencent + "encrypt_app_id cbc 1h CANARY\n }", "encrypt_app_id takes one or two arguments"},
		{"tencent", " {\n " + tencent + "encrypt_app_id CBC\n }", "encrypt_app_id must be cbc or gcm"},
		{"tencent", " {\n " + tencent + "encrypt_app_id 1h\n }", "encrypt_app_id must be cbc or gcm"},
		{"tencent", " {\n " + tencent + "encrypt_app_id cbc CANARY\n }", "encrypt_app_id must be cbc or gcm, and perhaps a duration from 1s to 24h"},
		{"tencent", " {\n " + tencent + "encrypt_app_id cbc 25h\n }", "encrypt_app_id must be"},
		{"tencent", " {\n " + tencent + "encrypt_app_id cbc 86401s\n }", "encrypt_app_id must be"},
		{"tencent", " {\n " + tencent + "encrypt_app_id cbc 0\n }", "encrypt_app_id must be"},
		{"tencent", " {\n " + tencent + "encrypt_app_id cbc -1h\n }", "encrypt_app_id must be"},
		{"tencent", " {\n " + tencent + "encrypt_app_id cbc 999ms\n }", "encrypt_app_id must be"},
		{"tencent", " {\n " + tencent + "encrypt_app_id cbc\n encrypt_app_id gcm\n }", "encrypt_app_id is given twice"},
	} {
		_, err := adapt(t, c.provider, c.block)
		switch {
		case err == nil:
			t.Errorf("%s%s\nis taken", c.provider, c.block)
		case !strings.Contains(err.Error(), c.want), !strings.Contains(err.Error(), "Testfile:"), strings.Contains(err.Error(), "CANARY"):
			t.Errorf("%s%s\ngives the error %q, want %q", c.provider, c.block, err, c.want)
		}
	}
}
