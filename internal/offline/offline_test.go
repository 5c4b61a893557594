package offline

import (
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
)

func keysOf(secrets ...string) *clearance.Keys {
	return clearance.NewKeys(func() (all [][]byte, err error) {
		for _, secret := range secrets {
			all = append(all, []byte(secret))
		}
		return all, nil
	})
}

var now = time.Unix(1_800_000_000, 0)

func issue(t *testing.T, c *Challenges, host string) string {
	t.Helper()
	challenge, err := c.Issue(host, now)
	if err != nil {
		t.Fatal(err)
	}
	return challenge
}

// TestCheck: a challenge is good for ten minutes, for its captcha and host, with
// any of the keys, and in one spelling.
func TestCheck(t *testing.T) {
	const oldKey, newKey = "an old key of some length", "a new key of some length"
	c := New(keysOf(oldKey), "geetest_v3", "id")
	challenge := issue(t, c, "Example.com")
	if !regexp.MustCompile(`^[0-9a-z]{32}$`).MatchString(challenge) {
		t.Fatalf("%q is no challenge of GeeTest's kind", challenge)
	}
	if issue(t, c, "Example.com") == challenge {
		t.Error("two challenges are the same")
	}
	for name, test := range map[string]struct {
		challenges *Challenges
		challenge  string
		host       string
		at         time.Duration
		want       bool
	}{
		"at once":                   {c, challenge, "example.com", 0, true},
		"of another case":           {c, challenge, "EXAMPLE.COM", 0, true},
		"a moment before the end":   {c, challenge, "example.com", 10*time.Minute - time.Second, true},
		"at the end":                {c, challenge, "example.com", 10 * time.Minute, false},
		"of a clock that is behind": {c, challenge, "example.com", -time.Minute, true},
		"of one far behind":         {c, challenge, "example.com", -10 * time.Minute, false},
		"of another host":           {c, challenge, "www.example.com", 0, false},
		"of a key that is replaced": {New(keysOf(newKey, oldKey), "geetest_v3", "id"), challenge, "example.com", 0, true},
		"of a key that is gone":     {New(keysOf(newKey), "geetest_v3", "id"), challenge, "example.com", 0, false},
		"of another captcha":        {New(keysOf(oldKey), "geetest_v3", "i"), challenge, "example.com", 0, false},
		"of another provider":       {New(keysOf(oldKey), "geetest_v3 i", "d"), challenge, "example.com", 0, false},
		"in capitals":               {c, strings.ToUpper(challenge), "example.com", 0, false},
		"with a sign":               {c, "+" + challenge, "example.com", 0, false},
		"with a sign for a digit":   {c, "+" + challenge[1:], "example.com", 0, false},
		"with a zero more":          {c, "0" + challenge, "example.com", 0, false},
		"with a zero less":          {c, strings.TrimPrefix(challenge, "0"), "example.com", 0, !strings.HasPrefix(challenge, "0")},
		"of zeros":                  {c, strings.Repeat("0", 32), "example.com", 0, false},
		"too large":                 {c, strings.Repeat("z", 32), "example.com", 0, false},
		"empty":                     {c, "", "example.com", 0, false},
	} {
		got, err := test.challenges.Check(test.challenge, test.host, now.Add(test.at))
		if err != nil || got != test.want {
			t.Errorf("%s: got %t, %v", name, got, err)
		}
	}
}

// TestForgery: no change of a challenge makes another one, not of its bits and
// not of its characters.
func TestForgery(t *testing.T) {
	c := New(keysOf("a key of sufficient length"), "geetest_v3", "id")
	challenge := issue(t, c, "example.com")
	tried := 0
	try := func(forged string) {
		if forged == challenge {
			return
		}
		tried++
		if ok, _ := c.Check(forged, "example.com", now); ok {
			t.Errorf("%q is taken for %q", forged, challenge)
		}
	}
	raw, _ := decode(challenge)
	for bit := range 8 * size {
		changed := new(big.Int).SetBytes(raw)
		changed.SetBit(changed, bit, 1-changed.Bit(bit))
		try(encode(changed.FillBytes(make([]byte, size))))
	}
	for at := range challenge {
		for _, digit := range "0123456789abcdefghijklmnopqrstuvwxyz_+-Z " {
			try(challenge[:at] + string(digit) + challenge[at+1:])
		}
	}
	for range 10_000 {
		forged := append(append([]byte(nil), raw[:expirySize+nonceSize]...), make([]byte, macSize)...)
		for i := range macSize {
			forged[expirySize+nonceSize+i] = byte(rand.Uint32()) //nolint:gosec // a test
		}
		try(encode(forged))
	}
	if tried < 11_000 {
		t.Errorf("tried only %d", tried)
	}
}

func FuzzCheck(f *testing.F) {
	c := New(keysOf("a key of sufficient length"), "geetest_v3", "id")
	challenge, _ := c.Issue("example.com", now)
	f.Add("example.com", challenge)
	f.Add("example.com", strings.Repeat("0", 32))
	f.Add("example.com", "+"+challenge[1:])
	f.Fuzz(func(t *testing.T, host, forged string) {
		ok, err := c.Check(forged, host, now)
		if err != nil {
			t.Fatal(err)
		}
		if ok && (forged != challenge || !strings.EqualFold(host, "example.com")) {
			t.Errorf("%q is taken for %q", forged, challenge)
		}
	})
}
