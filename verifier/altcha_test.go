package verifier

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// testSeal is a Seal with the key, or one that fails.
type testSeal string

const brokenSeal testSeal = ""

func (s testSeal) Mark(text []byte) (string, error) {
	if s == brokenSeal {
		return "", errors.New("no keys")
	}
	mac := hmac.New(sha256.New, []byte(s))
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil)), nil
}

func (s testSeal) Marked(text []byte, mark string) (bool, error) {
	made, err := s.Mark(text)
	return made == mark, err
}

var here = Client{Seal: testSeal("here")}

// altchaOf returns a verifier of little difficulty, whose clock stands.
func altchaOf(t testing.TB, difficulty int) *Altcha {
	t.Helper()
	a := &Altcha{Difficulty: difficulty}
	if err := a.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	a.now = func() time.Time { return now }
	return a
}

// solved is what the widget makes of a new challenge.
func solved(t testing.TB, a *Altcha) altchaPayload {
	t.Helper()
	challenge, failure := a.Challenge(t.Context(), here, "")
	if failure.Result != Unknown || challenge == nil {
		t.Fatalf("no challenge: %+v", failure)
	}
	payload := altchaPayload{Challenge: challenge.(altchaWidget).Challenge}
	for counter := range uint32(2 * a.Difficulty) {
		key, err := altchaKey(payload.Challenge.Parameters, counter)
		if err != nil {
			t.Fatal(err)
		}
		if text := hex.EncodeToString(key); strings.HasPrefix(text, payload.Challenge.Parameters.KeyPrefix) {
			payload.Solution.Counter, payload.Solution.DerivedKey = json.Number(fmt.Sprint(counter)), text
			return payload
		}
	}
	t.Fatal("the challenge has no solution")
	return payload
}

func proofOf(t testing.TB, payload any) Proof {
	t.Helper()
	text, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return Proof{base64.StdEncoding.EncodeToString(text)}
}

// tried is what Check, or else Verify, says.
func tried(t testing.TB, a *Altcha, proof Proof, client Client) Verdict {
	t.Helper()
	if verdict := a.Check(proof, a.now(), 25*time.Minute); verdict.Result != Unknown {
		return verdict
	}
	return a.Verify(t.Context(), proof, client)
}

func TestAltcha(t *testing.T) {
	a := altchaOf(t, 3)
	payload := solved(t, a)
	proof := proofOf(t, payload)
	issued := a.now()
	for name, test := range map[string]struct {
		client Client
		after  time.Duration
		want   Verdict
	}{
		"at once":                {here, 0, Verdict{Result: Passed}},
		"in the last second":     {here, 10*time.Minute - time.Second, Verdict{Result: Passed}},
		"at the end":             {here, 10 * time.Minute, Verdict{Result: Expired, Reason: "expires"}},
		"by a clock behind":      {here, -5 * time.Minute, Verdict{Result: Passed}},
		"by a clock far behind":  {here, -6 * time.Minute, Verdict{Result: Rejected, Reason: "expires"}},
		"at another place":       {Client{Seal: testSeal("there")}, 0, Verdict{Result: Rejected, Reason: "challenge"}},
		"where nobody can check": {Client{Seal: brokenSeal}, 0, Verdict{Result: Unknown, Reason: ReasonService, Err: errors.New("no keys")}},
	} {
		a.now = func() time.Time { return issued.Add(test.after) }
		if got := tried(t, a, proof, test.client); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
	a.now = func() time.Time { return issued }
	if challenge, failure := a.Challenge(t.Context(), Client{Seal: brokenSeal}, ""); challenge != nil || failure.Result != Unknown || failure.Err == nil {
		t.Errorf("without keys: %v, %+v", challenge, failure)
	}
	if key := a.ReplayKey(proof); key != payload.Challenge.Parameters.Nonce || len(key) != 32 {
		t.Errorf("the replay key is %q", key)
	}
	harder := altchaOf(t, 4)
	if got := tried(t, harder, proof, here); got.Result != Rejected {
		t.Errorf("when solutions have become harder: %+v", got)
	}
	if harder.Fingerprint() == a.Fingerprint() {
		t.Error("two difficulties have one fingerprint")
	}
}

// TestAltchaForgery: no member of what the widget sends can be another one, and
// none can come from another genuine payload, but for those that say nothing.
func TestAltchaForgery(t *testing.T) {
	a := altchaOf(t, 3)
	var payloads [2]map[string]any
	for i := range payloads {
		text, _ := json.Marshal(solved(t, a))
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber()
		if err := decoder.Decode(&payloads[i]); err != nil {
			t.Fatal(err)
		}
	}
	if got := tried(t, a, proofOf(t, payloads[0]), here); got.Result != Passed {
		t.Fatalf("the payload as it is: %+v", got)
	}
	forged := 0
	// at walks through all members of both payloads, and calls try with each
	// and with a way to set it.
	var at func(path string, mine, others map[string]any, try func(path string, value, other any, set func(any)))
	at = func(path string, mine, others map[string]any, try func(string, any, any, func(any))) {
		for _, name := range slices.Sorted(maps.Keys(mine)) {
			if inner, ok := mine[name].(map[string]any); ok {
				at(path+"."+name, inner, others[name].(map[string]any), try)
			}
			value := mine[name]
			try(path+"."+name, value, others[name], func(v any) {
				if v == nil {
					delete(mine, name)
				} else {
					mine[name] = v
				}
			})
			mine[name] = value
		}
	}
	at("", payloads[0], payloads[1], func(path string, value, other any, set func(any)) {
		forgeries := []any{nil, other, "", "0", json.Number("0"), json.Number("1"), true, []any{}, map[string]any{}}
		switch value := value.(type) {
		case string:
			forgeries = append(forgeries, value+"0", value[1:], strings.ToUpper(value), "0"+value, flipped(value))
		case json.Number:
			forgeries = append(forgeries, json.Number(value.String()+"0"), json.Number("-"+value.String()), value.String())
		}
		for _, f := range forgeries {
			if reflect.DeepEqual(f, value) || path == ".solution.counter" {
				continue // a counter is a hint: the key is what counts
			}
			forged++
			set(f)
			if got := tried(t, a, proofOf(t, payloads[0]), here); got.Result == Passed && fmt.Sprint(f) != fmt.Sprint(value) {
				t.Errorf("%s %v: %v passes", path, value, f)
			}
		}
	})
	if forged < 100 {
		t.Errorf("tried only %d", forged)
	}
}

// TestAltchaSplicing: of two solved challenges no third is made, whichever
// members it takes from which.
func TestAltchaSplicing(t *testing.T) {
	a := altchaOf(t, 3)
	one, other := solved(t, a), solved(t, a)
	one.Challenge.Parameters.Data.Expires-- // they differ in all that can differ
	var err error
	if one.Challenge.Signature, err = here.Seal.Mark(one.Challenge.Parameters.text()); err != nil {
		t.Fatal(err)
	}
	members := func(p *altchaPayload) []*string {
		q := &p.Challenge.Parameters
		return []*string{&q.Nonce, &q.Salt, &q.KeyPrefix, &q.KeySignature, &p.Challenge.Signature, &p.Solution.DerivedKey}
	}
	from := members(&other)
	all := 1<<len(from) - 1
	for taken := range all + 1 {
		for _, expires := range []bool{false, true} {
			spliced := one
			for i, member := range members(&spliced) {
				if taken>>i&1 == 1 {
					*member = *from[i]
				}
			}
			if expires {
				spliced.Challenge.Parameters.Data.Expires = other.Challenge.Parameters.Data.Expires
			}
			genuine := taken == 0 && !expires || taken == all && expires
			if got := tried(t, a, proofOf(t, spliced), here); (got.Result == Passed) != genuine {
				t.Errorf("%06b, expires %t: %+v", taken, expires, got)
			}
		}
	}
}

// flipped is a text with another last character.
func flipped(text string) string {
	last := byte('0')
	if text[len(text)-1] == last {
		last = '1'
	}
	return text[:len(text)-1] + string(last)
}

// TestAltchaWork: browsers derive as many keys as difficulty says at least, and
// twice as many at most, each of which is as likely as the others.
func TestAltchaWork(t *testing.T) {
	a := altchaOf(t, 4)
	seen := make(map[json.Number]int)
	for range 100 {
		seen[solved(t, a).Solution.Counter]++
	}
	for counter, n := range seen {
		if !slices.Contains([]json.Number{"4", "5", "6", "7"}, counter) || n < 5 {
			t.Errorf("the number is %s %d times of 100", counter, n)
		}
	}
	if len(seen) != 4 {
		t.Errorf("the numbers are %v", seen)
	}
}

// TestAltchaConfig: what the options take, in JSON and in a Caddyfile.
func TestAltchaConfig(t *testing.T) {
	for text, want := range map[string]any{
		`altcha`: Altcha{Difficulty: 4000, TTL: caddy.Duration(10 * time.Minute), PerClient: 60, InAll: 3000},
		"altcha {\ndifficulty 9\nttl 2m\nrate 5\n}":         Altcha{Difficulty: 9, TTL: caddy.Duration(2 * time.Minute), PerClient: 5, InAll: 3000},
		"altcha {\nrate 5000\n}":                            Altcha{Difficulty: 4000, TTL: caddy.Duration(10 * time.Minute), PerClient: 5000, InAll: 5000},
		"altcha {\nrate 5 6\nttl 1h\n}":                     Altcha{Difficulty: 4000, TTL: caddy.Duration(time.Hour), PerClient: 5, InAll: 6},
		"altcha x":                                          "takes no arguments",
		"altcha {\ndifficulty 0\n}":                         "difficulty must be a number from 1 to 1000000, at Caddyfile:2",
		"altcha {\ndifficulty 1000001\n}":                   "difficulty must be",
		"altcha {\ndifficulty\n}":                           "difficulty takes one argument",
		"altcha {\ndifficulty 1\ndifficulty 1\n}":           "given twice",
		"altcha {\nttl 119s\n}":                             "ttl must be a duration from 2m to 1h",
		"altcha {\nttl 61m\n}":                              "ttl must be",
		"altcha {\nrate 6 5\n}":                             "rate must be",
		"altcha {\nrate 0\n}":                               "rate must be",
		"altcha {\nwidget a b\n}":                           `unrecognized subdirective "widget" of altcha; it has difficulty, ttl, rate`,
		"altcha {\nendpoint https://captcha.example.com\n}": "unrecognized",
	} {
		var a Altcha
		err := a.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if err == nil {
			err = a.Provision(caddy.Context{})
		}
		if message, refused := want.(string); refused {
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "Testfile", "Caddyfile"), message) {
				t.Errorf("%s: %v, want %s", text, err, message)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if a.now = nil; !reflect.DeepEqual(a, want) {
			t.Errorf("%s: %+v, want %+v", text, a, want)
		}
	}
	for _, a := range []Altcha{{Difficulty: -1}, {TTL: -1}, {TTL: caddy.Duration(time.Minute)}, {PerClient: -1}, {PerClient: 2, InAll: 1}, {InAll: -1}} {
		if err := a.Provision(caddy.Context{}); err == nil {
			t.Errorf("%+v is taken", a)
		}
	}
}

func FuzzAltcha(f *testing.F) {
	a := altchaOf(f, 2)
	genuine := proofOf(f, solved(f, a))[0]
	raw, _ := base64.StdEncoding.DecodeString(genuine)
	f.Add(raw)
	f.Add([]byte(`{"challenge":{"parameters":{"nonce":1}}}`))
	f.Add([]byte(`{"challenge":null,"solution":null,"test":true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		proof := Proof{base64.StdEncoding.EncodeToString(text)}
		verdict := tried(t, a, proof, here)
		if verdict.Result != Passed {
			return
		}
		var got, want altchaPayload
		if json.Unmarshal(text, &got) != nil || json.Unmarshal(raw, &want) != nil || got.Challenge != want.Challenge || got.Solution.DerivedKey != want.Solution.DerivedKey {
			t.Errorf("%s passes", text)
		}
	})
}
