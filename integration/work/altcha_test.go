// Package work tests policies that ask for a proof of work, which no provider
// judges.
package work

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// visitor sends requests to the site.
type visitor struct{ *harness.Gate }

const site = "site.example"

func (v visitor) to(host, method, path, body string, header ...string) harness.Answer {
	v.T.Helper()
	request := harness.NewRequest(v.T, method, v.URL+path, body, header...)
	request.Host = host
	return harness.Send(v.T, request)
}

// work returns new work for the policy, done.
func (v visitor) work(policy string) url.Values {
	v.T.Helper()
	a := v.to(site, "GET", "/.captcha/"+policy+"/challenge", "", "Sec-Fetch-Site", "same-origin")
	if a.StatusCode != http.StatusOK {
		v.T.Fatalf("the challenge is %d %s", a.StatusCode, a.Text)
	}
	return harness.SolveAltcha(v.T, a.Text)
}

// policies are three, of which the third is one that few get through.
func policies(g *harness.Gate) string {
	policy := func(name, options, more string) string {
		return fmt.Sprintf("captcha /%s* %[1]s {\nverifier altcha {\ndifficulty 3\n%s\n}\n%s\n}\n", name, options, more)
	}
	return policy("a", "", "clearance 30m") + policy("b", "", "clearance 30m") + policy("rare", "rate 2 3", "clearance 30m") + g.Proxy()
}

func TestWork(t *testing.T) {
	g := harness.NewGate(t)
	v := visitor{g}
	g.Global = "servers {\ntrusted_proxies static 127.0.0.1/32\ntrusted_proxies_strict\n}\n"
	g.Run(policies(g))
	header := func(proof url.Values) []string { return []string{"Captcha-Altcha", proof.Get("altcha")} }

	done := v.work("a")
	v.WantPassed(v.to(site, "GET", "/a", "", header(done)...))
	v.WantRefused("the same work", v.to(site, "GET", "/a", "", header(done)...), "replayed", "claimed")
	v.WantPassed(v.to(site, "POST", "/a", v.work("a").Encode()+"&user=x", "Content-Type", harness.FormType))
	v.WantPassed(v.to(strings.ToUpper(site), "POST", "/a", `{"altcha":"`+v.work("a").Get("altcha")+`"}`, "Content-Type", "application/json"))
	v.WantRefused("none", v.to(site, "GET", "/a", ""), "missing", "none")
	v.WantRefused("work for another host", v.to("other.example", "GET", "/a", "", header(v.work("a"))...), "rejected", "challenge")
	v.WantRefused("work for another policy", v.to(site, "GET", "/b", "", header(v.work("a"))...), "rejected", "challenge")
	v.WantRefused("something else", v.to(site, "GET", "/a", "", "Captcha-Altcha", "e30="), "expired", "expires")
	v.WantRefused("no base64", v.to(site, "GET", "/a", "", "Captcha-Altcha", "%%%"), "missing", "altcha")

	// What one place has turned down is as good as before at the right one.
	spare := v.work("a")
	v.WantRefused("a spare one at the wrong place", v.to("other.example", "GET", "/a", "", header(spare)...), "rejected", "challenge")
	v.WantPassed(v.to(site, "GET", "/a", "", header(spare)...))

	a := v.to(site, "POST", "/.captcha/a/verify", v.work("a").Encode(), "Content-Type", harness.FormType, "Sec-Fetch-Site", "same-origin")
	if a.StatusCode != http.StatusNoContent || len(a.Cookies()) == 0 {
		t.Fatalf("verify answers %d %s", a.StatusCode, a.Text)
	}
	v.WantPassed(v.to(site, "GET", "/a", "", "Cookie", harness.Pair(a.Cookies()[0])))

	// Challenges and claims outlive a reload.
	before, used := v.work("a"), v.work("a")
	v.WantPassed(v.to(site, "GET", "/a", "", header(used)...))
	g.Run(policies(g))
	v.WantPassed(v.to(site, "GET", "/a", "", header(before)...))
	v.WantRefused("used before the reload", v.to(site, "GET", "/a", "", header(used)...), "replayed", "claimed")

	from := func(client string, proof url.Values) harness.Answer {
		return v.to(site, "GET", "/rare", "", append(header(proof), "X-Forwarded-For", client)...)
	}
	v.WantPassed(from("198.51.100.1", v.work("rare")))
	v.WantPassed(from("198.51.100.1", v.work("rare")))
	third := v.work("rare")
	v.WantRefused("the third of a client", from("198.51.100.1", third), "overloaded", "rate")
	v.WantPassed(from("203.0.113.9", third))
	v.WantRefused("the fourth of all", from("2001:db8::1", v.work("rare")), "overloaded", "rate")
}

// TestWorkIsUsedOnce, by however many requests at once, of two policies.
func TestWorkIsUsedOnce(t *testing.T) {
	g := harness.NewGate(t)
	v := visitor{g}
	g.Run(policies(g))
	const each = 40
	for range 5 {
		proof := v.work("a")
		var group sync.WaitGroup
		for range each {
			group.Go(func() { v.to(site, "GET", "/a", "", "Captcha-Altcha", proof.Get("altcha")) })
		}
		group.Wait()
		if seen := g.Seen(); len(seen) != 1 {
			t.Errorf("the app saw %d of %d requests", len(seen), each)
		}
	}
}

// TestClaimsOfWork live as long as their challenges do, and a quarter of an
// hour more for clocks that are wrong, whatever the ttl of the replay cache.
func TestClaimsOfWork(t *testing.T) {
	redis := miniredis.RunT(t)
	g := harness.NewGate(t)
	v := visitor{g}
	g.Global = "captcha {\nreplay_cache redis {\naddress " + redis.Addr() + "\ntimeout 5s\nttl 45m\neviction_ok\n}\n}\n"
	g.Run("captcha /a* a {\nverifier altcha {\ndifficulty 1\nttl 1h\n}\n}\n" +
		"captcha /b* b {\nverifier altcha {\ndifficulty 1\n}\n}\n" + g.Proxy())
	for path, want := range map[string]time.Duration{"a": 75 * time.Minute, "b": 25 * time.Minute} {
		v.WantPassed(v.to(site, "GET", "/"+path, "", "Captcha-Altcha", v.work(path).Get("altcha")))
		keys := redis.Keys()
		if len(keys) != 1 || redis.TTL(keys[0]) != want {
			t.Errorf("%s: the keys are %q, and live for %v, want %v", path, keys, redis.TTL(keys[0]), want)
		}
		redis.FlushAll()
	}
}

// TestNothingIsDown: where there is no provider, on_outage is an error.
func TestNothingIsDown(t *testing.T) {
	for _, mode := range []string{"allow", "pow"} {
		g := harness.NewGate(t)
		config, err := harness.Adapt(g.Caddyfile("captcha /a* {\nverifier altcha\nclearance 30m\non_outage " + mode + "\n}\n" + g.Proxy()))
		if err != nil {
			t.Fatal(err)
		}
		if err := caddy.Load([]byte(config), true); err == nil || !strings.Contains(err.Error(), "on_outage "+mode+" has no effect") {
			t.Errorf("on_outage %s: %v", mode, err)
		}
	}
}
