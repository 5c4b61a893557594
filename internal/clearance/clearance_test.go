package clearance

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCookieAttributes(t *testing.T) {
	for _, test := range []struct {
		secure bool
		ttl    time.Duration
		want   http.Cookie
	}{
		{true, 30 * time.Minute, http.Cookie{Name: "__Host-captcha-login", MaxAge: 1800, Secure: true}},
		{false, time.Hour, http.Cookie{Name: "captcha-login", MaxAge: 3600}},
		{false, 1500 * time.Millisecond, http.Cookie{Name: "captcha-login", MaxAge: 2}},
		{false, time.Nanosecond, http.Cookie{Name: "captcha-login", MaxAge: 1}},
	} {
		options, subject := byIP(), browser
		options.TTL, subject.Secure = test.ttl, test.secure
		got, c, err := New(testKeys(first), options).Issue(subject, testNow)
		if err != nil {
			t.Fatal(err)
		}
		test.want.Value = got.Value
		test.want.Path, test.want.HttpOnly, test.want.SameSite = "/", true, http.SameSiteLaxMode
		if got.String() != test.want.String() {
			t.Errorf("cookie %s, want %s", got, &test.want)
		}
		if ends := testNow.Add(test.ttl).Truncate(time.Millisecond); !c.Expiry.Equal(ends) {
			t.Errorf("ends at %v, want %v", c.Expiry, ends)
		}
	}
}

func TestClearanceIsValidForItsSubject(t *testing.T) {
	for _, options := range []Options{unbound(), byIP(), byUserAgent(), byBoth()} {
		for _, secure := range []bool{true, false} {
			subject := browser
			subject.Secure = secure
			i := New(testKeys(first), options)
			cookie, made, err := i.Issue(subject, testNow)
			if err != nil {
				t.Fatal(err)
			}
			checked, state, err := i.Check(headerOf(cookie), subject, testNow, nil)
			if state != Valid || err != nil || checked != made {
				t.Errorf("%+v: got %v, %v, %v; want %v", options, checked, state, err, made)
			}
		}
	}
}

// TestForeignClearances checks that nothing of another policy, captcha, host
// or scheme passes, under the name that is asked for.
func TestForeignClearances(t *testing.T) {
	for name, change := range map[string]func(*Options, *Subject){
		"policy":         func(o *Options, _ *Subject) { o.Policy = "signup" },
		"policy's case":  func(o *Options, _ *Subject) { o.Policy = "Login" },
		"provider":       func(o *Options, _ *Subject) { o.Provider = "geetest_v3" },
		"captcha id":     func(o *Options, _ *Subject) { o.CaptchaID = "fedcba9876543210fedcba9876543210" },
		"no captcha id":  func(o *Options, _ *Subject) { o.CaptchaID = "" },
		"service":        func(o *Options, _ *Subject) { o.Service = "http://127.0.0.1:9999" },
		"max uses":       func(o *Options, _ *Subject) { o.MaxUses = 5 },
		"host":           func(_ *Options, s *Subject) { s.Host = "evil.example:8443" },
		"sub domain":     func(_ *Options, s *Subject) { s.Host = "www.shop.example:8443" },
		"parent domain":  func(_ *Options, s *Subject) { s.Host = "example:8443" },
		"port":           func(_ *Options, s *Subject) { s.Host = "shop.example:9443" },
		"no port":        func(_ *Options, s *Subject) { s.Host = "shop.example" },
		"trailing dot":   func(_ *Options, s *Subject) { s.Host = "shop.example.:8443" },
		"no host":        func(_ *Options, s *Subject) { s.Host = "" },
		"case of no A-Z": func(_ *Options, s *Subject) { s.Host = "SHOP.EXAMPLE\x1a8443" },
		"scheme":         func(_ *Options, s *Subject) { s.Secure = !s.Secure },
	} {
		for _, secure := range []bool{true, false} {
			subject := browser
			subject.Secure = secure
			theirs, theirSubject := byBoth(), subject
			change(&theirs, &theirSubject)
			for _, swap := range []bool{false, true} {
				mine, other, mySubject, otherSubject := byBoth(), theirs, subject, theirSubject
				if swap {
					mine, other, mySubject, otherSubject = other, mine, otherSubject, mySubject
				}
				cookie := mustIssue(t, New(testKeys(first), other), otherSubject)
				i := New(testKeys(first), mine)
				cookie.Name = i.kindOf(mySubject).name
				if _, state, err := i.Check(headerOf(cookie), mySubject, testNow, always); state != Invalid || err != nil {
					t.Errorf("clearance with another %s (secure %t, swapped %t): %v, %v", name, secure, swap, state, err)
				}
			}
		}
	}
}

func TestHostHasNoCase(t *testing.T) {
	i := New(testKeys(first), unbound())
	for issued, asked := range map[string]string{
		"shop.example":       "SHOP.Example",
		"SHOP.example:8443":  "shop.EXAMPLE:8443",
		"[2001:db8::a]":      "[2001:DB8::A]",
		"[2001:DB8::A]:8443": "[2001:db8::a]:8443",
		"":                   "",
	} {
		cookie := mustIssue(t, i, Subject{Host: issued})
		if _, state, _ := i.Check(headerOf(cookie), Subject{Host: asked}, testNow, nil); state != Valid {
			t.Errorf("issued for %q, asked for %q: %v", issued, asked, state)
		}
	}
	// Letters do, nothing else.
	for c := range 256 {
		issued, asked := Subject{Host: string([]byte{byte(c)})}, Subject{Host: string([]byte{byte(c ^ 0x20)})}
		want := Invalid
		if letter := c | 0x20; 'a' <= letter && letter <= 'z' {
			want = Valid
		}
		if _, state, _ := i.Check(headerOf(mustIssue(t, i, issued)), asked, testNow, nil); state != want {
			t.Errorf("issued for %q, asked for %q: %v, want %v", issued.Host, asked.Host, state, want)
		}
	}
}

// TestBinding moves one clearance from each client and configuration to each
// other one.
func TestBinding(t *testing.T) {
	address := func(text string) Subject {
		s := browser
		s.Prefix = netip.MustParsePrefix(text)
		return s
	}
	unixSocket := browser
	unixSocket.Prefix = netip.Prefix{}
	updated := browser
	updated.UserAgent = strings.Replace(browser.UserAgent, "140", "141", 1)
	nameless := browser
	nameless.UserAgent = ""
	clients := []Subject{
		browser,
		address("192.0.3.0/24"),
		address("192.0.2.0/23"),
		address("0.0.0.0/0"),
		address("2001:db8::/64"),
		address("2001:db8:0:1::/64"),
		address("::/0"),
		address("::ffff:192.0.2.0/120"),
		unixSocket,
		updated,
		nameless,
	}
	options := []Options{unbound(), byIP(), byUserAgent(), byBoth()}
	for a, from := range clients {
		for b, issuedUnder := range options {
			cookie := mustIssue(t, New(testKeys(first), issuedUnder), from)
			for c, to := range clients {
				for d, checkedUnder := range options {
					want := Valid
					if b != d ||
						checkedUnder.BindIP && from.Prefix != to.Prefix ||
						checkedUnder.BindUserAgent && from.UserAgent != to.UserAgent {
						want = Binding
					}
					if _, state, _ := New(testKeys(first), checkedUnder).Check(headerOf(cookie), to, testNow, nil); state != want {
						t.Errorf("from client %d under options %d to client %d under options %d: %v, want %v", a, b, c, d, state, want)
					}
				}
			}
		}
	}
}

func TestClearanceEndsAtItsExpiry(t *testing.T) {
	i := New(testKeys(first), byIP())
	cookie := mustIssue(t, i, browser)
	ttl := byIP().TTL
	elsewhere := browser
	elsewhere.Prefix = netip.Prefix{}
	for _, test := range []struct {
		passed time.Duration
		want   State
	}{
		{0, Valid},
		{ttl - 1, Valid},
		{ttl, Expired},
		{ttl + 1, Expired},
		{100 * 365 * 24 * time.Hour, Expired},
		// The clock was wrong before, or is now.
		{-1, Valid},
		{-clockMargin, Valid},
		{-clockMargin - 1, Expired},
		{-ttl, Expired},
		{-40 * 365 * 24 * time.Hour, Expired},
	} {
		now := testNow.Add(test.passed)
		if _, state, err := i.Check(headerOf(cookie), browser, now, nil); state != test.want || err != nil {
			t.Errorf("after %v: %v, %v; want %v", test.passed, state, err, test.want)
		}
		// Whose it was no longer matters.
		if test.want == Expired {
			if _, state, _ := i.Check(headerOf(cookie), elsewhere, now, nil); state != Expired {
				t.Errorf("after %v, from another client: %v", test.passed, state)
			}
		}
	}
}

func TestShorterTTLEndsLongClearances(t *testing.T) {
	long, short := unbound(), unbound()
	long.TTL, short.TTL = 24*time.Hour, 10*time.Minute
	cookie := mustIssue(t, New(testKeys(first), long), browser)
	i := New(testKeys(first), short)
	if _, state, _ := i.Check(headerOf(cookie), browser, testNow, nil); state != Expired {
		t.Errorf("a clearance of a day under a ttl of ten minutes: %v", state)
	}
	cookie = mustIssue(t, i, browser)
	if _, state, _ := New(testKeys(first), long).Check(headerOf(cookie), browser, testNow, nil); state != Valid {
		t.Errorf("a clearance of ten minutes under a ttl of a day: %v", state)
	}
}

func TestParallelIssuesAreAllValid(t *testing.T) {
	i := New(testKeys(first), byBoth())
	cookies := make([]*http.Cookie, 20)
	var tabs sync.WaitGroup
	for n := range cookies {
		tabs.Go(func() {
			cookie, _, err := i.Issue(browser, testNow)
			if err != nil {
				t.Error(err)
				return
			}
			cookies[n] = cookie
		})
	}
	tabs.Wait()
	seen := make(map[ID]bool)
	for _, cookie := range cookies {
		tabs.Go(func() {
			for range 100 {
				if _, state, err := i.Check(headerOf(cookie), browser, testNow, nil); state != Valid || err != nil {
					t.Error(state, err)
				}
				elsewhere := browser
				elsewhere.Host += "0"
				if _, state, err := i.Check(headerOf(cookie), elsewhere, testNow, nil); state != Invalid || err != nil {
					t.Error(state, err)
				}
			}
		})
		c, _, _ := i.Check(headerOf(cookie), browser, testNow, nil)
		seen[c.ID] = true
	}
	tabs.Wait()
	if len(seen) != len(cookies) {
		t.Errorf("%d ids among %d clearances", len(seen), len(cookies))
	}
}

func TestStatesHaveTheNamesOfReasons(t *testing.T) {
	var names []string
	for state := range Valid + 2 {
		names = append(names, state.String())
	}
	if want := strings.Fields("absent invalid expired binding used_up valid unknown"); !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// TestCheckAllocatesAtMostTwice measures single checks and takes the one in the middle:
// under the race detector a sync.Pool forgets at random.
func TestCheckAllocatesAtMostTwice(t *testing.T) {
	i := New(testKeys(first, second), byBoth())
	header := browserHeader(t, i, browser)
	measured := make([]float64, 201)
	for n := range measured {
		measured[n] = testing.AllocsPerRun(1, func() {
			if _, state, err := i.Check(header, browser, testNow, nil); state != Valid || err != nil {
				t.Error(state, err)
			}
		})
	}
	slices.Sort(measured)
	if got := measured[len(measured)/2]; got > 2 {
		t.Errorf("%v allocations", got)
	}
}

func TestLongFieldsAreCheckedAndNotKept(t *testing.T) {
	i := New(testKeys(first), byBoth())
	long := browser
	long.UserAgent = strings.Repeat("x", 1<<20)
	cookie := mustIssue(t, i, long)
	if _, state, _ := i.Check(headerOf(cookie), long, testNow, nil); state != Valid {
		t.Errorf("with a long User-Agent: %v", state)
	}
	keys, err := i.subkeys()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if room := cap(keys[0].borrow().text); room > 4096 {
			t.Errorf("%d bytes are kept", room)
		}
	}
	long.UserAgent += "y"
	if _, state, _ := i.Check(headerOf(cookie), long, testNow, nil); state != Binding {
		t.Errorf("with a longer User-Agent: %v", state)
	}
}
