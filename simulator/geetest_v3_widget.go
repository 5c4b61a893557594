package simulator

// v3Refreshes is how often a picture can be had anew (GeeTest v3 docs, web
// error code error_106).
const v3Refreshes = 6

// v3Error is how the endpoints of the browser's part of v3 refuse. The codes
// are those of the v3 docs, "Error code".
type v3Error struct {
	Status    string `json:"status"`
	Error     string `json:"error"`
	UserError string `json:"user_error"`
	ErrorCode string `json:"error_code"`
}

func v3Refuse(c Call, code, text string) answer {
	return jsonpAnswer(c, v3Error{"error", text, "The captcha cannot be shown", code})
}

// v3Success is how they agree.
func v3Success(c Call, data map[string]any) answer {
	return jsonpAnswer(c, map[string]any{"status": "success", "data": data})
}

// typeV3 answers gettype.php: the scripts of the captcha's type.
func (s *Simulator) typeV3(c Call) answer {
	if _, ok := s.v3[c.Query.Get("gt")]; !ok {
		return v3Refuse(c, "error_32", "illegal gt")
	}
	return v3Success(c, map[string]any{
		"type":           "fullpage",
		"static_servers": []string{c.Host},
		"fullpage":       V3MainPath,
	})
}

// getV3 answers get.php: what the widget needs to be shown.
func (s *Simulator) getV3(c Call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, refused := s.openV3(c); refused != nil {
		return *refused
	}
	return v3Success(c, map[string]any{"theme": "wind", "css": V3StylePath, "bg": V3PicturePath, "api_server": c.Host})
}

// refreshV3 answers refresh.php: another picture for the same challenge.
func (s *Simulator) refreshV3(c Call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	challenge, refused := s.openV3(c)
	if refused != nil {
		return *refused
	}
	if challenge.refreshes++; challenge.refreshes > v3Refreshes {
		return v3Refuse(c, "error_01", "refreshed too often")
	}
	return v3Success(c, map[string]any{"bg": V3PicturePath})
}

// resetV3 answers reset.php: a new challenge in place of one that is solved,
// expired or was given up.
func (s *Simulator) resetV3(c Call) answer {
	s.mu.Lock()
	known := s.v3Challenges.get(c.Query.Get("challenge"))
	s.mu.Unlock()
	if known == nil || known.captcha.CaptchaID != c.Query.Get("gt") {
		return v3Refuse(c, "error_23", "illegal challenge")
	}
	return v3Success(c, map[string]any{"challenge": s.issueV3(known.captcha, randomHex(16), known.captcha.Digest)})
}

// ajaxV3 answers ajax.php: the verdict on what the person did. The challenge
// in it is the one to submit. At GeeTest a slide captcha gets it, with its
// suffix, from one more call of get.php.
func (s *Simulator) ajaxV3(c Call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	challenge, refused := s.openV3(c)
	if refused != nil {
		return *refused
	}
	if c.Query.Get("w") == "" {
		return v3Refuse(c, "error_03", "param decrypt error")
	}
	behaviour := s.behaviours.next("geetest_v3")
	if behaviour.Fail {
		return v3Success(c, map[string]any{"result": "fail"})
	}
	proof, err := s.proveV3(challenge.captcha, c.Query.Get("challenge"), s.v3Suffix(), behaviour.solveOptions())
	if err != nil {
		return v3Refuse(c, "error_02", err.Error())
	}
	return v3Success(c, map[string]any{
		"result":    "success",
		"challenge": proof.Get("geetest_challenge"),
		"validate":  proof.Get("geetest_validate"),
	})
}

// openV3 returns the challenge that the call names, if it can be solved, or
// else what to answer. The caller holds the lock.
func (s *Simulator) openV3(c Call) (*v3Challenge, *answer) {
	refuse := func(code, text string) (*v3Challenge, *answer) {
		a := v3Refuse(c, code, text)
		return nil, &a
	}
	gt, challenge := c.Query.Get("gt"), c.Query.Get("challenge")
	if gt == "" {
		return refuse("error_31", "not gt")
	}
	if _, ok := s.v3[gt]; !ok {
		return refuse("error_32", "illegal gt")
	}
	if challenge == "" {
		return refuse("error_22", "not challenge")
	}
	known := s.v3Challenges.get(challenge)
	switch {
	case known == nil || known.captcha.CaptchaID != gt:
		return refuse("error_23", "illegal challenge")
	case known.solved:
		return refuse("error_02", "old challenge")
	case s.now().Sub(known.issued) > v3Lifetime:
		return refuse("error_21", "not proof")
	}
	return known, nil
}
