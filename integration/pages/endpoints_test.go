package pages

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// TestNothingUnderTheBasePathIsForwarded asks for endpoints, real and not, in
// all spellings, also where the site rewrites or does not match them.
func TestNothingUnderTheBasePathIsForwarded(t *testing.T) {
	for _, site := range []string{"", "uri strip_prefix /.captcha\n", "rewrite * /index.html\n"} {
		g := harness.NewGate(t)
		g.Run(site + g.Captcha(harness.GeeTestV4, "clearance 30m") + g.Proxy())
		for _, path := range []string{
			"/.captcha/default", "/.captcha/default/", "/.captcha/default/x", "/.captcha/default/challenge/x",
			"//.captcha/default/x", "/.captcha//default/x", "/a/../.captcha/default/x", "/.captcha/./default/x",
			"/%2ecaptcha/default/x", "/.captcha/default/..%2fdefault/x",
		} {
			for _, method := range []string{"GET", "POST", "PUT", "OPTIONS", "DELETE", "post"} {
				status := harness.RawRequest(t, strings.TrimPrefix(g.URL, "http://"), method+" "+path+" HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				if len(g.Seen()) != 0 {
					t.Fatalf("%s %s was forwarded (%q)", method, path, site)
				}
				if !strings.Contains(status, " 404 ") && !strings.Contains(status, " 405 ") {
					t.Errorf("%s %s: %s", method, path, status)
				}
			}
		}
		// What only looks like it is the application's.
		for _, path := range []string{"/.captcha/default2/x", "/.captcha/defaultx", "/.captcha"} {
			g.WantPassed(harness.Send(t, harness.NewRequest(t, "GET", g.URL+path, "")))
		}
	}
}

func TestWhoMayAskTheEndpoints(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	for _, c := range []struct {
		method, endpoint, site string
		status                 int
	}{
		{"GET", "challenge", "", 200},
		{"GET", "challenge", "same-origin", 200},
		{"HEAD", "challenge", "same-origin", 200},
		{"GET", "challenge", "same-site", 403},
		{"GET", "challenge", "cross-site", 403},
		{"GET", "challenge", "none", 403},
		{"GET", "challenge", "Same-Origin", 403},
		{"POST", "challenge", "", 405},
		{"OPTIONS", "challenge", "", 405},
		{"GET", "page", "same-origin", 200},
		{"GET", "page", "cross-site", 403},
		{"GET", "verify", "", 405},
		{"HEAD", "verify", "", 405},
		{"POST", "verify", "cross-site", 403},
		{"POST", "verify", "none", 403},
		{"GET", "page-en-0.js", "cross-site", 200},
		{"GET", "widget-zh-TW-0.js", "", 200},
		{"GET", "widget-xx-0.js", "", 404},
		{"POST", "inject-0.js", "", 405},
		{"GET", "captcha.js", "", 404},
		{"GET", "other-0.js", "", 404},
		{"GET", "inject-0", "", 404},
		{"GET", "Challenge", "", 404},
		{"GET", "challenge.json", "", 404},
	} {
		var header []string
		if c.site != "" {
			header = []string{"Sec-Fetch-Site", c.site, "Origin", "https://evil.example", "Access-Control-Request-Method", "GET"}
		}
		a := g.At(c.method, c.endpoint, "", header...)
		if a.StatusCode != c.status {
			t.Errorf("%s %s from %q: status %d, want %d: %s", c.method, c.endpoint, c.site, a.StatusCode, c.status, a.Text)
		}
		for name := range a.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %s answers with %s", c.method, c.endpoint, name)
			}
		}
		if cache := a.Header.Get("Cache-Control"); cache != "no-store" {
			t.Errorf("%s %s: Cache-Control %q", c.method, c.endpoint, cache)
		}
		if c.status == 405 && a.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.endpoint)
		}
	}
	if calls := g.Calls(); calls != 0 || len(g.Seen()) != 0 {
		t.Errorf("%d calls to the provider, %d to the app, want none", calls, len(g.Seen()))
	}
}

func TestEndpointsForClearancesNeedThem(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4) + g.Proxy())
	for _, c := range []struct {
		method, endpoint string
		status           int
	}{{"GET", "challenge", 200}, {"POST", "verify", 404}, {"GET", "verify", 404}, {"GET", "page", 404}, {"GET", "needed", 404}, {"GET", "page-en-0.js", 200}} {
		if a := g.At(c.method, c.endpoint, ""); a.StatusCode != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.endpoint, a.StatusCode, c.status)
		}
	}
}

func TestTheChallengeHoldsWhatTheWidgetNeeds(t *testing.T) {
	for _, provider := range harness.Providers {
		g := harness.BrowserGate(t, provider)
		a := g.At("GET", "challenge", "")
		var members map[string]any
		if err := json.Unmarshal([]byte(a.Text), &members); err != nil {
			t.Fatal(err)
		}
		if got := a.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type %q", got)
		}
		if members["provider"] != provider {
			t.Errorf("provider %v, want %s", members["provider"], provider)
		}
		for _, secret := range []string{harness.V3Key, harness.V4Key, harness.AppSecret, harness.SecretKey, harness.SecretID} {
			if strings.Contains(a.Text, secret) {
				t.Errorf("the challenge holds a key: %s", a.Text)
			}
		}
		if provider == harness.GeeTestV3 {
			challenge, _ := members["challenge"].(string)
			proof, err := g.Solve(provider, simulator.SolveOptions{Challenge: challenge})
			if err != nil {
				t.Fatalf("the challenge %q cannot be solved: %v", challenge, err)
			}
			g.WantPassed(g.Post(proof))
			if g.At("HEAD", "challenge", ""); g.Calls(simulator.V3RegisterPath) != 1 {
				t.Error("HEAD registered a challenge")
			}
		}
	}
}

func TestVerifySaysWhatBecameOfTheProof(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	proof := g.Proof(harness.GeeTestV4)
	form := []string{"Content-Type", harness.FormType}
	for _, c := range []struct {
		name, body string
		header     []string
		status     int
		outcome    string
	}{
		{"no proof", "a=b", form, 403, "missing"},
		{"made up", harness.MadeUp(proof).Encode(), form, 403, "rejected"},
		{"good", proof.Encode(), form, 204, "passed"},
		{"again", proof.Encode(), form, 403, "replayed"},
		{"twice a parameter", proof.Encode() + "&lot_number=x", form, 400, "malformed"},
		{"in headers", "", []string{"Captcha-Lot-Number", proof.Get("lot_number")}, 403, "missing"},
	} {
		a := g.At("POST", "verify", c.body, c.header...)
		if a.StatusCode != c.status || a.Header.Get("Captcha-Outcome") != c.outcome {
			t.Errorf("%s: %d %q, want %d %q", c.name, a.StatusCode, a.Header.Get("Captcha-Outcome"), c.status, c.outcome)
		}
		if c.status != 204 && len(a.Cookies()) != 0 {
			t.Errorf("%s: a refusal set the cookies %v", c.name, a.Cookies())
		}
	}
	body, _ := json.Marshal(harness.Members(g.Proof(harness.GeeTestV4)))
	if a := g.At("POST", "verify", string(body), "Content-Type", "application/json"); a.StatusCode != 204 {
		t.Errorf("a proof in JSON: %d", a.StatusCode)
	}
	if len(g.Seen()) != 0 {
		t.Error("verify forwarded something")
	}
}

// TestACallWithItsOwnProofGetsNoClearance: a proof buys one request or a
// clearance, never both.
func TestACallWithItsOwnProofGetsNoClearance(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	if a := g.Post(g.Proof(harness.GeeTestV4)); len(a.Cookies()) != 0 || a.StatusCode != 200 {
		t.Errorf("%d with cookies %v", a.StatusCode, a.Cookies())
	}
	proof := g.Proof(harness.GeeTestV4)
	g.At("POST", "verify", proof.Encode(), "Content-Type", harness.FormType)
	g.Seen()
	g.Want(g.Post(proof), 403, "replayed")
}

func TestVerifyEnforcesInMonitorMode(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m", "mode monitor") + g.Proxy())
	if a := g.At("POST", "verify", "a=b", "Content-Type", harness.FormType); a.StatusCode != 403 {
		t.Errorf("status %d", a.StatusCode)
	}
	cookie := g.Clear(harness.GeeTestV4)
	g.WantPassed(g.GetCleared(cookie.Name + "=" + cookie.Value))
	harness.AwaitEntries(t, g, "handled request", 3)
	if last := g.Entries("handled request"); last[len(last)-1]["captcha_outcome"] != "cleared" {
		t.Errorf("captcha_outcome is %v", last[len(last)-1]["captcha_outcome"])
	}
}

// TestAMonitorDoesNotDecideForOthers: the usual way to try a new policy is to
// put it in monitor mode before the one that enforces.
func TestAMonitorDoesNotDecideForOthers(t *testing.T) {
	g := harness.NewGate(t)
	g.Run("captcha /login* trial {\n" + g.Verifier(harness.GeeTestV4) + "mode monitor\n}\n" +
		g.Captcha(harness.GeeTestV4) + g.Proxy())
	held := make(chan struct{})
	g.Fail(simulator.Fault{Path: simulator.V4ValidatePath, Kind: simulator.Answer, Hold: held})
	done := make(chan harness.Answer)
	go func() { done <- g.Post(g.Proof(harness.GeeTestV4)) }()
	harness.AwaitEntries(t, g, "captcha would have refused", 1) // the monitor waits a second at most
	close(held)
	g.WantPassed(<-done)
	if g.VerifyCalls() != 1 {
		t.Errorf("the provider was called %d times, want once", g.VerifyCalls())
	}
}

func TestTheDefaultPolicyByNameAndWithout(t *testing.T) {
	g := harness.NewGate(t)
	named := strings.Replace(g.Captcha(harness.GeeTestV4, "clearance 30m"), "/login*", "/admin* default", 1)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m") + named + g.Proxy())
	g.Want(harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/admin", "")), 403, "missing")
}

func TestARefusedChallengeIsSeen(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV3)
	g.Fail(simulator.Fault{Path: simulator.V3RegisterPath, Kind: simulator.Respond, Status: 500})
	a := g.At("GET", "challenge", "")
	if a.StatusCode != 503 || a.Problem(t)["outcome"] != "outage" || a.Header.Get("Retry-After") != "5" {
		t.Errorf("%d %s", a.StatusCode, a.Text)
	}
	if entries := g.Entries("captcha refused"); len(entries) != 1 || entries[0]["path"] != "/.captcha/default/challenge" {
		t.Errorf("the log says %v", entries)
	}
}

func TestEndpointsDoNotWaitForBodiesTheyDoNotRead(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	for _, head := range []string{
		"GET /.captcha/default/challenge", "GET /.captcha/default/page", "GET /.captcha/default/page-en-0.js",
		"PUT /.captcha/default/challenge", "POST /.captcha/default/verify", "GET /.captcha/default/x",
	} {
		// RawRequest sends none of the body and waits for the status.
		status := harness.RawRequest(t, strings.TrimPrefix(g.URL, "http://"), head+" HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10\r\nContent-Type: text/plain\r\n\r\n")
		if strings.Contains(status, " 5") {
			t.Errorf("%s: %s", head, status)
		}
	}
}

func TestOriginTellsWhereSecFetchSiteDoesNot(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	for origin, status := range map[string]int{g.URL: 204, "https://evil.example": 403, "null": 403, "http://" + "127.0.0.1": 403} {
		a := g.At("POST", "verify", g.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType, "Origin", origin)
		if a.StatusCode != status {
			t.Errorf("Origin %s: status %d, want %d", origin, a.StatusCode, status)
		}
	}
}

func TestPagesAndChallengesAreLimitedPerClient(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4)
	for n := 0; ; n++ {
		a := g.At("GET", []string{"page", "challenge"}[n%2], "")
		if a.StatusCode == 503 {
			if n < 600 || a.Header.Get("Retry-After") != "1" || a.Header.Get("Captcha-Outcome") != "overloaded" {
				t.Errorf("the request %d: %v", n, a.Header)
			}
			return
		}
		if n > 20000 { // some come back while this goes on
			t.Fatal("there is no limit")
		}
	}
}
