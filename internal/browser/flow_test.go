package browser

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

var providerKinds = []string{"geetest_v3", "geetest_v4", "tencent", "intl"}

// solve solves the captcha, which opens by itself.
func (b tab) solve(kind string) {
	b.t.Helper()
	b.says("solve", "")
	if kind == "intl" {
		b.press("fake-tick")
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
			if textIn(english)[text] == "" {
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
	fireOnce := func() {
		b.says("busy", "")
		b.awaitIn(widget, "!w.fire(1000, 6999) && w.fire(7000, 10500)")
	}
	b.open(s.app.URL + "/login")
	for range maxTries {
		fireOnce()
	}
	b.says("overloaded", "retry")
	b.press("captcha-button") // too early: waits for the rest of the seven seconds
	b.says("busy", "")
	b.fire(1000, 7000)
	b.press("fake-solve")
	for range maxTries {
		fireOnce()
	}
	b.says("overloaded", "retry")
	b.press("captcha-button")
	b.fire(1000, 7000) // by hand, which does not start the count anew
	b.says("overloaded", "retry")
	b.press("captcha-button")
	b.fire(1000, 7000)
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
		{kind: "geetest_v4", mode: "stalled", text: "blocked", reach: func(b tab) {
			b.awaitIn(widget, "w.document.querySelector('script[src*=stalled]') && w.fire(32000, 32000)")
		}},
		{kind: "geetest_v3", mode: "throw", text: "broken"},
		{kind: "geetest_v4", mode: "throw", text: "broken"},
		{kind: "tencent", mode: "throw", text: "broken"},
		{kind: "geetest_v3", mode: "loaderror", text: "broken"},
		{kind: "geetest_v4", mode: "loaderror", text: "broken"},
		{kind: "geetest_v3", mode: "throwlater", text: "slow", complaint: "Error: later"},
		{kind: "geetest_v4", mode: "neverready", text: "slow", reach: func(b tab) { b.awaitIn(widget, "w.fake && w.fake.config && w.fire(32000, 32000)") }},
		{kind: "geetest_v3", mode: "stall", text: "slow", reach: func(b tab) { b.awaitIn(widget, "w.fake && w.fake.config && w.fire(32000, 32000)") }},
		{kind: "intl", mode: "norender", text: "slow", reach: func(b tab) { b.awaitIn(widget, "w.fake && w.fake.config && w.fire(32000, 32000)") }},
		{kind: "geetest_v3", mode: "throwinshow", text: "broken"},
		{kind: "geetest_v3", mode: "expiring", text: "expired", reach: func(b tab) { b.press("fake-error") }},
		{kind: "geetest_v4", mode: "erring", text: "broken", reach: func(b tab) { b.press("fake-error") }},
		{kind: "tencent", mode: "erring", text: "service", reach: func(b tab) { b.press("fake-failure") }},
		{kind: "geetest_v3", mode: "old", text: "expired", reach: func(b tab) { b.says("solve", ""); b.fire(540000, 540000) }},
		{kind: "tencent", mode: "old", text: "expired", reach: func(b tab) { b.says("solve", ""); b.fire(540000, 540000) }},
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

// What a widget makes itself when it cannot reach its provider is no proof:
// only in an outage that the server knows of is it shown to it.
func TestWhatWidgetsMakeThemselves(t *testing.T) {
	for _, kind := range []string{"geetest_v4", "tencent", "intl"} {
		t.Run(kind, func(t *testing.T) {
			s, b := newSite(t, kind), newTab(t)
			b.open(s.app.URL + "/login")
			if kind == "intl" {
				b.press("fake-tick")
			}
			b.press("fake-disaster")
			b.says("service", "retry")
			b.press("captcha-button")
			b.solve(kind)
			b.await("document.getElementById('app')")
			if len(s.proofs) != 1 || strings.Contains(s.proofs[0].Get("ticket"), "error") || s.asked != 2 {
				t.Errorf("got proofs %v and %d challenges, want that of the second attempt", s.proofs, s.asked)
			}
			b.sound()
		})
	}
	t.Run("in an outage", func(t *testing.T) {
		s, b := newSite(t, "tencent"), newTab(t)
		s.down = true
		b.open(s.app.URL + "/login")
		b.press("fake-disaster")
		b.await("document.getElementById('app')")
		if got := s.proofs[0].Get("ticket"); len(s.proofs) != 1 || got != "trerror_1006_123_1700000000" {
			t.Errorf("got proofs %v", s.proofs)
		}
		b.sound()
	})
}

// Each widget gets its language in its own words, what the challenge holds and
// the operator's options, of which none takes the place of what the page needs.
func TestWhatWidgetsAreTold(t *testing.T) {
	languages := []string{"zh-CN", "zh-TW", "en", "vi", "ar", "pt"}
	want := map[string]map[string][]string{
		"geetest_v3": {"lang": {"zh-cn", "zh-tw", "en", "vi", "ar", "pt-pt"}, "gt": {"gt"}, "offline": {"false"}, "new_captcha": {"true"}, "product": {"bind"}, "width": {"90%"}, "timeout": {"8000"}},
		"geetest_v4": {"language": {"zho", "zho-tw", "eng", "eng", "ara", "por"}, "captchaId": {"id"}, "product": {"bind"}, "width": {"90%"}, "timeout": {"7000"}},
		"tencent":    {"userLanguage": {"zh-cn", "zh-tw", "en", "vi", "ar", "pt"}, "enableDarkMode": {"true"}, "needFeedBack": {"false"}, "aidEncrypted": {"aid+/="}, "aidEncryptedType": {"gcm"}, "width": {"90%"}},
		"intl":       {"userLanguage": {"zh-cn", "zh-tw", "en", "vi", "ar", "pt"}, "enableDarkMode": {"true"}, "aidEncrypted": {"undefined"}, "width": {"90%"}},
	}
	for _, kind := range providerKinds {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, kind)
			s.options = map[string]any{"width": "90%", "product": "float", "captchaId": "x", "gt": "x", "lang": "x", "language": "x", "userLanguage": "x"}
			for i, language := range languages {
				b := newTab(t, browsertest.Emulate(browsertest.View{Language: language}))
				b.open(s.app.URL + "/login")
				b.awaitIn(widget, "w.fake && w.fake.config")
				for option, values := range want[kind] {
					b.awaitIn(widget, fmt.Sprintf("String(w.fake.config[%q]) === %q", option, values[min(i, len(values)-1)]))
				}
				b.sound()
			}
		})
	}
}
