package clearance

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
)

// fixed is a token that does not depend on chance.
func fixed(i *Issuer, s Subject) *token {
	keys, err := i.subkeys()
	if err != nil {
		panic(err)
	}
	t := &token{key: keys[0].id, expiry: uint64(testNow.Add(i.options.TTL).UnixMilli())}
	copy(t.id[:], "a random id, not")
	i.sign(keys[0], t, s)
	return t
}

// fields writes a text from the description of the format.
func fields(list ...string) (text string) {
	for _, field := range list {
		text += fmt.Sprintf("%c%c%c%c%s", 0, 0, 0, len(field), field)
	}
	return text
}

// TestFormat builds a clearance anew from the description of the format, with
// the standard library alone. What it finds has to stay: a change logs out
// everybody, and needs another version.
func TestFormat(t *testing.T) {
	must := func(bytes []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(bytes)
	}
	mac := func(key, text string) string {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(text))
		return string(h.Sum(nil))
	}

	options := byBoth()
	options.MaxUses = 5
	subject := browser
	subject.Host = "Shop.Example:8443"

	derived := must(hkdf.Key(sha256.New, first, []byte("caddycaptcha"), fields("clearance", "login"), 40))
	key, keyID := derived[:32], derived[32:]
	const expiry, id = "\x00\x00\x01\xa3\x18\x77\xc7\xbb", "a random id, not"
	unbound := fields("\x01", "__Host-captcha-login", "login", "geetest_v4", options.CaptchaID, options.Service, "5", keyID, "shop.example:8443") + expiry + id
	tag := mac(key, unbound)[:16]
	bound := unbound + tag + "\x03" + fields("\xc0\x00\x02\x00\x18", subject.UserAgent)
	want := base64.RawURLEncoding.EncodeToString([]byte("\x01" + keyID + expiry + id + mac(key, bound) + tag))

	i := New(testKeys(first), options)
	if got := fixed(i, subject).encode(); got != want {
		t.Errorf("cookie  %q\n   want %q", got, want)
	}
	expectState := func(value string, want State) {
		t.Helper()
		cookie := mustIssue(t, i, subject)
		cookie.Value = value
		if _, state, err := i.Check(headerOf(cookie), subject, testNow, always); state != want || err != nil {
			t.Error(state, err)
		}
	}
	expectState(want, Valid)

	const written = "Aacod6spDOQTAAABoxh3x7thIHJhbmRvbSBpZCwgbm90NGdm2OKMAxTVszZU3qn7qiAvb8Au3W-YPMOUGlUpg6281Kuc70LL8aN7vSvZCzbG"
	if want != written {
		t.Errorf("cookie  %q\n  it was %q", want, written)
	}
}
