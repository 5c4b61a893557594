package clearance

import (
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// expectState checks a request with one cookie, which has this value.
func expectState(t *testing.T, i *Issuer, value string, want State) {
	t.Helper()
	header := http.Header{"Cookie": {i.names.secure + "=" + value}}
	if c, state, err := i.Check(header, browser, testNow, nil); state != want || err != nil || want != Valid && c != (Clearance{}) {
		t.Fatalf("%q: %v, %v, %v; want %v", value, c, state, err, want)
	}
}

// TestEveryByteCounts changes each character of a cookie, and each bit of what
// it carries.
func TestEveryByteCounts(t *testing.T) {
	i := New(testKeys(first, second), byBoth())
	elsewhere := browser
	elsewhere.Prefix = netip.Prefix{}
	for subject, want := range map[Subject]State{browser: Valid, elsewhere: Binding} {
		value := mustIssue(t, i, subject).Value
		expectState(t, i, value, want)
		genuine, _ := decode(value)
		expectNot := func(changed string) {
			t.Helper()
			want := Invalid
			if token, ok := decode(changed); ok {
				// Somebody else's clearance is one whose MAC is not right here.
				if token.mac = genuine.mac; token == genuine {
					want = Binding
				}
			}
			expectState(t, i, changed, want)
		}
		for at := range value {
			for c := range 256 {
				changed := []byte(value)
				if changed[at] = byte(c); string(changed) != value && c != ';' {
					expectNot(string(changed))
				}
			}
			expectState(t, i, value[:at]+";"+value[at+1:], Invalid)
		}
		raw, err := encoding.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(raw) {
			raw[bit/8] ^= 1 << (bit % 8)
			expectNot(encoding.EncodeToString(raw))
			raw[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestTruncatedAndLongerCookies(t *testing.T) {
	i := New(testKeys(first), byBoth())
	value := mustIssue(t, i, browser).Value
	for n := range len(value) {
		expectState(t, i, value[:n], Invalid)
		expectState(t, i, value[n+1:], Invalid)
		expectState(t, i, value[:n]+value[n+1:], Invalid)
		expectState(t, i, value[:n]+"A"+value[n:], Invalid)
	}
	for _, more := range []string{"A", "=", "==", "AAAA", value, strings.Repeat("A", 1<<16)} {
		expectState(t, i, value+more, Invalid)
		expectState(t, i, more+value, Invalid)
	}
}

// TestSplicedCookies puts the parts of one clearance into another one.
func TestSplicedCookies(t *testing.T) {
	i := New(testKeys(first), byBoth())
	elsewhere := browser
	elsewhere.Prefix = netip.Prefix{}
	mine, _ := decode(mustIssue(t, i, browser).Value)
	theirs, _ := decode(mustIssue(t, i, elsewhere).Value)
	for name, test := range map[string]struct {
		splice func(*token)
		want   State
	}{
		"id":                  {func(t *token) { t.id = theirs.id }, Invalid},
		"expiry":              {func(t *token) { t.expiry++ }, Invalid},
		"MAC":                 {func(t *token) { t.mac = theirs.mac }, Binding},
		"tag":                 {func(t *token) { t.tag = theirs.tag }, Invalid},
		"id and tag":          {func(t *token) { t.id, t.tag = theirs.id, theirs.tag }, Binding},
		"MAC and tag":         {func(t *token) { t.mac, t.tag = theirs.mac, theirs.tag }, Invalid},
		"tag in place of MAC": {func(t *token) { t.mac = [len(t.mac)]byte{}; copy(t.mac[:], t.tag[:]) }, Binding},
		"MAC in place of tag": {func(t *token) { copy(t.tag[:], t.mac[:]) }, Invalid},
	} {
		spliced := mine
		test.splice(&spliced)
		if spliced == mine {
			t.Fatalf("%s: nothing changed", name)
		}
		expectState(t, i, spliced.encode(), test.want)
	}
}

func TestRandomCookies(t *testing.T) {
	i := New(testKeys(first), unbound())
	genuine, err := encoding.DecodeString(mustIssue(t, i, browser).Value)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{})
	for n := range 1_000_000 {
		raw := make([]byte, tokenSize)
		random.Read(raw)
		// All random, most would fail at once; these are genuine up to a point.
		copy(raw, genuine[:n%(tokenSize-8)])
		value := encoding.EncodeToString(raw)
		if _, state, err := i.check(value, browser, testNow); state == Valid || err != nil {
			t.Fatalf("%q: %v, %v", value, state, err)
		}
	}
}

// TestTokensOfOtherPurposes presents what a key for another purpose signed as
// a clearance.
func TestTokensOfOtherPurposes(t *testing.T) {
	keys := testKeys(first)
	i := New(keys, byBoth())
	value := mustIssue(t, i, browser).Value
	expectState(t, i, value, Valid)
	genuine, _ := decode(value)
	for _, purpose := range []Purpose{PurposeUserID, "offline challenge", "Clearance", ""} {
		derived, err := keys.Derive(purpose, "login")
		if err != nil {
			t.Fatal(err)
		}
		forged := genuine
		for _, id := range []KeyID{genuine.key, derived[0].id} {
			forged.key = id
			i.sign(derived[0], &forged, browser)
			expectState(t, i, forged.encode(), Invalid)
		}
	}
}

// TestFieldsAreNotAmbiguous signs texts whose fields share their letters: no
// two different clients and configurations may have the same text.
func TestFieldsAreNotAmbiguous(t *testing.T) {
	type fields struct {
		options Options
		subject Subject
		token   token
	}
	type covered struct {
		byMAC bool
		fields
	}
	random := rand.New(rand.NewPCG(1, 2))
	// Some of them look like a field behind its length.
	words := []string{"", "a", "aa", "\x00\x00\x00\x00", "\x00\x00\x00\x01a", "a\x00\x00\x00\x01a"}
	word := func() string { return words[random.IntN(len(words))] }
	prefixes := []netip.Prefix{
		{},
		netip.MustParsePrefix("97.97.97.0/24"),
		netip.MustParsePrefix("6161:6161:6161:6161::/64"),
		netip.MustParsePrefix("::ffff:97.97.97.0/120"),
	}
	seen := make(map[string]covered)
	again := 0
	for range 50_000 {
		f := fields{
			Options{
				Purpose:       PurposeClearance,
				Policy:        word(),
				Provider:      word(),
				CaptchaID:     word(),
				Service:       word(),
				MaxUses:       []int{0, 1, 11}[random.IntN(3)],
				BindIP:        random.IntN(2) == 0,
				BindUserAgent: random.IntN(2) == 0,
			},
			Subject{Host: word(), Secure: random.IntN(2) == 0},
			token{expiry: uint64(random.IntN(2)), id: ID{byte(random.IntN(2))}, tag: [tagSize]byte{'a'}},
		}
		// What a clearance is not bound to makes no difference.
		if f.options.BindIP {
			f.subject.Prefix = prefixes[random.IntN(len(prefixes))]
		}
		if f.options.BindUserAgent {
			f.subject.UserAgent = word()
		}
		i := New(nil, f.options)
		unbound := i.appendUnbound(nil, &f.token, f.subject)
		bound := i.appendBinding(slices.Clip(unbound), &f.token, f.subject)
		without := f // the binding
		without.options.BindIP, without.options.BindUserAgent = false, false
		without.subject.Prefix, without.subject.UserAgent = netip.Prefix{}, ""
		without.token.tag = [tagSize]byte{}
		for text, from := range map[string]covered{
			string(unbound): {false, without},
			string(bound):   {true, f},
		} {
			if known, ok := seen[text]; ok && known != from {
				t.Fatalf("%+v and %+v have the text %q", known, from, text)
			} else if ok {
				again++
			}
			seen[text] = from
		}
	}
	if again == 0 {
		t.Error("the fields are drawn from too many to share anything")
	}
}

func TestTokenHasOneText(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 10_000 {
		var raw []byte
		for len(raw) < tokenSize {
			raw = binary.BigEndian.AppendUint64(raw, random.Uint64())
		}
		raw[0] = version
		text := encoding.EncodeToString(raw[:tokenSize])
		token, ok := decode(text)
		if !ok || token.encode() != text {
			t.Fatalf("%q: %t, %q", text, ok, token.encode())
		}
	}
	for _, text := range []string{
		strings.Repeat("A", textSize),            // version 0
		"Ag" + strings.Repeat("A", textSize-2),   // version 2
		"AQ+" + strings.Repeat("A", textSize-3),  // another base64
		"AQ\n" + strings.Repeat("A", textSize-3), // skipped by encoding/base64
		"AQ\r\n" + strings.Repeat("A", textSize-4),
		"AQ" + strings.Repeat("A", textSize-3) + "=",
		"AQ" + strings.Repeat("A", textSize-2) + "\n",
	} {
		if _, ok := decode(text); ok {
			t.Errorf("%q was decoded", text)
		}
	}
}
