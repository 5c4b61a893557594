package verifier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
)

// widget is what every challenge says: whose widget a page is to show, and
// where its script is.
type widget struct {
	Provider string `json:"provider"`
	Script   string `json:"script"`
}

// geetestV4Challenge has the names of GeeTest's page "API reference, web".
type geetestV4Challenge struct {
	widget
	CaptchaID string `json:"captcha_id"`
}

// Challenge returns the captcha id. The v4 widget gets all else from GeeTest.
func (g *GeetestV4) Challenge(context.Context, Client, string) (challenge any, failure Verdict) {
	return geetestV4Challenge{widget{"geetest_v4", g.script.url}, g.id}, Verdict{}
}

// Sources implements Verifier.
func (g *GeetestV4) Sources() map[string][]string { return g.script.sources(geetestV4Sources) }

// geetestV3Challenge has the members that the official SDKs answer a page
// with, in the types that the widget wants.
type geetestV3Challenge struct {
	widget
	Success    int    `json:"success"`
	GT         string `json:"gt"`
	Challenge  string `json:"challenge"`
	NewCaptcha bool   `json:"new_captcha"`
}

// Challenge asks /register.php for a challenge, of which each is good for one
// widget, and derives from it what the widget gets. The parameters are those
// of the official SDKs 3.1.
func (g *GeetestV3) Challenge(ctx context.Context, client Client, user string) (challenge any, failure Verdict) {
	parameters := []string{
		"client_type", client.Type,
		"digestmod", g.digest,
		"gt", g.id,
		"ip_address", client.address("unknown"),
		"json_format", "1",
		"sdk", sdk,
	}
	if user != "" {
		parameters = append(parameters, "user_id", user)
	}
	var origin string
	verdict := g.register.ask(ctx, message{query: string(encodeForm(parameters))}, func(answer object) (verdict Verdict) {
		origin, verdict = readRegister(answer)
		return verdict
	})
	switch {
	case verdict.Err == statusError(http.StatusForbidden):
		return nil, Verdict{Result: Misconfigured, Reason: "register_403", Advice: adviceRegister}
	case origin == "":
		return nil, verdict
	}
	return geetestV3Challenge{
		widget:     widget{"geetest_v3", g.script.url},
		Success:    1,
		GT:         g.id,
		Challenge:  g.derive(origin),
		NewCaptcha: true,
	}, Verdict{}
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

// Sources implements Verifier.
func (g *GeetestV3) Sources() map[string][]string { return g.script.sources(geetestV3Sources) }

// tencentChallenge has the names of the widget's options, where there are.
type tencentChallenge struct {
	widget
	CaptchaAppID     string `json:"captcha_app_id"`
	Site             string `json:"site"`
	AidEncrypted     string `json:"aidEncrypted,omitempty"`
	AidEncryptedType string `json:"aidEncryptedType,omitempty"`
}

// Challenge returns the CaptchaAppId, and that once more encrypted if so
// configured. The widget gets all else from Tencent.
func (t *Tencent) Challenge(context.Context, Client, string) (challenge any, failure Verdict) {
	_, appID := t.Captcha()
	c := tencentChallenge{widget: widget{"tencent", t.script.url}, CaptchaAppID: appID, Site: t.Site}
	if t.appIDCipher != nil {
		c.AidEncrypted, c.AidEncryptedType = t.appIDCipher.encrypt(appID, t.now()), t.appIDCipher.mode
	}
	return c, Verdict{}
}

// Sources implements Verifier.
func (t *Tencent) Sources() map[string][]string {
	if t.Site == "intl" {
		return t.script.sources(tencentSourcesIntl)
	}
	return t.script.sources(tencentSources)
}
