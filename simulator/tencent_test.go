package simulator

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tencentCall is a DescribeCaptchaResult whose every part a test can spoil.
type tencentCall struct {
	method, host  string
	header        map[string]string
	body          map[string]any
	secretID      string
	secretKey     string
	service       string
	date          string
	signedHost    string
	signedHeaders []string
	timestamp     int64
	rawBody       string // instead of body
	spoil         func(*http.Request)
}

// genuine returns a good call for the proof.
func genuine(sim *Simulator, proof url.Values) tencentCall {
	return tencentCall{
		method: http.MethodPost,
		host:   "captcha.tencentcloudapi.com",
		header: map[string]string{
			"Content-Type": "application/json",
			"X-TC-Action":  "DescribeCaptchaResult",
			"X-TC-Version": "2019-07-22",
		},
		body: map[string]any{
			"CaptchaType": 9, "Ticket": proof.Get("ticket"), "Randstr": proof.Get("randstr"), "UserIp": "203.0.113.7",
			"CaptchaAppId": 2000000001, "AppSecretKey": testTencent.AppSecretKey,
		},
		secretID: testTencent.SecretID, secretKey: testTencent.SecretKey, service: "captcha",
		signedHeaders: []string{"content-type", "host"},
		timestamp:     sim.now().Unix(),
	}
}

// tencentAnswer is an answer, decoded.
type tencentAnswer struct {
	Response struct {
		Error              *tencentErrorDetail
		CaptchaCode        *int
		CaptchaMsg         string
		EvilLevel          int
		GetCaptchaTime     int64
		SubmitCaptchaTime  int64
		EvilBitmap         *int
		DeviceRiskCategory string
		Score              int
		RequestId          string
	}
	RetCode *int   `json:"retcode"`
	RetMsg  string `json:"retmsg"`
}

// verdict names the error or the CaptchaCode.
func (a tencentAnswer) verdict() string {
	if a.Response.Error != nil {
		return a.Response.Error.Code
	}
	return strconv.Itoa(*a.Response.CaptchaCode)
}

// request returns the call as a request, signed.
func (c tencentCall) request() *http.Request {
	body := []byte(c.rawBody)
	if c.rawBody == "" {
		var err error
		if body, err = json.Marshal(c.body); err != nil {
			panic(err)
		}
	}
	r := httptest.NewRequest(c.method, "/", bytes.NewReader(body))
	r.Host = c.host
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	r.Header.Set("X-TC-Timestamp", strconv.FormatInt(c.timestamp, 10))
	if c.date == "" {
		c.date = time.Unix(c.timestamp, 0).UTC().Format(time.DateOnly)
	}
	if c.signedHost == "" {
		c.signedHost = c.host
	}
	a := authorization{secretID: c.secretID, date: c.date, service: c.service, signedHeaders: c.signedHeaders}
	canonical := a.canonicalRequest(c.method, "", func(name string) string {
		if name == "host" {
			return c.signedHost
		}
		return r.Header.Get(name)
	}, body)
	r.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential="+a.secretID+"/"+a.date+"/"+a.service+"/tc3_request, SignedHeaders="+
		strings.Join(a.signedHeaders, ";")+", Signature="+a.sign(c.secretKey, canonical, c.timestamp))
	if c.spoil != nil {
		c.spoil(r)
	}
	return r
}

// send makes the call and checks what all answers have in common.
func (c tencentCall) send(t *testing.T, sim *Simulator) tencentAnswer {
	t.Helper()
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, c.request())
	if w.Code != http.StatusOK {
		t.Fatalf("status %d, but Tencent answers 200 always", w.Code)
	}
	var answer tencentAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if (answer.Response.Error == nil) == (answer.Response.CaptchaCode == nil) {
		t.Fatalf("neither or both of Error and CaptchaCode: %s", w.Body)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(answer.Response.RequestId) {
		t.Fatalf("RequestId is %q", answer.Response.RequestId)
	}
	return answer
}

func TestTencentPassesATicketOnce(t *testing.T) {
	sim, _ := newTestSimulator(t)
	call := genuine(sim, solve(t, sim, "tencent", SolveOptions{ID: testTencent.CaptchaAppID}))
	got := call.send(t, sim)
	if got.verdict() != "1" || got.Response.CaptchaMsg != "OK" || got.Response.EvilLevel != 0 || got.Response.EvilBitmap == nil ||
		got.Response.SubmitCaptchaTime != sim.now().Unix() || got.Response.GetCaptchaTime != 0 ||
		got.RetCode == nil || *got.RetCode != 0 || got.RetMsg != "success" {
		t.Fatalf("got %+v", got)
	}
	if got := call.send(t, sim); got.verdict() != "9" || got.Response.CaptchaMsg != "ticket reused" {
		t.Fatalf("second time: got %+v", got)
	}
}

func TestTencentIsLenientWhereTheRealOneIs(t *testing.T) {
	for name, change := range map[string]func(*tencentCall){
		"numbers as strings": func(c *tencentCall) {
			c.body["CaptchaType"], c.body["CaptchaAppId"] = "9", "2000000001"
		},
		"optional parameters": func(c *tencentCall) {
			maps.Copy(c.body, map[string]any{"BusinessId": 0, "SceneId": "1", "MacAddress": "x", "Imei": nil, "NeedGetCaptchaTime": 1})
		},
		"IPv6":                    func(c *tencentCall) { c.body["UserIp"] = "2001:db8::7" },
		"charset in Content-Type": func(c *tencentCall) { c.header["Content-Type"] = "application/json; charset=utf-8" },
		"action signed too":       func(c *tencentCall) { c.signedHeaders = append(c.signedHeaders, "x-tc-action") },
		"host signed with port":   func(c *tencentCall) { c.host = "127.0.0.1:40427" },
		"host signed without its port": func(c *tencentCall) {
			c.host, c.signedHost = "captcha.tencentcloudapi.com:42923", "captcha.tencentcloudapi.com"
		},
		"IPv6 host signed without its port": func(c *tencentCall) { c.host, c.signedHost = "[::1]:42923", "[::1]" },
		"international host":                func(c *tencentCall) { c.host = "captcha.intl.tencentcloudapi.com" },
		"language and region": func(c *tencentCall) {
			c.header["X-TC-Language"], c.header["X-TC-Region"] = "en-US", "ap-guangzhou"
		},
		"clock five minutes behind":   func(c *tencentCall) { c.timestamp -= 300 },
		"clock five minutes in front": func(c *tencentCall) { c.timestamp += 300 },
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			call := genuine(sim, solve(t, sim, "tencent", SolveOptions{ID: testTencent.CaptchaAppID}))
			change(&call)
			if got := call.send(t, sim); got.verdict() != "1" {
				t.Fatalf("got %+v", got.Response)
			}
		})
	}
}

func TestTencentRefusesCallsWithTheDocumentedErrors(t *testing.T) {
	header := func(name, value string) func(*tencentCall) {
		return func(c *tencentCall) { c.spoil = func(r *http.Request) { r.Header.Set(name, value) } }
	}
	body := func(name string, value any) func(*tencentCall) {
		return func(c *tencentCall) { c.body[name] = value }
	}
	for name, test := range map[string]struct {
		change func(*tencentCall)
		want   string
	}{
		"GET":                      {func(c *tencentCall) { c.method = http.MethodGet }, "UnsupportedProtocol"},
		"form":                     {header("Content-Type", formType), "InvalidRequest"},
		"no action":                {header("X-TC-Action", ""), "MissingParameter"},
		"no version":               {header("X-TC-Version", ""), "MissingParameter"},
		"no timestamp":             {header("X-TC-Timestamp", ""), "MissingParameter"},
		"other action":             {header("X-TC-Action", "DescribeCaptchaMiniResult"), "InvalidAction"},
		"other version":            {header("X-TC-Version", "2017-03-12"), "NoSuchVersion"},
		"timestamp no number":      {header("X-TC-Timestamp", "now"), "InvalidParameter"},
		"no authorization":         {header("Authorization", ""), "AuthFailure.InvalidAuthorization"},
		"other authorization":      {header("Authorization", "Bearer x"), "AuthFailure.InvalidAuthorization"},
		"clock behind":             {func(c *tencentCall) { c.timestamp -= 301 }, "AuthFailure.SignatureExpire"},
		"clock in front":           {func(c *tencentCall) { c.timestamp += 301 }, "AuthFailure.SignatureExpire"},
		"unknown SecretId":         {func(c *tencentCall) { c.secretID = "2000000001" }, "AuthFailure.SecretIdNotFound"},
		"wrong SecretKey":          {func(c *tencentCall) { c.secretKey = "wrong" }, "AuthFailure.SignatureFailure"},
		"other service":            {func(c *tencentCall) { c.service = "127" }, "AuthFailure.SignatureFailure"},
		"other host":               {func(c *tencentCall) { c.signedHost = "captcha.intl.tencentcloudapi.com" }, "AuthFailure.SignatureFailure"},
		"host with a port unsent":  {func(c *tencentCall) { c.signedHost = c.host + ":443" }, "AuthFailure.SignatureFailure"},
		"Content-Type changed":     {header("Content-Type", "application/json; charset=utf-8"), "AuthFailure.SignatureFailure"},
		"timestamp changed":        {header("X-TC-Timestamp", "1795237326"), "AuthFailure.SignatureFailure"},
		"date of another day":      {func(c *tencentCall) { c.date = "2026-11-20" }, "AuthFailure.SignatureFailure"},
		"body changed":             {func(c *tencentCall) { c.spoil = appendToBody }, "AuthFailure.SignatureFailure"},
		"token":                    {header("X-TC-Token", "x"), "AuthFailure.TokenFailure"},
		"body no JSON":             {func(c *tencentCall) { c.rawBody = "{" }, "InvalidParameter"},
		"body an array":            {func(c *tencentCall) { c.rawBody = "[]" }, "InvalidParameter"},
		"CaptchaType of no number": {body("CaptchaType", "nine"), "InvalidParameter"},
		"Ticket of wrong type":     {body("Ticket", 1), "InvalidParameter"},
		"no CaptchaType":           {body("CaptchaType", nil), "MissingParameter"},
		"no Ticket":                {body("Ticket", nil), "MissingParameter"},
		"empty Ticket":             {body("Ticket", ""), "MissingParameter"},
		"no UserIp":                {body("UserIp", nil), "MissingParameter"},
		"no Randstr":               {func(c *tencentCall) { delete(c.body, "Randstr") }, "MissingParameter"},
		"no CaptchaAppId":          {body("CaptchaAppId", nil), "MissingParameter"},
		"no AppSecretKey":          {body("AppSecretKey", nil), "MissingParameter"},
		"misspelled parameter":     {body("UserIP", "203.0.113.7"), "UnknownParameter"},
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			proof := solve(t, sim, "tencent", SolveOptions{ID: testTencent.CaptchaAppID})
			call := genuine(sim, proof)
			test.change(&call)
			got := call.send(t, sim)
			if got.verdict() != test.want || got.Response.Error.Message == "" || got.RetCode != nil {
				t.Fatalf("got %+v, want %s", got, test.want)
			}
			if got := genuine(sim, proof).send(t, sim); got.verdict() != "1" {
				t.Fatalf("the good call afterwards: got %+v", got.Response)
			}
		})
	}
}

func appendToBody(r *http.Request) {
	changed := httptest.NewRequest(r.Method, "/", strings.NewReader(`{"CaptchaType":9}`))
	r.Body = changed.Body
}

func TestTencentJudgesTicketsByTheTableOfCaptchaCodes(t *testing.T) {
	type change = func(sim *Simulator, c *tencentCall)
	body := func(name string, value any) change {
		return func(_ *Simulator, c *tencentCall) { c.body[name] = value }
	}
	as := func(captcha Tencent) change {
		return func(_ *Simulator, c *tencentCall) {
			c.body["CaptchaAppId"], c.body["AppSecretKey"] = captcha.CaptchaAppID, captcha.AppSecretKey
		}
	}
	for name, test := range map[string]struct {
		change change
		code   string
		msg    string
	}{
		"other randstr":                  {body("Randstr", "@xxx"), "7", "captcha no match"},
		"made-up ticket":                 {body("Ticket", "t03made-up*"), "15", "decrypt fail"},
		"other CaptchaType":              {body("CaptchaType", 1), "15", "decrypt fail"},
		"UserIp of no address":           {body("UserIp", "localhost"), "15", "decrypt fail"},
		"unknown CaptchaAppId":           {body("CaptchaAppId", 1), "16", "appid-ticket mismatch"},
		"another account's CaptchaAppId": {as(otherTencent), "16", "appid-ticket mismatch"},
		"wrong AppSecretKey":             {body("AppSecretKey", "wrong"), "100", "appid-secretkey-ticket mismatch"},
		"ticket of a sibling":            {as(siblingTencent), "100", "appid-secretkey-ticket mismatch"},
		"disaster ticket":                {body("Ticket", "terror_1006_2000000001_1649302812"), "21", "diff"},
		"disaster ticket, new spelling":  {body("Ticket", "trerror_1001_2000000001_1649302812"), "21", "diff"},
		"disaster ticket with suffix":    {body("Ticket", "terror_1001_2000000001_1649302812_x"), "21", "diff"},
		"disaster ticket without id":     {body("Ticket", "terror_1001__1649302812"), "16", "appid-ticket mismatch"},
		"disaster ticket, run together":  {body("Ticket", "trerror_1001_20000000011649302812"), "16", "appid-ticket mismatch"},
		"disaster ticket, other id":      {body("Ticket", "trerror_1001_5_1649302812"), "16", "appid-ticket mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			sim, _ := newTestSimulator(t)
			proof := solve(t, sim, "tencent", SolveOptions{ID: testTencent.CaptchaAppID})
			call := genuine(sim, proof)
			test.change(sim, &call)
			if got := call.send(t, sim); got.verdict() != test.code || got.Response.CaptchaMsg != test.msg || got.RetCode == nil {
				t.Fatalf("got %+v, want %s", got, test.code)
			}
			if got := genuine(sim, proof).send(t, sim); got.verdict() != "1" {
				t.Fatalf("the good call afterwards: got %+v", got.Response)
			}
		})
	}
}

func TestTencentTicketExpiresAfterFiveMinutes(t *testing.T) {
	for _, test := range []struct {
		age, wait time.Duration
		code      string
	}{
		{0, 5 * time.Minute, "1"},
		{0, 5*time.Minute + time.Second, "8"},
		{6 * time.Minute, 0, "8"},
	} {
		sim, clock := newTestSimulator(t)
		proof := solve(t, sim, "tencent", SolveOptions{ID: testTencent.CaptchaAppID, Age: test.age})
		clock.advance(test.wait)
		if got := genuine(sim, proof).send(t, sim).verdict(); got != test.code {
			t.Errorf("age %s, after %s: got %s, want %s", test.age, test.wait, got, test.code)
		}
	}
}

func TestTencentTellsRiskAndTimes(t *testing.T) {
	sim, clock := newTestSimulator(t)
	proof := solve(t, sim, "tencent", SolveOptions{ID: testTencent.CaptchaAppID, EvilLevel: 100, Score: 87, Age: time.Minute})
	solved := clock.now().Add(-time.Minute).Unix()
	call := genuine(sim, proof)
	call.body["NeedGetCaptchaTime"] = 1
	got := call.send(t, sim).Response
	if *got.CaptchaCode != 1 || got.EvilLevel != 100 || got.Score != 87 || got.DeviceRiskCategory == "" ||
		got.SubmitCaptchaTime != solved || got.GetCaptchaTime != solved {
		t.Fatalf("got %+v", got)
	}
}

// FuzzParseCaptchaQuery shows that whatever the body, a query that is accepted
// has all that a verdict needs.
func FuzzParseCaptchaQuery(f *testing.F) {
	f.Add([]byte(captchaBody))
	f.Add([]byte(`{"CaptchaType":"9","Ticket":"","UserIp":null}`))
	f.Add([]byte(`{"CaptchaType":9e0,"Ticket":[],"ticket":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		q, refused := parseCaptchaQuery(body)
		if refused == nil && (q.ticket == "" || q.randstr == "" || q.userIP == "" || q.appSecretKey == "") {
			t.Fatalf("%q is accepted as %+v", body, q)
		}
	})
}
