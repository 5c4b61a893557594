package verifier

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// A challenge that was registered is one that can be solved, and what comes of
// it verifies, with each digest. The simulator derives challenges with code of
// its own.
func TestAChallengeOfTheSimulatorsLeadsToAProof(t *testing.T) {
	for digest := range derived {
		t.Run(digest, func(t *testing.T) {
			sim, err := simulator.New(simulator.Config{
				GeeTestV3: []simulator.GeeTestV3{{CaptchaID: v3ID, CaptchaKey: v3Key, Digest: digest}},
			})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(sim)
			defer server.Close()
			v := digesting(t, digest, server.URL)
			for range 2 { // with and without the suffix of the slide type
				challenge, failure := v.Challenge(t.Context(), testClient, testUser)
				if challenge == nil {
					t.Fatalf("there is no challenge, but %+v", failure)
				}
				solved, err := sim.Solve("geetest_v3", simulator.SolveOptions{ID: v3ID, Challenge: challenge.(geetestV3Challenge).Challenge})
				if err != nil {
					t.Fatal(err)
				}
				var proof Proof
				for _, p := range v.Parameters() {
					proof = append(proof, solved.Get(p.Name))
				}
				if verdict := v.Check(proof, time.Now(), time.Hour); verdict != (Verdict{}) {
					t.Errorf("the check says %+v", verdict)
				}
				expect(t, v.Verify(t.Context(), proof, testClient), Passed, "")
			}
		})
	}
}

// An id that nobody has, one that is none, and a
// digest that is not enabled; and last a service that is down.
func TestTheSimulatorsRefusalsAreMisconfigurations(t *testing.T) {
	sim, err := simulator.New(simulator.Config{
		GeeTestV3: []simulator.GeeTestV3{{CaptchaID: v3ID, CaptchaKey: v3Key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	defer server.Close()
	for _, c := range []struct{ id, digest, reason string }{
		{"f" + v3ID[1:], "md5", "register_0"},
		{v3ID[1:], "md5", "register_403"},
		{v3ID, "sha256", "register_0"},
	} {
		v := provisioned(t, &GeetestV3{CaptchaID: c.id, CaptchaKey: v3Key, Digest: c.digest, Endpoint: server.URL, Timeout: caddy.Duration(forever)})
		challenge, failure := v.Challenge(t.Context(), testClient, testUser)
		if challenge != nil {
			t.Errorf("%s has the challenge %+v", c.id, challenge)
		}
		expect(t, failure, Misconfigured, c.reason)
	}
	sim.Fail(simulator.Fault{Path: simulator.V3RegisterPath, Kind: simulator.Respond, Status: http.StatusServiceUnavailable})
	_, failure := digesting(t, "md5", server.URL).Challenge(t.Context(), testClient, testUser)
	expect(t, failure, Unknown, ReasonHTTPStatus)
}
