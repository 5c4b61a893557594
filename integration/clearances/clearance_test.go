// Package clearances tests the cookies that let a browser pass without another
// proof.
package clearances

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestWhyAClearanceWillNotDo: the refusal says so, the page too.
func TestWhyAClearanceWillNotDo(t *testing.T) {
	g := harness.NewGate(t)
	site := func(clearance string) string {
		return g.Caddyfile(g.Captcha(harness.GeeTestV4, clearance, "refusal auto") + g.Proxy())
	}
	harness.Run(t, site("clearance 1s"))
	g.URL = "http://" + harness.Address(t, "srv0")
	short := g.Cookie()
	harness.Await(t, "the clearance to end", func() bool { return !g.Passes(short) })
	g.Seen()
	as := func(cookies string, header ...string) harness.Answer {
		request := harness.NewRequest(t, "GET", g.URL+"/login", "", append(header, "Cookie", cookies)...)
		request.Host = "example.com"
		return harness.Send(t, request)
	}
	g.WantReason(as(short), "expired")

	reload := func(clearance string) {
		harness.Load(t, site(clearance))
		g.URL = "http://" + harness.Address(t, "srv0")
	}
	reload("clearance 30m")
	g.WantReason(as(short), "expired")
	long := g.Cookie()
	g.WantReason(as("captcha-default="), "invalid")
	g.WantReason(as(long+"x"), "invalid")
	g.WantReason(as("x"+long), "none")
	g.WantPassed(as("captcha-default=x; " + long))
	// A request's own proof is not looked for where there is a clearance, and
	// is taken where the clearance will not do.
	before := g.VerifyCalls()
	proof := g.Proof(harness.GeeTestV4)
	form := func(cookies string) harness.Answer {
		request := harness.NewRequest(t, "POST", g.URL+"/login", proof.Encode(), "Content-Type", harness.FormType, "Cookie", cookies)
		request.Host = "example.com"
		return harness.Send(t, request)
	}
	g.WantPassed(form(long))
	if g.VerifyCalls() != before {
		t.Error("the proof of a cleared request was spent")
	}
	g.WantPassed(form(short))
	if g.VerifyCalls() != before+1 {
		t.Error("the proof beside a useless clearance was not asked about")
	}
	g.Want(form(short), 403, "replayed")
	// Half a proof tells more than the clearance does.
	request := harness.NewRequest(t, "POST", g.URL+"/login", "lot_number=x", "Content-Type", harness.FormType, "Cookie", short)
	g.WantReason(harness.Send(t, request), "incomplete")

	// What the clearance was given for is not what is wanted now.
	for _, clearance := range []string{"clearance 30m {\nmax_uses 5\n}", "clearance 30m {\nbind_to none\n}"} {
		reload(clearance)
		a := as(long)
		g.Want(a, 403, "missing")
		if reason := a.Problem(t)["reason"]; reason != "invalid" && reason != "binding" {
			t.Errorf("%s: the reason is %v", clearance, reason)
		}
	}
	reload("clearance 10m")
	g.WantReason(as(long), "expired") // no clearance of ten minutes ends in thirty
	reload("")
	g.WantReason(as(long), "none")
	reload("clearance 30m")
	g.WantPassed(as(long))

	page := as(short, "Sec-Fetch-Mode", "navigate")
	g.Want(page, 403, "missing")
	if !strings.Contains(page.Text, "&#34;reason&#34;:&#34;expired&#34;") {
		t.Errorf("the page does not say that the clearance has ended: %s", page.Text)
	}
}

var counterValue = regexp.MustCompile(`counter:\{value:(\d+)`)

// counted is how many requests of a policy had the outcome.
func counted(t *testing.T, policy, outcome string) int {
	t.Helper()
	for line := range strings.Lines(harness.Metrics(t)) {
		if strings.HasPrefix(line, "caddy_captcha_requests_total ") && strings.Contains(line, `value:"`+policy+`"`) && strings.Contains(line, `value:"`+outcome+`"`) {
			if value := counterValue.FindStringSubmatch(line); value != nil {
				n, err := strconv.Atoi(value[1])
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatalf("there is no metric of %s", outcome)
	return 0
}

// TestClearedIsRecorded: what becomes of a cleared request is in the
// placeholders, the access log and the metrics.
func TestClearedIsRecorded(t *testing.T) {
	g := harness.NewGate(t)
	g.Run("captcha /login* recorded {\n" + g.Verifier(harness.GeeTestV4) + "clearance 30m\n}\n" +
		`respond "{http.captcha.outcome} {http.captcha.reason} {http.captcha.policy} {http.captcha.provider} {http.captcha.score}"`)
	before := make(map[string]int) // the counters are the process's
	for _, outcome := range []string{"cleared", "passed", "missing"} {
		before[outcome] = counted(t, "recorded", outcome)
	}
	verify := harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/.captcha/recorded/verify", g.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType))
	if len(verify.Cookies()) == 0 {
		t.Fatalf("verify answered %d: %s", verify.StatusCode, verify.Text)
	}
	cookie := harness.Pair(verify.Cookies()[0])
	const requests = 3
	for range requests {
		a := g.GetCleared("captcha-recorded=x; " + cookie)
		if want := "cleared  recorded geetest_v4 "; a.Text != want {
			t.Errorf("the placeholders are %q, want %q", a.Text, want)
		}
		if outcome := a.Header.Get("Captcha-Outcome"); outcome != "" {
			t.Errorf("the answer of the app says %q", outcome)
		}
	}
	for outcome, count := range map[string]int{"cleared": requests, "passed": 1, "missing": 0} {
		if got := counted(t, "recorded", outcome) - before[outcome]; got != count {
			t.Errorf("%d requests were counted as %s, want %d", got, outcome, count)
		}
	}
	harness.AwaitEntries(t, g, "handled request", requests+1)
	var outcomes []any
	for _, entry := range g.Entries("handled request") {
		outcomes = append(outcomes, entry["captcha_outcome"])
	}
	if got, want := fmt.Sprint(outcomes), "[passed cleared cleared cleared]"; got != want {
		t.Errorf("the access log says %s, want %s", got, want)
	}
	if entries := g.Entries("captcha refused"); len(entries) != 0 {
		t.Errorf("logged %v", entries)
	}
}

// TestMonitorModeWithClearances: uses are counted as ever, and what would have
// been refused is recorded with its reason and forwarded.
func TestMonitorModeWithClearances(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m {\nmax_uses 2\n}", "mode monitor", "refusal page") + g.Proxy())
	cookie := harness.Pair(g.Clear(harness.GeeTestV4))
	for range 4 {
		a := g.GetCleared(cookie, harness.Navigate("en")...)
		g.WantPassed(a)
		if len(a.Cookies()) != 0 {
			t.Errorf("the app's answer has the cookies %v", a.Cookies())
		}
	}
	if got := g.LastHeader.Get("Cookie"); got != "" {
		t.Errorf("the app got the cookies %q", got)
	}
	harness.AwaitEntries(t, g, "handled request", 5)
	var outcomes []any
	for _, entry := range g.Entries("handled request")[1:] {
		outcomes = append(outcomes, entry["captcha_outcome"])
	}
	if got, want := fmt.Sprint(outcomes), "[cleared cleared missing missing]"; got != want {
		t.Errorf("recorded %s, want %s", got, want)
	}
	entries := g.Entries("captcha would have refused")
	if len(entries) != 2 || entries[0]["reason"] != "used_up" {
		t.Errorf("logged %v", entries)
	}
}

// TestRefusalsBesideClearances: who navigates gets the page only where the
// option says so, and an error route gets the reason.
func TestRefusalsBesideClearances(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m", "refusal error") + g.Proxy() +
		"handle_errors {\nrespond \"{err.status_code} {http.captcha.outcome} {http.captcha.reason}\"\n}\n")
	for _, header := range [][]string{nil, harness.Navigate("en")} {
		a := g.GetCleared("captcha-default=x", header...)
		g.Want(a, 403, "missing")
		if a.Text != "403 missing invalid" {
			t.Errorf("the error route answers %q", a.Text)
		}
	}
	// The endpoints answer for themselves: an error route might forward them.
	a := g.At("POST", "verify", "a=b", "Content-Type", harness.FormType)
	if a.StatusCode != 403 || a.Header.Get("Content-Type") != "application/problem+json" || a.Problem(t)["outcome"] != "missing" {
		t.Errorf("verify answered %d %s", a.StatusCode, a.Text)
	}
	cookie := harness.Pair(g.Clear(harness.GeeTestV4))
	g.WantPassed(g.GetCleared(cookie, harness.Navigate("en")...))
	for _, method := range []string{"HEAD", "OPTIONS", "POST", "PROPFIND"} {
		g.WantPassed(harness.Send(t, harness.NewRequest(t, method, g.URL+"/login", "", "Cookie", cookie, "Sec-Fetch-Mode", "navigate")))
	}

	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m", "refusal problem") + g.Proxy())
	for _, method := range []string{"GET", "OPTIONS", "POST"} {
		a := harness.Send(t, harness.NewRequest(t, method, g.URL+"/login", "", append(harness.Navigate("en"), "Cookie", "captcha-default=x")...))
		g.WantReason(a, "invalid")
		if a.Header.Get("Content-Type") != "application/problem+json" || a.Header.Get("Vary") != "" {
			t.Errorf("%s: header %v", method, a.Header)
		}
	}
}

// TestEarlyDataAtTheEndpoints: before the handshake is complete nobody gets a
// challenge, a page or a clearance, and no clearance is used.
func TestEarlyDataAtTheEndpoints(t *testing.T) {
	handler, _ := harness.HandlerWithClearance(t, `{"ttl": "30m", "max_uses": 1}`)
	over := func(complete bool, r *http.Request, next caddyhttp.Handler) (*httptest.ResponseRecorder, error) {
		r.TLS = &tls.ConnectionState{HandshakeComplete: complete}
		w := httptest.NewRecorder()
		return w, handler.ServeHTTP(w, r, next)
	}
	n := harness.FreshProofs(1)
	for _, r := range []*http.Request{
		harness.Prepared("GET", "/.captcha/default/challenge", ""), harness.Prepared("HEAD", "/.captcha/default/challenge", ""),
		harness.Prepared("GET", "/.captcha/default/page", ""), harness.VerifyRequest(n),
	} {
		w, err := over(false, r, harness.Nothing)
		if err != nil || w.Code != http.StatusTooEarly || len(w.Result().Cookies()) != 0 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %v, status %d: %s", r.Method, r.URL, err, w.Code, w.Body)
		}
	}
	if w, err := over(false, harness.Prepared("GET", "/.captcha/default/page-en-0.js", ""), harness.Nothing); err != nil || w.Code != 200 {
		t.Errorf("the script: %v, status %d", err, w.Code)
	}
	// The same proof is good when it comes again after the handshake.
	w, err := over(true, harness.VerifyRequest(n), harness.Nothing)
	if err != nil || w.Code != http.StatusNoContent || len(w.Result().Cookies()) == 0 {
		t.Fatalf("after the handshake: %v, status %d: %s", err, w.Code, w.Body)
	}
	cookie := harness.Pair(w.Result().Cookies()[0])
	forwarded := 0
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { forwarded++; return nil })
	_, err = over(false, harness.Prepared("GET", "/login", "", "Cookie", cookie), next)
	var handlerErr caddyhttp.HandlerError
	if !errors.As(err, &handlerErr) || handlerErr.StatusCode != http.StatusTooEarly || forwarded != 0 {
		t.Errorf("a clearance in early data: %v, %d forwarded", err, forwarded)
	}
	for range 2 { // its one use is still there, once
		if _, err := over(true, harness.Prepared("GET", "/login", "", "Cookie", cookie), next); err != nil || forwarded != 1 {
			t.Errorf("after the handshake: %v, %d forwarded", err, forwarded)
		}
	}
}

// TestChallengesAreLimitedPerClient: a client has 600 challenges and pages a
// minute, its /24 eight times as many, and what it does with them costs nobody
// else any.
func TestChallengesAreLimitedPerClient(t *testing.T) {
	handler, _ := harness.HandlerWithClearance(t, `{"ttl": "30m"}`)
	get := func(endpoint, clientIP string) *httptest.ResponseRecorder {
		r := harness.Prepared("GET", "/.captcha/default/"+endpoint, "")
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, clientIP)
		w := httptest.NewRecorder()
		if err := handler.ServeHTTP(w, r, harness.Nothing); err != nil {
			t.Fatal(err)
		}
		return w
	}
	started, w := time.Now(), httptest.NewRecorder()
	for _, c := range []struct{ first, clients, want int }{{1, 1, 600}, {2, 200, 7 * 600}} {
		got := 0
		for ; got < 50_000; got++ {
			w = get([]string{"challenge", "page"}[got%2], fmt.Sprintf("192.0.2.%d", c.first+got%c.clients))
			if w.Code != 200 {
				break
			}
		}
		if most := c.want * (1 + int(time.Since(started).Minutes())); got < c.want || got > most {
			t.Errorf("%d clients of the /24 got %d challenges and pages, want %d to %d", c.clients, got, c.want, most)
		}
	}
	var problem map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
		t.Fatal(err)
	}
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" || w.Header().Get("Cache-Control") != "no-store" ||
		w.Header().Get("Captcha-Outcome") != "overloaded" || problem["reason"] != "limit" {
		t.Errorf("status %d, header %v: %s", w.Code, w.Header(), w.Body)
	}
	for _, other := range []string{"192.0.3.1", "2001:db8::1"} {
		for _, endpoint := range []string{"challenge", "page"} {
			if w := get(endpoint, other); w.Code != 200 {
				t.Errorf("the client %s: status %d for the %s", other, w.Code, endpoint)
			}
		}
	}
	// Its proofs are counted elsewhere.
	w = httptest.NewRecorder()
	if err := handler.ServeHTTP(w, harness.VerifyRequest(harness.FreshProofs(1)), harness.Nothing); err != nil || w.Code != http.StatusNoContent {
		t.Errorf("verify: %v, status %d: %s", err, w.Code, w.Body)
	}
}

// TestNothingOfClearancesIsShown: with our own modules at level DEBUG, no key,
// clearance or proof is in a log, an answer or a metric, whatever is done with
// them.
func TestNothingOfClearancesIsShown(t *testing.T) {
	const key, oldKey = "canary-key-of-sixteen-and-more", "canary-old-key-of-sixteen"
	g := harness.NewGate(t)
	site := g.Captcha(harness.GeeTestV4, "clearance 30m {\nmax_uses 2\n}", "refusal auto") + g.Proxy()
	caddyfile := strings.Replace(g.Caddyfile(site), harness.Globals, harness.Globals+"captcha {\nkey "+key+" "+oldKey+"\n}\n", 1)
	caddyfile = strings.Replace(caddyfile, "output file "+g.LogFile+"\n", "output file "+g.LogFile+"\nlevel DEBUG\n", 1)
	harness.Run(t, caddyfile)
	g.URL = "http://" + harness.Address(t, "srv0")

	secrets := []string{key, oldKey, harness.V4Key}
	var answers strings.Builder
	sent := 0
	keep := func(a harness.Answer) {
		sent++
		answers.WriteString(a.Text)
		header := a.Header.Clone()
		header.Del("Set-Cookie")
		_ = header.Write(&answers)
	}
	try := func() {
		proof := g.Proof(harness.GeeTestV4)
		secrets = append(secrets, proof.Get("pass_token"), proof.Get("lot_number"), proof.Get("captcha_output"))
		for range 2 {
			a := g.At("POST", "verify", proof.Encode(), "Content-Type", harness.FormType)
			keep(a)
			for _, c := range a.Cookies() {
				secrets = append(secrets, c.Value)
				for range 3 {
					keep(g.GetCleared(harness.Pair(c)))
					keep(g.GetCleared(harness.Pair(c), harness.Navigate("en")...))
				}
				keep(g.GetCleared(harness.Pair(c)[:len(harness.Pair(c))-8], harness.Navigate("en")...))
				keep(harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/.captcha/default/page", "", "Cookie", harness.Pair(c))))
				keep(harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/.captcha/default/nonsense", "", "Cookie", harness.Pair(c))))
			}
		}
		keep(g.At("POST", "verify", proof.Encode()+"&lot_number=x", "Content-Type", harness.FormType))
		keep(g.At("POST", "verify", proof.Encode()[:20], "Content-Type", harness.FormType))
		keep(g.At("GET", "challenge", ""))
	}
	try()
	g.Fail(harness.Respond(500, "x"))
	try()
	g.Fail(harness.Respond(200, "{"))
	try()
	g.Heal()
	try()
	harness.AwaitEntries(t, g, "handled request", sent)
	metrics := harness.Metrics(t)
	for _, secret := range secrets {
		for sink, text := range map[string]string{"log": g.Log(), "answers": answers.String(), "metrics": metrics} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in the %s", secret, sink)
			}
		}
	}
	if len(secrets) < 3+4*3+2 {
		t.Fatal("there were no clearances")
	}
	if log := g.Log(); !strings.Contains(log, `"level":"debug"`) || !strings.Contains(log, "captcha refused") || !strings.Contains(answers.String(), "used_up") {
		t.Error("the sinks were not written")
	}
}

// TestAStorageThatCannotBeReadIsALoadError, and nothing is served without keys
// or with others.
func TestAStorageThatCannotBeReadIsALoadError(t *testing.T) {
	g := harness.NewGate(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "captcha", "keys", "master"), 0o700); err != nil {
		t.Fatal(err)
	}
	harness.Run(t, g.WithGlobals("storage file_system "+t.TempDir()))
	g.URL = "http://" + harness.Address(t, "srv0")
	cookie := g.Cookie()
	for _, storage := range []string{file, dir} {
		config, err := harness.Adapt(g.WithGlobals("storage file_system " + storage))
		if err != nil {
			t.Fatal(err)
		}
		err = caddy.Load([]byte(config), true)
		if err == nil {
			t.Fatalf("a config with the storage %s loads", storage)
		}
		if !strings.Contains(err.Error(), "captcha/keys/master in Caddy's storage") {
			t.Errorf("the error is %q", err)
		}
		if !g.Passes(cookie) {
			t.Error("the config that was running is gone")
		}
	}
}
