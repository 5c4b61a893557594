// Package outages tests what the gate does while a provider is down, and that
// nobody but the provider can bring that about.
package outages

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// site is one with two policies for each provider, which differ in on_outage.
func site(g *harness.Gate, more ...string) string {
	var text strings.Builder
	for _, provider := range harness.Providers {
		verifier := g.Verifier(provider, bypass(g, provider)...)
		clearance := "clearance 30m"
		if provider == harness.Tencent { // as those of an outage are
			clearance += " {\nmax_uses 1\n}"
		}
		fmt.Fprintf(&text, "captcha /deny/%s* deny-%[1]s {\n%s}\n", provider, verifier)
		fmt.Fprintf(&text, "captcha /allow/%s* allow-%[1]s {\n%s%s\non_outage allow\n%s\n}\n", provider, verifier, clearance, strings.Join(more, "\n"))
	}
	fmt.Fprintf(&text, "captcha /rare* rare {\n%son_outage allow\noutage_rate 2 4\n}\n", g.Verifier(harness.GeeTestV4))
	return text.String() + g.Proxy()
}

func bypass(g *harness.Gate, provider string) []string {
	if provider != harness.GeeTestV3 {
		return nil
	}
	return []string{"bypass_endpoint " + g.Provider() + simulator.V3BypassPath}
}

// visitor sends requests to the site.
type visitor struct{ *harness.Gate }

func (v visitor) send(path string, proof url.Values, header ...string) harness.Answer {
	v.T.Helper()
	return v.sendTo(host, path, proof, header...)
}

// host is the site's, whatever port it has after a reload.
const host = "site.example"

func (v visitor) sendTo(host, path string, proof url.Values, header ...string) harness.Answer {
	v.T.Helper()
	request := harness.NewRequest(v.T, "GET", v.URL+path, "", header...)
	harness.SetHeaders(request.Header, proof)
	return v.ask(host, request)
}

func (v visitor) ask(host string, request *http.Request) harness.Answer {
	v.T.Helper()
	request.Host = host
	return harness.Send(v.T, request)
}

// verify has the proof verified, and returns the cookie of the clearance.
func (v visitor) verify(provider string, proof url.Values) (answer harness.Answer, cookie string) {
	v.T.Helper()
	answer = v.ask(host, harness.NewRequest(v.T, "POST", v.URL+"/.captcha/allow-"+provider+"/verify", proof.Encode(),
		"Content-Type", harness.FormType, "Sec-Fetch-Site", "same-origin"))
	for _, c := range answer.Cookies() {
		if strings.HasPrefix(c.Name, "captcha-") {
			cookie = c.Name + "=" + c.Value
		}
	}
	return answer, cookie
}

// challenge is what the page gets.
func (v visitor) challenge(policy string) (answer harness.Answer, members map[string]any) {
	v.T.Helper()
	answer = v.ask(host, harness.NewRequest(v.T, "GET", v.URL+"/.captcha/"+policy+"/challenge", "", "Sec-Fetch-Site", "same-origin"))
	return answer, answer.Problem(v.T)
}

// passes checks that a request was forwarded.
func (v visitor) passes(what string, a harness.Answer) {
	v.T.Helper()
	if seen := v.Seen(); a.StatusCode != http.StatusOK || len(seen) != 1 {
		v.T.Errorf("%s: %d %s, and the app saw %q", what, a.StatusCode, a.Text, seen)
	}
}

// disaster is the proof that the provider's widget makes by itself, or nil.
func (v visitor) disaster(provider string) url.Values {
	switch provider {
	case harness.GeeTestV3:
		_, members := v.challenge("allow-" + provider)
		challenge, _ := members["challenge"].(string)
		return offline(challenge, challenge)
	case harness.Tencent:
		return url.Values{"ticket": {fmt.Sprintf("trerror_1001_%s_%d", harness.AppID, time.Now().Unix())}, "randstr": {"@" + rand()}}
	}
	return nil
}

// offline is a proof of GeeTest v3's for a challenge with success 0.
func offline(challenge, validate string) url.Values {
	return url.Values{"geetest_challenge": {challenge}, "geetest_validate": {validate}, "geetest_seccode": {validate + "|jordan"}}
}

var randoms int

func rand() string {
	randoms++
	return fmt.Sprintf("random%d", randoms)
}

// isDown reports whether the gate has found the provider down. It asks with a
// proof, which in the beginning is what makes the gate look.
func (v visitor) isDown(provider string) bool {
	a := v.send("/deny/"+provider, v.Proof(provider))
	v.Seen()
	return a.StatusCode == http.StatusServiceUnavailable && a.Problem(v.T)["reason"] == "down"
}

func (v visitor) await(down bool) {
	v.T.Helper()
	for _, provider := range harness.Providers {
		harness.Await(v.T, fmt.Sprintf("%s to be found down: %t", provider, down), func() bool { return v.isDown(provider) == down })
	}
}

// TestAnOutage goes through one, for all three providers.
func TestAnOutage(t *testing.T) {
	g := harness.NewGate(t)
	v := visitor{g}
	g.Global = "servers {\ntrusted_proxies static 127.0.0.1/32\ntrusted_proxies_strict\n}\n"
	g.Run(site(g, "outage_rate 1000 100000"))

	// Up: what only an outage opens is closed, and costs no call.
	for _, provider := range harness.Providers {
		v.passes(provider+", up", v.send("/allow/"+provider, g.Proof(provider)))
		calls := g.VerifyCalls()
		if proof := v.disaster(provider); proof != nil {
			v.WantRefused(provider+", disaster proof while up", v.send("/allow/"+provider, proof), "rejected", "offline")
			a, _ := v.verify(provider, proof)
			v.WantRefused(provider+", disaster proof at verify while up", a, "rejected", "offline")
		}
		if got := g.VerifyCalls(); got != calls {
			t.Errorf("%s: a disaster proof cost %d calls", provider, got-calls)
		}
		if _, members := v.challenge("allow-" + provider); members["down"] != nil {
			t.Errorf("%s: the challenge while up is %v", provider, members)
		}
	}

	g.Fail(simulator.Fault{Kind: simulator.Reset})
	for _, provider := range harness.Providers {
		v.WantRefused(provider+", first unknown verdict", v.send("/deny/"+provider, g.Proof(provider)), "outage", "connection")
		v.WantRefused(provider+", first unknown verdict", v.send("/allow/"+provider, g.Proof(provider)), "outage", "connection")
	}
	if a, members := v.challenge("allow-geetest_v3"); a.StatusCode != http.StatusServiceUnavailable || members["outcome"] != "outage" {
		t.Errorf("a challenge that cannot be had is %d %v", a.StatusCode, members)
	}
	v.await(true)

	// Down. What was let pass is good for nothing afterwards.
	var used, unused []func()
	for _, provider := range harness.Providers {
		deny, allow := "/deny/"+provider, "/allow/"+provider
		if a, members := v.challenge("deny-" + provider); a.StatusCode != http.StatusServiceUnavailable || members["reason"] != "down" {
			t.Errorf("%s: a challenge in vain is %d %v", provider, a.StatusCode, members)
		}
		if a, members := v.challenge("allow-" + provider); a.StatusCode != http.StatusOK || members["down"] != true {
			t.Errorf("%s: the challenge is %d %v", provider, a.StatusCode, members)
		}
		v.WantRefused(provider+", no proof", v.send(allow, nil), "missing", "none")
		genuine := g.Proof(provider)
		v.passes(provider+", a proof", v.send(allow, genuine))
		v.WantRefused(provider+", the same proof", v.send(allow, genuine), "replayed", "claimed")
		v.WantRefused(provider+", the same proof, denied", v.send(deny, genuine), "outage", "down")
		used = append(used, func() {
			v.WantRefused(provider+", the same proof afterwards", v.send(allow, genuine), "replayed", "claimed")
		})

		a, cookie := v.verify(provider, g.Proof(provider))
		if a.StatusCode != http.StatusNoContent || cookie == "" {
			t.Fatalf("%s: verify answers %d %s", provider, a.StatusCode, a.Text)
		}
		v.passes(provider+", a clearance", v.send(allow, nil, "Cookie", cookie))
		v.WantRefused(provider+", the same clearance", v.send(allow, nil, "Cookie", cookie), "missing", "used_up")
		_, kept := v.verify(provider, g.Proof(provider))
		unused = append(unused, func() {
			v.WantRefused(provider+", an unused clearance afterwards", v.send(allow, nil, "Cookie", kept), "missing", "invalid")
		})

		if proof := v.disaster(provider); proof != nil {
			v.passes(provider+", a disaster proof", v.send(allow, proof))
			v.WantRefused(provider+", the same disaster proof", v.send(allow, proof), "replayed", "claimed")
			v.WantRefused(provider+", a disaster proof, denied", v.send(deny, v.disaster(provider)), "rejected", "offline")
			a, cookie := v.verify(provider, v.disaster(provider))
			if a.StatusCode != http.StatusNoContent || cookie == "" {
				t.Errorf("%s: verify answers a disaster proof with %d %s", provider, a.StatusCode, a.Text)
			}
			kept := v.disaster(provider)
			unused = append(unused, func() {
				v.WantRefused(provider+", an unused disaster proof afterwards", v.send(allow, kept), "rejected", "offline")
			})
		}
	}
	// Both shapes of an offline proof are one, for a challenge of ours.
	_, members := v.challenge("allow-geetest_v3")
	issued, _ := members["challenge"].(string)
	if members["success"] != 0.0 || len(issued) != 32 {
		t.Errorf("the challenge is %v", members)
	}
	sum := fmt.Sprintf("%x", md5.Sum([]byte(issued)))
	v.passes("the classic widget's proof", v.send("/allow/geetest_v3", offline(issued, sum)))
	v.WantRefused("the other one's for the same challenge", v.send("/allow/geetest_v3", offline(issued, issued)), "replayed", "claimed")
	forged := strings.Repeat("0", 32)
	v.WantRefused("a forged challenge", v.send("/allow/geetest_v3", offline(forged, forged)), "rejected", "offline")
	v.WantRefused("another host's challenge", v.sendTo("other.example", "/allow/geetest_v3", v.disaster(harness.GeeTestV3)), "rejected", "offline")
	v.WantRefused("another app's ticket", v.send("/allow/tencent", url.Values{"ticket": {fmt.Sprintf("trerror_1001_1234567_%d", time.Now().Unix())}, "randstr": {"@x"}}), "rejected", "offline")

	v.passesRarely()

	// An outage is remembered through a reload.
	g.Run(site(g, "outage_rate 1000 1000"))
	for _, provider := range harness.Providers {
		v.WantRefused(provider+", after a reload", v.send("/deny/"+provider, g.Proof(provider)), "outage", "down")
	}
	harness.AwaitEntries(t, g, "the captcha provider is down", len(harness.Providers)*2)
	harness.AwaitEntries(t, g, "a proof passed unverified", 1)

	// With the last config that has the captcha it is forgotten, and found again.
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.Run(site(g, "outage_rate 1000 1000"))
	for _, provider := range harness.Providers {
		v.WantRefused(provider+", after a stop", v.send("/deny/"+provider, g.Proof(provider)), "outage", "connection")
	}
	v.await(true)

	g.Heal()
	v.await(false)
	for _, check := range append(used, unused...) {
		check()
	}
	for _, provider := range harness.Providers {
		v.passes(provider+", up again", v.send("/allow/"+provider, g.Proof(provider)))
		if _, members := v.challenge("allow-" + provider); members["down"] != nil {
			t.Errorf("%s: the challenge afterwards is %v", provider, members)
		}
	}
}

// passesRarely checks outage_rate 2 4: two a minute of each client, four of all.
// What is refused for that is as unused as before.
func (v visitor) passesRarely() {
	v.T.Helper()
	from := func(client string, proof url.Values) harness.Answer {
		return v.send("/rare", proof, "X-Forwarded-For", client)
	}
	spare := v.Proof(harness.GeeTestV4)
	v.passes("the first", from("198.51.100.1", v.Proof(harness.GeeTestV4)))
	v.passes("the second", from("198.51.100.1", v.Proof(harness.GeeTestV4)))
	v.WantRefused("the third of a client", from("198.51.100.1", spare), "overloaded", "outage_rate")
	v.passes("the same of another client", from("203.0.113.9", spare))
	v.WantRefused("that once more", from("203.0.113.9", spare), "replayed", "claimed")
	v.passes("the fourth of all", from("203.0.113.9", v.Proof(harness.GeeTestV4)))
	v.WantRefused("the fifth of all", from("2001:db8::1", v.Proof(harness.GeeTestV4)), "overloaded", "outage_rate")
}
