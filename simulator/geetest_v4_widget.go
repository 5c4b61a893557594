package simulator

import "time"

// v4Load is a captcha that a widget was given.
type v4Load struct {
	captchaID, payload, processToken string

	issued time.Time
	fails  int
	passed bool
}

// loadV4 answers /load: what the widget needs to be shown. The order of the
// checks and their codes are those of /validate.
func (s *Simulator) loadV4(c Call) answer {
	id := c.Query.Get("captcha_id")
	_, ok := s.v4[id]
	switch {
	case id == "":
		return jsonpAnswer(c, v4Error{Status: "error", Code: "-50101", Msg: "not captcha_id", Desc: definedError})
	case !ok && len(id) != 32:
		return jsonpAnswer(c, v4Error{Status: "error", Code: "-50102", Msg: "illegal captcha_id", Desc: definedError})
	case !ok:
		return jsonpAnswer(c, v4Error{Status: "error", Code: "-50103", Msg: "not captcha", Desc: definedError})
	}
	lotNumber := randomHex(16)
	load := v4Load{captchaID: id, payload: randomHex(32), processToken: randomHex(32), issued: s.now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v4Loads.add(lotNumber, load, s.now())
	return v4Success(c, map[string]any{
		"lot_number":       lotNumber,
		"captcha_type":     "ai",
		"js":               V4MainPath,
		"css":              V4StylePath,
		"gct_path":         V4GctPath,
		"bg":               V4PicturePath,
		"payload":          load.payload,
		"process_token":    load.processToken,
		"payload_protocol": 1,
		"pt":               "1",
	})
}

// verifyV4 answers /verify: the verdict on what the person did.
func (s *Simulator) verifyV4(c Call) answer {
	refuse := func(code, msg string) answer {
		return jsonpAnswer(c, v4Error{Status: "error", Code: code, Msg: msg, Desc: definedError})
	}
	lotNumber := c.Query.Get("lot_number")
	s.mu.Lock()
	defer s.mu.Unlock()
	load := s.v4Loads.get(lotNumber)
	switch {
	case lotNumber == "":
		return refuse("-50302", "not lot_number")
	case load == nil:
		return refuse("-50301", "not proof")
	case load.captchaID != c.Query.Get("captcha_id"):
		return refuse("-50304", "lot_number not match")
	case load.passed:
		return refuse("-50003", "illegal verify")
	case s.now().Sub(load.issued) > v4Lifetime:
		return refuse("-50305", "lot_number Expried") // the spelling is GeeTest's
	case load.processToken != c.Query.Get("process_token"):
		return refuse("-50306", "process_token Error")
	case load.payload != c.Query.Get("payload"):
		return refuse("-50307", "payload Error")
	case c.Query.Get("w") == "":
		return refuse("-50002", "param decrypt error")
	}
	load.payload, load.processToken = randomHex(32), randomHex(32)
	data := map[string]any{
		"lot_number":    lotNumber,
		"payload":       load.payload,
		"process_token": load.processToken,
	}
	behaviour := s.behaviours.next("geetest_v4")
	if behaviour.Fail {
		load.fails++
		data["result"], data["fail_count"] = "fail", load.fails
		return v4Success(c, data)
	}
	load.passed = true
	proof := s.proveV4(s.v4[load.captchaID], lotNumber, behaviour.solveOptions())
	data["result"] = "success"
	data["seccode"] = map[string]string{
		"captcha_id":     load.captchaID,
		"lot_number":     lotNumber,
		"pass_token":     proof.Get("pass_token"),
		"gen_time":       proof.Get("gen_time"),
		"captcha_output": proof.Get("captcha_output"),
	}
	return v4Success(c, data)
}

func v4Success(c Call, data map[string]any) answer {
	return jsonpAnswer(c, map[string]any{"status": "success", "data": data})
}
