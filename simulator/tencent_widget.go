package simulator

import "time"

// tencentShow is a captcha that a widget was given.
type tencentShow struct {
	captchaAppID string
	issued       time.Time
	passed       bool
}

// The answers of the two endpoints of the browser's part follow what public
// captures show. What a refusal looks like there is an assumption, as is what
// the widget does then: it tells the person and calls nobody back until it is
// closed.
type (
	prehandleAnswer struct {
		State    int    `json:"state"` // 1 is good
		ErrorMsg string `json:"errMessage,omitempty"`
		Session  string `json:"sess,omitempty"`
		Frame    string `json:"frame,omitempty"`
		Picture  string `json:"bg,omitempty"`
	}
	newVerifyAnswer struct {
		ErrorCode string `json:"errorCode"` // "0" is good
		ErrorMsg  string `json:"errMessage"`
		Ticket    string `json:"ticket"`
		Randstr   string `json:"randstr"`
		Session   string `json:"sess"`
	}
)

// prehandle answers cap_union_prehandle: what the widget needs to be shown.
func (s *Simulator) prehandle(c Call) answer {
	refuse := func(text string) answer { return jsonpAnswer(c, prehandleAnswer{ErrorMsg: text}) }
	captcha, ok := s.tencent[c.Query.Get("aid")]
	if !ok {
		return refuse("no such CaptchaAppId")
	}
	if captcha.ForceAidEncrypted {
		if err := captcha.checkAid(c.Query.Get("aidEncrypted"), c.Query.Get("aidEncryptedType"), c.Query.Get("aidEncryptedAad"), s.now()); err != nil {
			return refuse(err.Error())
		}
	}
	session := "s1" + randomHex(32)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tencentShows.add(session, tencentShow{captchaAppID: captcha.CaptchaAppID, issued: s.now()}, s.now())
	return jsonpAnswer(c, prehandleAnswer{
		State:   1,
		Session: session,
		Frame:   TencentFramePath,
		Picture: TencentPicturePath,
	})
}

// newVerify answers cap_union_new_verify: the verdict on what the person did.
func (s *Simulator) newVerify(c Call) answer {
	session := c.Form.Get("sess")
	s.mu.Lock()
	show := s.tencentShows.get(session)
	if show == nil || show.passed || show.captchaAppID != c.Form.Get("aid") || s.now().Sub(show.issued) > ticketLifetime {
		s.mu.Unlock()
		return jsonAnswer(newVerifyAnswer{ErrorCode: "12", ErrorMsg: "the session is unknown, used or expired"})
	}
	behaviour := s.behaviours.next("tencent")
	failed := behaviour.Fail || c.Form.Get("ans") == ""
	show.passed = !failed
	captchaAppID := show.captchaAppID
	s.mu.Unlock()
	if failed {
		return jsonAnswer(newVerifyAnswer{ErrorCode: "50", ErrorMsg: "try again", Session: session})
	}
	proof := s.solveTencent(s.tencent[captchaAppID], behaviour.solveOptions())
	return jsonAnswer(newVerifyAnswer{
		ErrorCode: "0",
		ErrorMsg:  "OK",
		Ticket:    proof.Get("ticket"),
		Randstr:   proof.Get("randstr"),
		Session:   session,
	})
}
