package verifiertest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// maxAge is the age that proofs may have.
const maxAge = 25 * time.Minute

func (s *suite) testParameters(t *testing.T) {
	v := s.load(t, nil)
	parameters := v.Parameters()
	if len(parameters) == 0 || len(parameters) != len(s.Proof) {
		t.Fatalf("there are %d parameters, and the proof has %d", len(parameters), len(s.Proof))
	}
	names, headers := make(map[string]bool), make(map[string]bool)
	for i, p := range parameters {
		switch {
		case !word.MatchString(p.Name) || names[p.Name]:
			t.Errorf("%q is no name of a parameter, or that of two", p.Name)
		case !httpguts.ValidHeaderFieldName(p.Header) || p.Header != http.CanonicalHeaderKey(p.Header) || strings.ContainsAny(p.Header, "_.") || headers[p.Header]:
			t.Errorf("%q is no header that Caddy lets through, or that of two parameters", p.Header)
		case p.MaxLength < len(s.Proof[i]):
			t.Errorf("a genuine %s is longer than %d bytes", p.Name, p.MaxLength)
		}
		names[p.Name], headers[p.Header] = true, true
	}
	v.Parameters()[0].Name = "changed"
	if !slices.Equal(v.Parameters(), parameters) || !slices.Equal(s.load(t, nil).Parameters(), parameters) {
		t.Error("the parameters change")
	}
}

// values are what a parameter may come with, besides its genuine value.
func values(genuine string, maxLength int) []string {
	all := []string{
		"", " ", "\x00", "\n", "\xff", "é", "0", "-1", "null", "*", "|", "_", "a_b_c", "true", "99999999999999999999", "18446744073709551616",
		strings.Repeat("a", maxLength), strings.Repeat("a", maxLength+1), strings.Repeat("*", maxLength), strings.Repeat("0", maxLength),
		strings.Repeat("\x80", 1<<16), strings.ToUpper(genuine), strings.ToLower(genuine), genuine + genuine,
		genuine[:1] + genuine, genuine + genuine[len(genuine)-1:],
	}
	for _, c := range []string{" ", "\t", "\n", "\x00", "\x7f", "é", "\xff", "x", "&", "%00"} {
		all = append(all, c+genuine, genuine+c, genuine[:len(genuine)/2]+c+genuine[len(genuine)/2:])
	}
	for i := range genuine {
		all = append(all, genuine[:i], genuine[i:], genuine[:i]+"~"+genuine[i+1:])
	}
	return all
}

func (s *suite) testCheck(t *testing.T) {
	v := s.load(t, nil)
	if verdict := v.Check(s.Proof, s.Now, maxAge); verdict != (verifier.Verdict{}) {
		t.Fatalf("of the genuine proof the check says %+v", verdict)
	}
	if !s.Plausible(s.Proof) {
		t.Fatal("the genuine proof is not plausible")
	}
	parameters := v.Parameters()
	for i, p := range parameters {
		for _, value := range values(s.Proof[i], p.MaxLength) {
			s.check(t, v, with(s.Proof, i, value))
			for j := range parameters { // in two of them
				s.check(t, v, with(with(s.Proof, i, value), j, value))
			}
		}
	}
	for _, proof := range []verifier.Proof{nil, {}, s.Proof[:len(s.Proof)-1], append(slices.Clone(s.Proof), "x"), make(verifier.Proof, len(s.Proof))} {
		if verdict := v.Check(proof, s.Now, maxAge); verdict.Result != verifier.Malformed {
			t.Errorf("of %d parts the check says %+v", len(proof), verdict)
		}
		s.check(t, v, proof)
	}
	for _, now := range []time.Time{{}, time.Unix(0, 0), time.Unix(1<<40, 0)} {
		for _, age := range []time.Duration{0, -maxAge, 1 << 62} {
			s.checkAt(t, v, s.Proof, now, age)
		}
	}
}

// Fuzz fuzzes the proofs of a verifier. Values are separated by a line break,
// which no proof has.
func Fuzz(f *testing.F, subject Subject) {
	s := &suite{subject}
	v := s.load(f, nil)
	f.Add(strings.Join(s.Proof, "\n"))
	for _, proof := range slices.Concat(s.Spellings, s.Others) {
		f.Add(strings.Join(proof, "\n"))
	}
	for i, p := range v.Parameters() {
		for _, value := range values(s.Proof[i], p.MaxLength) {
			f.Add(strings.Join(with(s.Proof, i, value), "\n"))
		}
	}
	f.Fuzz(func(t *testing.T, text string) { s.check(t, v, strings.Split(text, "\n")) })
}

// check tests what holds for each proof.
func (s *suite) check(t testing.TB, v verifier.Verifier, proof verifier.Proof) {
	t.Helper()
	s.checkAt(t, v, proof, s.Now, maxAge)
}

func (s *suite) checkAt(t testing.TB, v verifier.Verifier, proof verifier.Proof, now time.Time, age time.Duration) {
	t.Helper()
	verdict, parameters := v.Check(proof, now, age), v.Parameters()
	switch verdict.Result {
	case verifier.Unknown:
		if verdict != (verifier.Verdict{}) {
			t.Errorf("%q: %+v is neither a verdict nor the zero one", proof, verdict)
		}
		if len(proof) != len(parameters) || !s.Plausible(proof) {
			t.Errorf("%q is let through", proof)
			return
		}
		for i, p := range parameters {
			if proof[i] == "" || len(proof[i]) > p.MaxLength {
				t.Errorf("%s is let through as %q", p.Name, proof[i])
			}
		}
		if v.ReplayKey(proof) != v.ReplayKey(slices.Clone(proof)) {
			t.Errorf("%q has two replay keys", proof)
		}
		return
	case verifier.Malformed:
		if verdict.Reason != verifier.ReasonProof && !slices.ContainsFunc(parameters, func(p verifier.Parameter) bool { return p.Name == verdict.Reason }) {
			t.Errorf("the reason of Malformed is %q", verdict.Reason)
		}
	case verifier.Rejected, verifier.Expired:
	default:
		t.Errorf("%q is %v, which takes the provider to say", proof, verdict.Result)
	}
	expectSound(t, verdict)
	if slices.Equal(proof, s.Proof) {
		return
	}
	for i, value := range proof {
		if len(value) > 12 && i < len(parameters) && value != parameters[i].Name && strings.Contains(verdict.Reason+verdict.Advice, value) {
			t.Errorf("the verdict %+v holds a part of the proof", verdict)
		}
	}
}

func (s *suite) testReplayKey(t *testing.T) {
	v := s.load(t, nil)
	key := v.ReplayKey(s.Proof)
	for _, o := range s.Options { // none of which may change it
		changes := map[string]any{o.Name: o.Other}
		if o.Role == RoleService {
			changes[o.Name] = "http://127.0.0.1:9/"
		}
		if s.load(t, changes).ReplayKey(s.Proof) != key {
			t.Errorf("another %s makes it another replay key: two sites could take one proof", o.Name)
		}
	}
	for _, proof := range s.Spellings {
		if v.ReplayKey(proof) != key {
			t.Errorf("%q is another replay key", proof)
		}
	}
	for _, proof := range s.Others {
		if v.ReplayKey(proof) == key {
			t.Errorf("%q is the same replay key", proof)
		}
	}
	if len(s.Spellings) == 0 || len(s.Others) == 0 {
		t.Error("the subject needs other spellings of the proof, and other proofs")
	}
}

// with returns the proof with one value changed.
func with(proof verifier.Proof, i int, value string) verifier.Proof {
	changed := slices.Clone(proof)
	changed[i] = value
	return changed
}
