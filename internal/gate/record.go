package gate

import (
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/request"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// The placeholders that a captcha handler sets.
const (
	placeholders        = "http.captcha."
	placeholderOutcome  = placeholders + "outcome"
	placeholderReason   = placeholders + "reason"
	placeholderPolicy   = placeholders + "policy"
	placeholderProvider = placeholders + "provider"
	placeholderScore    = placeholders + "score"
)

// Record makes a decision visible: as placeholders, in the access log, as a
// metric and, where the request is refused or would have been, in the log.
func (g *Gate) Record(r *http.Request, d Decision, refused bool) {
	g.counters.count(d.Outcome)
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set(placeholderOutcome, d.Outcome.Name)
		repl.Set(placeholderReason, d.Reason)
		repl.Set(placeholderPolicy, g.Policy)
		repl.Set(placeholderProvider, g.provider)
		repl.Set(placeholderScore, d.Score)
	}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("captcha_outcome", d.Outcome.Name))
	}
	switch {
	case d.Outcome == OutageAllowed && g.outage.work != nil:
		g.alarm.Warn("a proof of work took the place of a captcha, because the captcha provider is down and on_outage is pow",
			zap.String("policy", g.Policy), zap.String("provider", g.provider))
	case d.Outcome == OutageAllowed:
		g.alarm.Warn("a proof passed unverified, because the captcha provider is down and on_outage is allow",
			zap.String("policy", g.Policy), zap.String("provider", g.provider))
	case !d.Outcome.Forwards:
		g.logRefusal(r, d, refused)
	}
}

// logRefusal writes the line by which an operator finds the request that a
// user quotes the id of.
func (g *Gate) logRefusal(r *http.Request, d Decision, refused bool) {
	message := "captcha refused"
	if !refused {
		message = "captcha would have refused"
	}
	entry := g.refusals.Check(zapcore.InfoLevel, message)
	if entry == nil {
		return
	}
	clientIP, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	entry.Write(
		zap.String("policy", g.Policy),
		zap.String("provider", g.provider),
		zap.String("outcome", d.Outcome.Name),
		zap.String("reason", d.Reason),
		zap.String("client_ip", clientIP),
		zap.String("method", r.Method),
		zap.String("path", r.URL.Path),
		zap.String("id", request.ID(r)),
	)
}

// EmptyPlaceholders makes {http.captcha.*} read as empty for a request that is
// not matched. An application that gets one in a header would else get its
// name.
func EmptyPlaceholders(r *http.Request) {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(emptyPlaceholder)
	}
}

func emptyPlaceholder(key string) (any, bool) {
	name, ok := strings.CutPrefix(key, placeholders)
	if !ok {
		return nil, false
	}
	switch name {
	case "outcome", "reason", "policy", "provider", "score":
		return "", true
	}
	return nil, false
}

// A flood of junk must not fill the disk, nor cost more in log lines than in
// all else. Of a policy's refusals, linesPerSecond are logged each second and
// one in oneIn of those beyond. The metrics count every one.
const (
	linesPerSecond = 1000
	oneIn          = 100
)

func bounded(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, linesPerSecond, oneIn)
	}))
}

// Throttled returns a logger that says the same thing once a minute at most.
// What it is for, a provider that is down or credentials that are wrong, comes
// up with every request. What varies belongs into fields: messages are told
// apart by their text.
func Throttled(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 1, 0)
	}))
}

// alert tells the operator of a verdict that may be no client's fault.
func (g *Gate) alert(v verifier.Verdict) {
	switch v.Result {
	case verifier.Passed:
		if !g.passed.Load() { // all but once: no write to share
			g.passed.Store(true)
		}
	case verifier.Misconfigured:
		g.alarm.Error("the captcha provider does not work with this configuration: see the advice", g.about(v)...)
	case verifier.Rejected:
		// Clients can bring this about too, so it is news only as long as
		// nobody got through.
		if v.Advice != "" && !g.passed.Load() {
			g.alarm.Warn("no proof has passed since the config was loaded, and one was rejected that may be of another captcha: see the advice", g.about(v)...)
		}
	case verifier.Unknown:
		g.alarm.Warn("the captcha provider could not be asked; requests are refused until it answers: check DNS, firewall and endpoint", g.about(v)...)
	case verifier.Overloaded:
		g.alarm.Warn("the captcha provider limits our rate; ask it for a higher quota, or lower max_failures", g.about(v)...)
	case verifier.Malformed, verifier.Expired, verifier.Replayed, verifier.Risky:
	}
}

// about returns the fields of a message about a verdict.
func (g *Gate) about(v verifier.Verdict) []zap.Field {
	fields := []zap.Field{
		zap.String("policy", g.Policy),
		zap.String("provider", g.provider),
		zap.String("captcha_id", g.captchaID),
		zap.String("reason", v.Reason),
	}
	if v.Advice != "" {
		fields = append(fields, zap.String("advice", v.Advice))
	}
	if v.Err != nil {
		fields = append(fields, zap.Error(v.Err))
	}
	return fields
}
