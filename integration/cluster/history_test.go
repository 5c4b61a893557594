package cluster

import (
	"strings"
	"testing"
	"time"
)

// TestTheCheckerSees: what must not happen is found, and what may is not.
func TestTheCheckerSees(t *testing.T) {
	const s = time.Second
	a := func(number int, call, end time.Duration, o outcome) attempt {
		return attempt{proof: 1, number: number, call: call, end: end, outcome: o}
	}
	of := func(proof int, a attempt) attempt {
		a.proof = proof
		return a
	}
	for name, test := range map[string]struct {
		attempts []attempt
		forwards map[int][]time.Duration
		want     string
	}{
		"one use":                      {[]attempt{a(1, 1*s, 3*s, passed), a(2, 2*s, 4*s, spent)}, map[int][]time.Duration{1: {2 * s}}, ""},
		"two uses":                     {[]attempt{a(1, 1*s, 3*s, passed), a(2, 2*s, 4*s, passed)}, map[int][]time.Duration{1: {2 * s}, 2: {3 * s}}, "forwarded 2 requests"},
		"a use whose answer was lost":  {[]attempt{a(1, 1*s, 3*s, unknown), a(2, 4*s, 5*s, passed)}, map[int][]time.Duration{1: {2 * s}, 2: {5 * s}}, "forwarded 2 requests"},
		"spent before anybody came":    {[]attempt{a(1, 1*s, 2*s, spent), a(2, 3*s, 4*s, passed)}, map[int][]time.Duration{2: {4 * s}}, "not linearizable"},
		"spent by one that failed":     {[]attempt{a(1, 1*s, 2*s, unknown), a(2, 3*s, 4*s, spent), a(3, 5*s, 6*s, passed)}, map[int][]time.Duration{3: {6 * s}}, ""},
		"free again after a use":       {[]attempt{a(1, 1*s, 2*s, passed), a(2, 3*s, 4*s, unknown)}, map[int][]time.Duration{1: {2 * s}}, ""},
		"twice for one request":        {[]attempt{a(1, 1*s, 2*s, passed)}, map[int][]time.Duration{1: {2 * s, 2 * s}}, "forwarded 2 times"},
		"an answer of nobody":          {[]attempt{a(1, 1*s, 2*s, passed)}, nil, "not by the application"},
		"refused and forwarded":        {[]attempt{a(1, 1*s, 2*s, spent)}, map[int][]time.Duration{1: {2 * s}}, "refused and forwarded"},
		"a forward without a proof":    {[]attempt{{proof: -1, number: 1, outcome: unknown}}, map[int][]time.Duration{1: {2 * s}}, "proof -1"},
		"far behind a made-up one":     {[]attempt{{proof: -3, number: 9, outcome: unknown}, of(25_000, a(1, 1*s, 2*s, spent)), of(25_000, a(2, 3*s, 4*s, passed))}, map[int][]time.Duration{2: {4 * s}}, "proofs from 25000"},
		"just behind a made-up one":    {[]attempt{{proof: -3, number: 9, outcome: unknown}, a(1, 1*s, 2*s, spent), a(2, 3*s, 4*s, passed)}, map[int][]time.Duration{2: {4 * s}}, "not linearizable"},
		"a forward that nobody wanted": {nil, map[int][]time.Duration{7: {2 * s}}, "nobody sent"},
	} {
		h := history{attempts: test.attempts, forwards: test.forwards}
		problems, _ := h.check()
		if got := strings.Join(problems, "; "); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: found %q, want %q", name, got, test.want)
		}
	}
}
