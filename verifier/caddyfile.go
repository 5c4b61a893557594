package verifier

import (
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	geetest_v4 {
//		captcha_id  <id>
//		captcha_key <key>
//		endpoint    <url>      # https://gcaptcha4.geetest.com
//		script      <url>      # https://static.geetest.com/v4/gt4.js
//		timeout     <duration> # 5s
//	}
func (g *GeetestV4) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, []option{
		{"captcha_id", "the captcha's id in GeeTest's console", required, textTo(&g.CaptchaID)},
		{"captcha_key", "the key of the captcha_id", required, textTo(&g.CaptchaKey)},
		{"endpoint", "an https URL, or an http one of a loopback address", !required, endpointTo(&g.Endpoint)},
		{"script", "an https URL, or an http one of a loopback address, with a host that is no IPv6 address", !required, scriptTo(&g.Script)},
		{"timeout", "a positive duration such as 5s", !required, durationTo(&g.Timeout)},
	})
}

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	geetest_v3 {
//		captcha_id  <id>
//		captcha_key <key>
//		digest      md5|sha256|hmac-sha256 # md5
//		endpoint    <url>                  # https://api.geetest.com
//		script      <url>                  # https://static.geetest.com/static/tools/gt.js
//		timeout     <duration>             # 5s
//	}
func (g *GeetestV3) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, []option{
		{"captcha_id", "the captcha's id in GeeTest's console", required, textTo(&g.CaptchaID)},
		{"captcha_key", "the key of the captcha_id", required, textTo(&g.CaptchaKey)},
		{"digest", strings.Join(geetestV3Digests, " or "), !required, choiceTo(&g.Digest, geetestV3Digests)},
		{"endpoint", "an https URL, or an http one of a loopback address", !required, endpointTo(&g.Endpoint)},
		{"script", "an https URL, or an http one of a loopback address, with a host that is no IPv6 address", !required, scriptTo(&g.Script)},
		{"timeout", "a positive duration such as 5s", !required, durationTo(&g.Timeout)},
	})
}

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	tencent {
//		site           cn|intl
//		captcha_app_id <number>
//		app_secret_key <key>
//		secret_id      <id>
//		secret_key     <key>
//		endpoint       <url>           # by site
//		script         <url>           # by site: TJCaptcha.js, TJNCaptcha-global.js
//		encrypt_app_id cbc|gcm [<ttl>] # off; ttl 24h
//		max_score      <0-100>         # unset: Score is not looked at
//		timeout        <duration>      # 5s
//	}
func (t *Tencent) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, []option{
		{"site", strings.Join(tencentSites, " or "), required, choiceTo(&t.Site, tencentSites)},
		{"captcha_app_id", "the CaptchaAppId of the captcha console", required, textTo(&t.CaptchaAppID)},
		{"app_secret_key", "the AppSecretKey of the captcha_app_id", required, textTo(&t.AppSecretKey)},
		{"secret_id", "the SecretId of an API key", required, textTo(&t.SecretID)},
		{"secret_key", "the SecretKey of the secret_id", required, textTo(&t.SecretKey)},
		{"endpoint", "an https URL, or an http one of a loopback address", !required, endpointTo(&t.Endpoint)},
		{"script", "an https URL, or an http one of a loopback address, with a host that is no IPv6 address", !required, scriptTo(&t.Script)},
		{"encrypt_app_id", "cbc or gcm, and perhaps a duration from 1s to 24h", !required, append(choiceTo(&t.EncryptAppID, appIDCipherModes), ttlTo(&t.EncryptAppIDTTL)...)},
		{"max_score", "a number from 0 to 100", !required, scoreTo(&t.MaxScore)},
		{"timeout", "a positive duration such as 5s", !required, durationTo(&t.Timeout)},
	})
}

// option is a line of a verifier's block: a name and its arguments. expected
// says what they are.
type option struct {
	name, expected string
	required       bool
	set            setters
}

// setters take the arguments of an option, one each. All arguments but the
// first may be left out.
type setters []func(argument string) bool

// take sets the arguments. It returns false if one is not what is expected.
func (ss setters) take(arguments []string) bool {
	for i, argument := range arguments {
		if !ss[i](argument) {
			return false
		}
	}
	return true
}

func endpointTo(to *string) setters {
	return urlTo(to, func(url string) error {
		_, err := setting.Endpoint("endpoint", url, url)
		return err
	})
}

func scriptTo(to *string) setters {
	return urlTo(to, func(url string) error {
		_, err := newScript(url, url)
		return err
	})
}

// urlTo takes a URL and judges it, unless its placeholders have to be expanded
// first, which waits for the config to be loaded.
func urlTo(to *string, check func(url string) error) setters {
	return setters{func(argument string) bool {
		*to = argument
		return strings.Contains(argument, "{") || check(argument) == nil
	}}
}

const required = true

// unmarshal reads the block of a verifier. No error repeats an argument, since
// that may be a key.
func unmarshal(d *caddyfile.Dispenser, options []option) error {
	d.Next() // consume the verifier's name
	verifier := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no arguments, its options go into a block", verifier)
	}
	given := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
		switch {
		case i < 0:
			return d.Errf("unknown option %q of %s, which has %s", name, verifier, names(options))
		case given[name]:
			return d.Errf("%s is given twice", name)
		}
		given[name] = true
		arguments, limit := d.RemainingArgs(), len(options[i].set)
		if len(arguments) == 0 || len(arguments) > limit || slices.Contains(arguments, "") {
			number := [...]string{1: "one argument", 2: "one or two arguments"}[limit]
			return d.Errf("%s takes %s, %s (is a {$VARIABLE} empty?)", name, number, options[i].expected)
		}
		if !options[i].set.take(arguments) {
			return d.Errf("%s must be %s", name, options[i].expected)
		}
	}
	for _, o := range options {
		if o.required && !given[o.name] {
			return d.Errf("%s needs %s: %s", verifier, o.name, o.expected)
		}
	}
	return nil
}

func names(options []option) string {
	all := make([]string, len(options))
	for i, o := range options {
		all[i] = o.name
	}
	return strings.Join(all, ", ")
}

func textTo(to *string) setters {
	return setters{func(argument string) bool {
		*to = argument
		return true
	}}
}

func choiceTo(to *string, allowed []string) setters {
	return setters{func(argument string) bool {
		*to = argument
		return slices.Contains(allowed, argument)
	}}
}

func durationTo(to *caddy.Duration) setters {
	return setters{func(argument string) bool {
		duration, err := caddy.ParseDuration(argument)
		*to = caddy.Duration(duration)
		return err == nil && duration > 0
	}}
}

func ttlTo(to *caddy.Duration) setters {
	return setters{func(argument string) bool {
		duration, err := caddy.ParseDuration(argument)
		*to = caddy.Duration(duration)
		return err == nil && checkTTL(duration) == nil
	}}
}

func scoreTo(to **int) setters {
	return setters{func(argument string) bool {
		score, err := strconv.Atoi(argument)
		*to = &score
		return err == nil && checkScore(score) == nil
	}}
}
