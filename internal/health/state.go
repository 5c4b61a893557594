package health

import (
	"time"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// When a provider is down, and when up again.
const (
	seriesGap  = 2 * time.Second // between two probes of a series, at least
	downGap    = 5 * time.Second // between two probes of a provider that is down
	failedMin  = 3               // failed probes of a series, and
	failedSpan = 5 * time.Second // how far the last of them is from the first
	goodMin    = 2               // good probes in a row of a provider that is down
	silentMax  = 10              // probes of a series that say nothing
)

// state is what is known of a provider. It holds no time of its own: every
// event comes with one, measured from some time in the past.
//
//	      suspect              3 failed, over 5 s
//	up ────────────▶ suspected ──────────────────▶ down
//	▲                    │                           │
//	└────────────────────┴───────────────────────────┘
//	  one good, or ten that say nothing     two good in a row
type state struct {
	down      bool
	suspected bool // a series of probes is under way
	probing   bool // and now one of them

	began  time.Duration // when the last probe did
	probed bool          // whether there was one

	failed int           // probes of the series
	since  time.Duration // when the first of them ended
	silent int           // probes of the series
	good   int           // probes in a row, while down
}

// suspect is the event of an unknown verdict.
func (s *state) suspect() {
	if s.down || s.suspected {
		return
	}
	s.suspected, s.failed, s.silent = true, 0, 0
}

// next returns when the next probe is due, or false where none is.
func (s *state) next(jitter time.Duration) (at time.Duration, due bool) {
	switch {
	case s.probing:
		return 0, false
	case s.down:
		return s.began + downGap + jitter, true
	case !s.suspected:
		return 0, false
	case !s.probed:
		return 0, true
	}
	return s.began + seriesGap + jitter, true
}

// begin is the event of a probe that begins.
func (s *state) begin(now time.Duration) {
	s.probing, s.probed, s.began = true, true, now
}

// end is the event of its end.
func (s *state) end(now time.Duration, said verifier.Health) {
	s.probing = false
	if s.down {
		s.endDown(said)
		return
	}
	switch said {
	case verifier.HealthGood:
		s.suspected = false
	case verifier.HealthFailed:
		if s.failed == 0 {
			s.since = now
		}
		s.failed++
		if s.failed >= failedMin && now-s.since >= failedSpan {
			s.down, s.suspected, s.good = true, false, 0
		}
	case verifier.HealthUnknown:
		s.silent++
		s.suspected = s.silent < silentMax
	}
}

func (s *state) endDown(said verifier.Health) {
	switch said {
	case verifier.HealthGood:
		s.good++
		s.down = s.good < goodMin
	case verifier.HealthFailed:
		s.good = 0
	case verifier.HealthUnknown:
	}
}
