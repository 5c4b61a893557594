package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// tryCleared gets a host's /login with cookies and returns the status.
func tryCleared(transport http.RoundTripper, base, host, cookies string) (status int, err error) {
	request, err := http.NewRequest("GET", base+"/login", nil)
	if err != nil {
		return 0, err
	}
	request.Host = host
	request.Header.Set("Cookie", cookies)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// TestUsesAreExactThroughReloads sends many requests at once with one
// clearance, over HTTP/1.1 and HTTP/2, to two sites of its policy, while the
// config is replaced. The app never sees more of them than the clearance has
// uses, and none is lost.
func TestUsesAreExactThroughReloads(t *testing.T) {
	const turns, usesPerTurn, workers = 5, 12, 8
	const uses = (turns + 1) * usesPerTurn
	g := newGate(t)
	gate := g.captcha(geetestV4, "clearance 30m {\nmax_uses "+strconv.Itoa(uses)+"\n}", "refusal problem")
	config := func(turn int) string {
		return "{\n" + globals + "servers {\nprotocols h1 h2c\n}\nlog {\noutput file " + g.logs + "\n}\n}\n" +
			"http://:0 {\nbind 127.0.0.1\nlog\nheader X-Turn " + strconv.Itoa(turn) + "\n" + gate + "route {\n" + gate + g.proxy() + "}\n}\n" +
			"http://:0 {\nbind 127.0.0.2\n" + gate + g.proxy() + "}\n"
	}
	sites := func() []string {
		return []string{"http://" + address(t, "srv0"), "http://" + address(t, "srv1")}
	}
	run(t, config(0))
	g.url = sites()[0]
	cookie := g.cookie()

	h2c := new(http.Protocols)
	h2c.SetUnencryptedHTTP2(true)
	transports := []*http.Transport{{}, {Protocols: h2c}}
	for _, transport := range transports {
		t.Cleanup(transport.CloseIdleConnections)
	}
	var current atomic.Value
	current.Store(sites())
	var allowed, passed, refused, broken atomic.Int32
	stop := make(chan struct{})
	halt := sync.OnceFunc(func() { close(stop) })
	defer halt()
	var clients sync.WaitGroup
	for i := range workers {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if passed.Load() >= allowed.Load() {
					time.Sleep(time.Millisecond)
					continue
				}
				status, err := tryCleared(transports[i%2], current.Load().([]string)[i/2%2], "example.com", cookie)
				switch {
				case err != nil || status >= 500:
					broken.Add(1) // met a server that was going away
				case status == 200:
					passed.Add(1)
				default:
					refused.Add(1)
				}
			}
		})
	}
	for turn := 1; turn <= turns; turn++ {
		allowed.Add(usesPerTurn) // some of which are taken during the reload
		load(t, config(turn))
		current.Store(sites())
		await(t, "the uses of a turn", func() bool {
			return passed.Load()+broken.Load() >= allowed.Load() || refused.Load() > 0
		})
	}
	allowed.Store(uses + 1)
	await(t, "the clearance to be used up", func() bool { return refused.Load() > 2*workers })
	halt()
	clients.Wait()
	if seen := len(g.seen()); seen > uses {
		t.Errorf("the app saw %d requests, want at most %d", seen, uses)
	}
	if lost := uses - passed.Load(); lost < 0 || lost > broken.Load() {
		t.Errorf("%d requests passed and %d broke, of %d uses", passed.Load(), broken.Load(), uses)
	}
	for _, g.url = range sites() {
		if g.passes(cookie) {
			t.Error("there was one use more")
		}
	}
}

// TestLookingAtThePageTakesNoUse: the page says whether the clearance is good,
// and leaves it so.
func TestLookingAtThePageTakesNoUse(t *testing.T) {
	g := browserGate(t, geetestV4, "max_uses 2")
	cookie := pair(g.clear(geetestV4))
	looks := func(cleared bool) {
		t.Helper()
		for range 5 {
			a := g.at("GET", "page", "", "Cookie", cookie)
			if a.StatusCode != 200 || strings.Contains(a.body, "&#34;cleared&#34;:true") != cleared {
				t.Fatalf("%d: cleared is not %t in %s", a.StatusCode, cleared, a.body)
			}
		}
		g.at("GET", "challenge", "", "Cookie", cookie)
		g.at("POST", "verify", "", "Cookie", cookie)
	}
	for range 2 {
		looks(true)
		g.wantPassed(g.getCleared(cookie))
	}
	looks(false)
	g.wantReason(g.getCleared(cookie), "used_up")
	if a := g.at("GET", "page", "", "Cookie", cookie); !strings.Contains(a.body, "&#34;reason&#34;:&#34;used_up&#34;") {
		t.Errorf("the page does not say why: %s", a.body)
	}
}

// TestAProofIsAClearanceOrARequest sends each of some proofs 64 times at once,
// to verify and to the app. It buys one of the two, once.
func TestAProofIsAClearanceOrARequest(t *testing.T) {
	const proofs, parallel = 10, 64
	g := newGate(t)
	g.run(g.captcha(geetestV4, "clearance 30m", "max_concurrent_verifications 256 256", "max_failures 100000") + g.proxy())
	transport := &http.Transport{MaxIdleConnsPerHost: parallel}
	t.Cleanup(transport.CloseIdleConnections)
	for range proofs {
		form := g.solve(geetestV4).Encode()
		var cleared, forwarded, other atomic.Int32
		var outcomes sync.Map
		start := make(chan struct{})
		var clients sync.WaitGroup
		for i := range parallel {
			clients.Go(func() {
				path := "/login"
				if i%2 == 0 {
					path = "/.captcha/default/verify"
				}
				request, err := http.NewRequest("POST", g.url+path, strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("Content-Type", formType)
				<-start
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
				switch {
				case response.StatusCode == http.StatusNoContent && len(response.Cookies()) == 1 && i%2 == 0:
					cleared.Add(1)
				case response.StatusCode == http.StatusOK && len(response.Cookies()) == 0 && i%2 == 1:
					forwarded.Add(1)
				case response.StatusCode == http.StatusForbidden && len(response.Cookies()) == 0 && response.Header.Get("Captcha-Outcome") == "replayed":
				default:
					other.Add(1)
					outcomes.Store(response.Status+" "+response.Header.Get("Captcha-Outcome"), true)
				}
			})
		}
		calls := g.calls()
		close(start)
		clients.Wait()
		seen := len(g.seen())
		if cleared.Load()+forwarded.Load() != 1 || int(forwarded.Load()) != seen || other.Load() != 0 {
			outcomes.Range(func(key, _ any) bool { t.Log(key); return true })
			t.Errorf("%d clearances, %d requests passed, %d reached the app, %d other answers", cleared.Load(), forwarded.Load(), seen, other.Load())
		}
		if n := g.calls() - calls; n != 1 {
			t.Errorf("the provider was called %d times", n)
		}
	}
}

// leaveVerify takes the proof to verify and leaves when the provider has been
// called for the n-th time and holds its answer back.
func (g *gate) leaveVerify(proof url.Values, n int) {
	g.t.Helper()
	ctx, leave := context.WithCancel(g.t.Context())
	defer leave()
	request := newRequest(g.t, "POST", g.url+"/.captcha/default/verify", proof.Encode(), "Content-Type", formType).WithContext(ctx)
	done := make(chan error)
	go func() {
		response, err := http.DefaultTransport.RoundTrip(request)
		if err == nil {
			response.Body.Close()
		}
		done <- err
	}()
	if err := g.AwaitCalls(g.t.Context(), simulator.V4ValidatePath, n); err != nil {
		g.t.Fatal(err)
	}
	leave()
	if err := <-done; err == nil {
		g.t.Fatal("verify answered a client that had left")
	}
}

// TestAProofOutlivesTheClientThatLeft: who leaves verify while the provider
// thinks has not lost the proof. One identical request of the same client may
// take it, at verify or with a request, without another call.
func TestAProofOutlivesTheClientThatLeft(t *testing.T) {
	for _, next := range []string{"verify", "app"} {
		t.Run(next, func(t *testing.T) {
			g := newGate(t)
			g.run("watch\n" + g.captcha(geetestV4, "clearance 30m") + g.proxy())
			hold := make(chan struct{})
			g.FailNext(1, simulator.Fault{Path: simulator.V4ValidatePath, Hold: hold})
			proof := g.solve(geetestV4)
			g.leaveVerify(proof, 1)
			<-departures
			close(hold)
			awaitEntries(t, g, "handled request", 1)
			if entry := g.entries("handled request")[0]; entry["status"] != 499.0 || entry["captcha_outcome"] != "canceled" {
				t.Errorf("status %v, captcha_outcome %v", entry["status"], entry["captcha_outcome"])
			}

			// Another client cannot have it.
			other, err := fire(from(t, "127.0.1.1"), g.url, proof)
			if err != nil || other != "replayed" {
				t.Errorf("another client: outcome %q, %v", other, err)
			}
			if next == "verify" {
				a := g.at("POST", "verify", proof.Encode(), "Content-Type", formType)
				if a.StatusCode != 204 || len(a.Cookies()) != 1 {
					t.Fatalf("the proof at verify: %d %s", a.StatusCode, a.body)
				}
				g.wantPassed(g.getCleared(pair(a.Cookies()[0])))
			} else {
				g.wantPassed(g.post(proof))
			}
			if g.calls() != 1 {
				t.Errorf("the provider was called %d times", g.calls())
			}
			g.want(g.post(proof), 403, "replayed")
			if a := g.at("POST", "verify", proof.Encode(), "Content-Type", formType); a.StatusCode != 403 || len(a.Cookies()) != 0 {
				t.Errorf("the proof at verify again: %d with cookies %v", a.StatusCode, a.Cookies())
			}
		})
	}
}

// TestAClientThatHangsAtTheEndpointsHurtsNobodyElse: it uses up its own slots
// there, and neither another client's nor anybody's for requests.
func TestAClientThatHangsAtTheEndpointsHurtsNobodyElse(t *testing.T) {
	const slots = 3
	for _, c := range []struct{ endpoint, method, path, provider string }{
		{"verify", "POST", simulator.V3ValidatePath, geetestV3},
		{"challenge", "GET", simulator.V3RegisterPath, geetestV3},
	} {
		t.Run(c.endpoint, func(t *testing.T) {
			g := newGate(t)
			g.run(g.captcha(c.provider, "clearance 30m", fmt.Sprintf("max_concurrent_verifications 8 %d", slots)) + g.proxy())
			stuck, other := from(t, "127.0.1.1"), from(t, "127.0.2.1")
			ask := func(ctx context.Context, transport http.RoundTripper, method, endpoint string) (status int, outcome string, err error) {
				body := ""
				if method == "POST" {
					body = g.solve(c.provider).Encode()
				}
				request := newRequest(t, method, g.url+"/.captcha/default/"+endpoint, body, "Content-Type", formType).WithContext(ctx)
				response, err := transport.RoundTrip(request)
				if err != nil {
					return 0, "", err
				}
				response.Body.Close()
				if outcome := response.Header.Get("Captcha-Outcome"); outcome == "overloaded" && response.Header.Get("Retry-After") != "1" {
					t.Errorf("overloaded without Retry-After: %v", response.Header)
				}
				return response.StatusCode, response.Header.Get("Captcha-Outcome"), nil
			}
			hold := make(chan struct{})
			release := sync.OnceFunc(func() { close(hold) })
			defer release()
			g.FailNext(slots, simulator.Fault{Path: c.path, Hold: hold})
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			var waiting sync.WaitGroup
			for range slots {
				waiting.Go(func() {
					if status, _, err := ask(ctx, stuck, c.method, c.endpoint); err == nil {
						t.Errorf("status %d for a client that had left", status)
					}
				})
			}
			if err := g.AwaitCalls(t.Context(), c.path, slots); err != nil {
				t.Fatal(err)
			}
			if status, outcome, err := ask(t.Context(), stuck, c.method, c.endpoint); err != nil || status != 503 || outcome != "overloaded" {
				t.Errorf("one more of the client that hangs: %d %q %v", status, outcome, err)
			}
			for _, endpoint := range [][2]string{{"POST", "verify"}, {"GET", "challenge"}} {
				if status, outcome, err := ask(t.Context(), other, endpoint[0], endpoint[1]); err != nil || status/100 != 2 {
					t.Errorf("%s of another client: %d %q %v", endpoint[1], status, outcome, err)
				}
				if endpoint[1] == c.endpoint {
					continue
				}
				if status, outcome, err := ask(t.Context(), stuck, endpoint[0], endpoint[1]); err != nil || status/100 != 2 {
					t.Errorf("%s of the client that hangs: %d %q %v", endpoint[1], status, outcome, err)
				}
			}
			for _, transport := range []*http.Transport{stuck, other} {
				for range 2 * slots {
					if outcome, err := fire(transport, g.url, g.solve(c.provider)); err != nil || outcome != "" {
						t.Errorf("a request with a proof: %q %v", outcome, err)
					}
				}
			}
			// When it leaves and the provider goes on, it has its slots again.
			leave()
			waiting.Wait()
			release()
			await(t, "the slots to be free again", func() bool {
				status, _, err := ask(t.Context(), stuck, c.method, c.endpoint)
				return err == nil && status/100 == 2
			})
		})
	}
}

// aloneInProcess says to TestAFullCacheGivesNoClearances that its process is
// the one that it started.
const aloneInProcess = "CAPTCHA_TEST_ALONE"

// TestAFullCacheGivesNoClearances runs in a process of its own: the claims of
// other tests are in the cache of this one.
func TestAFullCacheGivesNoClearances(t *testing.T) {
	if os.Getenv(aloneInProcess) == "" {
		executable, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), executable, "-test.run=^TestAFullCacheGivesNoClearances$", "-test.v")
		command.Env = append(os.Environ(), aloneInProcess+"=1")
		if output, err := command.CombinedOutput(); err != nil || !strings.Contains(string(output), "--- PASS: TestAFullCacheGivesNoClearances") {
			t.Errorf("%v\n%s", err, output)
		}
		return
	}
	g := newGate(t)
	config := func(capacity int) string {
		return strings.Replace(g.caddyfile(g.captcha(geetestV4, "clearance 30m {\nmax_uses 2\n}", "refusal problem")+g.proxy()), globals,
			globals+"captcha {\nreplay_cache memory {\ncapacity "+strconv.Itoa(capacity)+"\n}\n}\n", 1)
	}
	reload := func(capacity int) {
		load(t, config(capacity))
		g.url = "http://" + address(t, "srv0")
	}
	ask := func(method, path, body string, header ...string) answer {
		request := newRequest(t, method, g.url+path, body, header...)
		request.Host = "example.com" // whatever the port is after a reload
		return send(t, request)
	}
	verify := func(proof url.Values) answer {
		return ask("POST", "/.captcha/default/verify", proof.Encode(), "Content-Type", formType)
	}
	get := func(cookie string) answer { return ask("GET", "/login", "", "Cookie", cookie) }
	wantFull := func(a answer, reason, proof string) {
		t.Helper()
		g.want(a, 503, "overloaded")
		problem := a.problem(t)
		if len(a.Cookies()) != 0 || a.Header.Get("Retry-After") != "1" || problem["reason"] != reason || problem["proof"] != proof {
			t.Errorf("header %v: %s", a.Header, a.body)
		}
	}
	run(t, config(2))
	g.url = "http://" + address(t, "srv0")
	cookie := g.cookie() // a claim and a counter: the cache is full
	early := g.solve(geetestV4)
	wantFull(verify(early), "cache_full", "reusable")
	wantFull(g.post(early), "cache_full", "reusable")
	if g.calls() != 1 {
		t.Errorf("the provider was called %d times", g.calls())
	}
	g.wantPassed(get(cookie)) // what lives is not forgotten

	reload(3) // room for the claim, and none for the counter
	late := g.solve(geetestV4)
	wantFull(verify(late), "cache_full", "spent")

	reload(20)
	g.wantPassed(get(cookie))
	g.wantReason(get(cookie), "used_up")
	a := verify(early)
	if a.StatusCode != 204 || len(a.Cookies()) != 1 {
		t.Fatalf("the proof that found the cache full: %d %s", a.StatusCode, a.body)
	}
	for range 2 {
		g.wantPassed(get(pair(a.Cookies()[0])))
	}
	g.wantReason(get(pair(a.Cookies()[0])), "used_up")
	g.want(g.post(late), 403, "replayed")
}
