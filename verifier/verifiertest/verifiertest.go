// Package verifiertest tests what holds for every [verifier.Verifier]. The
// verifiers of this module pass it, and so should one of yours:
//
//	func TestMyVerifier(t *testing.T) { verifiertest.Run(t, subject) }
//
//	func FuzzMyVerifier(f *testing.F) { verifiertest.Fuzz(f, subject) }
//
// The suite loads the verifier as Caddy does, from JSON, and puts itself in
// the place of its service, on loopback addresses, or has a [verifier.Local]
// issue challenges and solves them. It knows nothing of the protocol but what
// the [Subject] says. Run it with the race detector, too.
package verifiertest

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// Subject is a verifier, and what the suite has to know about it.
type Subject struct {
	// Module is the id of the Caddy module, such as
	// "http.captcha.verifiers.geetest_v4".
	Module string

	// Options are all options that the module has in JSON. One has the
	// RoleService and one the RoleTimeout, unless it is a verifier.Local.
	Options []Option

	// Proof is a genuine proof of the captcha that Options configure, and Now
	// a time at which it is fresh.
	Proof verifier.Proof
	Now   time.Time

	// Plausible reports whether Check may let a proof through. It states the
	// rule a second time, so that it should not be the verifier's own code.
	Plausible func(verifier.Proof) bool

	// Spellings are proofs that the provider may take for Proof: they have its
	// ReplayKey. Others are those of other solved captchas, which have not.
	Spellings, Others []verifier.Proof

	// Verify is the call about Proof. A verifier.Local makes none.
	Verify Call

	// Solve makes the proof of a challenge, as a browser does. Only a
	// verifier.Local has it.
	Solve func(challenge any) verifier.Proof

	// Challenge is the call for a challenge, if there is one.
	Challenge *Call

	// Secrets are texts that no verdict or challenge may hold besides the
	// options with the RoleSecret, the proof, and what tells who the client
	// is: signatures, for example.
	Secrets []string
}

// Option is an option of a verifier.
type Option struct {
	// Name is the option's name in JSON.
	Name string

	// Value is what the suite configures; nil leaves the option out. The
	// suite itself sets those of RoleService and RoleTimeout.
	Value any

	// Other is another valid value.
	Other any

	Role Role
}

// Role is what an option is for.
type Role string

// The roles.
const (
	RoleService Role = "service" // the URL of the service
	RoleTimeout Role = "timeout" // how long a call may take, as a Caddy duration
	RoleSecret  Role = "secret"  // a required key
	RoleVerdict Role = "verdict" // anything else that a verdict depends on
	RoleBrowser Role = "browser" // only browsers get to see it
	RoleHealth  Role = "health"  // only what probes ask depends on it
	RoleRate    Role = "rate"    // only how many proofs pass depends on it
)

// Call is a call to the service.
type Call struct {
	// Answers are some with the status 200 (OK). All are JSON objects. The
	// first is one of Passed, which for a challenge means that there is one.
	Answers []Answer

	// Statuses are the results of other statuses. Those that are not listed
	// are Unknown, and 429 (Too Many Requests) is Overloaded.
	Statuses map[int]verifier.Result
}

// Answer is an answer of the service.
type Answer struct {
	Body   string
	Result verifier.Result
	Reason string

	// Harmless says what may become of members of the answer so that it still
	// passes, or passes only then. The key is the path of a member: the names
	// with dots between them. No other change may make an answer pass.
	Harmless map[string]Change
}

// Change is a set of changes to a member.
type Change uint8

// The changes. None of them makes two members of one.
const (
	Removed Change = 1 << iota // the member is not there
	Null                       // it is null
	Retyped                    // it is of any other type

	Ignored = Removed | Null | Retyped // nobody looks at it
)

// suite is a subject under test.
type suite struct{ Subject }

// call is a Call and how to make it.
type call struct {
	name string
	Call
	do func(context.Context, verifier.Verifier) verifier.Verdict
}

// The client whose proof it is. That there are clients with other addresses,
// or none, is no matter of the suite.
var testClient = verifier.Client{IP: netip.MustParseAddr("203.0.113.7"), Type: "web"}

// testUser is what the service may tell the client apart by.
const testUser = "a9Zk-_user"

// Run tests a verifier. It must not run in parallel with other tests, since
// the last thing that it tests is that no goroutine is left.
func Run(t *testing.T, subject Subject) {
	s := &suite{subject}
	if os.Getenv(proxyCall) != "" {
		s.callPastProxy(t)
		return
	}
	before := goleak.IgnoreCurrent()
	t.Run("configuration", s.testConfiguration)
	t.Run("fingerprint", s.testFingerprint)
	t.Run("parameters", s.testParameters)
	t.Run("check", s.testCheck)
	t.Run("replay key", s.testReplayKey)
	if s.isLocal() {
		t.Run("local", s.testLocal)
	} else {
		s.testService(t)
	}
	t.Run("goroutines", func(t *testing.T) { goleak.VerifyNone(t, before) })
}

// isLocal tells whether the verifier is one that asks nobody.
func (s *suite) isLocal() bool { return s.Solve != nil }

// testService tests what a verifier makes of its service.
func (s *suite) testService(t *testing.T) {
	t.Run("challenge", s.testChallenge)
	for _, c := range s.calls() {
		t.Run(c.name, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, call){
				"answers": s.testAnswers, "mutations": s.testMutations, "bodies": s.testBodies,
				"statuses": s.testStatuses, "redirects": s.testRedirects, "cookies": s.testCookies,
				"stalls": s.testStalls, "cancellation": s.testCancellation, "breaks": s.testBreaks,
				"floods": s.testFloods, "TLS": s.testTLS, "delivery": s.testDelivery,
				"echoes": s.testEchoes, "concurrency": s.testConcurrency,
			} {
				t.Run(name, func(t *testing.T) { test(t, c) })
			}
		})
	}
	t.Run("proxy", s.testProxy)
}

// calls are the verifier's calls to its service.
func (s *suite) calls() []call {
	calls := []call{{"verify", s.Verify, func(ctx context.Context, v verifier.Verifier) verifier.Verdict {
		return v.Verify(ctx, s.Proof, testClient)
	}}}
	if s.Challenge != nil {
		calls = append(calls, call{"ask for a challenge", *s.Challenge, func(ctx context.Context, v verifier.Verifier) verifier.Verdict {
			if challenge, failure := v.(verifier.Challenger).Challenge(ctx, testClient, testUser); challenge == nil {
				return failure
			}
			return verifier.Verdict{Result: verifier.Passed}
		}})
	}
	return calls
}

// How long verifiers wait. No test waits for as long as forever, and tests of
// timeouts wait for brief.
const (
	forever = 5 * time.Minute
	brief   = 100 * time.Millisecond
)

// module loads the verifier as Caddy does, with some options changed: nil
// removes one.
func (s *suite) module(t testing.TB, changes map[string]any) (caddy.Module, error) {
	t.Helper()
	config := make(map[string]any)
	for _, o := range s.Options {
		value := o.Value
		if changed, found := changes[o.Name]; found {
			value = changed
		}
		if value != nil {
			config[o.Name] = value
		}
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	module, err := ctx.LoadModuleByID(s.Module, text)
	if err != nil {
		return nil, err
	}
	return module.(caddy.Module), nil
}

// load is module for configurations that are valid.
func (s *suite) load(t testing.TB, changes map[string]any) verifier.Verifier {
	t.Helper()
	module, err := s.module(t, changes)
	if err != nil {
		t.Fatalf("with %v the verifier cannot be loaded: %v", changes, err)
	}
	return module.(verifier.Verifier)
}

// at is a verifier whose service is at the URL.
func (s *suite) at(t testing.TB, url string, timeout time.Duration) verifier.Verifier {
	t.Helper()
	changes := s.reaching(t, url)
	changes[s.option(t, RoleTimeout)] = timeout.String()
	return s.load(t, changes)
}

// reaching is the change of options by which the service is at the URL, if there
// is one.
func (s *suite) reaching(t testing.TB, url string) map[string]any {
	t.Helper()
	if s.isLocal() {
		return make(map[string]any)
	}
	return map[string]any{s.option(t, RoleService): url}
}

// option is the name of the option that has the role.
func (s *suite) option(t testing.TB, role Role) string {
	t.Helper()
	i := slices.IndexFunc(s.Options, func(o Option) bool { return o.Role == role })
	if i < 0 {
		t.Fatalf("no option has the role %s", role)
	}
	return s.Options[i].Name
}

// verdict is what a call comes to, with the service at the URL.
func (s *suite) verdict(t testing.TB, c call, url string, timeout time.Duration) verifier.Verdict {
	t.Helper()
	return made(t, func() verifier.Verdict { return c.do(context.Background(), s.at(t, url, timeout)) })
}

// made is the verdict of a call that has to end. The minute is for the test to
// end, too, where it does not.
func made(t testing.TB, call func() verifier.Verdict) verifier.Verdict {
	t.Helper()
	verdicts := make(chan verifier.Verdict, 1)
	go func() { verdicts <- call() }()
	select {
	case verdict := <-verdicts:
		expectSound(t, verdict)
		return verdict
	case <-time.After(time.Minute):
		t.Fatal("the call has not returned")
		return verifier.Verdict{}
	}
}

var word = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,40}$`)

// unknown are the reasons of Unknown.
var unknown = []string{
	verifier.ReasonTimeout, verifier.ReasonConnection, verifier.ReasonTLS,
	verifier.ReasonHTTPStatus, verifier.ReasonAnswer, verifier.ReasonService,
}

// expectSound tests what holds for each verdict of a call.
func expectSound(t testing.TB, v verifier.Verdict) {
	t.Helper()
	passed := v.Result == verifier.Passed
	switch {
	case v.Result > verifier.Misconfigured:
		t.Errorf("%d is no result", v.Result)
	case passed && (v.Reason != "" || v.Advice != "" || v.Err != nil):
		t.Errorf("Passed needs no explanation: %+v", v)
	case !passed && !word.MatchString(v.Reason):
		t.Errorf("the reason is no short word: %+v", v)
	case v.Result == verifier.Unknown && (v.Err == nil || !slices.Contains(unknown, v.Reason)):
		t.Errorf("Unknown needs an error and one of the reasons %q: %+v", unknown, v)
	case v.Result != verifier.Unknown && v.Err != nil:
		t.Errorf("only Unknown has an error: %+v", v)
	case v.Result == verifier.Misconfigured && v.Advice == "":
		t.Errorf("Misconfigured needs advice: %+v", v)
	case v.Score < 0 || v.Score > 100 || v.Score != 0 && !v.HasScore:
		t.Errorf("the score is from 0 to 100, or there is none: %+v", v)
	}
}

// expect tests what a call came to.
func expect(t testing.TB, v verifier.Verdict, result verifier.Result, reason string) {
	t.Helper()
	if v.Result != result || v.Reason != reason {
		t.Errorf("the verdict is %v %q (%v), want %v %q", v.Result, v.Reason, v.Err, result, reason)
	}
}
