package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

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
// The texts but site take Caddy's global placeholders such as {env.NAME} and
// {file./path}, which are replaced once, when the configuration is loaded.
type Tencent struct {
	// Site is where the account is: cn (cloud.tencent.com) or intl
	// (tencentcloud.com). The two have different keys, endpoints and scripts.
	// Required.
	Site string `json:"site,omitempty"`

	// CaptchaAppID is the CaptchaAppId, a number. Required.
	CaptchaAppID string `json:"captcha_app_id,omitempty"`

	// AppSecretKey is the AppSecretKey of the CaptchaAppId. Required.
	AppSecretKey string `json:"app_secret_key,omitempty"`

	// SecretID is the SecretId of the API key. Required.
	SecretID string `json:"secret_id,omitempty"`

	// SecretKey is the SecretKey of the API key. Required. It never leaves
	// this process.
	SecretKey string `json:"secret_key,omitempty"`

	// Endpoint is the API's URL: https, or http to a loopback address.
	// Default: https://captcha.tencentcloudapi.com for cn,
	// https://captcha.intl.tencentcloudapi.com for intl
	Endpoint string `json:"endpoint,omitempty"`

	// Script is the URL of the widget's script, from which browsers load it:
	// https, or http of a loopback address.
	// Default: https://turing.captcha.qcloud.com/TJCaptcha.js for cn,
	// https://ca.turing.captcha.qcloud.com/TJNCaptcha-global.js for intl
	Script string `json:"script,omitempty"`

	// EncryptAppID gives the widget the CaptchaAppId encrypted as well
	// ("aidEncrypted"), with cbc or gcm. Without it Tencent takes no widget
	// once "CaptchaAppid forced check" is on in the captcha console.
	// Default: off
	EncryptAppID string `json:"encrypt_app_id,omitempty"`

	// EncryptAppIDTTL is how long an encrypted CaptchaAppId is good for, from
	// 1s to 24h. It starts when the page asks for it, and must not be over
	// before the widget is solved. Default: 24h
	EncryptAppIDTTL caddy.Duration `json:"encrypt_app_id_ttl,omitempty"`

	// MaxScore is the highest Score, 0 to 100, that passes; higher ones are
	// more like a bot. With it, an answer without a Score is no answer.
	// Default: Score is not looked at
	MaxScore *int `json:"max_score,omitempty"`

	// Timeout bounds the call to Tencent. Default: 5s
	Timeout caddy.Duration `json:"timeout,omitempty"`

	appID       uint64
	appSecret   string
	signer      *tc3
	endpoint    string
	describe    api
	script      script
	appIDCipher *appIDCipher // nil: off
	fingerprint [32]byte
	now         func() time.Time
}

var tencentSites = []string{"cn", "intl"}

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
	defaultEndpoint, defaultScript := "https://captcha.tencentcloudapi.com", tencentScript
	if t.Site == "intl" {
		defaultEndpoint, defaultScript = "https://captcha.intl.tencentcloudapi.com", tencentScriptIntl
	}
	endpoint, err := setting.Endpoint("endpoint", t.Endpoint, defaultEndpoint)
	if err != nil {
		return err
	}
	timeout, err := timeoutOrDefault(t.Timeout)
	if err != nil {
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
	t.endpoint = endpoint.String()
	t.describe = newAPI(http.MethodPost, endpoint, tencentHeader, timeout)
	t.now = time.Now
	t.fingerprint = fingerprint("tencent", t.Site, strconv.FormatUint(t.appID, 10), t.appSecret,
		t.signer.secretID, t.signer.secretKey, t.describe.url(), maxScore, timeout.String())
	t.AppSecretKey, t.SecretID, t.SecretKey = "", "", ""
	return nil
}

func checkScore(score int) error {
	if score < 0 || score > 100 {
		return errors.New("max_score must be a number from 0 to 100")
	}
	return nil
}

// Captcha returns "tencent" and the CaptchaAppId.
func (t *Tencent) Captcha() (provider, id string) {
	return "tencent", strconv.FormatUint(t.appID, 10)
}

// Service implements Verifier.
func (t *Tencent) Service() string { return t.endpoint }

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

// Use returns the letters and digits of the ticket but the last two. A ticket
// is base64, of which the last characters have bits to spare, so that several
// spellings can be one ticket. The randstr is left out, because whoever has
// the ticket can make up any.
func (t *Tencent) Use(proof Proof) string {
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
	body := t.body(proof, client)
	return t.describe.ask(ctx, message{header: t.header(body), body: body}, t.judge)
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

// judge decides on an answer, which is one of
//
//	{"Response": {"CaptchaCode": 1, "CaptchaMsg": "OK", "EvilLevel": 0, "Score": 12, …, "RequestId": "…"}}
//	{"Response": {"Error": {"Code": "AuthFailure.SignatureFailure", "Message": "…"}, "RequestId": "…"}}
//
// The CaptchaCode alone does not decide: an invisible captcha gives malicious
// clients a ticket too and says so in EvilLevel only. Where EvilLevel is null
// or missing Tencent has not judged the client, as with a visible captcha, for
// which the CaptchaCode is all there is. A Score is not in all answers either.
func (t *Tencent) judge(answer object) Verdict {
	response, ok := answer["Response"].(object)
	if !ok {
		return unexpected("Response")
	}
	apiError, failed := response["Error"]
	captchaCode, decided := response["CaptchaCode"]
	switch {
	case failed && decided, !failed && !decided:
		return unexpected("Response")
	case failed:
		return t.judgeError(apiError)
	}
	code, ok := integer(captchaCode)
	switch {
	case !ok:
		return unexpected("CaptchaCode")
	case code != 1:
		return judgeCaptchaCode(code)
	}
	return t.judgeRisk(response)
}

// judgeRisk decides on a proof that is genuine.
func (t *Tencent) judgeRisk(response object) Verdict {
	evilLevel, judged, ok := nullableInteger(response, "EvilLevel")
	if !ok {
		return unexpected("EvilLevel")
	}
	verdict := Verdict{Result: Passed}
	score, scored, ok := nullableInteger(response, "Score")
	if ok = ok && (!scored || 0 <= score && score <= 100); ok && scored {
		verdict.Score, verdict.HasScore = int(score), true
	}
	switch {
	case judged && evilLevel == 100:
		verdict.Result, verdict.Reason = Risky, "evil_level"
	case t.MaxScore == nil:
	case !ok:
		return unexpected("Score")
	case !scored:
		return Verdict{Result: Misconfigured, Reason: "no_score", Advice: adviceNoScore}
	case verdict.Score > *t.MaxScore:
		verdict.Result, verdict.Reason = Risky, "score"
	}
	return verdict
}

const adviceNoScore = "Tencent gives this account no Score, without which max_score lets nobody through: remove max_score, or ask Tencent for scores"

// Interface guards
var (
	_ Verifier              = (*Tencent)(nil)
	_ caddy.Module          = (*Tencent)(nil)
	_ caddy.Provisioner     = (*Tencent)(nil)
	_ caddyfile.Unmarshaler = (*Tencent)(nil)
)
