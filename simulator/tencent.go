package simulator

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// ticketLifetime is how long a ticket is good for (DescribeCaptchaResult,
	// CaptchaCode 8).
	ticketLifetime = 5 * time.Minute

	// clockSkew is how far a call's X-TC-Timestamp may be from the server's
	// clock (AuthFailure.SignatureExpire).
	clockSkew = 5 * time.Minute
)

// Tencent is a captcha of Tencent Captcha, with the API key of the account
// that owns it.
type Tencent struct {
	// CaptchaAppID is the CaptchaAppId, a decimal number.
	CaptchaAppID string `json:"captcha_app_id,omitempty"`

	// AppSecretKey is the AppSecretKey of the CaptchaAppId.
	AppSecretKey string `json:"app_secret_key,omitempty"`

	// SecretID is the SecretId of the account's API key.
	SecretID string `json:"secret_id,omitempty"`

	// SecretKey is the SecretKey of the account's API key.
	SecretKey string `json:"secret_key,omitempty"`

	// ForceAidEncrypted makes the widget insist on an aidEncrypted, as the
	// console's "CaptchaAppid forced check" does. Default: false.
	ForceAidEncrypted bool `json:"force_aid_encrypted,omitempty"`
}

func (c Tencent) id() string { return c.CaptchaAppID }

func (c Tencent) validate() error {
	switch {
	case !isDigits(c.CaptchaAppID) || c.CaptchaAppID[0] == '0':
		return errors.New("captcha_app_id must be a number")
	case c.AppSecretKey == "":
		return errors.New("app_secret_key is required")
	case c.SecretID == "" || strings.ContainsAny(c.SecretID, "/, "):
		return errors.New("secret_id is required and holds no slash, comma or space")
	case c.SecretKey == "":
		return errors.New("secret_key is required")
	}
	return nil
}

type ticket struct {
	captchaAppID, randstr string
	evilLevel, score      int
	issued                time.Time
	used                  bool
}

// tencentResult is a processed DescribeCaptchaResult, tencentError a refused
// call. Both come with status 200.
type tencentResult struct {
	CaptchaCode        int
	CaptchaMsg         string
	EvilLevel          int
	GetCaptchaTime     int64
	SubmitCaptchaTime  int64
	EvilBitmap         int
	DeviceRiskCategory string `json:",omitempty"`
	Score              int
	RequestID          string `json:"RequestId"`
}

type tencentError struct {
	Error     tencentErrorDetail
	RequestID string `json:"RequestId"`
}

type tencentErrorDetail struct {
	Code    string
	Message string
}

func (e tencentErrorDetail) answer() answer {
	return jsonAnswer(map[string]any{"Response": tencentError{Error: e, RequestID: requestID()}})
}

// describeCaptchaResult answers the action DescribeCaptchaResult, version
// 2019-07-22, of the service captcha.
func (s *Simulator) describeCaptchaResult(c Call) answer {
	account, refused := s.authenticate(c)
	if refused != nil {
		return refused.answer()
	}
	q, refused := parseCaptchaQuery(c.Body)
	if refused != nil {
		return refused.answer()
	}
	result := s.judge(account, q)
	result.RequestID = requestID()
	return jsonAnswer(struct {
		Response tencentResult
		RetCode  int    `json:"retcode"`
		RetMsg   string `json:"retmsg"`
	}{result, 0, "success"})
}

// authenticate checks everything about a call but its parameters, and returns
// the SecretId that signed it.
func (s *Simulator) authenticate(c Call) (secretID string, refused *tencentErrorDetail) {
	if c.Method != http.MethodPost {
		return "", &tencentErrorDetail{"UnsupportedProtocol", "The requested protocol is not supported; only POST is."}
	}
	mediaType, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if mediaType != "application/json" {
		return "", &tencentErrorDetail{"InvalidRequest", "The request must be application/json."}
	}
	for _, name := range []string{"Action", "Version", "Timestamp"} {
		if c.Header.Get("X-TC-"+name) == "" {
			return "", missingParameter(name)
		}
	}
	timestamp, err := strconv.ParseInt(c.Header.Get("X-TC-Timestamp"), 10, 64)
	auth, authErr := parseAuthorization(c.Header.Get("Authorization"))
	switch {
	case c.Header.Get("X-TC-Action") != "DescribeCaptchaResult":
		return "", &tencentErrorDetail{"InvalidAction", "The requested action does not exist."}
	case c.Header.Get("X-TC-Version") != "2019-07-22":
		return "", &tencentErrorDetail{"NoSuchVersion", "The requested version does not exist."}
	case err != nil:
		return "", &tencentErrorDetail{"InvalidParameter", "The value of X-TC-Timestamp is not an integer."}
	case authErr != nil:
		return "", &tencentErrorDetail{"AuthFailure.InvalidAuthorization", "The Authorization header does not comply with the standard: " + authErr.Error() + "."}
	case s.now().Sub(time.Unix(timestamp, 0)).Abs() > clockSkew:
		return "", &tencentErrorDetail{"AuthFailure.SignatureExpire", "The signature has expired; the difference to the server's clock is more than five minutes."}
	}
	secretKey, ok := s.accounts[auth.secretID]
	switch {
	case !ok:
		return "", &tencentErrorDetail{"AuthFailure.SecretIdNotFound", "The SecretId is not found."}
	case !auth.signs(c, "captcha", secretKey, timestamp):
		return "", &tencentErrorDetail{"AuthFailure.SignatureFailure", "The provided credentials could not be validated; check the signature."}
	case c.Header.Get("X-TC-Token") != "":
		return "", &tencentErrorDetail{"AuthFailure.TokenFailure", "The token is wrong."}
	}
	return auth.secretID, nil
}

// captchaQuery holds the parameters of DescribeCaptchaResult that count here.
type captchaQuery struct {
	captchaType, captchaAppID, needGetCaptchaTime number
	ticket, randstr, userIP, appSecretKey         string
}

// number is an integer that may come as a JSON string, as in the documents'
// own examples.
type number int64

// UnmarshalJSON takes 9 and "9".
func (n *number) UnmarshalJSON(b []byte) error {
	i, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*n = number(i)
	return err
}

// parseCaptchaQuery takes the parameters by their exact names, which
// encoding/json does not insist on, and no others.
func parseCaptchaQuery(body []byte) (q captchaQuery, refused *tencentErrorDetail) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return q, &tencentErrorDetail{"InvalidParameter", "The request body is not a JSON object."}
	}
	for _, parameter := range []struct {
		name     string
		value    any
		required bool
	}{
		{"CaptchaType", &q.captchaType, true},
		{"Ticket", &q.ticket, true},
		{"UserIp", &q.userIP, true},
		{"Randstr", &q.randstr, true},
		{"CaptchaAppId", &q.captchaAppID, true},
		{"AppSecretKey", &q.appSecretKey, true},
		{"BusinessId", new(number), false},
		{"SceneId", new(number), false},
		{"MacAddress", new(string), false},
		{"Imei", new(string), false},
		{"NeedGetCaptchaTime", &q.needGetCaptchaTime, false},
	} {
		raw := members[parameter.name]
		delete(members, parameter.name)
		switch string(raw) {
		case "", "null", `""`:
			if parameter.required {
				return q, missingParameter(parameter.name)
			}
			continue
		}
		if err := json.Unmarshal(raw, parameter.value); err != nil {
			return q, &tencentErrorDetail{"InvalidParameter", "The parameter `" + parameter.name + "` has the wrong type."}
		}
	}
	for name := range members {
		return q, &tencentErrorDetail{"UnknownParameter", fmt.Sprintf("The parameter %q is not recognized.", name)}
	}
	return q, nil
}

func missingParameter(name string) *tencentErrorDetail {
	return &tencentErrorDetail{"MissingParameter", "The request is missing a required parameter `" + name + "`."}
}

// A disaster ticket is one that the widget, or the site's error handler, makes
// up when Tencent cannot be reached: prefix, error code, CaptchaAppId, unix
// time (Tencent Captcha docs, "Disaster recovery").
var (
	disasterTicket   = regexp.MustCompile(`^t(?:er|rer)ror_`)
	disasterStandard = regexp.MustCompile(`^t(?:er|rer)ror_\d{4}_(\d+)_\d+`)
)

// judge says what DescribeCaptchaResult would of the parameters, by the table
// of CaptchaCode in its document. A verdict other than 1 does not use up the
// ticket; whether it does at Tencent is not documented.
func (s *Simulator) judge(secretID string, q captchaQuery) tencentResult {
	id := strconv.FormatInt(int64(q.captchaAppID), 10)
	captcha, ok := s.tencent[id]
	switch {
	case q.captchaType != 9, !isAddress(q.userIP):
		return tencentResult{CaptchaCode: 15, CaptchaMsg: "decrypt fail"}
	case !ok, captcha.SecretID != secretID:
		return tencentResult{CaptchaCode: 16, CaptchaMsg: "appid-ticket mismatch"}
	case captcha.AppSecretKey != q.appSecretKey:
		return tencentResult{CaptchaCode: 100, CaptchaMsg: "appid-secretkey-ticket mismatch"}
	case disasterTicket.MatchString(q.ticket):
		if m := disasterStandard.FindStringSubmatch(q.ticket); m != nil && m[1] == id {
			return tencentResult{CaptchaCode: 21, CaptchaMsg: "diff"}
		}
		return tencentResult{CaptchaCode: 16, CaptchaMsg: "appid-ticket mismatch"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tickets.get(q.ticket)
	switch {
	case t == nil:
		return tencentResult{CaptchaCode: 15, CaptchaMsg: "decrypt fail"}
	case t.captchaAppID != id:
		return tencentResult{CaptchaCode: 100, CaptchaMsg: "appid-secretkey-ticket mismatch"}
	case t.randstr != q.randstr:
		return tencentResult{CaptchaCode: 7, CaptchaMsg: "captcha no match"}
	case t.used:
		return tencentResult{CaptchaCode: 9, CaptchaMsg: "ticket reused"}
	case s.now().Sub(t.issued) > ticketLifetime:
		return tencentResult{CaptchaCode: 8, CaptchaMsg: "ticket expired"}
	}
	t.used = true
	result := tencentResult{
		CaptchaCode:       1,
		CaptchaMsg:        "OK",
		EvilLevel:         t.evilLevel,
		SubmitCaptchaTime: t.issued.Unix(),
		Score:             t.score,
	}
	if t.evilLevel > 0 {
		result.DeviceRiskCategory = "301"
	}
	if q.needGetCaptchaTime == 1 {
		result.GetCaptchaTime = t.issued.Unix()
	}
	return result
}

// solveTencent makes a ticket in the form of a genuine one.
func (s *Simulator) solveTencent(captcha Tencent, options SolveOptions) url.Values {
	key := "t03" + base64.RawURLEncoding.EncodeToString(randomBytes(102)) + "*" // 140 characters
	t := ticket{
		captchaAppID: captcha.CaptchaAppID,
		randstr:      "@" + randomString("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 3),
		evilLevel:    options.EvilLevel,
		score:        options.Score,
		issued:       s.now().Add(-options.Age),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !options.Forge {
		s.tickets.add(key, t, s.now())
	}
	return url.Values{"ticket": {key}, "randstr": {t.randstr}}
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// requestID returns a random RequestId, in the form of a UUID.
func requestID() string {
	b := randomBytes(16)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
