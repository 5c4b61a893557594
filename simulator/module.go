package simulator

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler is the module http.handlers.captcha_simulator: GeeTest and Tencent
// Captcha look-alikes, for demos without an account. It answers every request
// that reaches it. Give it a site of its own on a loopback address and name
// that address in the verifiers' endpoint option.
//
// It hands out proofs to everybody. Never run it on, or as the endpoint of, a
// site that is not a demo.
//
// Ids and keys take Caddy's global placeholders, such as {env.NAME}. What was
// handed out is forgotten when the config is reloaded.
type Handler struct {
	Config

	simulator *Simulator
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.captcha_simulator",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision makes the simulator and drops the written config, keys and all.
func (h *Handler) Provision(ctx caddy.Context) error {
	config, err := h.Config.expand()
	if err != nil {
		return err
	}
	if h.simulator, err = New(config); err != nil {
		return err
	}
	h.Config = Config{}
	ctx.Logger().Warn("captcha simulator is on: it hands out proofs to everybody, so no site that relies on it is protected")
	return nil
}

// ServeHTTP answers the request. It never calls next.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	h.simulator.ServeHTTP(w, r)
	return nil
}

// expand returns the config with the placeholders replaced.
func (c Config) expand() (Config, error) {
	expanded := Config{Now: c.Now}
	for _, v3 := range c.GeeTestV3 {
		if err := expand("geetest_v3", option{"captcha_id", &v3.CaptchaID}, option{"captcha_key", &v3.CaptchaKey}); err != nil {
			return Config{}, err
		}
		expanded.GeeTestV3 = append(expanded.GeeTestV3, v3)
	}
	for _, v4 := range c.GeeTestV4 {
		if err := expand("geetest_v4", option{"captcha_id", &v4.CaptchaID}, option{"captcha_key", &v4.CaptchaKey}); err != nil {
			return Config{}, err
		}
		expanded.GeeTestV4 = append(expanded.GeeTestV4, v4)
	}
	for _, tencent := range c.Tencent {
		if err := expand("tencent",
			option{"captcha_app_id", &tencent.CaptchaAppID},
			option{"app_secret_key", &tencent.AppSecretKey},
			option{"secret_id", &tencent.SecretID},
			option{"secret_key", &tencent.SecretKey},
		); err != nil {
			return Config{}, err
		}
		expanded.Tencent = append(expanded.Tencent, tencent)
	}
	return expanded, nil
}

type option struct {
	name  string
	value *string
}

func expand(provider string, options ...option) error {
	for _, o := range options {
		value, err := setting.Expand(o.name, *o.value)
		if err != nil {
			return fmt.Errorf("%s: %w", provider, err)
		}
		*o.value = value
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
