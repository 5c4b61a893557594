package storms

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

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
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
	g := harness.NewGate(t)
	gate := g.Captcha(harness.GeeTestV4, "clearance 30m {\nmax_uses "+strconv.Itoa(uses)+"\n}", "refusal problem")
	config := func(turn int) string {
		return "{\n" + harness.Globals + "servers {\nprotocols h1 h2c\n}\nlog {\noutput file " + g.LogFile + "\n}\n}\n" +
			"http://:0 {\nbind 127.0.0.1\nlog\nheader X-Turn " + strconv.Itoa(turn) + "\n" + gate + "route {\n" + gate + g.Proxy() + "}\n}\n" +
			"http://:0 {\nbind 127.0.0.2\n" + gate + g.Proxy() + "}\n"
	}
	sites := func() []string {
		return []string{"http://" + harness.Address(t, "srv0"), "http://" + harness.Address(t, "srv1")}
	}
	harness.Run(t, config(0))
	g.URL = sites()[0]
	cookie := g.Cookie()

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
		harness.Load(t, config(turn))
		current.Store(sites())
		harness.Await(t, "the uses of a turn", func() bool {
			return passed.Load()+broken.Load() >= allowed.Load() || refused.Load() > 0
		})
	}
	allowed.Store(uses + 1)
	harness.Await(t, "the clearance to be used up", func() bool { return refused.Load() > 2*workers })
	halt()
	clients.Wait()
	if seen := len(g.Seen()); seen > uses {
		t.Errorf("the app saw %d requests, want at most %d", seen, uses)
	}
	if lost := uses - passed.Load(); lost < 0 || lost > broken.Load() {
		t.Errorf("%d requests passed and %d broke, of %d uses", passed.Load(), broken.Load(), uses)
	}
	for _, g.URL = range sites() {
		if g.Passes(cookie) {
			t.Error("there was one use more")
		}
	}
}

// TestLookingAtThePageTakesNoUse: the page says whether the clearance is good,
// and leaves it so.
func TestLookingAtThePageTakesNoUse(t *testing.T) {
	g := harness.BrowserGate(t, harness.GeeTestV4, "max_uses 2")
	cookie := harness.Pair(g.Clear(harness.GeeTestV4))
	looks := func(cleared bool) {
		t.Helper()
		for range 5 {
			a := g.At("GET", "page", "", "Cookie", cookie)
			if a.StatusCode != 200 || strings.Contains(a.Text, "&#34;cleared&#34;:true") != cleared {
				t.Fatalf("%d: cleared is not %t in %s", a.StatusCode, cleared, a.Text)
			}
		}
		g.At("GET", "challenge", "", "Cookie", cookie)
		g.At("POST", "verify", "", "Cookie", cookie)
	}
	for range 2 {
		looks(true)
		g.WantPassed(g.GetCleared(cookie))
	}
	looks(false)
	g.WantReason(g.GetCleared(cookie), "used_up")
	if a := g.At("GET", "page", "", "Cookie", cookie); !strings.Contains(a.Text, "&#34;reason&#34;:&#34;used_up&#34;") {
		t.Errorf("the page does not say why: %s", a.Text)
	}
}

// TestAProofIsAClearanceOrARequest sends each of some proofs 64 times at once,
// to verify and to the app. It buys one of the two, once.
func TestAProofIsAClearanceOrARequest(t *testing.T) {
	const proofs, parallel = 10, 64
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 30m", "max_concurrent_verifications 1024 256", "max_failures 100000") + g.Proxy())
	transport := &http.Transport{MaxIdleConnsPerHost: parallel}
	t.Cleanup(transport.CloseIdleConnections)
	for range proofs {
		form := g.Proof(harness.GeeTestV4).Encode()
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
				request, err := http.NewRequest("POST", g.URL+path, strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("Content-Type", harness.FormType)
				<-start
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
				switch {
				case response.StatusCode == http.StatusNoContent && len(response.Cookies()) > 0 && i%2 == 0:
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
		calls := g.VerifyCalls()
		close(start)
		clients.Wait()
		seen := len(g.Seen())
		if cleared.Load()+forwarded.Load() != 1 || int(forwarded.Load()) != seen || other.Load() != 0 {
			outcomes.Range(func(key, _ any) bool { t.Log(key); return true })
			t.Errorf("%d clearances, %d requests passed, %d reached the app, %d other answers", cleared.Load(), forwarded.Load(), seen, other.Load())
		}
		if n := g.VerifyCalls() - calls; n != 1 {
			t.Errorf("the provider was called %d times", n)
		}
	}
}

// leaveVerify takes the proof to verify and leaves when the provider has been
// called for the n-th time and holds its answer back.
func leaveVerify(g *harness.Gate, proof url.Values, n int) {
	g.T.Helper()
	ctx, leave := context.WithCancel(g.T.Context())
	defer leave()
	request := harness.NewRequest(g.T, "POST", g.URL+"/.captcha/default/verify", proof.Encode(), "Content-Type", harness.FormType).WithContext(ctx)
	done := make(chan error)
	go func() {
		response, err := http.DefaultTransport.RoundTrip(request)
		if err == nil {
			response.Body.Close()
		}
		done <- err
	}()
	if err := g.AwaitCalls(g.T.Context(), simulator.V4ValidatePath, n); err != nil {
		g.T.Fatal(err)
	}
	leave()
	if err := <-done; err == nil {
		g.T.Fatal("verify answered a client that had left")
	}
}

// TestAProofOutlivesTheClientThatLeft: who leaves verify while the provider
// thinks has not lost the proof. One identical request of the same client may
// take it, at verify or with a request, without another call.
func TestAProofOutlivesTheClientThatLeft(t *testing.T) {
	for _, next := range []string{"verify", "app"} {
		t.Run(next, func(t *testing.T) {
			g := harness.NewGate(t)
			g.Run("watch\n" + g.Captcha(harness.GeeTestV4, "clearance 30m") + g.Proxy())
			hold := make(chan struct{})
			g.FailNext(1, simulator.Fault{Path: simulator.V4ValidatePath, Hold: hold})
			proof := g.Proof(harness.GeeTestV4)
			leaveVerify(g, proof, 1)
			<-harness.Departures
			close(hold)
			harness.AwaitEntries(t, g, "handled request", 1)
			if entry := g.Entries("handled request")[0]; entry["status"] != 499.0 || entry["captcha_outcome"] != "canceled" {
				t.Errorf("status %v, captcha_outcome %v", entry["status"], entry["captcha_outcome"])
			}

			// Another client cannot have it.
			other, err := fire(from(t, "127.0.1.1"), g.URL, proof)
			if err != nil || other != "replayed" {
				t.Errorf("another client: outcome %q, %v", other, err)
			}
			if next == "verify" {
				a := g.At("POST", "verify", proof.Encode(), "Content-Type", harness.FormType)
				if a.StatusCode != 204 || len(a.Cookies()) == 0 {
					t.Fatalf("the proof at verify: %d %s", a.StatusCode, a.Text)
				}
				g.WantPassed(g.GetCleared(harness.Pair(a.Cookies()[0])))
			} else {
				g.WantPassed(g.Post(proof))
			}
			if g.VerifyCalls() != 1 {
				t.Errorf("the provider was called %d times", g.VerifyCalls())
			}
			g.Want(g.Post(proof), 403, "replayed")
			if a := g.At("POST", "verify", proof.Encode(), "Content-Type", harness.FormType); a.StatusCode != 403 || len(a.Cookies()) != 0 {
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
		{"verify", "POST", simulator.V3ValidatePath, harness.GeeTestV3},
		{"challenge", "GET", simulator.V3RegisterPath, harness.GeeTestV3},
	} {
		t.Run(c.endpoint, func(t *testing.T) {
			g := harness.NewGate(t)
			g.Run(g.Captcha(c.provider, "clearance 30m", fmt.Sprintf("max_concurrent_verifications 16 %d", slots)) + g.Proxy())
			stuck, other := from(t, "127.0.1.1"), from(t, "127.0.2.1")
			ask := func(ctx context.Context, transport http.RoundTripper, method, endpoint string) (status int, outcome string, err error) {
				body := ""
				if method == "POST" {
					body = g.Proof(c.provider).Encode()
				}
				request := harness.NewRequest(t, method, g.URL+"/.captcha/default/"+endpoint, body, "Content-Type", harness.FormType).WithContext(ctx)
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
					if outcome, err := fire(transport, g.URL, g.Proof(c.provider)); err != nil || outcome != "" {
						t.Errorf("a request with a proof: %q %v", outcome, err)
					}
				}
			}
			// When it leaves and the provider goes on, it has its slots again.
			leave()
			waiting.Wait()
			release()
			harness.Await(t, "the slots to be free again", func() bool {
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
	g := harness.NewGate(t)
	config := func(capacity int) string {
		return strings.Replace(g.Caddyfile(g.Captcha(harness.GeeTestV4, "clearance 30m {\nmax_uses 2\n}", "refusal problem")+g.Proxy()), harness.Globals,
			harness.Globals+"captcha {\nreplay_cache memory {\ncapacity "+strconv.Itoa(capacity)+"\n}\n}\n", 1)
	}
	reload := func(capacity int) {
		harness.Load(t, config(capacity))
		g.URL = "http://" + harness.Address(t, "srv0")
	}
	ask := func(method, path, body string, header ...string) harness.Answer {
		request := harness.NewRequest(t, method, g.URL+path, body, header...)
		request.Host = "example.com" // whatever the port is after a reload
		return harness.Send(t, request)
	}
	verify := func(proof url.Values) harness.Answer {
		return ask("POST", "/.captcha/default/verify", proof.Encode(), "Content-Type", harness.FormType)
	}
	get := func(cookie string) harness.Answer { return ask("GET", "/login", "", "Cookie", cookie) }
	wantFull := func(a harness.Answer, reason, proof string) {
		t.Helper()
		g.Want(a, 503, "overloaded")
		problem := a.Problem(t)
		if len(a.Cookies()) != 0 || a.Header.Get("Retry-After") != "1" || problem["reason"] != reason || problem["proof"] != proof {
			t.Errorf("header %v: %s", a.Header, a.Text)
		}
	}
	harness.Run(t, config(2))
	g.URL = "http://" + harness.Address(t, "srv0")
	cookie := g.Cookie() // a claim and a counter: the cache is full
	early := g.Proof(harness.GeeTestV4)
	wantFull(verify(early), "cache_full", "reusable")
	wantFull(g.Post(early), "cache_full", "reusable")
	if g.VerifyCalls() != 1 {
		t.Errorf("the provider was called %d times", g.VerifyCalls())
	}
	g.WantPassed(get(cookie)) // what lives is not forgotten

	reload(3) // room for the claim, and none for the counter
	late := g.Proof(harness.GeeTestV4)
	wantFull(verify(late), "cache_full", "spent")

	reload(20)
	g.WantPassed(get(cookie))
	g.WantReason(get(cookie), "used_up")
	a := verify(early)
	if a.StatusCode != 204 || len(a.Cookies()) == 0 {
		t.Fatalf("the proof that found the cache full: %d %s", a.StatusCode, a.Text)
	}
	for range 2 {
		g.WantPassed(get(harness.Pair(a.Cookies()[0])))
	}
	g.WantReason(get(harness.Pair(a.Cookies()[0])), "used_up")
	g.Want(g.Post(late), 403, "replayed")
}
