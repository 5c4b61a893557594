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
// metric and, where the request is refused or would have been, in the log.
func (c *Captcha) record(r *http.Request, d decision, refused bool) {
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
	if !refused {
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

// alert tells the operator of a verdict that may be no client's fault.
func (c *Captcha) alert(v verifier.Verdict) {
	switch v.Result {
	case verifier.Passed:
		if !c.policy.passed.Load() { // all but once: no write to share
			c.policy.passed.Store(true)
		}
	case verifier.Misconfigured:
		c.alarm.Error("the captcha provider refuses our credentials: "+v.Advice, c.about(v)...)
	case verifier.Rejected:
		// Clients can bring this about too, so it is news only as long as
		// nobody got through.
		if v.Advice != "" && !c.policy.passed.Load() {
			c.alarm.Warn("no proof has passed since the config was loaded, and one was rejected that may be of another captcha: "+v.Advice, c.about(v)...)
		}
	case verifier.Unknown:
		c.alarm.Warn("the captcha provider could not be asked; requests are refused until it answers: check DNS, firewall and endpoint",
			append(c.about(v), zap.Error(v.Err))...)
	case verifier.Overloaded:
		c.alarm.Warn("the captcha provider limits our rate; ask it for a higher quota, or lower max_failures", c.about(v)...)
	case verifier.Malformed, verifier.Expired, verifier.Replayed, verifier.Risky:
	}
}

func (c *Captcha) about(v verifier.Verdict) []zap.Field {
	return []zap.Field{
		zap.String("policy", c.Policy),
		zap.String("provider", c.provider),
		zap.String("captcha_id", c.captchaID),
		zap.String("reason", v.Reason),
	}
}
