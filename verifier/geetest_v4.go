package verifier

import (
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

func init() { caddy.RegisterModule(GeetestV4{}) }

// GeetestV4 verifies proofs of GeeTest CAPTCHA v4 ("adaptive CAPTCHA"), as in
// GeeTest's page "Deploy server" (docs.geetest.com/gt4/deploy/server).
//
// The options captcha_id, captcha_key, endpoint and script take Caddy's global
// placeholders such as `{env.NAME}` and `{file./path}`, which are replaced
// once, when the configuration is loaded. One that is not set is an error then.
type GeetestV4 struct {
	// The captcha's id in GeeTest's console, 32 characters. Required.
	CaptchaID string `json:"captcha_id,omitempty"`

	// The key of the captcha_id, 32 characters, from the same console.
	// Required. It never leaves this process.
	CaptchaKey string `json:"captcha_key,omitempty"`

	// The URL under which GeeTest serves /validate. It must be https, or http
	// to a loopback address, without a query.
	// Default: `https://gcaptcha4.geetest.com`
	Endpoint string `json:"endpoint,omitempty"`

	// The URL from which browsers load the widget's script. It must be https,
	// or http of a loopback address, without a query.
	// Default: `https://static.geetest.com/v4/gt4.js`
	Script string `json:"script,omitempty"`

	// Options of the provider's widget, by their names in its documentation,
	// which reach the widget as they are. Those that this module sets itself
	// are errors. Default: none
	Widget map[string]json.RawMessage `json:"widget,omitempty"`

	// The proxy through which the provider is reached: a URL with the scheme
	// `http`, `https` or `socks5`, and perhaps a user and password. It takes
	// global placeholders. The proxies of the environment are never used.
	// Default: none
	Proxy string `json:"proxy,omitempty"`

	// A file with the certificates, in PEM, of the authorities that the endpoint's
	// certificate may come from, for private deployments. No others are trusted
	// then. It is read when the config is loaded, and takes global placeholders.
	// Default: the system's
	CA string `json:"ca,omitempty"`

	// How long the call to GeeTest may take in all. It must be positive.
	// Default: `5s`
	Timeout caddy.Duration `json:"timeout,omitempty"`

	id, key     string
	service     string
	way         *way
	validate    api
	script      script
	fingerprint [32]byte
}

const (
	geetestV4Service = "https://gcaptcha4.geetest.com"
	geetestV4Script  = "https://static.geetest.com/v4/gt4.js"
)

var geetestV4Parts = parts{
	{Parameter{Name: "lot_number", Header: "Captcha-Lot-Number", MaxLength: 64}, isLotNumber},
	{Parameter{Name: "captcha_output", Header: "Captcha-Output", MaxLength: 4096}, printable},
	{Parameter{Name: "pass_token", Header: "Captcha-Pass-Token", MaxLength: 256}, printable},
	{Parameter{Name: "gen_time", Header: "Captcha-Gen-Time", MaxLength: 20, Integer: true}, func(value string) bool { return only(value, isDigit) }},
}

func isLotNumber(value string) bool {
	return len(value) >= 16 && only(value, func(c byte) bool {
		return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '-'
	})
}

// CaddyModule returns the Caddy module information.
func (GeetestV4) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.captcha.verifiers.geetest_v4",
		New: func() caddy.Module { return new(GeetestV4) },
	}
}

// Provision reads the options. It does not call GeeTest.
func (g *GeetestV4) Provision(caddy.Context) error {
	if err := expand(
		text{"captcha_id", g.CaptchaID, &g.id},
		text{"captcha_key", g.CaptchaKey, &g.key},
	); err != nil {
		return err
	}
	endpoint, err := setting.Endpoint("endpoint", g.Endpoint, geetestV4Service)
	if err != nil {
		return err
	}
	timeout, err := timeoutOrDefault(g.Timeout)
	if err != nil {
		return err
	}
	if err := (widgetOptions{&g.Widget, geetestV4Own}).check(); err != nil {
		return err
	}
	if g.script, err = newScript(g.Script, geetestV4Script); err != nil {
		return err
	}
	if g.way, err = openWay(g.Proxy, g.CA); err != nil {
		return err
	}
	g.service = endpoint.String()
	// GeeTest recommends to have the id in the URL, where its logs show it.
	at := under(endpoint, "validate")
	at.RawQuery = url.Values{"captcha_id": {g.id}}.Encode()
	g.validate = newAPI(g.way, http.MethodPost, at, formHeader, timeout)
	g.fingerprint = fingerprint("geetest_v4", g.id, g.key, g.validate.url(), timeout.String(), string(g.way.key[:]))
	g.CaptchaKey, g.Proxy = "", ""
	return nil
}

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	geetest_v4 {
//		captcha_id  <id>
//		captcha_key <key>
//		endpoint    <url>      # https://gcaptcha4.geetest.com
//		script      <url>      # https://static.geetest.com/v4/gt4.js
//		widget      <name> <value>
//		proxy       <url>      # none
//		ca          <file>     # the system's authorities
//		timeout     <duration> # 5s
//	}
func (g *GeetestV4) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, []option{
		{"captcha_id", "the captcha's id in GeeTest's console", required, textTo(&g.CaptchaID)},
		{"captcha_key", "the key of the captcha_id", required, textTo(&g.CaptchaKey)},
		{"endpoint", expectedURL, !required, serviceTo(&g.Endpoint)},
		{"script", expectedScript, !required, scriptTo(&g.Script)},
		{"proxy", expectedProxy, !required, proxyTo(&g.Proxy)},
		{"ca", expectedCA, !required, textTo(&g.CA)},
		{"timeout", expectedDuration, !required, durationTo(&g.Timeout)},
	}, widgetOptions{&g.Widget, geetestV4Own})
}

// Cleanup ends the verifier's use of connections that it shares with others.
func (g *GeetestV4) Cleanup() error { return g.way.close() }

// Captcha returns "geetest_v4" and the captcha id.
func (g *GeetestV4) Captcha() (provider, id string) { return "geetest_v4", g.id }

// Service implements Verifier.
func (g *GeetestV4) Service() string { return g.service }

// Fingerprint implements Verifier.
func (g *GeetestV4) Fingerprint() [32]byte { return g.fingerprint }

// Parameters returns lot_number, captcha_output, pass_token and gen_time.
func (g *GeetestV4) Parameters() []Parameter { return geetestV4Parts.parameters() }

// maxAhead is how far a gen_time may lie in the future, because GeeTest's
// clock and ours differ. The captcha handler's maxAge is shorter by as much
// than it remembers a used proof, so that no proof is forgotten while its
// gen_time would still do.
const maxAhead = 5 * time.Minute

// Check judges the shape of the proof, and its age by gen_time: Unix seconds,
// from maxAge before now to five minutes after it.
func (g *GeetestV4) Check(proof Proof, now time.Time, maxAge time.Duration) Verdict {
	if verdict := geetestV4Parts.check(proof); verdict.Result != Unknown {
		return verdict
	}
	seconds, err := strconv.ParseInt(proof[3], 10, 64)
	generated := time.Unix(seconds, 0)
	switch {
	case err != nil, generated.After(now.Add(maxAhead)):
		return malformed("gen_time")
	case generated.Before(now.Add(-maxAge)):
		return Verdict{Result: Expired, Reason: "gen_time"}
	}
	return Verdict{}
}

// ReplayKey returns the lot_number in lower case. GeeTest may not tell the cases
// apart, and makes a lot_number for one solved captcha only.
func (g *GeetestV4) ReplayKey(proof Proof) string { return strings.ToLower(proof[0]) }

// Verify asks /validate.
func (g *GeetestV4) Verify(ctx context.Context, proof Proof, _ Client) Verdict {
	return g.verify(ctx, g.validate, proof)
}

// Probe implements Prober.
func (g *GeetestV4) Probe(ctx context.Context) Health {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	return healthOf(g.verify(ctx, g.validate.probing(), Proof{madeUp(16), madeUp(64), madeUp(32), now}))
}

func (g *GeetestV4) verify(ctx context.Context, validate api, proof Proof) Verdict {
	lotNumber := proof[0]
	return validate.askForm(ctx, []string{
		"captcha_output", proof[1],
		"gen_time", proof[3],
		"lot_number", lotNumber,
		"pass_token", proof[2],
		"sign_token", signToken(g.key, lotNumber),
	}, func(answer object) Verdict {
		return judgeGeetestV4(answer, lotNumber)
	})
}

// signToken proves to GeeTest that the caller knows the key of the captcha.
func signToken(key, lotNumber string) string {
	return hex.EncodeToString(hmacSHA256([]byte(key), lotNumber))
}

// judgeGeetestV4 decides on an answer of /validate. It is one of
//
//	{"status": "success", "result": "success", "reason": "", "captcha_args": {"lot_number": …, …}}
//	{"status": "success", "result": "fail", "reason": "pass_token expire", …}
//	{"status": "error", "code": "-50005", "msg": "illegal gen_time", …}
//
// The page "API reference, server" shows the first two without status. Only
// result is needed for Passed; status, reason and captcha_args may be missing
// but not be of another type.
func judgeGeetestV4(answer object, lotNumber string) Verdict {
	status, ok := optional[string](answer, "status")
	_, found := answer["status"]
	switch {
	case status == "error":
		return judgeGeetestV4Error(answer["code"])
	case !ok, found && status != "success":
		return unexpected("status")
	}
	reason, ok := optional[string](answer, "reason")
	if !ok {
		return unexpected("reason")
	}
	switch answer["result"] {
	case "success":
		return bound(answer, lotNumber)
	case "fail":
		if verdict, known := geetestV4Reasons[reason]; known {
			return verdict
		}
		return Verdict{Result: Rejected, Reason: "reason_other"}
	}
	return unexpected("result")
}

// bound is Passed if the answer is about the proof that was asked about.
func bound(answer object, lotNumber string) Verdict {
	args, ok := optional[object](answer, "captcha_args")
	if !ok {
		return unexpected("captcha_args")
	}
	theirs, ok := optional[string](args, "lot_number")
	if !ok {
		return unexpected("captcha_args.lot_number")
	}
	if _, found := args["lot_number"]; found && theirs != lotNumber {
		return Verdict{Result: Rejected, Reason: "lot_number"}
	}
	return Verdict{Result: Passed}
}

// judgeGeetestV4Error decides on a code, which is a string in all samples of
// GeeTest's and has no minus sign on the English pages.
func judgeGeetestV4Error(code any) Verdict {
	var digits string
	switch code := code.(type) {
	case string:
		digits = code
	case json.Number:
		digits = code.String()
	default:
		return unexpected("code")
	}
	if verdict, known := geetestV4Codes[strings.TrimPrefix(digits, "-")]; known {
		return verdict
	}
	return Verdict{Result: Rejected, Reason: "code_other"}
}

const adviceCaptchaID = "captcha_id may not be the one that the page uses: compare it with GeeTest's console and the page"

// geetestV4Reasons are the known reasons of a fail.
var geetestV4Reasons = map[string]Verdict{
	"pass_token expire": {Result: Expired, Reason: "pass_token_expire"},
	"pass_token error":  {Result: Rejected, Reason: "pass_token_error", Advice: adviceCaptchaID},
	"sign_token error": {
		Result: Misconfigured, Reason: "sign_token_error",
		Advice: "captcha_key is not the key of captcha_id: copy both from the same line of GeeTest's console (a key shown as *** is masked)",
	},
}

// geetestV4Codes are the codes of GeeTest's page "Error code, server", without
// the minus sign.
var geetestV4Codes = map[string]Verdict{
	"50000": {Reason: ReasonService, Err: serviceError{says: "GeeTest answered with code -50000 (runtime error)"}},
	"50001": {Result: Rejected, Reason: "code_50001"}, // illegal risk_type
	"50002": {Result: Rejected, Reason: "code_50002"}, // param decrypt error
	"50003": {Result: Replayed, Reason: "code_50003"}, // illegal verify: a repeated one
	"50004": {Result: Rejected, Reason: "code_50004"}, // jsonp xss
	"50005": {Result: Rejected, Reason: "code_50005"}, // illegal gen_time
	"50101": {Result: Misconfigured, Reason: "code_50101", Advice: "GeeTest got no captcha_id: check captcha_id, and that endpoint keeps the query"},
	"50102": {Result: Misconfigured, Reason: "code_50102", Advice: "captcha_id is malformed: copy it again from GeeTest's console"},
	"50103": {Result: Misconfigured, Reason: "code_50103", Advice: "captcha_id does not exist at this endpoint: copy it again from GeeTest's console, and check that it is one of CAPTCHA v4"},
	"50104": {Result: Misconfigured, Reason: "code_50104", Advice: "captcha_id was deleted in GeeTest's console: create a captcha and configure its captcha_id and captcha_key"},
	"50105": {Result: Misconfigured, Reason: "code_50105", Advice: "captcha_id is paused: resume it in GeeTest's console"},
	"50301": {Result: Rejected, Reason: "code_50301"}, // not proof: serial number unknown
	"50302": {Result: Rejected, Reason: "code_50302"}, // not lot_number
	"50303": {Result: Rejected, Reason: "code_50303"}, // illegal lot_number
	"50304": {Result: Rejected, Reason: "code_50304"}, // lot_number not match
	"50305": {Result: Expired, Reason: "code_50305"},  // lot_number expired
	"50306": {Result: Rejected, Reason: "code_50306"}, // process_token error
	"50307": {Result: Rejected, Reason: "code_50307"}, // payload error
	"50308": {Result: Rejected, Reason: "code_50308"}, // payload used
}

// geetestV4Challenge has the names of GeeTest's page "API reference, web".
type geetestV4Challenge struct {
	widget
	CaptchaID string `json:"captcha_id"`
	Down      bool   `json:"down,omitempty"`
}

// Challenge returns the captcha id. The v4 widget gets all else from GeeTest.
func (g *GeetestV4) Challenge(context.Context, Client, string) (challenge any, failure Verdict) {
	return g.challenge(), Verdict{}
}

func (g *GeetestV4) challenge() geetestV4Challenge {
	return geetestV4Challenge{widget: widget{"geetest_v4", g.script.url, g.Widget}, CaptchaID: g.id}
}

// OutageChallenge returns the captcha id. A widget that cannot reach GeeTest
// then makes a proof of its own, which looks like any other.
func (g *GeetestV4) OutageChallenge(string) any {
	c := g.challenge()
	c.Down = true
	return c
}

// OutageProof implements Fallback. No v4 proof shows that it was made in an
// outage.
func (g *GeetestV4) OutageProof(Proof, time.Time, time.Duration) (key, issued string, ok bool) {
	return "", "", false
}

// Sources implements Challenger.
func (g *GeetestV4) Sources() map[string][]string {
	return g.script.sources(geetestV4Sources, geetestHosts(g.service, geetestV4Service, g.Widget)...)
}

//go:embed geetest_v4.js
var geetestV4Adapter string

// Adapter implements Challenger.
func (g *GeetestV4) Adapter() string { return geetestV4Adapter }

// geetestV4Own are the widget's options that the adapter sets.
var geetestV4Own = []string{"captchaId", "challenge", "product", "language", "onError", "offlineCb"}

var geetestV4Sources = geetestSources("*.geetest.com", "*.geevisit.com", "*.gsensebot.com", "dn-staticdown.qbox.me")

// Interface guards
var (
	_ Prober                = (*GeetestV4)(nil)
	_ Fallback              = (*GeetestV4)(nil)
	_ caddy.Module          = (*GeetestV4)(nil)
	_ caddy.Provisioner     = (*GeetestV4)(nil)
	_ caddy.CleanerUpper    = (*GeetestV4)(nil)
	_ caddyfile.Unmarshaler = (*GeetestV4)(nil)
)
