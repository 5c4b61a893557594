package integration

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// pair is a cookie as a browser sends it.
func pair(c *http.Cookie) string { return c.Name + "=" + c.Value }

// wantReason checks that a request was refused for want of a clearance.
func (g *gate) wantReason(a answer, reason string) {
	g.t.Helper()
	g.want(a, 403, "missing")
	if got := a.problem(g.t)["reason"]; got != reason {
		g.t.Errorf("the reason is %v, want %s", got, reason)
	}
}

// TestWhyAClearanceWillNotDo: the refusal says so, the page too.
func TestWhyAClearanceWillNotDo(t *testing.T) {
	g := newGate(t)
	site := func(clearance string) string {
		return g.caddyfile(g.captcha(geetestV4, clearance, "refusal auto") + g.proxy())
	}
	run(t, site("clearance 1s"))
	g.url = "http://" + address(t, "srv0")
	short := g.cookie()
	await(t, "the clearance to end", func() bool { return !g.passes(short) })
	g.seen()
	as := func(cookies string, header ...string) answer {
		request := newRequest(t, "GET", g.url+"/login", "", append(header, "Cookie", cookies)...)
		request.Host = "example.com"
		return send(t, request)
	}
	g.wantReason(as(short), "expired")

	reload := func(clearance string) {
		load(t, site(clearance))
		g.url = "http://" + address(t, "srv0")
	}
	reload("clearance 30m")
	g.wantReason(as(short), "expired")
	long := g.cookie()
	g.wantReason(as("captcha-default="), "invalid")
	g.wantReason(as(long+"x"), "invalid")
	g.wantReason(as("x"+long), "none")
	g.wantPassed(as("captcha-default=x; " + long))
	// A request's own proof is not looked for where there is a clearance, and
	// is taken where the clearance will not do.
	before := g.calls()
	proof := g.solve(geetestV4)
	form := func(cookies string) answer {
		request := newRequest(t, "POST", g.url+"/login", proof.Encode(), "Content-Type", formType, "Cookie", cookies)
		request.Host = "example.com"
		return send(t, request)
	}
	g.wantPassed(form(long))
	if g.calls() != before {
		t.Error("the proof of a cleared request was spent")
	}
	g.wantPassed(form(short))
	if g.calls() != before+1 {
		t.Error("the proof beside a useless clearance was not asked about")
	}
	g.want(form(short), 403, "replayed")
	// Half a proof tells more than the clearance does.
	request := newRequest(t, "POST", g.url+"/login", "lot_number=x", "Content-Type", formType, "Cookie", short)
	g.wantReason(send(t, request), "incomplete")

	// What the clearance was given for is not what is wanted now.
	for _, clearance := range []string{"clearance 30m {\nmax_uses 5\n}", "clearance 30m {\nbind_to none\n}"} {
		reload(clearance)
		a := as(long)
		g.want(a, 403, "missing")
		if reason := a.problem(t)["reason"]; reason != "invalid" && reason != "binding" {
			t.Errorf("%s: the reason is %v", clearance, reason)
		}
	}
	reload("clearance 10m")
	g.wantReason(as(long), "expired") // no clearance of ten minutes ends in thirty
	reload("")
	g.wantReason(as(long), "none")
	reload("clearance 30m")
	g.wantPassed(as(long))

	page := as(short, "Sec-Fetch-Mode", "navigate")
	g.want(page, 403, "missing")
	if !strings.Contains(page.body, "&#34;reason&#34;:&#34;expired&#34;") {
		t.Errorf("the page does not say that the clearance has ended: %s", page.body)
	}
}

var counterValue = regexp.MustCompile(`counter:\{value:(\d+)`)

// counted is how many requests of a policy had the outcome.
func counted(t *testing.T, policy, outcome string) int {
	t.Helper()
	for line := range strings.Lines(gather(t)) {
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
	g := newGate(t)
	g.run("captcha /login* recorded {\n" + g.verifier(geetestV4) + "clearance 30m\n}\n" +
		`respond "{http.captcha.outcome} {http.captcha.reason} {http.captcha.policy} {http.captcha.provider} {http.captcha.score}"`)
	before := make(map[string]int) // the counters are the process's
	for _, outcome := range []string{"cleared", "passed", "missing"} {
		before[outcome] = counted(t, "recorded", outcome)
	}
	verify := send(t, newRequest(t, "POST", g.url+"/.captcha/recorded/verify", g.solve(geetestV4).Encode(), "Content-Type", formType))
	if len(verify.Cookies()) != 1 {
		t.Fatalf("verify answered %d: %s", verify.StatusCode, verify.body)
	}
	cookie := pair(verify.Cookies()[0])
	const requests = 3
	for range requests {
		a := g.getCleared("captcha-recorded=x; " + cookie)
		if want := "cleared  recorded geetest_v4 "; a.body != want {
			t.Errorf("the placeholders are %q, want %q", a.body, want)
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
	awaitEntries(t, g, "handled request", requests+1)
	var outcomes []any
	for _, entry := range g.entries("handled request") {
		outcomes = append(outcomes, entry["captcha_outcome"])
	}
	if got, want := fmt.Sprint(outcomes), "[passed cleared cleared cleared]"; got != want {
		t.Errorf("the access log says %s, want %s", got, want)
	}
	if entries := g.entries("captcha refused"); len(entries) != 0 {
		t.Errorf("logged %v", entries)
	}
}

// TestMonitorModeWithClearances: uses are counted as ever, and what would have
// been refused is recorded with its reason and forwarded.
func TestMonitorModeWithClearances(t *testing.T) {
	g := newGate(t)
	g.run(g.captcha(geetestV4, "clearance 30m {\nmax_uses 2\n}", "mode monitor", "refusal page") + g.proxy())
	cookie := pair(g.clear(geetestV4))
	for range 4 {
		a := g.getCleared(cookie, navigate("en")...)
		g.wantPassed(a)
		if len(a.Cookies()) != 0 {
			t.Errorf("the app's answer has the cookies %v", a.Cookies())
		}
	}
	if got := g.header.Get("Cookie"); got != "" {
		t.Errorf("the app got the cookies %q", got)
	}
	awaitEntries(t, g, "handled request", 5)
	var outcomes []any
	for _, entry := range g.entries("handled request")[1:] {
		outcomes = append(outcomes, entry["captcha_outcome"])
	}
	if got, want := fmt.Sprint(outcomes), "[cleared cleared missing missing]"; got != want {
		t.Errorf("recorded %s, want %s", got, want)
	}
	entries := g.entries("captcha would have refused")
	if len(entries) != 2 || entries[0]["reason"] != "used_up" {
		t.Errorf("logged %v", entries)
	}
}

// TestRefusalsBesideClearances: who navigates gets the page only where the
// option says so, and an error route gets the reason.
func TestRefusalsBesideClearances(t *testing.T) {
	g := newGate(t)
	g.run(g.captcha(geetestV4, "clearance 30m", "refusal error") + g.proxy() +
		"handle_errors {\nrespond \"{err.status_code} {http.captcha.outcome} {http.captcha.reason}\"\n}\n")
	for _, header := range [][]string{nil, navigate("en")} {
		a := g.getCleared("captcha-default=x", header...)
		g.want(a, 403, "missing")
		if a.body != "403 missing invalid" {
			t.Errorf("the error route answers %q", a.body)
		}
	}
	// The endpoints answer for themselves: an error route might forward them.
	a := g.at("POST", "verify", "a=b", "Content-Type", formType)
	if a.StatusCode != 403 || a.Header.Get("Content-Type") != "application/problem+json" || a.problem(t)["outcome"] != "missing" {
		t.Errorf("verify answered %d %s", a.StatusCode, a.body)
	}
	cookie := pair(g.clear(geetestV4))
	g.wantPassed(g.getCleared(cookie, navigate("en")...))
	for _, method := range []string{"HEAD", "OPTIONS", "POST", "PROPFIND"} {
		g.wantPassed(send(t, newRequest(t, method, g.url+"/login", "", "Cookie", cookie, "Sec-Fetch-Mode", "navigate")))
	}

	g.run(g.captcha(geetestV4, "clearance 30m", "refusal problem") + g.proxy())
	for _, method := range []string{"GET", "OPTIONS", "POST"} {
		a := send(t, newRequest(t, method, g.url+"/login", "", append(navigate("en"), "Cookie", "captcha-default=x")...))
		g.wantReason(a, "invalid")
		if a.Header.Get("Content-Type") != "application/problem+json" || a.Header.Get("Vary") != "" {
			t.Errorf("%s: header %v", method, a.Header)
		}
	}
}

// handlerWithClearance is a handler outside a server, whose provider vouches
// for everything, and a cookie of its.
func handlerWithClearance(t testing.TB, clearance string) (handler caddyhttp.MiddlewareHandler, cookie string) {
	t.Helper()
	provider := httptest.NewServer(yes)
	t.Cleanup(provider.Close)
	handler = provision(t, `{"clearance": `+clearance+`, "refusal": "problem", `+captchaJSON(provider.URL)[1:])
	w := httptest.NewRecorder()
	if err := handler.ServeHTTP(w, verifyRequest(freshProofs(1)), nothing); err != nil {
		t.Fatal(err)
	}
	cookies := w.Result().Cookies()
	if w.Code != http.StatusNoContent || len(cookies) != 1 {
		t.Fatalf("verify answered %d with cookies %v: %s", w.Code, cookies, w.Body)
	}
	return handler, pair(cookies[0])
}

// prepared is a request of a client as a server prepares it.
func prepared(method, target, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "192.0.2.1")
	return r
}

// verifyRequest takes a proof to the endpoint verify.
func verifyRequest(n int) *http.Request {
	form := make(url.Values)
	for name, header := range parameterHeaders {
		if value := v4Request(n, "192.0.2.1").Header.Get(header); value != "" {
			form.Set(name, value)
		}
	}
	return prepared("POST", "/.captcha/default/verify", form.Encode(), "Content-Type", formType)
}

// TestEarlyDataAtTheEndpoints: before the handshake is complete nobody gets a
// challenge, a page or a clearance, and no clearance is used.
func TestEarlyDataAtTheEndpoints(t *testing.T) {
	handler, _ := handlerWithClearance(t, `{"ttl": "30m", "max_uses": 1}`)
	over := func(complete bool, r *http.Request, next caddyhttp.Handler) (*httptest.ResponseRecorder, error) {
		r.TLS = &tls.ConnectionState{HandshakeComplete: complete}
		w := httptest.NewRecorder()
		return w, handler.ServeHTTP(w, r, next)
	}
	n := freshProofs(1)
	for _, r := range []*http.Request{
		prepared("GET", "/.captcha/default/challenge", ""), prepared("HEAD", "/.captcha/default/challenge", ""),
		prepared("GET", "/.captcha/default/page", ""), verifyRequest(n),
	} {
		w, err := over(false, r, nothing)
		if err != nil || w.Code != http.StatusTooEarly || len(w.Result().Cookies()) != 0 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %v, status %d: %s", r.Method, r.URL, err, w.Code, w.Body)
		}
	}
	if w, err := over(false, prepared("GET", "/.captcha/default/captcha.js", ""), nothing); err != nil || w.Code != 200 {
		t.Errorf("the script: %v, status %d", err, w.Code)
	}
	// The same proof is good when it comes again after the handshake.
	w, err := over(true, verifyRequest(n), nothing)
	if err != nil || w.Code != http.StatusNoContent || len(w.Result().Cookies()) != 1 {
		t.Fatalf("after the handshake: %v, status %d: %s", err, w.Code, w.Body)
	}
	cookie := pair(w.Result().Cookies()[0])
	forwarded := 0
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { forwarded++; return nil })
	_, err = over(false, prepared("GET", "/login", "", "Cookie", cookie), next)
	var handlerErr caddyhttp.HandlerError
	if !errors.As(err, &handlerErr) || handlerErr.StatusCode != http.StatusTooEarly || forwarded != 0 {
		t.Errorf("a clearance in early data: %v, %d forwarded", err, forwarded)
	}
	for range 2 { // its one use is still there, once
		if _, err := over(true, prepared("GET", "/login", "", "Cookie", cookie), next); err != nil || forwarded != 1 {
			t.Errorf("after the handshake: %v, %d forwarded", err, forwarded)
		}
	}
}

// TestChallengesAreLimitedPerClient: a client prefix has 600 challenges and
// pages a minute, and what it does with them costs nobody else any.
func TestChallengesAreLimitedPerClient(t *testing.T) {
	handler, _ := handlerWithClearance(t, `{"ttl": "30m"}`)
	get := func(endpoint, clientIP string) *httptest.ResponseRecorder {
		r := prepared("GET", "/.captcha/default/"+endpoint, "")
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, clientIP)
		w := httptest.NewRecorder()
		if err := handler.ServeHTTP(w, r, nothing); err != nil {
			t.Fatal(err)
		}
		return w
	}
	started, got := time.Now(), 0
	w := get("challenge", "192.0.2.1")
	for ; w.Code == 200 && got < 10_000; w = get([]string{"challenge", "page"}[got%2], fmt.Sprintf("192.0.2.%d", got%256)) {
		got++
	}
	if most := 600 + time.Since(started).Minutes()*600 + 1; got < 600 || float64(got) > most {
		t.Errorf("the client got %d challenges and pages, want 600 to %.0f", got, most)
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
	if err := handler.ServeHTTP(w, verifyRequest(freshProofs(1)), nothing); err != nil || w.Code != http.StatusNoContent {
		t.Errorf("verify: %v, status %d: %s", err, w.Code, w.Body)
	}
}

// TestNothingOfClearancesIsShown: with our own modules at level DEBUG, no key,
// clearance or proof is in a log, an answer or a metric, whatever is done with
// them.
func TestNothingOfClearancesIsShown(t *testing.T) {
	const key, oldKey = "canary-key-of-sixteen-and-more", "canary-old-key-of-sixteen"
	g := newGate(t)
	site := g.captcha(geetestV4, "clearance 30m {\nmax_uses 2\n}", "refusal auto") + g.proxy()
	caddyfile := strings.Replace(g.caddyfile(site), globals, globals+"captcha {\nkey "+key+" "+oldKey+"\n}\n", 1)
	caddyfile = strings.Replace(caddyfile, "output file "+g.logs+"\n", "output file "+g.logs+"\nlevel DEBUG\n", 1)
	run(t, caddyfile)
	g.url = "http://" + address(t, "srv0")

	secrets := []string{key, oldKey, v4Key}
	var answers strings.Builder
	sent := 0
	keep := func(a answer) {
		sent++
		answers.WriteString(a.body)
		header := a.Header.Clone()
		header.Del("Set-Cookie")
		_ = header.Write(&answers)
	}
	try := func() {
		proof := g.solve(geetestV4)
		secrets = append(secrets, proof.Get("pass_token"), proof.Get("lot_number"), proof.Get("captcha_output"))
		for range 2 {
			a := g.at("POST", "verify", proof.Encode(), "Content-Type", formType)
			keep(a)
			for _, c := range a.Cookies() {
				secrets = append(secrets, c.Value)
				for range 3 {
					keep(g.getCleared(pair(c)))
					keep(g.getCleared(pair(c), navigate("en")...))
				}
				keep(g.getCleared(pair(c)[:len(pair(c))-8], navigate("en")...))
				keep(send(t, newRequest(t, "GET", g.url+"/.captcha/default/page", "", "Cookie", pair(c))))
				keep(send(t, newRequest(t, "GET", g.url+"/.captcha/default/nonsense", "", "Cookie", pair(c))))
			}
		}
		keep(g.at("POST", "verify", proof.Encode()+"&lot_number=x", "Content-Type", formType))
		keep(g.at("POST", "verify", proof.Encode()[:20], "Content-Type", formType))
		keep(g.at("GET", "challenge", ""))
	}
	try()
	g.Fail(respond(500, "x"))
	try()
	g.Fail(respond(200, "{"))
	try()
	g.Heal()
	try()
	awaitEntries(t, g, "handled request", sent)
	metrics := gather(t)
	for _, secret := range secrets {
		for sink, text := range map[string]string{"log": g.log(), "answers": answers.String(), "metrics": metrics} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in the %s", secret, sink)
			}
		}
	}
	if len(secrets) < 3+4*3+2 {
		t.Fatal("there were no clearances")
	}
	if log := g.log(); !strings.Contains(log, `"level":"debug"`) || !strings.Contains(log, "captcha refused") || !strings.Contains(answers.String(), "used_up") {
		t.Error("the sinks were not written")
	}
}

// TestAStorageThatCannotBeReadIsALoadError, and nothing is served without keys
// or with others.
func TestAStorageThatCannotBeReadIsALoadError(t *testing.T) {
	g := newGate(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "captcha", "keys", "master"), 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, g.withGlobals("storage file_system "+t.TempDir()))
	g.url = "http://" + address(t, "srv0")
	cookie := g.cookie()
	for _, storage := range []string{file, dir} {
		config, err := adapt(g.withGlobals("storage file_system " + storage))
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
		if !g.passes(cookie) {
			t.Error("the config that was running is gone")
		}
	}
}
