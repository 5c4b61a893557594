package verifier

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// scripted returns a verifier with a script; none is the default.
func scripted(t *testing.T, id, script string) Challenger {
	t.Helper()
	config := configs[id]
	if script != "" {
		config = set(t, config, "script", `"`+script+`"`)
	}
	return load(t, id, config)
}

func load(t testing.TB, id, config string) Challenger {
	t.Helper()
	v := module(t, id, config)
	if err := v.(caddy.Provisioner).Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSourcesAreWhatTheWidgetsNeed(t *testing.T) {
	intl := set(t, configs["tencent"], "site", `"intl"`)
	for name, c := range map[string]struct {
		v    Challenger
		want map[string]string
	}{
		"geetest_v3": {scripted(t, "geetest_v3", ""), map[string]string{
			"script-src":  "*.geetest.com *.geevisit.com dn-staticdown.qbox.me",
			"style-src":   "*.geetest.com *.geevisit.com dn-staticdown.qbox.me 'unsafe-inline'",
			"img-src":     "*.geetest.com *.geevisit.com dn-staticdown.qbox.me data: blob:",
			"font-src":    "*.geetest.com *.geevisit.com dn-staticdown.qbox.me data:",
			"connect-src": "*.geetest.com *.geevisit.com dn-staticdown.qbox.me",
			"frame-src":   "*.geetest.com *.geevisit.com dn-staticdown.qbox.me",
			"media-src":   "*.geetest.com *.geevisit.com dn-staticdown.qbox.me",
			"worker-src":  "blob:",
		}},
		"geetest_v4": {scripted(t, "geetest_v4", ""), map[string]string{
			"script-src":  "*.geetest.com *.geevisit.com *.gsensebot.com dn-staticdown.qbox.me",
			"style-src":   "*.geetest.com *.geevisit.com *.gsensebot.com dn-staticdown.qbox.me 'unsafe-inline'",
			"img-src":     "*.geetest.com *.geevisit.com *.gsensebot.com dn-staticdown.qbox.me data: blob:",
			"font-src":    "*.geetest.com *.geevisit.com *.gsensebot.com dn-staticdown.qbox.me data:",
			"connect-src": "*.geetest.com *.geevisit.com *.gsensebot.com dn-staticdown.qbox.me",
			"frame-src":   "*.geetest.com *.geevisit.com *.gsensebot.com dn-staticdown.qbox.me",
			"media-src":   "*.geetest.com *.geevisit.com *.gsensebot.com dn-staticdown.qbox.me",
			"worker-src":  "blob:",
		}},
		"tencent": {scripted(t, "tencent", ""), map[string]string{
			"script-src":  "turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com cloudcache.tencentcs.com",
			"style-src":   "turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com 'unsafe-inline'",
			"img-src":     "turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com data:",
			"font-src":    "turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com data:",
			"connect-src": "turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com rce.tencentrio.com www.turingfraud.net",
			"frame-src":   "turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com",
			"media-src":   "turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com",
			"worker-src":  "blob:",
		}},
		"tencent intl": {load(t, "tencent", intl), map[string]string{
			"script-src":  "ca.turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com cloudcache.tencentcs.com",
			"style-src":   "ca.turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com 'unsafe-inline'",
			"img-src":     "ca.turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com data:",
			"font-src":    "ca.turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com data:",
			"connect-src": "ca.turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com rce.tencentrio.com www.turingfraud.net",
			"frame-src":   "ca.turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com",
			"media-src":   "ca.turing.captcha.qcloud.com *.captcha.gtimg.com www.tycaptcha.com",
			"worker-src":  "blob:",
		}},
	} {
		got := map[string]string{}
		for directive, sources := range c.v.Sources() {
			got[directive] = strings.Join(sources, " ")
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s needs %v, want %v", name, got, c.want)
		}
	}
}

func TestTheOriginOfAnotherScriptIsASource(t *testing.T) {
	for id := range configs {
		for script, origin := range map[string]string{
			"https://captcha.example.com/a/gt.js":       "https://captcha.example.com",
			"https://captcha.example.com:8443/gt.js":    "https://captcha.example.com:8443",
			"http://127.0.0.1:9000/simulator/widget.js": "http://127.0.0.1:9000",
			"HTTP://localhost:9000/widget.js":           "http://localhost:9000",
			"https://xn--fsqu00a.xn--0zwm56d/gt.js":     "https://xn--fsqu00a.xn--0zwm56d",
		} {
			own, all := scripted(t, id, "").Sources(), scripted(t, id, script).Sources()
			if len(own) != len(all) {
				t.Errorf("%s has %d directives with a script, %d without", id, len(all), len(own))
			}
			for directive, sources := range own {
				if want := append(slices.Clone(sources), origin); !slices.Equal(all[directive], want) {
					t.Errorf("%s of %s with %s is %q, want %q", directive, id, script, all[directive], want)
				}
			}
		}
	}
}

// The default in so many words is still the provider's own script.
func TestTheDefaultScriptIsNoSourceOfItsOwn(t *testing.T) {
	for id, script := range map[string]string{
		"geetest_v3": "https://static.geetest.com/static/tools/gt.js",
		"geetest_v4": "https://static.geetest.com/v4/gt4.js",
		"tencent":    "https://turing.captcha.qcloud.com/TJCaptcha.js",
	} {
		if got, want := scripted(t, id, script).Sources(), scripted(t, id, "").Sources(); !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s has the sources %v, want %v", id, got, want)
		}
	}
}

// What a host can be in a URL can be more than a host in a policy.
func TestAScriptsHostIsNothingButAHost(t *testing.T) {
	for _, host := range []string{
		"*", "*.example.com", "a;script-src", "a,b", "'self'", "a'b", "(a)", "a&b", "a=b", "a!b", "a$b", "a+b", "a\\\"b",
		"[::1]", "[2001:db8::1]", "[::1]:9000", "例え.jp", "a%20b", "a%3Bb",
	} {
		for id := range configs {
			v := module(t, id, set(t, configs[id], "script", `"https://`+host+`/gt.js"`))
			if err := v.(caddy.Provisioner).Provision(caddy.Context{}); err == nil {
				t.Errorf("%s takes a script of %s, with the sources %v", id, host, v.Sources())
			} else if !strings.HasPrefix(err.Error(), "script ") {
				t.Errorf("%s: the error on %s is %q", id, host, err)
			}
		}
	}
}
