package clearance

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzCheck knows two genuine clearances, one by https and one by http. A
// request passes exactly if one of the first eight cookies of the right name
// has the value of the right one, and the client and the time are right.
func FuzzCheck(f *testing.F) {
	i := New(testKeys(first, second), byBoth())
	plain := browser
	plain.Secure = false
	genuine := map[bool]string{true: fixed(i, browser).encode(), false: fixed(i, plain).encode()}
	f.Add("__Host-captcha-login="+genuine[true], browser.Host, browser.UserAgent, true, int64(0))
	f.Add("captcha-login="+genuine[false], "SHOP.example:8443", browser.UserAgent, false, int64(1_799_999))

	f.Fuzz(func(t *testing.T, lines, host, userAgent string, secure bool, passed int64) {
		header := http.Header{"Cookie": strings.Split(lines, "\n")}
		subject := Subject{Host: host, Secure: secure, Prefix: browser.Prefix, UserAgent: userAgent}
		if passed %= 1e13; passed < 0 {
			passed = -passed
		}
		now := testNow.Add(time.Duration(passed) * time.Microsecond)
		c, state, err := i.Check(header, subject, now, nil)
		if err != nil {
			t.Fatal(err)
		}

		var values []string
		name := map[bool]string{true: "__Host-captcha-login=", false: "captcha-login="}[secure]
		for pair := range strings.FieldsFuncSeq(lines, func(r rune) bool { return r == ';' || r == '\n' }) {
			if value, ok := strings.CutPrefix(strings.Trim(pair, " \t"), name); ok && len(values) < 8 {
				values = append(values, value)
			}
		}
		has := false
		for _, value := range values {
			has = has || value == genuine[secure]
		}
		want := has && userAgent == browser.UserAgent && strings.EqualFold(host, browser.Host) && len(host) == len(browser.Host) &&
			passed < byBoth().TTL.Microseconds()
		if (state == Valid) != want {
			t.Fatalf("%v, want valid: %t", state, want)
		}
		if (state == Absent) != (len(values) == 0) {
			t.Fatalf("%v with %d cookies", state, len(values))
		}
		if (c != Clearance{}) != want {
			t.Fatalf("clearance %v in state %v", c, state)
		}
	})
}

// FuzzDecode checks that a token has one text.
func FuzzDecode(f *testing.F) {
	f.Add(strings.Repeat("A", textSize))
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := decode(text)
		if ok && token.encode() != text {
			t.Fatalf("%q and %q are one token", text, token.encode())
		}
		if !ok && token.clearance().ID != (ID{}) {
			t.Fatal("a token that is none carries something")
		}
	})
}
