package simulator

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("captcha_simulator", parseCaddyfile)
	// Among those that answer requests, and after all that change them.
	httpcaddyfile.RegisterDirectiveOrder("captcha_simulator", httpcaddyfile.Before, "respond")
}

func parseCaddyfile(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Handler)
	return h, h.UnmarshalCaddyfile(helper.Dispenser)
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	captcha_simulator [<matcher>] {
//		geetest_v3 <captcha_id> <captcha_key> [md5|sha256|hmac-sha256]
//		geetest_v4 <captcha_id> <captcha_key>
//		tencent    <captcha_app_id> <app_secret_key> <secret_id> <secret_key> [force_aid_encrypted]
//	}
//
// Each option can be given several times, once for each captcha.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		provider, args := d.Val(), d.RemainingArgs()
		switch {
		case provider == "geetest_v3" && (len(args) == 2 || len(args) == 3):
			c := GeeTestV3{CaptchaID: args[0], CaptchaKey: args[1]}
			if len(args) == 3 {
				c.Digest = args[2]
			}
			h.GeeTestV3 = append(h.GeeTestV3, c)
		case provider == "geetest_v4" && len(args) == 2:
			h.GeeTestV4 = append(h.GeeTestV4, GeeTestV4{CaptchaID: args[0], CaptchaKey: args[1]})
		case provider == "tencent" && (len(args) == 4 || len(args) == 5 && args[4] == "force_aid_encrypted"):
			h.Tencent = append(h.Tencent, Tencent{
				CaptchaAppID: args[0], AppSecretKey: args[1], SecretID: args[2], SecretKey: args[3],
				ForceAidEncrypted: len(args) == 5,
			})
		case provider == "geetest_v3":
			return d.Errf("%s takes <captcha_id> <captcha_key> [<digest>], got %d arguments", provider, len(args))
		case provider == "geetest_v4":
			return d.Errf("%s takes <captcha_id> <captcha_key>, got %d arguments", provider, len(args))
		case provider == "tencent":
			return d.Errf("%s takes <captcha_app_id> <app_secret_key> <secret_id> <secret_key> [force_aid_encrypted], got %d arguments", provider, len(args))
		default:
			return d.Errf("unknown option %q; known are geetest_v3, geetest_v4 and tencent", provider)
		}
		captcha := provider + " " + args[0]
		if seen[captcha] {
			return d.Errf("%s is configured twice", captcha)
		}
		seen[captcha] = true
		if d.NextBlock(d.Nesting()) {
			return d.Errf("%s takes no block", provider)
		}
	}
	if len(seen) == 0 {
		return d.Err("captcha_simulator needs a block with at least one geetest_v3, geetest_v4 or tencent")
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Handler)(nil)
