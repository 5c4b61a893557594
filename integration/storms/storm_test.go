// Package storms tests that the promises hold under load, through reloads and for
// clients that leave.
package storms

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// from returns a client whose connections come from a loopback address.
func from(t *testing.T, addr string) *http.Transport {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}).DialContext,
		MaxIdleConnsPerHost: 64,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// fire sends the form to /login and returns the outcome; forwarded is "".
func fire(transport http.RoundTripper, base string, form url.Values) (outcome string, err error) {
	request, err := http.NewRequest("POST", base+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", harness.FormType)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", err
	}
	return response.Header.Get("Captcha-Outcome"), nil
}

// TestStorm: 10,000 proofs, each sent 64 times at once, forward 10,000
// requests. With -short it is 500 proofs.
func TestStorm(t *testing.T) {
	const parallel = 64
	proofs := 10_000
	if testenv.Short() {
		proofs = 500
	}
	handler := harness.Provision(t, harness.CaptchaJSON(httptest.NewServer(harness.Vouch).URL))
	var forwarded atomic.Int64
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		forwarded.Add(1)
		return nil
	})
	first := harness.FreshProofs(proofs)
	var group sync.WaitGroup
	for worker := range parallel {
		// Each worker sends every proof, all in the same order, so that they
		// meet at each of them.
		group.Go(func() {
			for i := range proofs {
				r := harness.V4Request(first+i, fmt.Sprintf("192.0.%d.1", worker%2))
				if err := handler.ServeHTTP(httptest.NewRecorder(), r, next); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if forwarded.Load() != int64(proofs) {
		t.Errorf("%d requests were forwarded with %d proofs", forwarded.Load(), proofs)
	}
}

// TestReloads: claims survive whatever happens to the config, while requests
// are under way.
func TestReloads(t *testing.T) {
	g := harness.NewGate(t)
	config := func(global, site string) string {
		return "{\n" + harness.Globals + global + "}\nhttp://:0 {\nbind 127.0.0.1\n" + site + g.Proxy() + "}\n"
	}
	small := "captcha {\nreplay_cache memory {\ncapacity 5000\nttl 15m\n}\n}\n"
	large := "captcha {\nreplay_cache memory {\ncapacity 50000\nttl 40m\n}\n}\n"
	open := "captcha /other* {\n" + g.Verifier(harness.GeeTestV4) + "}\n"
	steps := []struct{ global, site string }{
		{"", g.Captcha(harness.GeeTestV4)},
		{small, g.Captcha(harness.GeeTestV4)},
		{large, g.Captcha(harness.GeeTestV4, "max_failures 1000")},
		{"", open}, // the handler is gone ...
		{"", g.Captcha(harness.GeeTestV4)},
	}
	harness.Run(t, config(steps[0].global, steps[0].site))
	g.URL = "http://" + harness.Address(t, "srv0")
	spent := []url.Values{g.Proof(harness.GeeTestV4)}
	g.WantPassed(g.Post(spent[0]))
	for _, step := range steps[1:] {
		harness.Load(t, config(step.global, step.site))
		g.URL = "http://" + harness.Address(t, "srv0")
		if step.site == open {
			continue
		}
		for _, proof := range spent {
			g.Want(g.Post(proof), 403, "replayed")
		}
		spent = append(spent, g.Proof(harness.GeeTestV4))
		g.WantPassed(g.Post(spent[len(spent)-1]))

		// A config that is rejected after the modules were provisioned.
		broken, err := harness.Adapt(config(small, g.Captcha(harness.GeeTestV4)+"reverse_proxy {\nto localhost:1\nlb_policy header\n}\n"))
		if err == nil {
			broken = strings.Replace(broken, `"srv0"`, `"srv1":{"listen":["tcp/256.256.256.256:0"]},"srv0"`, 1)
			err = caddy.Load([]byte(broken), true)
		}
		if err == nil {
			t.Fatal("the broken config loaded")
		}
		for _, proof := range spent {
			g.Want(g.Post(proof), 403, "replayed")
		}
	}
	if g.VerifyCalls() != len(spent) {
		t.Errorf("the provider was called %d times for %d proofs", g.VerifyCalls(), len(spent))
	}
}

// TestReloadDuringVerification: a request that waits for the provider while
// the config is replaced ends well, and its proof stays spent.
func TestReloadDuringVerification(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4) + g.Proxy())
	hold := make(chan struct{})
	g.FailNext(1, simulator.Fault{Hold: hold})
	proof := g.Proof(harness.GeeTestV4)
	base := g.URL
	outcome := make(chan string)
	go func() {
		got, err := fire(http.DefaultTransport, base, proof)
		if err != nil {
			got = err.Error()
		}
		outcome <- got
	}()
	if err := g.AwaitCalls(t.Context(), simulator.V4ValidatePath, 1); err != nil {
		t.Fatal(err)
	}
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		harness.Load(t, g.Caddyfile(g.Captcha(harness.GeeTestV4, "max_failures 50")+g.Proxy()))
	}()
	close(hold)
	if got := <-outcome; got != "" {
		t.Errorf("the request ended as %q", got)
	}
	<-loaded
	g.Seen()
	g.URL = "http://" + harness.Address(t, "srv0")
	g.Want(g.Post(proof), 403, "replayed")
}

// TestJunkHurtsNobodyElse: a host with thousands of junk proofs, against a
// provider that is slow to reject them, uses up its own slots and failures; a
// client elsewhere neither waits nor is refused. Malformed junk costs no call.
func TestJunkHurtsNobodyElse(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "max_concurrent_verifications 16 4", "max_failures 20") + g.Proxy())
	junkHost, other := from(t, "127.0.1.1"), from(t, "127.0.2.1")

	for i := range 2000 {
		outcome, err := fire(junkHost, g.URL, url.Values{"lot_number": {fmt.Sprint("junk", i)}, "captcha_output": {"x"}, "pass_token": {"x"}, "gen_time": {"soon"}})
		if err != nil || outcome != "malformed" {
			t.Fatalf("outcome %q, %v", outcome, err)
		}
	}
	if g.VerifyCalls() != 0 {
		t.Errorf("malformed proofs cost %d calls", g.VerifyCalls())
	}

	// Four junk proofs wait for the provider: the host has no slot left.
	hold := make(chan struct{})
	g.Fail(simulator.Fault{Hold: hold})
	var waiting sync.WaitGroup
	for range 4 {
		junk := harness.MadeUpToken(g.Proof(harness.GeeTestV4))
		waiting.Go(func() {
			if outcome, err := fire(junkHost, g.URL, junk); err != nil || outcome != "rejected" {
				t.Errorf("outcome %q, %v", outcome, err)
			}
		})
	}
	if err := g.AwaitCalls(t.Context(), simulator.V4ValidatePath, 4); err != nil {
		t.Fatal(err)
	}
	unused := g.Proof(harness.GeeTestV4)
	if outcome, err := fire(junkHost, g.URL, unused); err != nil || outcome != "overloaded" {
		t.Errorf("outcome %q, %v; want overloaded", outcome, err)
	}
	g.Heal()
	if outcome, err := fire(other, g.URL, g.Proof(harness.GeeTestV4)); err != nil || outcome != "" {
		t.Errorf("the other client: outcome %q, %v", outcome, err)
	}
	close(hold)
	waiting.Wait()

	// Thousands of well-formed junk proofs: 20 failures, then no more calls.
	before := g.VerifyCalls()
	for range 500 {
		junk := harness.MadeUpToken(g.Proof(harness.GeeTestV4))
		if outcome, err := fire(junkHost, g.URL, junk); err != nil || outcome != "rejected" && outcome != "overloaded" {
			t.Fatalf("outcome %q, %v", outcome, err)
		}
	}
	if calls := g.VerifyCalls() - before; calls > 40 {
		t.Errorf("500 junk proofs cost %d calls", calls)
	}
	if outcome, err := fire(other, g.URL, g.Proof(harness.GeeTestV4)); err != nil || outcome != "" {
		t.Errorf("the other client: outcome %q, %v", outcome, err)
	}
	// A proof that a limit refused is still good.
	if outcome, err := fire(other, g.URL, unused); err != nil || outcome != "" {
		t.Errorf("the proof that met the limit: outcome %q, %v", outcome, err)
	}
}

// TestNothingLeaks: reloads, clients that leave and providers that stall leave
// no goroutine, claim or slot behind.
func TestNothingLeaks(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4, "max_concurrent_verifications 16 4") + g.Proxy())
	g.WantPassed(g.Post(g.Proof(harness.GeeTestV4)))
	harness.Await(t, "idle connections to settle", func() bool { http.DefaultTransport.(*http.Transport).CloseIdleConnections(); return true })
	baseline := runtime.NumGoroutine()

	for i := range 100 {
		harness.Load(t, g.Caddyfile(g.Captcha(harness.GeeTestV4, "max_concurrent_verifications 16 4", fmt.Sprintf("max_failures %d", 60+i))+g.Proxy()))
	}
	g.URL = "http://" + harness.Address(t, "srv0")
	for _, fault := range []simulator.Fault{{Kind: simulator.Reset}, harness.Respond(500, ""), harness.Respond(200, "{")} {
		g.Fail(fault)
		for range 8 {
			g.Want(g.Post(g.Proof(harness.GeeTestV4)), 503, "outage")
		}
	}
	g.Heal()
	for range 8 { // all four slots are free again
		g.WantPassed(g.Post(g.Proof(harness.GeeTestV4)))
	}
	harness.Await(t, "goroutines to end", func() bool {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return runtime.NumGoroutine() <= baseline+16
	})
}

// TestMetricsSurviveReloads: counters go on after a reload, and no request can
// add a series.
func TestMetricsSurviveReloads(t *testing.T) {
	g := harness.NewGate(t)
	site := func(extra string) string {
		return g.Caddyfile("captcha /login* survivors {\n" + g.Verifier(harness.GeeTestV4) + extra + "\n}\n" + g.Proxy())
	}
	harness.Run(t, site(""))
	g.URL = "http://" + harness.Address(t, "srv0")
	count := func() (series int, missing string) {
		for line := range strings.Lines(harness.Metrics(t)) {
			if strings.Contains(line, `value:"survivors"`) {
				series++
				if strings.Contains(line, `value:"missing"`) {
					missing = line
				}
			}
		}
		return series, missing
	}
	before, zero := count()
	if !strings.Contains(zero, "value:0") {
		t.Errorf("the series does not start at zero: %s", zero)
	}
	for i := range 50 {
		request := harness.NewRequest(t, "GET", fmt.Sprintf("%s/login%d?q=%d", g.URL, i, i), "", "User-Agent", fmt.Sprint(i))
		g.Want(harness.Send(t, request), 403, "missing")
		if i == 25 {
			harness.Load(t, site("max_failures 50"))
			g.URL = "http://" + harness.Address(t, "srv0")
		}
	}
	after, fifty := count()
	if before != after {
		t.Errorf("%d series became %d", before, after)
	}
	if !strings.Contains(fifty, "value:50") {
		t.Errorf("the counter does not say 50 after a reload: %s", fifty)
	}
}
