package cachetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/cache/cachetest"
)

// fault names the one thing that a stranger's store does wrong, in a process
// that tests it.
const fault = "CACHETEST_FAULT"

// faults are what a store can do wrong, with the test that has to notice.
var faults = map[string]string{
	"":                               "",
	"claims twice":                   "ClaimsOnce",
	"looks before it claims":         "OneOfManyClaims",
	"releases for anyone":            "OnlyTheOwnerReleases",
	"never releases":                 "OnlyTheOwnerReleases",
	"does not release when done":     "ReleasesForAClientThatLeft",
	"claims never end":               "ClaimLivesForItsTTL",
	"claims end early":               "ClaimLivesForItsTTL",
	"claims live for its ttl":        "ClaimLivesForItsTTL",
	"a ttl that is too short":        "ClaimsOnce",
	"looking takes a use":            "CountsUses",
	"uses go below zero":             "CountsUses",
	"looks before it takes a use":    "TakesEachUseOnce",
	"grants again":                   "GrantsOnce",
	"grants nothing":                 "RefusesUsesOutOfRange",
	"unknown counters have a use":    "UnknownCounterIsUsedUp",
	"counters never end":             "CounterLivesForItsTTL",
	"counters end with claims":       "CounterLivesForItsTTL",
	"one key space":                  "ClaimsAndCountersAreApart",
	"works for a request that ended": "ContextThatIsDone",
	"forgets when full":              "FullForgetsNothing",
	"grows":                          "FullForgetsNothing",
	"claims without a server":        "Unavailable",
}

// TestStranger tests a stranger's store with the fault that the environment
// names. By itself it tests the store without one.
func TestStranger(t *testing.T) {
	var opened *stranger
	open := func(capacity int) *stranger {
		opened = &stranger{fault: os.Getenv(fault), capacity: capacity, claims: map[cache.Key]entry{}, counters: map[cache.Key]entry{}}
		if opened.fault == "one key space" {
			opened.counters = opened.claims
		}
		return opened
	}
	cachetest.Run(t, cachetest.Subject{
		Open:     func(*testing.T) cache.Store { return open(1 << 30) },
		OpenFull: func(_ *testing.T, capacity int) cache.Store { return open(capacity) },
		Pass:     func(_ *testing.T, d time.Duration) { opened.now += d },
		OpenUnavailable: map[string]func(*testing.T) cache.Store{
			"nobody listens": func(*testing.T) cache.Store {
				s := open(1 << 30)
				s.down = true
				return s
			},
		},
	})
}

// TestEveryFaultIsNoticed runs the suite on a store with each fault. Its parts
// are processes of their own, since a failing test cannot be undone.
func TestEveryFaultIsNoticed(t *testing.T) {
	t.Parallel()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, noticedBy := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), executable, "-test.run=^TestStranger$", "-test.v")
			command.Env = append(os.Environ(), fault+"="+name)
			output, err := command.CombinedOutput()
			if noticedBy == "" {
				if err != nil {
					t.Errorf("a store without a fault fails:\n%s", output)
				}
				return
			}
			if err == nil || !strings.Contains(string(output), "--- FAIL: TestStranger/"+noticedBy) {
				t.Errorf("%s does not notice (%v):\n%s", noticedBy, err, output)
			}
		})
	}
}

// stranger is somebody else's store, in one map, with a lock where it should
// have one.
type stranger struct {
	fault    string
	capacity int
	down     bool
	now      time.Duration

	mu               sync.Mutex
	claims, counters map[cache.Key]entry
}

type entry struct {
	owner cache.Owner
	uses  int
	ends  time.Duration
}

func (s *stranger) is(fault string) bool { return s.fault == fault }

func (s *stranger) ready(ctx context.Context) error {
	if s.down && !s.is("claims without a server") {
		return fmt.Errorf("%w: nobody listens", cache.ErrUnavailable)
	}
	if err := ctx.Err(); err != nil && !s.is("works for a request that ended") {
		return fmt.Errorf("%w: %w", cache.ErrUnavailable, err)
	}
	return nil
}

// live returns an entry that has not ended.
func (s *stranger) live(of map[cache.Key]entry, key cache.Key) (entry, bool) {
	e, ok := of[key]
	return e, ok && e.ends > s.now
}

// room makes an entry possible, or not.
func (s *stranger) room() error {
	if len(s.claims)+len(s.counters) < s.capacity || s.is("grows") {
		return nil
	}
	if s.is("forgets when full") {
		for key := range s.claims {
			delete(s.claims, key)
			return nil
		}
	}
	return cache.ErrFull
}

func (s *stranger) TTL() time.Duration {
	if s.is("a ttl that is too short") {
		return time.Minute
	}
	return cache.DefaultTTL
}

// pause lets others go on between a look and a leap.
func (s *stranger) pause() {
	s.mu.Unlock()
	time.Sleep(time.Millisecond) // makes the fault show; a store without it never gets here
	s.mu.Lock()
}

func (s *stranger) Claim(ctx context.Context, key cache.Key, owner cache.Owner, ttl time.Duration) (bool, error) {
	if err := s.ready(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, held := s.live(s.claims, key); held && !s.is("claims twice") {
		return false, nil
	}
	if s.is("looks before it claims") {
		s.pause()
	}
	if err := s.room(); err != nil {
		return false, err
	}
	ends := s.now + ttl
	switch {
	case s.is("claims never end"):
		ends = 1 << 62
	case s.is("claims live for its ttl"):
		ends = s.now + s.TTL()
	case s.is("claims end early"):
		ends = s.now + s.TTL()/2
	}
	s.claims[key] = entry{owner: owner, ends: ends}
	return true, nil
}

func (s *stranger) Release(ctx context.Context, key cache.Key, owner cache.Owner) error {
	if s.down {
		return fmt.Errorf("%w: nobody listens", cache.ErrUnavailable)
	}
	if s.is("does not release when done") && ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.claims[key]
	if ok && (e.owner == owner || s.is("releases for anyone")) && !s.is("never releases") {
		delete(s.claims, key)
	}
	return nil
}

func (s *stranger) Grant(ctx context.Context, key cache.Key, uses int, ttl time.Duration) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if uses < 1 || uses > cache.MaxUses {
		if s.is("grants nothing") {
			return nil
		}
		return errors.New("out of range")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, granted := s.live(s.counters, key); granted && !s.is("grants again") {
		return cache.ErrGranted
	}
	if err := s.room(); err != nil {
		return err
	}
	ends := s.now + ttl
	switch {
	case s.is("counters never end"):
		ends = 1 << 62
	case s.is("counters end with claims"):
		ends = s.now + min(ttl, s.TTL())
	}
	s.counters[key] = entry{uses: uses, ends: ends}
	return nil
}

func (s *stranger) Use(ctx context.Context, key cache.Key) (bool, error) {
	if err := s.ready(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.live(s.counters, key)
	switch {
	case !ok:
		return s.is("unknown counters have a use"), nil
	case e.uses < 1 && !s.is("uses go below zero"):
		return false, nil
	}
	taken := e.uses > 0
	if s.is("looks before it takes a use") {
		s.pause()
		e = s.counters[key]
	}
	e.uses--
	s.counters[key] = e
	return taken, nil
}

func (s *stranger) Uses(ctx context.Context, key cache.Key) (int, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.live(s.counters, key)
	if !ok {
		return 0, nil
	}
	if s.is("looking takes a use") {
		e.uses--
		s.counters[key] = e
	}
	return e.uses, nil
}
