package verifier

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// probed are the verifiers that can be probed, and the simulated provider they
// ask.
func probed(t *testing.T, timeout time.Duration) (*simulator.Simulator, map[string]Prober) {
	t.Helper()
	sim, err := simulator.New(simulator.Config{
		GeeTestV3: []simulator.GeeTestV3{{CaptchaID: v3ID, CaptchaKey: v3Key}},
		GeeTestV4: []simulator.GeeTestV4{{CaptchaID: v4ID, CaptchaKey: v4Key}},
		Tencent:   []simulator.Tencent{{CaptchaAppID: appID, AppSecretKey: appSecret, SecretID: secretID, SecretKey: secretKey}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		server.CloseClientConnections() // a fault may hold them
		server.Close()
	})
	return sim, map[string]Prober{
		"geetest_v3": provisioned(t, &GeetestV3{
			CaptchaID: v3ID, CaptchaKey: v3Key, Endpoint: server.URL, BypassEndpoint: server.URL + simulator.V3BypassPath,
			Timeout: caddy.Duration(timeout),
		}),
		"geetest_v4": newV4(t, server.URL, timeout),
		"tencent":    newTencent(t, server.URL, timeout),
	}
}

// TestProbe: what each provider's answers say of it, and its silence.
func TestProbe(t *testing.T) {
	t.Parallel()
	const v4Error = `{"status":"error","code":"%s","msg":"x"}`
	tencentError := func(code string) string {
		return fmt.Sprintf(`{"Response":{"Error":{"Code":%q,"Message":"x"},"RequestId":"r"}}`, code)
	}
	type fault = simulator.Fault
	respond := func(path string, status int, body string) fault {
		return fault{Path: path, Kind: simulator.Respond, Status: status, Body: body}
	}
	const v3, v4, tencent, all = "geetest_v3", "geetest_v4", "tencent", ""
	for name, test := range map[string]struct {
		provider string
		fault    fault
		want     Health
	}{
		"nothing":              {all, fault{}, HealthGood},
		"reset":                {all, fault{Kind: simulator.Reset}, HealthFailed},
		"silence":              {all, fault{Kind: simulator.Stall}, HealthFailed},
		"half a header":        {all, fault{Kind: simulator.StallInHeaders}, HealthFailed},
		"half a body":          {all, fault{Kind: simulator.StallInBody}, HealthFailed},
		"no end":               {all, fault{Kind: simulator.Endless}, HealthFailed},
		"status 500":           {all, respond("", 500, "{}"), HealthFailed},
		"status 503":           {all, respond("", 503, ""), HealthFailed},
		"an empty 200":         {all, respond("", 200, ""), HealthFailed},
		"a login page":         {all, respond("", 200, "<html>Welcome to the airport</html>"), HealthFailed},
		"status 403":           {all, respond("", 403, "no"), HealthUnknown},
		"status 429":           {all, respond("", 429, "slow down"), HealthUnknown},
		"status 404":           {all, respond("", 404, ""), HealthUnknown},
		"a redirect":           {all, fault{Kind: simulator.Respond, Status: 302, Location: "/login"}, HealthUnknown},
		"no challenges":        {v3, respond(simulator.V3RegisterPath, 500, ""), HealthFailed},
		"no judgements":        {v3, respond(simulator.V3ValidatePath, 500, ""), HealthFailed},
		"an id not served":     {v3, respond(simulator.V3RegisterPath, 200, `{"challenge":0}`), HealthGood},
		"an odd id":            {v3, respond(simulator.V3RegisterPath, 403, ""), HealthUnknown},
		"bypass status fail":   {v3, respond(simulator.V3BypassPath, 200, `{"status":"fail"}`), HealthFailed},
		"bypass status ok":     {v3, respond(simulator.V3BypassPath, 200, `{"status":"success"}`), HealthGood},
		"no bypass status":     {v3, fault{Path: simulator.V3BypassPath, Kind: simulator.Reset}, HealthGood},
		"bypass firewalled":    {v3, fault{Path: simulator.V3BypassPath, Kind: simulator.Stall}, HealthGood},
		"bypass error page":    {v3, respond(simulator.V3BypassPath, 500, `{"status":"fail"}`), HealthGood},
		"v3 says no":           {v3, respond(simulator.V3ValidatePath, 200, `{"seccode":"false"}`), HealthGood},
		"v4 key wrong":         {v4, respond("", 200, `{"status":"success","result":"fail","reason":"sign_token error"}`), HealthGood},
		"v4 runtime error":     {v4, respond("", 200, fmt.Sprintf(v4Error, "-50000")), HealthGood}, // which a client can bring about
		"v4 paused":            {v4, respond("", 200, fmt.Sprintf(v4Error, "-50105")), HealthGood},
		"v4 of an odd time":    {v4, respond("", 200, fmt.Sprintf(v4Error, "-50005")), HealthGood},
		"Tencent fails":        {tencent, respond("", 200, tencentError("InternalError")), HealthFailed},
		"Tencent fails within": {tencent, respond("", 200, tencentError("InternalError.Unknown")), HealthFailed},
		"Tencent is away":      {tencent, respond("", 200, tencentError("ServiceUnavailable")), HealthFailed},
		"Tencent is busy":      {tencent, respond("", 200, `{"Response":{"CaptchaCode":26,"CaptchaMsg":"x","RequestId":"r"}}`), HealthFailed},
		"FailedOperation":      {tencent, respond("", 200, tencentError("FailedOperation")), HealthGood},
		"an unpaid bill":       {tencent, respond("", 200, tencentError("UnauthorizedOperation.Unauthorized")), HealthGood},
		"a wrong key":          {tencent, respond("", 200, tencentError("AuthFailure.SignatureFailure")), HealthGood},
		"a wrong clock":        {tencent, respond("", 200, tencentError("AuthFailure.SignatureExpire")), HealthGood},
		"a rate limit":         {tencent, respond("", 200, tencentError("RequestLimitExceeded")), HealthUnknown},
		"code 16":              {tencent, respond("", 200, `{"Response":{"CaptchaCode":16,"CaptchaMsg":"x","RequestId":"r"}}`), HealthGood},
		"code 100":             {tencent, respond("", 200, `{"Response":{"CaptchaCode":100,"CaptchaMsg":"x","RequestId":"r"}}`), HealthGood},
		"not Tencent's answer": {tencent, respond("", 200, `{"Response":{}}`), HealthFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := forever
			if kind := test.fault.Kind; kind == simulator.Stall || kind == simulator.StallInHeaders || kind == simulator.StallInBody {
				timeout = brief
			}
			sim, probers := probed(t, timeout)
			if test.fault.Kind != simulator.Answer {
				sim.Fail(test.fault)
			}
			for provider, prober := range probers {
				if test.provider != all && test.provider != provider {
					continue
				}
				if got := prober.Probe(t.Context()); got != test.want {
					t.Errorf("%s is %s, want %s", provider, got, test.want)
				}
			}
		})
	}
}

// TestProbeOfNobody: where nobody listens, or speaks TLS that is trusted.
func TestProbeOfNobody(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for name, endpoint := range map[string]string{"nobody": "http://127.0.0.1:1", "a stranger": secure.URL} {
		for _, prober := range []Prober{newV3(t, endpoint, forever), newV4(t, endpoint, forever), newTencent(t, endpoint, forever)} {
			provider, _ := prober.Captcha()
			if got := prober.Probe(t.Context()); got != HealthFailed {
				t.Errorf("%s at %s is %s", provider, name, got)
			}
		}
	}
}

// A probe is refused as a stranger's proof is, costs no client its own, and
// tells nobody who asks.
func TestProbeIsAMadeUpProof(t *testing.T) {
	sim, probers := probed(t, forever)
	for provider, prober := range probers {
		if got := prober.Probe(t.Context()); got != HealthGood {
			t.Errorf("%s is %s", provider, got)
		}
	}
	for path, want := range map[string]int{
		simulator.V3BypassPath: 1, simulator.V3RegisterPath: 1, simulator.V3ValidatePath: 1, simulator.V4ValidatePath: 1, simulator.TencentPath: 1,
	} {
		if got := sim.Calls(path); got != want {
			t.Errorf("%s was asked %d times, want %d", path, got, want)
		}
		if call, ok := sim.LastCall(path); !ok || strings.Contains(fmt.Sprint(call), "203.0.113") {
			t.Errorf("%s was told a client", path)
		}
	}
}

// The public status is GeeTest's own, and says nothing of another endpoint.
func TestBypassEndpointByDefault(t *testing.T) {
	for _, test := range []struct{ endpoint, bypass, want string }{
		{"", "", "https://bypass.geetest.com/v1/bypass_status.php?gt=" + v3ID},
		{"", "off", ""},
		{"https://captcha.example.com", "", ""},
		{"https://captcha.example.com", "https://captcha.example.com/bypass", "https://captcha.example.com/bypass?gt=" + v3ID},
	} {
		v := provisioned(t, &GeetestV3{CaptchaID: v3ID, CaptchaKey: v3Key, Endpoint: test.endpoint, BypassEndpoint: test.bypass})
		got := ""
		if v.bypass != nil {
			got = v.bypass.url()
		}
		if got != test.want {
			t.Errorf("endpoint %q and bypass_endpoint %q: %q, want %q", test.endpoint, test.bypass, got, test.want)
		}
	}
}

// TestOutageProof: what the widgets make by themselves, in all spellings, is
// turned down by Check and known here, and nothing else is.
func TestOutageProof(t *testing.T) {
	const challenge = "0123456789abcdefghijklmnopqrstuv"
	now := time.Unix(1_649_302_900, 0)
	const maxAge = 25 * time.Minute
	v3, tencent := newV3(t, "", 0), newTencent(t, "", 0)
	ticket := func(text string) Proof { return Proof{text, "@bwvwg7d4e3q"} }
	for _, test := range []struct {
		verifier    Fallback
		proof       Proof
		key, issued string
	}{
		{v3, Proof{challenge, challenge, challenge + "|jordan"}, challenge, challenge},
		{v3, Proof{challenge, md5Hex(challenge), md5Hex(challenge) + "|jordan"}, challenge, challenge},
		{v3, Proof{"cfcd208495d565ef66e7dff9f98764dac4", "fdb24d93b1fdd81caf96513a003d5a03", "fdb24d93b1fdd81caf96513a003d5a03|jordan"}, "cfcd208495d565ef66e7dff9f98764dac4", "cfcd208495d565ef66e7dff9f98764dac4"},
		{v3, Proof{challenge, "a_b_c", "a_b_c|jordan"}, "", ""}, // the puzzle of old, which nobody can check
		{tencent, ticket("terror_1006_" + appID + "_1649302812"), "*", ""},
		{tencent, ticket("trerror_1001_" + appID + "_1649302812"), "*", ""},
		{tencent, ticket("terror_1006__1649302812"), "*", ""},
		{tencent, ticket("terror_1001_" + appID + "1649302812"), "*", ""},
		{tencent, ticket("trerror_1001_1649302812"), "*", ""},
		{tencent, ticket("terror_1006_" + appID + "_1649302812_suffix"), "*", ""},
		{tencent, ticket("terror_1006_2031483705_1649302812"), "", ""},     // of Tencent's own page: another's
		{tencent, ticket("terror_1006_20314837051649302812"), "", ""},      // the same, run together
		{tencent, ticket("trerror_1001_5_1649302812"), "", ""},             // another's
		{tencent, ticket("terror_1006_" + appID), "", ""},                  // no time
		{tencent, ticket("terror_" + appID + "_1649302812"), "", ""},       // no code
		{tencent, ticket("trerror_1001_" + appID + "_164930281"), "", ""},  // no time
		{tencent, ticket("trerror_1001_" + appID + "_1649300000"), "", ""}, // older than its claim would be
		{tencent, ticket("trerror_1001_" + appID + "_1649309999"), "", ""}, // not yet
	} {
		provider, _ := test.verifier.Captcha()
		expect(t, test.verifier.Check(test.proof, now, maxAge), Rejected, ReasonOffline)
		key, issued, ok := test.verifier.OutageProof(test.proof, now, maxAge)
		want := test.key
		if want == "*" {
			want = test.proof[0] + " " + test.proof[1]
		}
		if ok != (want != "") || ok && (key != want || issued != test.issued) {
			t.Errorf("%s %q: got %q, %q, %t", provider, test.proof, key, issued, ok)
		}
	}
}

// TestOutageChallenge: the widget gets what it needs to go on alone.
func TestOutageChallenge(t *testing.T) {
	v3 := newV3(t, "", 0).OutageChallenge("issued").(geetestV3Challenge)
	if v3.Success != 0 || v3.Challenge != "issued" || !v3.Down || !v3.NewCaptcha || v3.GT != v3ID {
		t.Errorf("geetest_v3: %+v", v3)
	}
	if v4 := newV4(t, "", 0).OutageChallenge("issued").(geetestV4Challenge); v4.CaptchaID != v4ID || !v4.Down {
		t.Errorf("geetest_v4: %+v", v4)
	}
	if tencent := newTencent(t, "", 0).OutageChallenge("issued").(tencentChallenge); tencent.CaptchaAppID != appID || !tencent.Down {
		t.Errorf("tencent: %+v", tencent)
	}
}
