package verifier

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/internal/clock"
	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

func init() { caddy.RegisterModule(Tencent{}) }

// Tencent verifies proofs of Tencent Captcha for web and app with the action
// DescribeCaptchaResult, version 2019-07-22, of Tencent Cloud's API
// (cloud.tencent.com/document/product/1110/36926, and
// tencentcloud.com/document/product/1159/50367 for the international site).
//
// It takes two pairs of secrets: those of the captcha, from the captcha
// console, and an API key, from Cloud Access Management (CAM). Of the latter
// the policy QcloudCaptchaFullAccess is all that it needs.
//
// The options captcha_app_id, app_secret_key, secret_id, secret_key, endpoint
// and script take Caddy's global placeholders such as `{env.NAME}` and
// `{file./path}`, which are replaced once, when the configuration is loaded.
// One that is not set is an error then.
type Tencent struct {
	// Where the account is: `cn` (cloud.tencent.com) or `intl`
	// (tencentcloud.com). The two have different keys, endpoints and scripts.
	// Required.
	Site string `json:"site,omitempty"`

	// The CaptchaAppId in the captcha console, a positive number. Required.
	CaptchaAppID string `json:"captcha_app_id,omitempty"`

	// The AppSecretKey of the captcha_app_id, from the same console. Tencent
	// gets it with every call. Required.
	AppSecretKey string `json:"app_secret_key,omitempty"`

	// The SecretId of an API key of the same account, from Cloud Access
	// Management (CAM). It begins with letters. Required.
	SecretID string `json:"secret_id,omitempty"`

	// The SecretKey of the secret_id. Required. It never leaves this process.
	SecretKey string `json:"secret_key,omitempty"`

	// The URL of Tencent Cloud's API. It must be https, or http to a loopback
	// address, without a query.
	// Default: `https://captcha.tencentcloudapi.com` for the site `cn`,
	// `https://captcha.intl.tencentcloudapi.com` for `intl`
	Endpoint string `json:"endpoint,omitempty"`

	// The URL from which browsers load the widget's script. It must be https,
	// or http of a loopback address, without a query.
	// Default: `https://turing.captcha.qcloud.com/TJCaptcha.js` for the site
	// `cn`, `https://ca.turing.captcha.qcloud.com/TJNCaptcha-global.js` for
	// `intl`
	Script string `json:"script,omitempty"`

	// Options of the provider's widget, by their names in its documentation,
	// which reach the widget as they are. Those that this module sets itself
	// are errors. Default: none
	Widget map[string]json.RawMessage `json:"widget,omitempty"`

	// The cipher, `cbc` or `gcm`, with which the widget gets the
	// captcha_app_id encrypted as well ("aidEncrypted"). Without it Tencent
	// accepts no widget once "CaptchaAppid forced check" is on in the captcha
	// console. Default: off
	EncryptAppID string `json:"encrypt_app_id,omitempty"`

	// How long an encrypted captcha_app_id is valid, from `1s` to `24h`. It
	// counts from when the page asks for it, and has to last until the widget
	// is solved. Default: `24h`
	EncryptAppIDTTL caddy.Duration `json:"encrypt_app_id_ttl,omitempty"`

	// The highest Score that passes, from 0 to 100. A higher one is more like
	// a bot, and refused as risky. Accounts that get no Score cannot use it:
	// it would refuse everybody. Default: the Score is not looked at
	MaxScore *int `json:"max_score,omitempty"`

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

	// How long the call to Tencent may take in all. It must be positive.
	// Default: `5s`
	Timeout caddy.Duration `json:"timeout,omitempty"`

	appID       uint64
	appSecret   string
	signer      *tc3
	service     string
	way         *way
	describe    api
	script      script
	appIDCipher *appIDCipher // nil: off
	fingerprint [32]byte
	now         func() time.Time
}

var tencentSites = []string{"cn", "intl"}

const (
	tencentService     = "https://captcha.tencentcloudapi.com"
	tencentServiceIntl = "https://captcha.intl.tencentcloudapi.com"
	tencentScript      = "https://turing.captcha.qcloud.com/TJCaptcha.js"
	tencentScriptIntl  = "https://ca.turing.captcha.qcloud.com/TJNCaptcha-global.js"
)

var tencentParts = parts{
	{Parameter{Name: "ticket", Header: "Captcha-Ticket", MaxLength: 1024}, printable},
	{Parameter{Name: "randstr", Header: "Captcha-Randstr", MaxLength: 64}, printable},
}

// minTicket is the length below which a ticket is none. Genuine ones have 130
// characters and more.
const minTicket = 32

// disasterTicket is the shape of the tickets that the widget makes by itself
// when it cannot reach Tencent ("disaster recovery"). Some pages and scripts
// of Tencent's spell them trerror_, and they differ in what follows.
var disasterTicket = pattern(`^tr?error_`)

// CaddyModule returns the Caddy module information.
func (Tencent) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.captcha.verifiers.tencent",
		New: func() caddy.Module { return new(Tencent) },
	}
}

// Provision reads the options. It does not call Tencent.
func (t *Tencent) Provision(caddy.Context) error {
	if err := oneOf("site", t.Site, tencentSites); err != nil {
		return err
	}
	var appID string
	t.signer = &tc3{service: "captcha"}
	if err := expand(
		text{"captcha_app_id", t.CaptchaAppID, &appID},
		text{"app_secret_key", t.AppSecretKey, &t.appSecret},
		text{"secret_id", t.SecretID, &t.signer.secretID},
		text{"secret_key", t.SecretKey, &t.signer.secretKey},
	); err != nil {
		return err
	}
	var err error
	if t.appID, err = strconv.ParseUint(appID, 10, 64); err != nil || t.appID == 0 {
		return errors.New("captcha_app_id must be a positive number: the CaptchaAppId of the captcha console")
	}
	defaultService, defaultScript := tencentService, tencentScript
	if t.Site == "intl" {
		defaultService, defaultScript = tencentServiceIntl, tencentScriptIntl
	}
	endpoint, err := setting.Endpoint("endpoint", t.Endpoint, defaultService)
	if err != nil {
		return err
	}
	timeout, err := timeoutOrDefault(t.Timeout)
	if err != nil {
		return err
	}
	if err := (widgetOptions{&t.Widget, tencentOwn}).check(); err != nil {
		return err
	}
	if t.script, err = newScript(t.Script, defaultScript); err != nil {
		return err
	}
	if t.appIDCipher, err = newAppIDCipher(t.EncryptAppID, t.appSecret, time.Duration(t.EncryptAppIDTTL)); err != nil {
		return err
	}
	maxScore := ""
	if t.MaxScore != nil {
		if err := checkScore(*t.MaxScore); err != nil {
			return err
		}
		maxScore = strconv.Itoa(*t.MaxScore)
	}
	if t.way, err = openWay(t.Proxy, t.CA); err != nil {
		return err
	}
	t.service = endpoint.String()
	t.describe = newAPI(t.way, http.MethodPost, endpoint, tencentHeader, timeout)
	t.now = clock.Now
	t.fingerprint = fingerprint("tencent", t.Site, strconv.FormatUint(t.appID, 10), t.appSecret,
		t.signer.secretID, t.signer.secretKey, t.describe.url(), maxScore, timeout.String(), string(t.way.key[:]))
	t.AppSecretKey, t.SecretID, t.SecretKey, t.Proxy = "", "", "", ""
	return nil
}

func checkScore(score int) error {
	if score < 0 || score > 100 {
		return errors.New("max_score must be a number from 0 to 100")
	}
	return nil
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
//		widget      <name> <value>
//		encrypt_app_id cbc|gcm [<ttl>] # off; ttl 24h
//		max_score      <0-100>         # unset: Score is not looked at
//		proxy          <url>           # none
//		ca             <file>          # the system's authorities
//		timeout        <duration>      # 5s
//	}
func (t *Tencent) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, []option{
		{"site", strings.Join(tencentSites, " or "), required, choiceTo(&t.Site, tencentSites)},
		{"captcha_app_id", "the CaptchaAppId of the captcha console", required, textTo(&t.CaptchaAppID)},
		{"app_secret_key", "the AppSecretKey of the captcha_app_id", required, textTo(&t.AppSecretKey)},
		{"secret_id", "the SecretId of an API key", required, textTo(&t.SecretID)},
		{"secret_key", "the SecretKey of the secret_id", required, textTo(&t.SecretKey)},
		{"endpoint", expectedURL, !required, serviceTo(&t.Endpoint)},
		{"script", expectedScript, !required, scriptTo(&t.Script)},
		{"encrypt_app_id", "cbc or gcm, and perhaps a duration from 1s to 24h", !required, append(choiceTo(&t.EncryptAppID, appIDCipherModes), ttlTo(&t.EncryptAppIDTTL)...)},
		{"max_score", "a number from 0 to 100", !required, scoreTo(&t.MaxScore)},
		{"proxy", expectedProxy, !required, proxyTo(&t.Proxy)},
		{"ca", expectedCA, !required, textTo(&t.CA)},
		{"timeout", expectedDuration, !required, durationTo(&t.Timeout)},
	}, widgetOptions{&t.Widget, tencentOwn})
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

// Cleanup ends the verifier's use of connections that it shares with others.
func (t *Tencent) Cleanup() error { return t.way.close() }

// Captcha returns "tencent" and the CaptchaAppId.
func (t *Tencent) Captcha() (provider, id string) {
	return "tencent", strconv.FormatUint(t.appID, 10)
}

// Service implements Verifier.
func (t *Tencent) Service() string { return t.service }

// Fingerprint implements Verifier.
func (t *Tencent) Fingerprint() [32]byte { return t.fingerprint }

// Parameters returns ticket and randstr.
func (t *Tencent) Parameters() []Parameter { return tencentParts.parameters() }

// Check judges the shape of the proof. A ticket shows no time; Tencent takes
// it for 5 minutes.
func (t *Tencent) Check(proof Proof, _ time.Time, _ time.Duration) Verdict {
	if verdict := tencentParts.check(proof); verdict.Result != Unknown {
		return verdict
	}
	switch ticket := proof[0]; {
	case disasterTicket(ticket):
		return offline
	case len(ticket) < minTicket:
		return malformed("ticket")
	}
	return Verdict{}
}

// ReplayKey returns the letters and digits of the ticket but the last two. A ticket
// is base64, of which the last characters have bits to spare, so that several
// spellings can be one ticket. The randstr is left out, because whoever has
// the ticket can make up any.
func (t *Tencent) ReplayKey(proof Proof) string {
	use := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			return r
		}
		return -1
	}, proof[0])
	return use[:max(len(use)-2, 0)]
}

// Verify calls DescribeCaptchaResult.
func (t *Tencent) Verify(ctx context.Context, proof Proof, client Client) Verdict {
	return t.verify(ctx, t.describe, proof, client)
}

// Probe implements Prober. It is signed like any call: an answer to another
// signature would not come from the captcha service.
func (t *Tencent) Probe(ctx context.Context) Health {
	return healthOf(t.verify(ctx, t.describe.probing(), Proof{"t03" + madeUp(64), "@" + madeUp(4)}, Client{}))
}

func (t *Tencent) verify(ctx context.Context, describe api, proof Proof, client Client) Verdict {
	body := t.body(proof, client)
	return describe.ask(ctx, message{header: t.header(body), body: body}, t.judge)
}

// body returns the parameters of the call. UserIp, which Tencent requires, is
// the 127.0.0.1 of its own examples where the client's address is not known.
func (t *Tencent) body(proof Proof, client Client) []byte {
	body, _ := json.Marshal(struct { // strings and numbers: no error is possible
		CaptchaType  int
		Ticket       string
		UserIP       string `json:"UserIp"`
		Randstr      string
		CaptchaAppID uint64 `json:"CaptchaAppId"`
		AppSecretKey string
	}{9, proof[0], client.address("127.0.0.1"), proof[1], t.appID, t.appSecret})
	return body
}

const tencentContentType = "application/json"

// tencentHeader is the part of the header that all calls have in common.
var tencentHeader = http.Header{
	"Content-Type":       {tencentContentType},
	"X-Tc-Action":        {"DescribeCaptchaResult"},
	"X-Tc-Version":       {"2019-07-22"},
	"X-Tc-Language":      {"en-US"},
	"X-Tc-Requestclient": {"caddycaptcha"},
}

func (t *Tencent) header(body []byte) http.Header {
	now := t.now()
	header := maps.Clone(tencentHeader)
	header["X-Tc-Timestamp"] = []string{strconv.FormatInt(now.Unix(), 10)}
	header["Authorization"] = []string{t.signer.authorization(now, http.MethodPost, "",
		[]signedHeader{{"content-type", tencentContentType}, {"host", t.describe.request.Host}}, body)}
	return header
}

// tencentChallenge has the names of the widget's options, where there are.
type tencentChallenge struct {
	widget
	CaptchaAppID     string `json:"captcha_app_id"`
	Site             string `json:"site"`
	AidEncrypted     string `json:"aidEncrypted,omitempty"`
	AidEncryptedType string `json:"aidEncryptedType,omitempty"`
	Down             bool   `json:"down,omitempty"`
}

// Challenge returns the CaptchaAppId, and that once more encrypted if so
// configured. The widget gets all else from Tencent.
func (t *Tencent) Challenge(context.Context, Client, string) (challenge any, failure Verdict) {
	return t.challenge(), Verdict{}
}

func (t *Tencent) challenge() tencentChallenge {
	_, appID := t.Captcha()
	c := tencentChallenge{widget: widget{"tencent", t.script.url, t.Widget}, CaptchaAppID: appID, Site: t.Site}
	if t.appIDCipher != nil {
		c.AidEncrypted, c.AidEncryptedType = t.appIDCipher.encrypt(appID, t.now()), t.appIDCipher.mode
	}
	return c
}

// OutageChallenge returns what Challenge does. A widget that cannot reach
// Tencent then makes a disaster-recovery ticket.
func (t *Tencent) OutageChallenge(string) any {
	c := t.challenge()
	c.Down = true
	return c
}

// OutageProof takes the disaster-recovery tickets of this CaptchaAppId, and
// those that name none. They carry a time, by which they are as old at most as
// any other proof: one that could be older than its claim could be used twice.
func (t *Tencent) OutageProof(proof Proof, now time.Time, maxAge time.Duration) (key, issued string, ok bool) {
	made, ok := disasterTime(proof[0], strconv.FormatUint(t.appID, 10))
	if !ok || made.After(now.Add(maxAhead)) || made.Before(now.Add(-maxAge)) {
		return "", "", false
	}
	return proof[0] + " " + proof[1], "", true
}

// disasterTime returns when a disaster-recovery ticket says that it was made.
// The spellings that Tencent's pages, scripts and plugins have are
//
//	terror_<code>_<appid>_<time>, the same with trerror_
//	terror_<code>__<time>
//	terror_<code>_<appid><time>
//	terror_<code>_<time>
//	any of these and _<more>
//
// with a code of four digits and a Unix time of ten. A number that stands
// before a time is a CaptchaAppId, and so another's unless it is ours.
func disasterTime(ticket, appID string) (made time.Time, ok bool) {
	parts := disasterParts.FindStringSubmatch(ticket)
	if parts == nil {
		return time.Time{}, false
	}
	named, written := parts[1], parts[2]
	if named != "" && named != appID {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(written, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

// The first group is greedy, so it holds all that can be an id.
var disasterParts = regexp.MustCompile(`^tr?error_[0-9]{4}_([0-9]*)_?([0-9]{10})(?:_[!-~]*)?$`)

// Sources implements Challenger.
func (t *Tencent) Sources() map[string][]string {
	if t.Site == "intl" {
		return t.script.sources(tencentSourcesIntl)
	}
	return t.script.sources(tencentSources)
}

//go:embed tencent.js
var tencentAdapter string

// Adapter implements Challenger.
func (t *Tencent) Adapter() string { return tencentAdapter }

// tencentOwn are the widget's options that the adapter sets.
var tencentOwn = []string{"aidEncrypted", "aidEncryptedType", "aidEncryptedAad", "userLanguage", "ready", "loading", "showFn"}

// Tencent documents no hosts. These are those that sites with a policy of
// their own list, the two sites of Tencent's told apart.
var (
	tencentSources     = tencentSourcesOf("turing.captcha.qcloud.com")
	tencentSourcesIntl = tencentSourcesOf("ca.turing.captcha.qcloud.com")
)

func tencentSourcesOf(host string) map[string][]string {
	const (
		files    = "*.captcha.gtimg.com"
		fallback = "www.tycaptcha.com"
		jQuery   = "cloudcache.tencentcs.com" // of the older scripts
		risk     = "rce.tencentrio.com"
		device   = "www.turingfraud.net"
	)
	return map[string][]string{
		"script-src":  {host, files, fallback, jQuery},
		"style-src":   {host, files, fallback, "'unsafe-inline'"},
		"img-src":     {host, files, fallback, "data:"},
		"font-src":    {host, files, fallback, "data:"},
		"connect-src": {host, files, fallback, risk, device},
		"frame-src":   {host, files, fallback},
		"media-src":   {host, files, fallback}, // the captcha by voice
		"worker-src":  {"blob:"},
	}
}

// Interface guards
var (
	_ Prober                = (*Tencent)(nil)
	_ Fallback              = (*Tencent)(nil)
	_ caddy.Module          = (*Tencent)(nil)
	_ caddy.Provisioner     = (*Tencent)(nil)
	_ caddy.CleanerUpper    = (*Tencent)(nil)
	_ caddyfile.Unmarshaler = (*Tencent)(nil)
)
