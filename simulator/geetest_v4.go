package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// v4Lifetime is how long a lot_number is good for (GeeTest v4 docs,
// glossary, "lot_number").
const v4Lifetime = 10 * time.Minute

// GeeTestV4 is a captcha of GeeTest CAPTCHA v4.
type GeeTestV4 struct {
	// CaptchaID is the captcha id. Genuine ones have 32 characters.
	CaptchaID string `json:"captcha_id,omitempty"`

	// CaptchaKey is the private key of the id.
	CaptchaKey string `json:"captcha_key,omitempty"`
}

func (c GeeTestV4) id() string { return c.CaptchaID }

func (c GeeTestV4) validate() error {
	switch {
	case c.CaptchaID == "":
		return errors.New("captcha_id is required")
	case c.CaptchaKey == "":
		return errors.New("captcha_key is required")
	}
	return nil
}

// signToken is the signature that a call must carry (GeeTest v4 docs, "Deploy
// server").
func (c GeeTestV4) signToken(lotNumber string) string {
	mac := hmac.New(sha256.New, []byte(c.CaptchaKey))
	mac.Write([]byte(lotNumber))
	return hex.EncodeToString(mac.Sum(nil))
}

type v4Proof struct {
	captchaID, captchaOutput, passToken, genTime string

	issued time.Time
	used   bool
}

// v4Result and v4Error are the two shapes of answer in GeeTest v4 docs,
// "Deploy server". Both come with status 200.
type v4Result struct {
	Status string `json:"status"`
	Result string `json:"result"`
	Reason string `json:"reason"`
	Args   v4Args `json:"captcha_args"`
}

type v4Args struct {
	UsedType  string `json:"used_type,omitempty"`
	UserIP    string `json:"user_ip,omitempty"`
	LotNumber string `json:"lot_number,omitempty"`
	Scene     string `json:"scene,omitempty"`
	Referer   string `json:"referer,omitempty"`
}

type v4Error struct {
	Status string            `json:"status"`
	Code   string            `json:"code"`
	Msg    string            `json:"msg"`
	Desc   map[string]string `json:"desc"`
}

var definedError = map[string]string{"type": "defined error"}

func v4Fail(reason string) answer {
	return jsonAnswer(v4Result{Status: "success", Result: "fail", Reason: reason})
}

func v4Refuse(code, msg string) answer {
	return jsonAnswer(v4Error{
		Status: "error",
		Code:   code,
		Msg:    msg,
		Desc:   definedError,
	})
}

// validateV4 answers /validate. The order of the checks is the one that live
// answers show: the captcha id, the form of the request, the signature, and
// only then the proof.
func (s *Simulator) validateV4(c Call) answer {
	id := c.param("captcha_id")
	captcha, ok := s.v4[id]
	switch {
	case id == "":
		return v4Refuse("-50101", "not captcha_id")
	case !ok && len(id) != 32:
		return v4Refuse("-50102", "illegal captcha_id")
	case !ok:
		return v4Refuse("-50103", "not captcha")
	case !isDigits(c.param("gen_time")):
		// A JSON body ends here too: it holds no form parameter.
		return v4Refuse("-50005", "illegal gen_time")
	case c.param("sign_token") != captcha.signToken(c.param("lot_number")):
		return v4Fail("sign_token error")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	proof := s.v4Proofs.get(c.param("lot_number"))
	switch {
	case proof == nil,
		proof.captchaID != id,
		proof.captchaOutput != c.param("captcha_output"),
		proof.passToken != c.param("pass_token"),
		proof.genTime != c.param("gen_time"):
		return v4Fail("pass_token error")
	case proof.used:
		return v4Refuse("-50003", "illegal verify")
	case s.now().Sub(proof.issued) > v4Lifetime:
		return v4Fail("pass_token expire")
	}
	proof.used = true
	return jsonAnswer(v4Result{
		Status: "success",
		Result: "success",
		Args: v4Args{
			UsedType:  "slide",
			UserIP:    "127.0.0.1",
			LotNumber: c.param("lot_number"),
			Scene:     "反爬虫 anti crawler",
			Referer:   "http://127.0.0.1:8077/",
		},
	})
}

// solveV4 makes a proof in the form of a genuine one.
func (s *Simulator) solveV4(captcha GeeTestV4, options SolveOptions) url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proveV4(captcha, randomHex(16), options)
}

// proveV4 makes the proof with the lot number. The caller holds the lock.
func (s *Simulator) proveV4(captcha GeeTestV4, lotNumber string, options SolveOptions) url.Values {
	issued := s.now().Add(-options.Age)
	proof := v4Proof{
		captchaID:     captcha.CaptchaID,
		captchaOutput: base64.URLEncoding.EncodeToString(randomBytes(176)), // 236 characters
		passToken:     randomHex(32),
		genTime:       strconv.FormatInt(issued.Unix(), 10),
		issued:        issued,
	}
	if !options.Forge {
		s.v4Proofs.add(lotNumber, proof, s.now())
	}
	return url.Values{
		"lot_number":     {lotNumber},
		"captcha_output": {proof.captchaOutput},
		"pass_token":     {proof.passToken},
		"gen_time":       {proof.genTime},
	}
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
