package clearance

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// world has clearances in every state, for a policy with limited uses.
type world struct {
	*Issuer
	header map[string]string // pairs of a Cookie header, by what they are
	ids    map[string]ID
	left   map[ID]int
	asked  []ID // in which order uses were asked for
}

func newWorld(t *testing.T) *world {
	options := byBoth()
	options.MaxUses = 2
	w := &world{
		Issuer: New(testKeys(first), options),
		header: make(map[string]string),
		ids:    make(map[string]ID),
		left:   make(map[ID]int),
	}
	elsewhere := browser
	elsewhere.UserAgent = "another"
	for name, test := range map[string]struct {
		subject Subject
		now     time.Time
		uses    int
	}{
		"good":        {browser, testNow, 2},
		"good too":    {browser, testNow, 2},
		"used up":     {browser, testNow, 0},
		"expired":     {browser, testNow.Add(-options.TTL), 2},
		"another's":   {elsewhere, testNow, 2},
		"host's":      {Subject{Host: "a.example", Secure: true}, testNow, 2},
		"plain":       {Subject{Host: browser.Host, Prefix: browser.Prefix, UserAgent: browser.UserAgent}, testNow, 2},
		"not granted": {browser, testNow, -1},
	} {
		cookie, c, err := w.Issue(test.subject, test.now)
		if err != nil {
			t.Fatal(err)
		}
		w.header[name], w.ids[name] = pair(cookie), c.ID
		if test.uses >= 0 {
			w.left[c.ID] = test.uses
		}
	}
	w.header["renamed"] = strings.Replace(w.header["plain"], "captcha-", "__Host-captcha-", 1)
	w.header["junk"] = "__Host-captcha-login=junk"
	w.header["empty"] = "__Host-captcha-login="
	w.header["huge"] = "__Host-captcha-login=" + strings.Repeat("A", 1<<20)
	w.header["session"] = "PHPSESSID=0123456789"
	return w
}

func (w *world) take(id ID) (bool, error) {
	w.asked = append(w.asked, id)
	if w.left[id] == 0 {
		return false, nil
	}
	w.left[id]--
	return true, nil
}

// check checks a request with these lines of cookies, each a list of their
// names in the world.
func (w *world) check(lines ...string) (Clearance, State, error) {
	header := make(http.Header)
	for _, line := range lines {
		var pairs []string
		for name := range strings.SplitSeq(line, ", ") {
			pairs = append(pairs, w.header[name])
		}
		header.Add("Cookie", strings.Join(pairs, "; "))
	}
	return w.Check(header, browser, testNow, w.take)
}

// TestTossedCookies puts others' cookies before, behind and in place of a good
// one.
func TestTossedCookies(t *testing.T) {
	seven := strings.Repeat("junk, ", 7)
	for _, test := range []struct {
		lines []string
		want  State
	}{
		{nil, Absent},
		{[]string{"session"}, Absent},
		{[]string{"plain"}, Absent},
		{[]string{"good"}, Valid},
		{[]string{"session, good, session"}, Valid},
		{[]string{"plain, good"}, Valid},
		{[]string{"session", "good", "session"}, Valid},
		{[]string{"junk"}, Invalid},
		{[]string{"empty"}, Invalid},
		{[]string{"huge"}, Invalid},
		{[]string{"renamed"}, Invalid},
		{[]string{"host's"}, Invalid},
		{[]string{"expired"}, Expired},
		{[]string{"another's"}, Binding},
		{[]string{"used up"}, UsedUp},
		{[]string{"not granted"}, UsedUp},
		{[]string{"huge, good"}, Valid},
		{[]string{"good, huge"}, Valid},
		{[]string{"expired, another's, used up, not granted, junk, good"}, Valid},
		{[]string{"expired", "another's", "used up", "not granted", "junk", "good"}, Valid},
		{[]string{"expired, junk"}, Expired},
		{[]string{"junk, expired, another's"}, Binding},
		{[]string{"another's, expired, junk"}, Binding},
		{[]string{"another's, used up, expired, junk"}, UsedUp},
		{[]string{seven + "good"}, Valid},
		{[]string{seven + "session, plain, session, good"}, Valid},
		{[]string{seven + "junk, good"}, Invalid},
		{[]string{seven, "good"}, Valid},
		{[]string{seven, "junk", "good"}, Invalid},
		{[]string{strings.Repeat("used up, ", 8) + "good"}, UsedUp},
		{[]string{strings.Repeat("session, ", 1000) + "good"}, Valid},
		{[]string{strings.Repeat("junk, ", 10_000)}, Invalid},
	} {
		w := newWorld(t)
		c, state, err := w.check(test.lines...)
		if state != test.want || err != nil {
			t.Errorf("%.200q: %v, %v; want %v", test.lines, state, err, test.want)
		}
		wantID := ID{}
		if test.want == Valid {
			wantID = w.ids["good"]
		}
		if c.ID != wantID {
			t.Errorf("%.200q: clearance %x, want %x", test.lines, c.ID, wantID)
		}
	}
}

func TestOnlyTheFirstValidCookieIsUsed(t *testing.T) {
	w := newWorld(t)
	order := []string{"good", "good", "good too", "good too"}
	for _, name := range order {
		if c, state, _ := w.check("good, good too"); state != Valid || c.ID != w.ids[name] {
			t.Errorf("%v with %x, want %s", state, c.ID, name)
		}
	}
	if _, state, _ := w.check("good, good too"); state != UsedUp {
		t.Errorf("after four uses: %v", state)
	}
	a, b := w.ids["good"], w.ids["good too"]
	if want := []ID{a, a, a, b, a, b, a, b}; !slices.Equal(w.asked, want) {
		t.Errorf("asked for uses of %x, want %x", w.asked, want)
	}
}

func TestUsesAreAskedForValidClearancesOnly(t *testing.T) {
	w := newWorld(t)
	w.check("junk, expired, another's, host's, renamed, plain, session")
	if len(w.asked) > 0 {
		t.Errorf("asked for %d uses", len(w.asked))
	}
}

func TestNoCounterNoClearance(t *testing.T) {
	w := newWorld(t)
	header := http.Header{"Cookie": {w.header["good"]}}
	if c, state, err := w.Check(header, browser, testNow, nil); state != UsedUp || err != nil || c != (Clearance{}) {
		t.Errorf("without a counter: %v, %v, %v", c, state, err)
	}
	down := errors.New("the counter is down")
	for _, taken := range []bool{true, false} {
		c, state, err := w.Check(header, browser, testNow, func(ID) (bool, error) { return taken, down })
		if state != Absent || !errors.Is(err, down) || c != (Clearance{}) {
			t.Errorf("with a counter that is down: %v, %v, %v", c, state, err)
		}
	}
}

func TestUnlimitedClearancesAreNotCounted(t *testing.T) {
	i := New(testKeys(first), byIP())
	_, state, err := i.Check(headerOf(mustIssue(t, i, browser)), browser, testNow, func(ID) (bool, error) {
		return false, errors.New("asked for a use")
	})
	if state != Valid || err != nil {
		t.Error(state, err)
	}
}

func TestSpellingsOfACookieHeader(t *testing.T) {
	i := New(testKeys(first), byBoth())
	cookie := mustIssue(t, i, browser)
	name, value := cookie.Name, cookie.Value
	for line, want := range map[string]State{
		"":                                  Absent,
		";":                                 Absent,
		" ; ;; = ; =;==":                    Absent,
		name:                                Absent,
		name + ";" + name:                   Absent,
		"=" + name + "=" + value:            Absent,
		"x" + name + "=" + value:            Absent,
		name + "x=" + value:                 Absent,
		strings.ToLower(name + "=" + value): Absent,
		strings.ToUpper(name) + "=" + value: Absent,
		name + " =" + value:                 Absent,
		"x=" + name + "=" + value:           Absent,
		`x="; ` + name + "=" + value + `"`:  Invalid,
		name + "=":                          Invalid,
		name + "==" + value:                 Invalid,
		name + "= " + value:                 Invalid,
		name + `="` + value + `"`:           Invalid,
		name + "=" + value + "=":            Invalid,
		name + "=" + value + "," + name + "=" + value: Invalid,
		name + "=" + value + "\x00":                   Invalid,
		name + "=" + value:                            Valid,
		name + "=" + value + ";":                      Valid,
		";;" + name + "=" + value + " \t; x=y":        Valid,
		"\t " + name + "=" + value:                    Valid,
		"a=b;" + name + "=" + value:                   Valid,
		`x="; ` + name + "=" + value + `; y="`:        Valid,
	} {
		if _, state, err := i.Check(http.Header{"Cookie": {line}}, browser, testNow, nil); state != want || err != nil {
			t.Errorf("%q: %v, %v; want %v", line, state, err, want)
		}
	}
}

func TestCookieNamesOfAPolicy(t *testing.T) {
	i := New(testKeys(first), byIP())
	for name, want := range map[string]bool{
		"captcha-login":         true,
		"__Host-captcha-login":  true,
		"captcha_until_login":   true,
		"captcha_until_signup":  false,
		"captcha-signup":        false,
		"captcha-":              false,
		"captcha-login2":        false,
		"__host-captcha-login":  false,
		"__Host-captcha-signup": false,
		"PHPSESSID":             false,
		"":                      false,
	} {
		if got := i.IsCookie(name); got != want {
			t.Errorf("IsCookie(%q) = %t", name, got)
		}
	}
}
