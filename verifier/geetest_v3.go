package verifier

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

func init() { caddy.RegisterModule(GeetestV3{}) }

// GeetestV3 verifies proofs of GeeTest CAPTCHA v3 ("behavior verification",
// "sensebot"), as GeeTest's official server SDKs and its page "API reference,
// server" (docs.geetest.com/captcha/apirefer/api/server) do.
//
// The options captcha_id, captcha_key, endpoint and script take Caddy's global
// placeholders such as `{env.NAME}` and `{file./path}`, which are replaced
// once, when the configuration is loaded. One that is not set is an error then.
type GeetestV3 struct {
	// The captcha's id ("gt") in GeeTest's console, 32 characters. Required.
	CaptchaID string `json:"captcha_id,omitempty"`

	// The key of the captcha_id, 32 characters, from the same console.
	// Required. It never leaves this process.
	CaptchaKey string `json:"captcha_key,omitempty"`

	// The digest that challenges are derived with ("digestmod"): `md5`,
	// `sha256` or `hmac-sha256`. GeeTest has to enable all but `md5` for the
	// account. Default: `md5`
	Digest string `json:"digest,omitempty"`

	// The URL under which GeeTest serves /register.php and /validate.php. It
	// must be https, or http to a loopback address, without a query.
	// Default: `https://api.geetest.com`
	Endpoint string `json:"endpoint,omitempty"`

	// The URL at which GeeTest says whether it serves the captcha ("bypass
	// status"), or `off`. It is asked only to find out whether the provider is
	// down, when a call has failed: then its `fail` counts like one, and no
	// answer counts neither way. It must be https, or http to a loopback
	// address, without a query.
	// Default: `https://bypass.geetest.com/v1/bypass_status.php` for GeeTest's
	// own endpoint, `off` for any other
	BypassEndpoint string `json:"bypass_endpoint,omitempty"`

	// The URL from which browsers load the widget's script. It must be https,
	// or http of a loopback address, without a query.
	// Default: `https://static.geetest.com/static/tools/gt.js`
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

	// How long one call to GeeTest may take in all. It must be positive.
	// Default: `5s`
	Timeout caddy.Duration `json:"timeout,omitempty"`

	id, key     string
	digest      string
	service     string
	way         *way
	register    api
	validate    api
	bypass      *api // nil: off
	script      script
	fingerprint [32]byte
}

var geetestV3Digests = []string{"md5", "sha256", "hmac-sha256"}

// A challenge is one digest long, and the slide captcha adds two characters.
// The validate is hexadecimal unless it was made offline, when it can be the
// challenge or, from the oldest widgets, three words.
var (
	geetestV3Parts = parts{
		{Parameter{Name: "geetest_challenge", Header: "Geetest-Challenge", MaxLength: 66}, pattern(`^([0-9a-z]{32}|[0-9a-z]{64})([0-9a-z]{2})?$`)},
		{Parameter{Name: "geetest_validate", Header: "Geetest-Validate", MaxLength: 66}, pattern(`^([0-9a-z]{32,66}|[0-9a-z]+_[0-9a-z]+_[0-9a-z]+)$`)},
		{Parameter{Name: "geetest_seccode", Header: "Geetest-Seccode", MaxLength: 66 + len(seccodeSuffix)}, printable},
	}
	hex32 = pattern(`^[0-9a-f]{32}$`)
)

const (
	geetestV3Service = "https://api.geetest.com"
	geetestV3Bypass  = "https://bypass.geetest.com/v1/bypass_status.php" //nolint:gosec // no credential
	geetestV3Script  = "https://static.geetest.com/static/tools/gt.js"

	bypassOff = "off"
)

// sdk is what the official SDKs tell GeeTest about themselves.
const sdk = "caddycaptcha"

// seccodeSuffix is what every official widget adds to the validate.
const seccodeSuffix = "|jordan"

// CaddyModule returns the Caddy module information.
func (GeetestV3) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.captcha.verifiers.geetest_v3",
		New: func() caddy.Module { return new(GeetestV3) },
	}
}

// Provision reads the options. It does not call GeeTest.
func (g *GeetestV3) Provision(caddy.Context) error {
	if err := expand(
		text{"captcha_id", g.CaptchaID, &g.id},
		text{"captcha_key", g.CaptchaKey, &g.key},
	); err != nil {
		return err
	}
	g.digest = cmp.Or(g.Digest, "md5")
	if err := oneOf("digest", g.digest, geetestV3Digests); err != nil {
		return err
	}
	endpoint, err := setting.Endpoint("endpoint", g.Endpoint, geetestV3Service)
	if err != nil {
		return err
	}
	timeout, err := timeoutOrDefault(g.Timeout)
	if err != nil {
		return err
	}
	if err := (widgetOptions{&g.Widget, geetestV3Own}).check(); err != nil {
		return err
	}
	if g.script, err = newScript(g.Script, geetestV3Script); err != nil {
		return err
	}
	if g.way, err = openWay(g.Proxy, g.CA); err != nil {
		return err
	}
	g.service = endpoint.String()
	if g.bypass, err = g.newBypass(timeout); err != nil {
		return err
	}
	g.register = newAPI(g.way, http.MethodGet, under(endpoint, "register.php"), http.Header{}, timeout)
	g.validate = newAPI(g.way, http.MethodPost, under(endpoint, "validate.php"), formHeader, timeout)
	g.fingerprint = fingerprint("geetest_v3", g.id, g.key, g.digest, g.validate.url(), timeout.String(), string(g.way.key[:]))
	g.CaptchaKey, g.Proxy = "", ""
	return nil
}

// newBypass returns the api of the bypass status. GeeTest's public one knows
// nothing of a private endpoint, and has no business knowing of it.
func (g *GeetestV3) newBypass(timeout time.Duration) (*api, error) {
	fallback := geetestV3Bypass
	if g.service != geetestV3Service {
		fallback = bypassOff
	}
	if cmp.Or(g.BypassEndpoint, fallback) == bypassOff {
		return nil, nil
	}
	at, err := setting.Endpoint("bypass_endpoint", g.BypassEndpoint, fallback)
	if err != nil {
		return nil, err
	}
	at.RawQuery = string(encodeForm([]string{"gt", g.id}))
	bypass := newAPI(g.way, http.MethodGet, at, http.Header{}, timeout).probing()
	return &bypass, nil
}

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	geetest_v3 {
//		captcha_id      <id>
//		captcha_key     <key>
//		digest          md5|sha256|hmac-sha256 # md5
//		endpoint        <url>                  # https://api.geetest.com
//		bypass_endpoint <url>|off              # https://bypass.geetest.com/v1/bypass_status.php
//		script          <url>                  # https://static.geetest.com/static/tools/gt.js
//		widget          <name> <value>
//		proxy           <url>                  # none
//		ca              <file>                 # the system's authorities
//		timeout         <duration>             # 5s
//	}
func (g *GeetestV3) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, []option{
		{"captcha_id", "the captcha's id in GeeTest's console", required, textTo(&g.CaptchaID)},
		{"captcha_key", "the key of the captcha_id", required, textTo(&g.CaptchaKey)},
		{"digest", strings.Join(geetestV3Digests, " or "), !required, choiceTo(&g.Digest, geetestV3Digests)},
		{"endpoint", expectedURL, !required, serviceTo(&g.Endpoint)},
		{"bypass_endpoint", expectedURL + ", or off", !required, bypassTo(&g.BypassEndpoint)},
		{"script", expectedScript, !required, scriptTo(&g.Script)},
		{"proxy", expectedProxy, !required, proxyTo(&g.Proxy)},
		{"ca", expectedCA, !required, textTo(&g.CA)},
		{"timeout", expectedDuration, !required, durationTo(&g.Timeout)},
	}, widgetOptions{&g.Widget, geetestV3Own})
}

func bypassTo(to *string) setters {
	return urlTo(to, func(url string) error {
		if url == bypassOff {
			return nil
		}
		_, err := setting.Endpoint("bypass_endpoint", url, url)
		return err
	})
}

// Cleanup ends the verifier's use of connections that it shares with others.
func (g *GeetestV3) Cleanup() error { return g.way.close() }

// Captcha returns "geetest_v3" and the captcha id.
func (g *GeetestV3) Captcha() (provider, id string) { return "geetest_v3", g.id }

// Service implements Verifier.
func (g *GeetestV3) Service() string { return g.service }

// Fingerprint implements Verifier.
func (g *GeetestV3) Fingerprint() [32]byte { return g.fingerprint }

// Parameters returns geetest_challenge, geetest_validate and geetest_seccode.
func (g *GeetestV3) Parameters() []Parameter { return geetestV3Parts.parameters() }

// Check judges the shape of the proof and, with the digest md5, whether the
// validate was made with our key. (The SDKs that know other digests check no
// such relation.) A v3 proof carries no time.
func (g *GeetestV3) Check(proof Proof, _ time.Time, _ time.Duration) Verdict {
	if verdict := geetestV3Parts.check(proof); verdict.Result != Unknown {
		return verdict
	}
	challenge, validate, seccode := proof[0], proof[1], proof[2]
	switch {
	case g.digest == "md5" && len(challenge) > 34:
		return malformed("geetest_challenge")
	case seccode != validate+seccodeSuffix:
		return malformed("geetest_seccode")
	case validate == challenge, validate == md5Hex(challenge), strings.Contains(validate, "_"):
		return offline
	case !hex32(validate):
		return malformed("geetest_validate")
	case g.digest == "md5" && !hmac.Equal([]byte(validate), []byte(md5Hex(g.key+"geetest"+challenge))):
		return Verdict{Result: Rejected, Reason: "relation", Advice: adviceRelation}
	}
	return Verdict{}
}

const adviceRelation = "captcha_key may not be the key of captcha_id, or the page uses another captcha: compare both with GeeTest's console"

// ReplayKey returns the validate. GeeTest judges by the seccode, which is made of
// the validate alone, and may take it with any challenge.
func (g *GeetestV3) ReplayKey(proof Proof) string { return proof[1] }

// Verify asks /validate.php. The fields are those that the official SDKs send;
// geetest_validate is none of them in most, because the seccode contains it.
func (g *GeetestV3) Verify(ctx context.Context, proof Proof, client Client) Verdict {
	return g.verify(ctx, g.validate, proof, client)
}

func (g *GeetestV3) verify(ctx context.Context, validate api, proof Proof, client Client) Verdict {
	challenge, seccode := proof[0], proof[2]
	return validate.askForm(ctx, []string{
		"seccode", seccode,
		"challenge", challenge,
		"captchaid", g.id,
		"gt", g.id, // what the Node SDK calls it
		"json_format", "1",
		"sdk", sdk,
		"client_type", client.Type,
		"ip_address", client.address("unknown"),
	}, func(answer object) Verdict {
		return judgeGeetestV3(answer, seccode)
	})
}

// judgeGeetestV3 decides on an answer of /validate.php. It is one of
//
//	{"seccode": "<md5 of the seccode>"}
//	{"seccode": "false"}
//	{"status": "fail"}
//
// The newer official SDKs take every text but "false" for a pass. The older
// ones compare, and so does this.
func judgeGeetestV3(answer object, seccode string) Verdict {
	if answer["status"] == "fail" {
		return Verdict{Result: Rejected, Reason: "status_fail"}
	}
	theirs, ok := answer["seccode"].(string)
	switch {
	case !ok:
		return unexpected("seccode")
	case theirs == "false":
		return Verdict{Result: Rejected, Reason: "seccode_false"}
	case !hmac.Equal([]byte(theirs), []byte(md5Hex(seccode))):
		return Verdict{Result: Rejected, Reason: "seccode_other"}
	}
	return Verdict{Result: Passed}
}

// md5Hex is the digest of the v3 protocol, which leaves no choice.
func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// geetestV3Challenge has the members that the official SDKs answer a page
// with, in the types that the widget wants.
type geetestV3Challenge struct {
	widget
	Success    int    `json:"success"`
	GT         string `json:"gt"`
	Challenge  string `json:"challenge"`
	NewCaptcha bool   `json:"new_captcha"`
	Down       bool   `json:"down,omitempty"`
}

// Challenge asks /register.php for a challenge, of which each is good for one
// widget, and derives from it what the widget gets. The parameters are those
// of the official SDKs 3.1.
func (g *GeetestV3) Challenge(ctx context.Context, client Client, user string) (challenge any, failure Verdict) {
	parameters := g.registration(client)
	if user != "" {
		parameters = append(parameters, "user_id", user)
	}
	origin, verdict := askRegister(ctx, g.register, parameters)
	switch {
	case verdict.Err == statusError(http.StatusForbidden):
		return nil, Verdict{Result: Misconfigured, Reason: "register_403", Advice: adviceRegister}
	case origin == "":
		return nil, verdict
	}
	return g.challenge(1, g.derive(origin)), Verdict{}
}

func (g *GeetestV3) challenge(success int, challenge string) geetestV3Challenge {
	return geetestV3Challenge{
		widget:     widget{"geetest_v3", g.script.url, g.Widget},
		Success:    success,
		GT:         g.id,
		Challenge:  challenge,
		NewCaptcha: true,
		Down:       success == 0,
	}
}

// registration returns the parameters of /register.php.
func (g *GeetestV3) registration(client Client) []string {
	return []string{
		"client_type", client.Type,
		"digestmod", g.digest,
		"gt", g.id,
		"ip_address", client.address("unknown"),
		"json_format", "1",
		"sdk", sdk,
	}
}

// askRegister returns what GeeTest issues, or an empty text and why it does
// not.
func askRegister(ctx context.Context, register api, parameters []string) (origin string, failure Verdict) {
	failure = register.ask(ctx, message{query: string(encodeForm(parameters))}, func(answer object) (verdict Verdict) {
		origin, verdict = readRegister(answer)
		return verdict
	})
	return origin, failure
}

// Probe implements Prober. It asks for a challenge, too, without which there is
// no captcha, and believes a bypass status that says "fail": GeeTest tells its
// customers by that when it is to be left out, also for a single captcha. The
// status alone proves nothing, as a firewall may let all through but that.
func (g *GeetestV3) Probe(ctx context.Context) Health {
	if g.bypass != nil && g.saysFail(ctx) {
		return HealthFailed
	}
	client := Client{Type: "unknown"}
	issues := HealthGood
	if origin, failure := askRegister(ctx, g.register.probing(), g.registration(client)); origin == "" {
		issues = healthOf(failure)
	}
	validate := madeUp(16)
	judges := healthOf(g.verify(ctx, g.validate.probing(), Proof{madeUp(16), validate, validate + seccodeSuffix}, client))
	return worst(issues, judges)
}

// saysFail reports whether the bypass status is {"status": "fail"}.
func (g *GeetestV3) saysFail(ctx context.Context) (fails bool) {
	g.bypass.ask(ctx, message{}, func(answer object) Verdict {
		fails = answer["status"] == "fail"
		return Verdict{}
	})
	return fails
}

// OutageChallenge returns the issued challenge with success 0, for which the
// widget makes a proof by itself ("failback").
func (g *GeetestV3) OutageChallenge(issued string) any { return g.challenge(0, issued) }

// OutageProof takes both shapes that the widgets make for a challenge with
// success 0: the validate is the challenge, or its MD5.
func (g *GeetestV3) OutageProof(proof Proof, _ time.Time, _ time.Duration) (key, issued string, ok bool) {
	challenge, validate := proof[0], proof[1]
	ok = validate == challenge || validate == md5Hex(challenge)
	return challenge, challenge, ok
}

const adviceRegister = "GeeTest issues no challenges for captcha_id: compare it with GeeTest's console, and check that it is one of CAPTCHA v3, that GeeTest has enabled digest for it (all but md5 need that), and that endpoint serves it"

// readRegister returns the challenge in an answer of /register.php, or an
// empty one and why. It is one of
//
//	{"challenge": "<32 hexadecimal digits>"}
//	{"challenge": 0}
//	{"challenge": "0"}
//
// of which the latter two are what GeeTest says about ids that it does not
// serve.
func readRegister(answer object) (origin string, failure Verdict) {
	challenge := answer["challenge"]
	if challenge == "0" || challenge == json.Number("0") {
		return "", Verdict{Result: Misconfigured, Reason: "register_0", Advice: adviceRegister}
	}
	if origin, ok := challenge.(string); ok && hex32(origin) {
		return origin, Verdict{}
	}
	return "", unexpected("challenge")
}

// derive returns what the widget gets for a challenge of GeeTest's.
func (g *GeetestV3) derive(origin string) string {
	switch g.digest {
	case "sha256":
		sum := sha256.Sum256([]byte(origin + g.key))
		return hex.EncodeToString(sum[:])
	case "hmac-sha256":
		return hex.EncodeToString(hmacSHA256([]byte(g.key), origin))
	}
	return md5Hex(origin + g.key)
}

// Sources implements Challenger.
func (g *GeetestV3) Sources() map[string][]string {
	return g.script.sources(geetestV3Sources, geetestHosts(g.service, geetestV3Service, g.Widget)...)
}

//go:embed geetest_v3.js
var geetestV3Adapter string

// Adapter implements Challenger.
func (g *GeetestV3) Adapter() string { return geetestV3Adapter }

// geetestV3Own are the widget's options that the adapter sets.
var geetestV3Own = []string{"gt", "challenge", "offline", "new_captcha", "success", "product", "lang", "onError"}

var geetestV3Sources = geetestSources("*.geetest.com", "*.geevisit.com", "dn-staticdown.qbox.me")

// Interface guards
var (
	_ Prober                = (*GeetestV3)(nil)
	_ Fallback              = (*GeetestV3)(nil)
	_ caddy.Module          = (*GeetestV3)(nil)
	_ caddy.Provisioner     = (*GeetestV3)(nil)
	_ caddy.CleanerUpper    = (*GeetestV3)(nil)
	_ caddyfile.Unmarshaler = (*GeetestV3)(nil)
)
