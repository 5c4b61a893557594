package browser

import (
	"fmt"
	"net/url"
	"reflect"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

var providerKinds = []string{"geetest_v3", "geetest_v4", "tencent", "intl"}

// solve starts the check and solves it.
func (b tab) solve(kind string) {
	b.t.Helper()
	if kind == "intl" {
		b.says("solve", "")
		b.press("fake-tick")
	} else {
		b.says("ready", "start")
		b.press("captcha-button")
	}
	b.press("fake-solve")
}

func TestSolvingBringsThePage(t *testing.T) {
	want := map[string]url.Values{
		"geetest_v3": {"geetest_challenge": {"challenge1"}, "geetest_validate": {"v2"}, "geetest_seccode": {"v2|jordan"}},
		"geetest_v4": {"lot_number": {"lot2"}, "captcha_output": {"out"}, "pass_token": {"a+b&c"}, "gen_time": {"1"}},
		"tencent":    {"ticket": {"t03********************"}, "randstr": {"@abc"}},
		"intl":       {"ticket": {"t03********************"}, "randstr": {"@abc"}},
	}
	for _, kind := range providerKinds {
		t.Run(kind, func(t *testing.T) {
			s, b := newSite(t, kind), newTab(t)
			b.open(s.app.URL + "/login?a=b#c")
			b.solve(kind)
			b.await("document.getElementById('app') && location.href === '" + s.app.URL + "/login?a=b#c'")
			if len(s.proofs) != 1 || !reflect.DeepEqual(s.proofs[0], want[kind]) {
				t.Errorf("got proofs %v, want %v once", s.proofs, want[kind])
			}
			if s.pages != 1 || s.asked != 1 {
				t.Errorf("got %d pages and %d challenges, want one each", s.pages, s.asked)
			}
			b.sound()
		})
	}
}

// Whatever the server says to the first proof, the second one passes.
func TestARefusedProofCanBeSolvedAgain(t *testing.T) {
	for _, kind := range providerKinds {
		for _, outcome := range []string{"rejected", "expired", "replayed"} {
			t.Run(kind+" "+outcome, func(t *testing.T) {
				s, b := newSite(t, kind), newTab(t)
				s.verifies = []refusal{{status: 403, outcome: outcome, proof: "spent"}}
				b.open(s.app.URL + "/login")
				b.solve(kind)
				b.says(outcome, "retry")
				b.press("captcha-button")
				if kind == "intl" {
					b.press("fake-tick")
				}
				b.press("fake-solve")
				b.await("document.getElementById('app')")
				wantAsked := 1 // GeeTest's widgets reset themselves
				if kind == "tencent" || kind == "intl" {
					wantAsked = 2
				}
				if len(s.proofs) != 2 || s.asked != wantAsked {
					t.Errorf("got %d proofs and %d challenges, want 2 and %d", len(s.proofs), s.asked, wantAsked)
				}
				b.sound()
			})
		}
	}
}

func TestOtherRefusalsSaySo(t *testing.T) {
	for _, outcome := range []string{"risky", "outage", "misconfigured", "malformed"} {
		t.Run(outcome, func(t *testing.T) {
			s, b := newSite(t, "geetest_v4"), newTab(t)
			s.verifies = []refusal{{status: 403, outcome: outcome, proof: "unknown"}}
			b.open(s.app.URL + "/login")
			b.solve("geetest_v4")
			text := outcome
			if texts[english][text] == "" {
				text = "broken"
			}
			b.says(text, "retry")
			b.press("captcha-button")
			b.press("fake-solve") // opens by itself now
			b.await("document.getElementById('app')")
			if s.asked != 2 {
				t.Errorf("got %d challenges, want a new one", s.asked)
			}
			b.sound()
		})
	}
}

func TestABusyServerIsAskedAgain(t *testing.T) {
	busy := refusal{status: 503, outcome: "overloaded", proof: "reusable", retryAfter: "7"}
	s, b := newSite(t, "geetest_v4"), newTab(t, clock())
	s.challenges = []refusal{busy, busy, busy, busy}
	s.verifies = []refusal{busy, busy, busy, busy, busy}
	b.open(s.app.URL + "/login")
	for range maxTries {
		b.says("busy", "")
		b.await("!fire(0, 6999) && fire(7000, 10500)")
	}
	b.says("overloaded", "retry")
	b.press("captcha-button") // too early: waits for the rest of the seven seconds
	b.says("busy", "")
	b.await("fire(1000, 7000)")
	b.press("fake-solve")
	for range maxTries {
		b.says("busy", "")
		b.await("fire(7000, 10500)")
	}
	b.says("overloaded", "retry")
	b.press("captcha-button")
	b.await("fire(1000, 7000)") // by hand, which does not start the count anew
	b.says("busy", "")
	b.await("fire(7000, 10500)")
	b.await("document.getElementById('app')")
	if s.asked != 5 || len(s.proofs) != 6 {
		t.Errorf("got %d challenges and %d proofs, want 5 and 6", s.asked, len(s.proofs))
	}
	for _, proof := range s.proofs {
		if !reflect.DeepEqual(proof, s.proofs[0]) {
			t.Errorf("got proofs %v, want the same one each time", s.proofs)
		}
	}
	b.sound()
}

const maxTries = 3

func TestABrokenConnectionKeepsTheProof(t *testing.T) {
	s, b := newSite(t, "geetest_v3"), newTab(t)
	s.verifies = []refusal{{status: -1}}
	b.open(s.app.URL + "/login")
	b.solve("geetest_v3")
	b.says("offline", "retry")
	b.press("captcha-button")
	b.await("document.getElementById('app')")
	if len(s.proofs) != 2 || s.asked != 1 || !reflect.DeepEqual(s.proofs[0], s.proofs[1]) {
		t.Errorf("got proofs %v and %d challenges, want the same proof again", s.proofs, s.asked)
	}
	b.sound()
}

func TestAWidgetThatWasClosedOpensAgain(t *testing.T) {
	for _, kind := range providerKinds {
		t.Run(kind, func(t *testing.T) {
			s, b := newSite(t, kind), newTab(t)
			b.open(s.app.URL + "/login")
			if kind == "intl" {
				b.press("fake-tick")
			} else {
				b.says("ready", "start")
				b.press("captcha-button")
			}
			b.press("fake-close")
			b.says("closed", "open")
			b.press("captcha-button")
			if kind == "intl" {
				b.press("fake-tick")
			}
			b.press("fake-solve")
			b.await("document.getElementById('app')")
			b.sound()
		})
	}
}

// A script of the provider that fails, in whatever way, leaves a message and a
// way to try again, which works as soon as the provider does.
func TestAFailingWidgetCanBeTriedAgain(t *testing.T) {
	tests := []struct {
		kind, mode, text string
		reach            func(tab)
		complaint        string // of the browser, about what the look-alike does on purpose
	}{
		{kind: "geetest_v3", mode: "missing", text: "blocked"},
		{kind: "geetest_v4", mode: "missing", text: "blocked"},
		{kind: "tencent", mode: "missing", text: "blocked"},
		{kind: "geetest_v4", mode: "empty", text: "blocked", complaint: "script is broken"},
		{kind: "geetest_v4", mode: "stalled", text: "blocked", reach: func(b tab) { b.await("document.querySelector('script[src*=stalled]') && fire(20000, 20000)") }},
		{kind: "geetest_v3", mode: "throw", text: "broken"},
		{kind: "geetest_v4", mode: "throw", text: "broken"},
		{kind: "tencent", mode: "throw", text: "broken"},
		{kind: "geetest_v3", mode: "loaderror", text: "broken"},
		{kind: "geetest_v4", mode: "loaderror", text: "broken"},
		{kind: "geetest_v3", mode: "throwlater", text: "slow", complaint: "Error: later"},
		{kind: "geetest_v4", mode: "neverready", text: "slow", reach: func(b tab) { b.await("window.fake && fake.config && fire(20000, 20000)") }},
		{kind: "geetest_v3", mode: "stall", text: "slow", reach: func(b tab) { b.await("window.fake && fake.config && fire(20000, 20000)") }},
		{kind: "intl", mode: "norender", text: "slow", reach: func(b tab) { b.says("solve", ""); b.await("fire(20000, 20000)") }},
		{kind: "geetest_v3", mode: "throwinshow", text: "broken", reach: func(b tab) { b.press("captcha-button") }},
		{kind: "geetest_v3", mode: "expiring", text: "expired", reach: func(b tab) { b.press("captcha-button"); b.press("fake-error") }},
		{kind: "geetest_v4", mode: "erring", text: "broken", reach: func(b tab) { b.press("captcha-button"); b.press("fake-error") }},
		{kind: "tencent", mode: "erring", text: "broken", reach: func(b tab) { b.press("captcha-button"); b.press("fake-failure") }},
		{kind: "geetest_v3", mode: "old", text: "expired", reach: func(b tab) { b.says("ready", "start"); b.await("fire(540000, 540000)") }},
		{kind: "tencent", mode: "old", text: "expired", reach: func(b tab) { b.says("ready", "start"); b.await("fire(540000, 540000)") }},
	}
	for _, test := range tests {
		t.Run(test.kind+" "+test.mode, func(t *testing.T) {
			s, b := newSite(t, test.kind), newTab(t, clock())
			s.mode = test.mode
			b.open(s.app.URL + "/login")
			if test.reach != nil {
				test.reach(b)
			}
			b.says(test.text, "retry")
			s.set(func() { s.mode = "" })
			b.eval("if (window.fake) fake.mode = fake.mode.startsWith('intl') ? 'intl' : ''")
			b.press("captcha-button")
			if test.kind == "intl" {
				b.press("fake-tick")
			}
			b.press("fake-solve")
			b.await("document.getElementById('app')")
			if s.asked != 2 {
				t.Errorf("got %d challenges, want a new one for the second attempt", s.asked)
			}
			if test.complaint == "" {
				b.sound()
			} else {
				b.sound(test.complaint)
			}
		})
	}
}

// A ticket that Tencent's widget made itself is shown to the server, which
// alone knows whether there is an outage.
func TestDisasterTickets(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		s, b := newSite(t, "tencent"), newTab(t)
		s.verifies = []refusal{{status: 403, outcome: "rejected", proof: "spent"}}
		b.open(s.app.URL + "/login")
		b.says("ready", "start")
		b.press("captcha-button")
		b.press("fake-disaster")
		b.says("service", "retry")
		b.press("captcha-button")
		b.press("fake-solve")
		b.await("document.getElementById('app')")
		b.sound()
	})
	t.Run("accepted", func(t *testing.T) {
		s, b := newSite(t, "tencent"), newTab(t)
		b.open(s.app.URL + "/login")
		b.press("captcha-button")
		b.press("fake-disaster")
		b.await("document.getElementById('app')")
		if got := s.proofs[0].Get("ticket"); len(s.proofs) != 1 || got != "trerror_1006_123_1700000000" {
			t.Errorf("got proofs %v", s.proofs)
		}
		b.sound()
	})
}

func TestTheWidgetIsToldTheLanguageAndMore(t *testing.T) {
	want := map[string]map[string][]string{
		"geetest_v3": {"lang": {"zh-cn", "zh-tw", "en"}, "gt": {"gt", "gt", "gt"}, "offline": {"false", "false", "false"}, "new_captcha": {"true", "true", "true"}},
		"geetest_v4": {"language": {"zho", "zho-tw", "eng"}, "captchaId": {"id", "id", "id"}},
		"tencent":    {"userLanguage": {"zh-cn", "zh-tw", "en"}, "enableDarkMode": {"true", "true", "true"}, "needFeedBack": {"false", "false", "false"}, "aidEncrypted": {"aid+/=", "aid+/=", "aid+/="}, "aidEncryptedType": {"gcm", "gcm", "gcm"}},
		"intl":       {"userLanguage": {"zh-cn", "zh-tw", "en"}, "enableDarkMode": {"true", "true", "true"}, "aidEncrypted": {"undefined", "undefined", "undefined"}},
	}
	for _, kind := range providerKinds {
		for i, language := range []string{"zh-CN", "zh-TW", "en"} {
			t.Run(kind+" "+language, func(t *testing.T) {
				s, b := newSite(t, kind), newTab(t, browsertest.Emulate(browsertest.View{Language: language}))
				b.open(s.app.URL + "/login")
				b.await("window.fake && fake.config")
				for option, values := range want[kind] {
					b.await(fmt.Sprintf("String(fake.config[%q]) === %q", option, values[i]))
				}
				b.sound()
			})
		}
	}
}
