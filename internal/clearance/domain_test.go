package clearance

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func ofDomain() Options {
	options := byBoth()
	options.Domain = "shop.example"
	return options
}

func at(host string, secure bool) Subject {
	s := browser
	s.Host, s.Secure = host, secure
	return s
}

// inDomain are hosts of shop.example, and outside are hosts that are not.
var (
	inDomain = []string{"shop.example", "SHOP.Example", "shop.example:8443", "www.shop.example", "a.b.shop.example:443", "-.shop.example"}
	outside  = []string{
		"", "example", "ashop.example", "evilshop.example", "evil-shop.example", "shop.example.", "www.shop.example.", ".shop.example", "shop.example.evil.test", "shop.example-evil.test",
		"evil.test:shop.example", "[::1]", "[::1]:443", "192.0.2.1", "shop\u002eexample\x00", "\u017fhop.example", "shop.e\u212aample", "www.shop,example",
	}
)

func TestDomainCookie(t *testing.T) {
	i := New(testKeys(first), ofDomain())
	for _, host := range inDomain {
		cookie := mustIssue(t, i, at(host, true))
		if want := "__Secure-captcha-login=" + cookie.Value + "; Path=/; Domain=shop.example; Max-Age=1800; HttpOnly; Secure; SameSite=Lax"; cookie.String() != want {
			t.Errorf("%q: got %s, want %s", host, cookie, want)
		}
		if got, want := i.Hint(cookie).String(), "captcha_until_login=1; Path=/; Domain=shop.example; Max-Age=1800; Secure; SameSite=Lax"; got != want {
			t.Errorf("%q: got the hint %s, want %s", host, got, want)
		}
		if got, want := i.NoHint(at(host, true)).String(), "captcha_until_login=; Path=/; Domain=shop.example; Max-Age=0; Secure; SameSite=Lax"; got != want {
			t.Errorf("%q: got %s, want %s", host, got, want)
		}
	}
	for name, s := range map[string]Subject{"__Host-captcha-login": at("evil.test", true), "captcha-login": at("shop.example", false)} {
		if cookie := mustIssue(t, i, s); cookie.Name != name || cookie.Domain != "" || i.Hint(cookie).Domain != "" || i.NoHint(s).Domain != "" {
			t.Errorf("got %s, want %s of the host alone", cookie, name)
		}
	}
	for _, name := range []string{"__Secure-captcha-login", "__Host-captcha-login", "captcha-login", "captcha_until_login"} {
		if !i.IsCookie(name) {
			t.Errorf("%s is none of ours", name)
		}
	}
}

// TestDomainClearancesMoveWithinTheDomain moves a clearance from each host to
// each other, under every name.
func TestDomainClearancesMoveWithinTheDomain(t *testing.T) {
	i := New(testKeys(first), ofDomain())
	var subjects []Subject
	for _, host := range append(append([]string(nil), inDomain...), outside...) {
		subjects = append(subjects, at(host, true), at(host, false))
	}
	shares := func(s Subject) bool { return s.Secure && slices.Contains(inDomain, s.Host) }
	for _, from := range subjects {
		value := mustIssue(t, i, from).Value
		for _, to := range subjects {
			header := make(http.Header)
			for _, name := range []string{i.names.shared, i.names.secure, i.names.plain} {
				header.Add("Cookie", name+"="+value)
			}
			want := Invalid
			if shares(from) && shares(to) || !shares(from) && !shares(to) && from.Secure == to.Secure && strings.EqualFold(from.Host, to.Host) && len(from.Host) == len(to.Host) {
				want = Valid
			}
			if _, state, err := i.Check(header, to, testNow, always); state != want || err != nil {
				t.Errorf("from %q (secure %t) to %q (secure %t): %v, %v, want %v", from.Host, from.Secure, to.Host, to.Secure, state, err, want)
			}
		}
		if got := i.Shares(from); got != shares(from) {
			t.Errorf("%q (secure %t) shares: %t", from.Host, from.Secure, got)
		}
	}
}

// TestDomainClearancesAreOfTheirDomain: neither another domain's nor those of a
// policy without one pass, whatever name they come under.
func TestDomainClearancesAreOfTheirDomain(t *testing.T) {
	under, without, wider := ofDomain(), ofDomain(), ofDomain()
	under.Domain, without.Domain, wider.Domain = "www.shop.example", "", "example"
	s := at("www.shop.example", true)
	all := []Options{ofDomain(), under, without, wider}
	for a, issued := range all {
		value := mustIssue(t, New(testKeys(first), issued), s).Value
		for b, checked := range all {
			i := New(testKeys(first), checked)
			header := http.Header{"Cookie": {i.kindOf(s).name + "=" + value}}
			if _, state, _ := i.Check(header, s, testNow, always); (state == Valid) != (a == b) {
				t.Errorf("issued for %q, checked for %q: %v", issued.Domain, checked.Domain, state)
			}
		}
	}
}

// TestTossedDomainCookies: every host of the domain can put cookies before the
// browser's own.
func TestTossedDomainCookies(t *testing.T) {
	i := New(testKeys(first), ofDomain())
	s := at("www.shop.example", true)
	good := pair(mustIssue(t, i, s))
	for junk, want := range map[int]State{0: Valid, 8: Valid, 31: Valid, 32: Invalid} {
		header := http.Header{"Cookie": {strings.Repeat("__Secure-captcha-login=junk; ", junk) + good}}
		if _, state, err := i.Check(header, s, testNow, always); state != want || err != nil {
			t.Errorf("%d cookies before it: %v, %v, want %v", junk, state, err, want)
		}
	}
}

func FuzzIsIn(f *testing.F) {
	for _, host := range append(append([]string(nil), inDomain...), outside...) {
		f.Add("shop.example", host)
	}
	f.Fuzz(func(t *testing.T, domain, host string) {
		if domain == "" || strings.ContainsAny(domain, ":") || strings.ContainsFunc(domain, func(c rune) bool { return 'A' <= c && c <= 'Z' }) {
			return // it is no domain that can be configured
		}
		name, _, _ := strings.Cut(host, ":")
		lower := []byte(name)
		for i, c := range lower {
			lower[i] = lowered(c)
		}
		under, isUnder := strings.CutSuffix(string(lower), "."+domain)
		if got, want := isIn(domain, host), string(lower) == domain || isUnder && under != ""; got != want {
			t.Errorf("%q in %q: %t, want %t", host, domain, got, want)
		}
	})
}
