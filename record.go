package caddycaptcha

import (
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// record makes a decision visible: as placeholders, in the access log, as a
// metric and, where the request is refused, in the log.
func (c *Captcha) record(r *http.Request, d decision) {
	c.counters[d.outcome].Inc()
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.captcha.outcome", string(d.outcome))
		repl.Set("http.captcha.reason", d.reason)
		repl.Set("http.captcha.policy", c.Policy)
		repl.Set("http.captcha.provider", c.provider)
		repl.Set("http.captcha.score", d.score)
	}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("captcha_outcome", string(d.outcome)))
	}
	if d.outcome.forwards() {
		return
	}
	message := "captcha refused"
	if c.Mode == modeMonitor {
		message = "captcha would have refused"
	}
	if entry := c.logger.Check(zapcore.InfoLevel, message); entry != nil {
		clientIP, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
		entry.Write(
			zap.String("policy", c.Policy),
			zap.String("provider", c.provider),
			zap.String("outcome", string(d.outcome)),
			zap.String("reason", d.reason),
			zap.String("client_ip", clientIP),
			zap.String("method", r.Method),
			zap.String("path", r.URL.Path),
		)
	}
}

// throttled returns a logger that says the same thing once a minute at most.
// What it is for, a provider that is down or credentials that are wrong, comes
// up with every request.
func throttled(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 1, 0)
	}))
}

// alert tells the operator of a verdict that is no client's fault.
func (c *Captcha) alert(v verifier.Verdict) {
	about := []zap.Field{
		zap.String("policy", c.Policy),
		zap.String("provider", c.provider),
		zap.String("captcha_id", c.captchaID),
		zap.String("reason", v.Reason),
	}
	switch v.Result {
	case verifier.Misconfigured:
		c.alarm.Error("the captcha provider refuses our credentials: "+v.Advice, about...)
	case verifier.Unknown:
		c.alarm.Warn("the captcha provider could not be asked", append(about, zap.Error(v.Err))...)
	case verifier.Overloaded:
		c.alarm.Warn("the captcha provider limits our rate", about...)
	default: // the client's business
	}
}
