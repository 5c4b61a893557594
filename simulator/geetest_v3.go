package simulator

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// v3Lifetime is how long a challenge is good for (GeeTest v3 docs, glossary,
// "challenge").
const v3Lifetime = 10 * time.Minute

// GeeTestV3 is a captcha of GeeTest CAPTCHA v3.
type GeeTestV3 struct {
	// CaptchaID is the captcha id, which the protocol also calls gt. Genuine
	// ones have 32 characters.
	CaptchaID string `json:"captcha_id,omitempty"`

	// CaptchaKey is the private key of the id.
	CaptchaKey string `json:"captcha_key,omitempty"`

	// Digest is the digest that GeeTest has enabled for the id besides md5:
	// "sha256" or "hmac-sha256". Default: "md5", none besides.
	Digest string `json:"digest,omitempty"`
}

func (c GeeTestV3) id() string { return c.CaptchaID }

func (c GeeTestV3) validate() error {
	switch {
	case c.CaptchaID == "":
		return errors.New("captcha_id is required")
	case c.CaptchaKey == "":
		return errors.New("captcha_key is required")
	}
	switch c.Digest {
	case "", "md5", "sha256", "hmac-sha256":
		return nil
	}
	return errors.New("digest must be md5, sha256 or hmac-sha256")
}

// challenge derives what the browser is given from what register.php gave the
// site (GeeTest v3 server SDKs 3.1). A digest that is not enabled for the
// captcha gives none.
func (c GeeTestV3) challenge(origin, digest string) (challenge string, ok bool) {
	// The Spring Boot SDK spells it hmac_sha256.
	digest = strings.ReplaceAll(digest, "_", "-")
	if digest == "" {
		digest = "md5"
	}
	switch {
	case digest == "md5":
		return md5Hex(origin + c.CaptchaKey), true
	case digest != c.Digest:
		return "", false
	case digest == "sha256":
		sum := sha256.Sum256([]byte(origin + c.CaptchaKey))
		return hex.EncodeToString(sum[:]), true
	default:
		mac := hmac.New(sha256.New, []byte(c.CaptchaKey))
		mac.Write([]byte(origin))
		return hex.EncodeToString(mac.Sum(nil)), true
	}
}

type v3Challenge struct {
	captcha GeeTestV3
	issued  time.Time
	solved  bool

	refreshes int // how many other pictures were shown
}

type v3Proof struct {
	captchaID, challenge, validate string
	issued                         time.Time
	used                           bool
}

// registerV3 answers register.php. A good id gets a challenge. For a bad one
// it is one of the odd answers that the documents and SDKs mention: status 403
// when the id has not 32 characters (FAQ, "register.php always 403"), the
// challenge 0, as a number, when nobody has it.
func (s *Simulator) registerV3(c Call) answer {
	asJSON := c.param("json_format") == "1"
	captcha, ok := s.v3[c.param("gt")]
	if !ok && len(c.param("gt")) != 32 {
		return textAnswer(http.StatusForbidden, "403 Forbidden")
	}
	origin := randomHex(16)
	if ok {
		ok = s.issueV3(captcha, origin, c.param("digestmod")) != ""
	}
	switch {
	case ok && asJSON:
		return jsonAnswer(map[string]string{"challenge": origin})
	case ok:
		return textAnswer(http.StatusOK, origin)
	case asJSON:
		return jsonAnswer(map[string]int{"challenge": 0})
	default:
		return textAnswer(http.StatusOK, "0")
	}
}

// issueV3 remembers the challenge that belongs to the origin and returns it,
// or "" when the digest is not enabled.
func (s *Simulator) issueV3(captcha GeeTestV3, origin, digest string) string {
	challenge, ok := captcha.challenge(origin, digest)
	if ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.v3Challenges.add(challenge, v3Challenge{captcha: captcha, issued: s.now()}, s.now())
	}
	return challenge
}

// validateV3 answers validate.php: the md5 of the seccode when it vouches for
// it, once, and "false" when it does not. What the request may leave out is
// what one or another official SDK leaves out: all but the seccode.
func (s *Simulator) validateV3(c Call) answer {
	asJSON := c.param("json_format") == "1"
	seccode := c.param("seccode")
	if seccode == "" {
		// Seen in the wild, without any explanation.
		if asJSON {
			return jsonAnswer(map[string]string{"status": "fail"})
		}
		return textAnswer(http.StatusOK, "fail")
	}
	verdict := "false"
	if s.spendV3(c, seccode) {
		verdict = md5Hex(seccode)
	}
	if asJSON {
		return jsonAnswer(map[string]string{"seccode": verdict})
	}
	return textAnswer(http.StatusOK, verdict)
}

// spendV3 uses up the proof of the seccode, if it is good and everything else
// in the call belongs to it.
func (s *Simulator) spendV3(c Call, seccode string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	proof := s.v3Proofs.get(seccode)
	if proof == nil || proof.used || s.now().Sub(proof.issued) > v3Lifetime {
		return false
	}
	for name, want := range map[string]string{
		"captchaid": proof.captchaID,
		"gt":        proof.captchaID,
		"challenge": proof.challenge,
		"validate":  proof.validate,
	} {
		if got := c.param(name); got != "" && got != want {
			return false
		}
	}
	proof.used = true
	return true
}

// bypassStatusV3 answers bypass_status.php: whether the captcha id is served.
// A fault makes it say otherwise.
func (s *Simulator) bypassStatusV3(c Call) answer {
	status := "success"
	if _, ok := s.v3[c.param("gt")]; !ok {
		status = "fail"
	}
	return jsonAnswer(map[string]string{"status": status})
}

// solveV3 solves the challenge in the options, or one that it registers for
// the purpose. Every other proof is of the slide type, whose widget appends
// two characters to the challenge (GeeTest v3 docs, glossary, "challenge").
func (s *Simulator) solveV3(captcha GeeTestV3, options SolveOptions) (url.Values, error) {
	challenge := options.Challenge
	if challenge == "" {
		challenge = s.issueV3(captcha, randomHex(16), captcha.Digest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proveV3(captcha, challenge, s.v3Suffix(), options)
}

// v3Suffix returns what the widget appends to the next challenge. The caller
// holds the lock.
func (s *Simulator) v3Suffix() string {
	if s.v3Slide = !s.v3Slide; !s.v3Slide {
		return ""
	}
	return randomString("0123456789abcdefghijklmnopqrstuvwxyz", 2)
}

// proveV3 turns a challenge into a proof. The caller holds the lock.
func (s *Simulator) proveV3(captcha GeeTestV3, challenge, suffix string, options SolveOptions) (url.Values, error) {
	known := s.v3Challenges.get(challenge)
	switch {
	case known == nil || known.captcha.CaptchaID != captcha.CaptchaID:
		return nil, errors.New("the challenge was not issued for this captcha")
	case known.solved:
		return nil, errors.New("the challenge was solved before")
	}
	known.solved = true
	submitted := challenge + suffix
	validate := md5Hex(captcha.CaptchaKey + "geetest" + submitted)
	seccode := validate + "|jordan"
	if !options.Forge {
		s.v3Proofs.add(seccode, v3Proof{
			captchaID: captcha.CaptchaID,
			challenge: submitted,
			validate:  validate,
			issued:    known.issued.Add(-options.Age),
		}, s.now())
	}
	return url.Values{
		"geetest_challenge": {submitted},
		"geetest_validate":  {validate},
		"geetest_seccode":   {seccode},
	}, nil
}

func md5Hex(text string) string {
	return fmt.Sprintf("%x", md5.Sum([]byte(text)))
}
