package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// browserGate is a gate whose /login* a browser can pass with a clearance.
func browserGate(t *testing.T, provider string, clearance ...string) *gate {
	t.Helper()
	g := newGate(t)
	g.run(g.captcha(provider, "clearance 30m {\n"+strings.Join(clearance, "\n")+"\n}") + g.proxy())
	return g
}

// at is a request of an endpoint of the policy default.
func (g *gate) at(method, endpoint, body string, header ...string) answer {
	g.t.Helper()
	return send(g.t, newRequest(g.t, method, g.url+"/.captcha/default/"+endpoint, body, header...))
}

// clear gets a clearance for a fresh proof.
func (g *gate) clear(provider string, header ...string) *http.Cookie {
	g.t.Helper()
	a := g.at("POST", "verify", g.solve(provider).Encode(), append(header, "Content-Type", formType)...)
	if a.StatusCode != http.StatusNoContent || len(a.Cookies()) != 1 {
		g.t.Fatalf("verify answered %d with cookies %v: %s", a.StatusCode, a.Cookies(), a.body)
	}
	return a.Cookies()[0]
}

// getCleared gets /login with cookies.
func (g *gate) getCleared(cookies string, header ...string) answer {
	g.t.Helper()
	return send(g.t, newRequest(g.t, "GET", g.url+"/login", "", append(header, "Cookie", cookies)...))
}

// TestNothingUnderTheBasePathIsForwarded asks for endpoints, real and not, in
// all spellings, also where the site rewrites or does not match them.
func TestNothingUnderTheBasePathIsForwarded(t *testing.T) {
	for _, site := range []string{"", "uri strip_prefix /.captcha\n", "rewrite * /index.html\n"} {
		g := newGate(t)
		g.run(site + g.captcha(geetestV4, "clearance 30m") + g.proxy())
		for _, path := range []string{
			"/.captcha/default", "/.captcha/default/", "/.captcha/default/x", "/.captcha/default/challenge/x",
			"//.captcha/default/x", "/.captcha//default/x", "/a/../.captcha/default/x", "/.captcha/./default/x",
			"/%2ecaptcha/default/x", "/.captcha/default/..%2fdefault/x",
		} {
			for _, method := range []string{"GET", "POST", "PUT", "OPTIONS", "DELETE", "post"} {
				status := rawRequest(t, strings.TrimPrefix(g.url, "http://"), method+" "+path+" HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				if len(g.seen()) != 0 {
					t.Fatalf("%s %s was forwarded (%q)", method, path, site)
				}
				if !strings.Contains(status, " 404 ") && !strings.Contains(status, " 405 ") {
					t.Errorf("%s %s: %s", method, path, status)
				}
			}
		}
		// What only looks like it is the application's.
		for _, path := range []string{"/.captcha/default2/x", "/.captcha/defaultx", "/.captcha"} {
			g.wantPassed(send(t, newRequest(t, "GET", g.url+path, "")))
		}
	}
}

func TestWhoMayAskTheEndpoints(t *testing.T) {
	g := browserGate(t, geetestV4)
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
		{"GET", "captcha.js", "cross-site", 200},
		{"POST", "captcha.js", "", 405},
		{"GET", "Challenge", "", 404},
		{"GET", "challenge.json", "", 404},
	} {
		var header []string
		if c.site != "" {
			header = []string{"Sec-Fetch-Site", c.site, "Origin", "https://evil.example", "Access-Control-Request-Method", "GET"}
		}
		a := g.at(c.method, c.endpoint, "", header...)
		if a.StatusCode != c.status {
			t.Errorf("%s %s from %q: status %d, want %d: %s", c.method, c.endpoint, c.site, a.StatusCode, c.status, a.body)
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
	if calls := g.Calls(); calls != 0 || len(g.seen()) != 0 {
		t.Errorf("%d calls to the provider, %d to the app, want none", calls, len(g.seen()))
	}
}

func TestEndpointsForClearancesNeedThem(t *testing.T) {
	g := newGate(t)
	g.run(g.captcha(geetestV4) + g.proxy())
	for _, c := range []struct {
		method, endpoint string
		status           int
	}{{"GET", "challenge", 200}, {"POST", "verify", 404}, {"GET", "verify", 404}, {"GET", "page", 404}, {"GET", "captcha.js", 200}} {
		if a := g.at(c.method, c.endpoint, ""); a.StatusCode != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.endpoint, a.StatusCode, c.status)
		}
	}
}

func TestTheChallengeHoldsWhatTheWidgetNeeds(t *testing.T) {
	for _, provider := range providers {
		g := browserGate(t, provider)
		a := g.at("GET", "challenge", "")
		var members map[string]any
		if err := json.Unmarshal([]byte(a.body), &members); err != nil {
			t.Fatal(err)
		}
		if got := a.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type %q", got)
		}
		if members["provider"] != provider {
			t.Errorf("provider %v, want %s", members["provider"], provider)
		}
		for _, secret := range []string{v3Key, v4Key, appSecret, secretKey, secretID} {
			if strings.Contains(a.body, secret) {
				t.Errorf("the challenge holds a key: %s", a.body)
			}
		}
		if provider == geetestV3 {
			challenge, _ := members["challenge"].(string)
			proof, err := g.Solve(provider, simulator.SolveOptions{Challenge: challenge})
			if err != nil {
				t.Fatalf("the challenge %q cannot be solved: %v", challenge, err)
			}
			g.wantPassed(g.post(proof))
			if g.at("HEAD", "challenge", ""); g.Calls(simulator.V3RegisterPath) != 1 {
				t.Error("HEAD registered a challenge")
			}
		}
	}
}

func TestVerifySaysWhatBecameOfTheProof(t *testing.T) {
	g := browserGate(t, geetestV4)
	proof := g.solve(geetestV4)
	form := []string{"Content-Type", formType}
	for _, c := range []struct {
		name, body string
		header     []string
		status     int
		outcome    string
	}{
		{"no proof", "a=b", form, 403, "missing"},
		{"made up", madeUp(proof).Encode(), form, 403, "rejected"},
		{"good", proof.Encode(), form, 204, "passed"},
		{"again", proof.Encode(), form, 403, "replayed"},
		{"twice a parameter", proof.Encode() + "&lot_number=x", form, 400, "malformed"},
		{"in headers", "", []string{"Captcha-Lot-Number", proof.Get("lot_number")}, 403, "missing"},
	} {
		a := g.at("POST", "verify", c.body, c.header...)
		if a.StatusCode != c.status || a.Header.Get("Captcha-Outcome") != c.outcome {
			t.Errorf("%s: %d %q, want %d %q", c.name, a.StatusCode, a.Header.Get("Captcha-Outcome"), c.status, c.outcome)
		}
		if c.status != 204 && len(a.Cookies()) != 0 {
			t.Errorf("%s: a refusal set the cookies %v", c.name, a.Cookies())
		}
	}
	body, _ := json.Marshal(members(g.solve(geetestV4)))
	if a := g.at("POST", "verify", string(body), "Content-Type", "application/json"); a.StatusCode != 204 {
		t.Errorf("a proof in JSON: %d", a.StatusCode)
	}
	if len(g.seen()) != 0 {
		t.Error("verify forwarded something")
	}
}

// TestACallWithItsOwnProofGetsNoClearance: a proof buys one request or a
// clearance, never both.
func TestACallWithItsOwnProofGetsNoClearance(t *testing.T) {
	g := browserGate(t, geetestV4)
	if a := g.post(g.solve(geetestV4)); len(a.Cookies()) != 0 || a.StatusCode != 200 {
		t.Errorf("%d with cookies %v", a.StatusCode, a.Cookies())
	}
	proof := g.solve(geetestV4)
	g.at("POST", "verify", proof.Encode(), "Content-Type", formType)
	g.seen()
	g.want(g.post(proof), 403, "replayed")
}

func TestVerifyEnforcesInMonitorMode(t *testing.T) {
	g := newGate(t)
	g.run(g.captcha(geetestV4, "clearance 30m", "mode monitor") + g.proxy())
	if a := g.at("POST", "verify", "a=b", "Content-Type", formType); a.StatusCode != 403 {
		t.Errorf("status %d", a.StatusCode)
	}
	cookie := g.clear(geetestV4)
	g.wantPassed(g.getCleared(cookie.Name + "=" + cookie.Value))
	awaitEntries(t, g, "handled request", 3)
	if last := g.entries("handled request"); last[len(last)-1]["captcha_outcome"] != "cleared" {
		t.Errorf("captcha_outcome is %v", last[len(last)-1]["captcha_outcome"])
	}
}

// TestAMonitorDoesNotDecideForOthers: the usual way to try a new policy is to
// put it in monitor mode before the one that enforces.
func TestAMonitorDoesNotDecideForOthers(t *testing.T) {
	g := newGate(t)
	g.run("captcha /login* trial {\n" + g.verifier(geetestV4) + "mode monitor\n}\n" +
		g.captcha(geetestV4) + g.proxy())
	held := make(chan struct{})
	g.Fail(simulator.Fault{Path: simulator.V4ValidatePath, Kind: simulator.Answer, Hold: held})
	done := make(chan answer)
	go func() { done <- g.post(g.solve(geetestV4)) }()
	awaitEntries(t, g, "captcha would have refused", 1) // the monitor waits a second at most
	close(held)
	g.wantPassed(<-done)
	if g.calls() != 1 {
		t.Errorf("the provider was called %d times, want once", g.calls())
	}
}

func TestTheDefaultPolicyByNameAndWithout(t *testing.T) {
	g := newGate(t)
	named := strings.Replace(g.captcha(geetestV4, "clearance 30m"), "/login*", "/admin* default", 1)
	g.run(g.captcha(geetestV4, "clearance 30m") + named + g.proxy())
	g.want(send(t, newRequest(t, "GET", g.url+"/admin", "")), 403, "missing")
}

func TestARefusedChallengeIsSeen(t *testing.T) {
	g := browserGate(t, geetestV3)
	g.Fail(simulator.Fault{Path: simulator.V3RegisterPath, Kind: simulator.Respond, Status: 500})
	a := g.at("GET", "challenge", "")
	if a.StatusCode != 503 || a.problem(t)["outcome"] != "outage" || a.Header.Get("Retry-After") != "5" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if entries := g.entries("captcha refused"); len(entries) != 1 || entries[0]["path"] != "/.captcha/default/challenge" {
		t.Errorf("the log says %v", entries)
	}
}

func TestEndpointsDoNotWaitForBodiesTheyDoNotRead(t *testing.T) {
	g := browserGate(t, geetestV4)
	for _, head := range []string{
		"GET /.captcha/default/challenge", "GET /.captcha/default/page", "GET /.captcha/default/captcha.js",
		"PUT /.captcha/default/challenge", "POST /.captcha/default/verify", "GET /.captcha/default/x",
	} {
		// rawRequest sends none of the body and waits for the status.
		status := rawRequest(t, strings.TrimPrefix(g.url, "http://"), head+" HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10\r\nContent-Type: text/plain\r\n\r\n")
		if strings.Contains(status, " 5") {
			t.Errorf("%s: %s", head, status)
		}
	}
}

func TestOriginTellsWhereSecFetchSiteDoesNot(t *testing.T) {
	g := browserGate(t, geetestV4)
	for origin, status := range map[string]int{g.url: 204, "https://evil.example": 403, "null": 403, "http://" + "127.0.0.1": 403} {
		a := g.at("POST", "verify", g.solve(geetestV4).Encode(), "Content-Type", formType, "Origin", origin)
		if a.StatusCode != status {
			t.Errorf("Origin %s: status %d, want %d", origin, a.StatusCode, status)
		}
	}
}

func TestPagesAndChallengesAreLimitedPerClient(t *testing.T) {
	g := browserGate(t, geetestV4)
	for n := 0; ; n++ {
		a := g.at("GET", []string{"page", "challenge"}[n%2], "")
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
