package outages

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// TestWorkInAnOutage: while the provider is down a proof of work takes the place
// of its captcha, and earns what an outage does. At no other time is it good
// for anything.
func TestWorkInAnOutage(t *testing.T) {
	g := harness.NewGate(t)
	v := visitor{g}
	g.Global = "servers {\ntrusted_proxies static 127.0.0.1/32\ntrusted_proxies_strict\n}\n"
	const options = "clearance 30m\non_outage pow 3\n"
	g.Run("captcha /deny/geetest_v4* deny {\n" + g.Verifier(harness.GeeTestV4) + "}\n" +
		"captcha /allow/geetest_v4* allow-geetest_v4 {\n" + g.Verifier(harness.GeeTestV4) + options + "}\n" +
		"captcha /other* allow-other {\n" + g.Verifier(harness.GeeTestV4) + options + "}\n" +
		"captcha /rare* allow-rare {\n" + g.Verifier(harness.GeeTestV4) + options + "outage_rate 2 4\n}\n" +
		g.Proxy())
	const path = "/allow/geetest_v4"
	v.passes("up", v.send(path, g.Proof(harness.GeeTestV4)))
	if _, members := v.challenge("allow-geetest_v4"); members["provider"] != harness.GeeTestV4 {
		t.Errorf("the challenge while up is %v", members)
	}
	g.Fail(simulator.Fault{Kind: simulator.Reset})
	harness.Await(t, "the provider to be found down", func() bool { return v.isDown(harness.GeeTestV4) })

	work := func(policy string) url.Values {
		t.Helper()
		a, members := v.challenge(policy)
		if a.StatusCode != http.StatusOK || members["down"] != true || members["provider"] != harness.Altcha {
			t.Fatalf("the challenge is %d %v", a.StatusCode, members)
		}
		return harness.SolveAltcha(t, a.Text)
	}
	v.WantRefused("a proof of the provider's", v.send(path, g.Proof(harness.GeeTestV4)), "outage", "down")
	a, _ := v.verify(harness.GeeTestV4, g.Proof(harness.GeeTestV4))
	v.WantRefused("a proof of the provider's at verify", a, "outage", "down")

	done := work("allow-geetest_v4")
	v.WantRefused("work that comes with a request", v.send(path, done), "missing", "none")
	a, cookie := v.verify(harness.GeeTestV4, done)
	if a.StatusCode != http.StatusNoContent || a.Header.Get("Captcha-Outcome") != "outage_allowed" || cookie == "" {
		t.Fatalf("verify answers %d %s", a.StatusCode, a.Text)
	}
	again, _ := v.verify(harness.GeeTestV4, done)
	v.WantRefused("the same work", again, "replayed", "claimed")
	v.passes("its clearance", v.send(path, nil, "Cookie", cookie))
	v.WantRefused("the same clearance", v.send(path, nil, "Cookie", cookie), "missing", "used_up")

	a, _ = v.verify("other", work("allow-geetest_v4"))
	v.WantRefused("another policy's work", a, "rejected", "challenge")
	a, _ = v.verify(harness.GeeTestV4, url.Values{"altcha": {"e30="}})
	v.WantRefused("no work", a, "expired", "expires")
	for i, want := range []int{204, 204, 503} {
		a, _ := v.verify("rare", work("allow-rare"))
		if a.StatusCode != want {
			t.Errorf("the %d. of a client: %d %s", i+1, a.StatusCode, a.Text)
		}
	}

	_, kept := v.verify(harness.GeeTestV4, work("allow-geetest_v4"))
	unused, issued := work("allow-geetest_v4"), work("allow-geetest_v4")
	harness.AwaitEntries(t, g, "the captcha provider is down", 4)
	harness.AwaitEntries(t, g, "a proof of work took the place", 1)
	g.Heal()
	harness.Await(t, "the provider to be found up", func() bool { return !v.isDown(harness.GeeTestV4) })
	calls := g.VerifyCalls()
	a, _ = v.verify(harness.GeeTestV4, unused)
	v.WantRefused("work while up", a, "rejected", "offline")
	v.WantRefused("an unused clearance afterwards", v.send(path, nil, "Cookie", kept), "missing", "invalid")
	if g.VerifyCalls() != calls {
		t.Error("the provider was asked about work")
	}
	v.passes("up again", v.send(path, g.Proof(harness.GeeTestV4)))
	if _, members := v.challenge("allow-geetest_v4"); members["provider"] != harness.GeeTestV4 {
		t.Errorf("the challenge afterwards is %v", members)
	}

	// Nor where work is the captcha itself.
	g.Run("captcha " + path + "* allow-geetest_v4 {\nverifier altcha {\ndifficulty 3\n}\n}\n" + g.Proxy())
	v.WantRefused("work of an outage in place of work", v.send(path, issued), "rejected", "challenge")
}
