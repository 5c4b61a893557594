package verifiertest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// seal is a verifier.Seal with that key. The empty one has no keys and fails.
type seal string

func (s seal) Mark(text []byte) (string, error) {
	if s == "" {
		return "", errors.New("there are no keys")
	}
	mac := hmac.New(sha256.New, []byte(s))
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil)), nil
}

func (s seal) Marked(text []byte, mark string) (bool, error) {
	made, err := s.Mark(text)
	return err == nil && hmac.Equal([]byte(made), []byte(mark)), err
}

// sealed is the client with a seal.
func sealed(s seal) verifier.Client {
	client := testClient
	client.Seal = s
	return client
}

// testLocal tests a verifier that issues its challenges itself.
func (s *suite) testLocal(t *testing.T) {
	v, ok := s.load(t, nil).(verifier.Local)
	if !ok {
		t.Fatal("the verifier is no verifier.Local")
	}
	if perClient, inAll := v.Rate(); perClient < 1 || inAll < perClient || v.Lifetime() <= 0 {
		t.Errorf("the rate is %d for a client and %d in all, and the lifetime %v", perClient, inAll, v.Lifetime())
	}
	here := sealed("here")
	proof := s.Solve(s.issued(t, v, here))
	for i, p := range v.Parameters() {
		if len(proof) <= i || len(proof[i]) > p.MaxLength {
			t.Fatalf("the solution %q has no %s, or a longer one than %d bytes", proof, p.Name, p.MaxLength)
		}
	}
	expect(t, s.judged(t, v, proof, here), verifier.Passed, "")

	// A mark counts where it was made, and only a mark that can be read.
	for where, test := range map[string]struct {
		client verifier.Client
		want   verifier.Result
	}{"elsewhere": {sealed("there"), verifier.Rejected}, "without keys": {sealed(""), verifier.Unknown}} {
		if verdict := s.judged(t, v, proof, test.client); verdict.Result != test.want {
			t.Errorf("%s the verdict is %+v, want %v", where, verdict, test.want)
		}
	}
	if challenge, failure := v.Challenge(t.Context(), sealed(""), testUser); challenge != nil || failure.Result != verifier.Unknown || failure.Err == nil {
		t.Errorf("without keys the challenge is %v, and the failure %+v", challenge, failure)
	}
	if verdict := v.Check(proof, time.Now().Add(v.Lifetime()+time.Second), maxAge); verdict.Result == verifier.Unknown {
		t.Error("after its lifetime the proof is let through")
	}

	// Whatever else may pass, it is the same proof.
	key := v.ReplayKey(proof)
	if other := s.Solve(s.issued(t, v, here)); v.ReplayKey(other) == key {
		t.Error("two challenges have one replay key")
	}
	for i, p := range v.Parameters() {
		for _, value := range values(proof[i], p.MaxLength) {
			changed := with(proof, i, value)
			if verdict := s.judged(t, v, changed, here); verdict.Result == verifier.Passed && v.ReplayKey(changed) != key {
				t.Errorf("%q passes a second time", changed)
			}
		}
	}

	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			expect(t, s.judged(t, v, s.Solve(s.issued(t, v, here)), here), verifier.Passed, "")
		})
	}
	running.Wait()
}

// judged is what Check says of a proof now, or else Verify.
func (s *suite) judged(t testing.TB, v verifier.Verifier, proof verifier.Proof, client verifier.Client) verifier.Verdict {
	t.Helper()
	verdict := v.Check(proof, time.Now(), maxAge)
	if verdict.Result == verifier.Unknown {
		verdict = made(t, func() verifier.Verdict { return v.Verify(t.Context(), proof, client) })
	}
	s.expectDiscreet(t, "the verdict", verdict)
	if shown := fmt.Sprintf("%+v", verdict); slices.ContainsFunc(proof, func(part string) bool { return len(part) > 12 && strings.Contains(shown, part) }) {
		t.Errorf("the verdict %s holds a part of the proof", shown)
	}
	return verdict
}
