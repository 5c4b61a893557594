package cache

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// load provisions a memory replay cache as a config does. The function it
// returns unloads that config.
func load(t *testing.T, config string) (*Memory, func(), error) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	m, err := ctx.LoadModuleByID(memoryID, json.RawMessage(config))
	if err != nil {
		cancel() // as Caddy does with a config that it rejects
		return nil, nil, err
	}
	return m.(*Memory), cancel, nil
}

func mustLoad(t *testing.T, config string) (*Memory, func()) {
	t.Helper()
	m, unload, err := load(t, config)
	if err != nil {
		t.Fatal(err)
	}
	return m, unload
}

// newKey returns a key that no other test has: the ledger is the process's.
func newKey() Key { return Key(NewOwner()) }

func expectClaim(t *testing.T, m *Memory, key Key, want bool, wantErr error) {
	t.Helper()
	claimed, err := m.Claim(t.Context(), key, NewOwner(), m.TTL())
	if claimed != want || !errors.Is(err, wantErr) {
		t.Fatalf("Claim = %t, %v; want %t, %v", claimed, err, want, wantErr)
	}
}

func TestMemoryDefaults(t *testing.T) {
	m, _ := mustLoad(t, `{}`)
	if m.Capacity != 1_000_000 || m.TTL() != 30*time.Minute {
		t.Errorf("capacity %d, ttl %v; want 1000000 and 30m", m.Capacity, m.TTL())
	}
	m, _ = mustLoad(t, `{"capacity": 1, "ttl": "15m"}`)
	if m.Capacity != 1 || m.TTL() != 15*time.Minute {
		t.Errorf("capacity %d, ttl %v; want 1 and 15m", m.Capacity, m.TTL())
	}
}

func TestMemoryRefusesToLoadWith(t *testing.T) {
	for config, want := range map[string]string{
		`{"capacity": -1}`:    "capacity must be at least 1",
		`{"ttl": "14m59s"}`:   "ttl must be at least 15m",
		`{"ttl": -1}`:         "ttl must be at least 15m",
		`{"capacities": 100}`: "capacities",
	} {
		if _, _, err := load(t, config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", config, err, want)
		}
	}
}

func TestAllConfigsShareTheClaims(t *testing.T) {
	one, _ := mustLoad(t, `{}`)
	two, _ := mustLoad(t, `{"capacity": 2000000, "ttl": "1h"}`)
	key := newKey()
	owner := NewOwner()
	if claimed, err := one.Claim(t.Context(), key, owner, one.TTL()); !claimed {
		t.Fatal(err)
	}
	expectClaim(t, two, key, false, nil)
	if err := two.Release(t.Context(), key, owner); err != nil {
		t.Fatal(err)
	}
	expectClaim(t, one, key, true, nil)
}

func TestClaimsSurviveReloads(t *testing.T) {
	key := newKey()
	m, unload := mustLoad(t, `{}`)
	expectClaim(t, m, key, true, nil)
	for _, config := range []string{
		`{}`,
		`{"capacity": 1}`,
		`{"capacity": 5000000, "ttl": "2h"}`,
		`{"ttl": "15m"}`,
	} {
		next, unloadNext := mustLoad(t, config)
		unload()
		expectClaim(t, next, key, false, nil)
		m, unload = next, unloadNext
	}

	// A config that is rejected after its replay cache was provisioned.
	_, unloadRejected := mustLoad(t, `{"capacity": 9000000}`)
	unloadRejected()
	expectClaim(t, m, key, false, nil)

	// No config for a while, then one again.
	unload()
	m, _ = mustLoad(t, `{}`)
	expectClaim(t, m, key, false, nil)
	audit(t, mustShare(t))
}

func TestRejectedConfigLeavesTheCapacityAlone(t *testing.T) {
	s := mustShare(t)
	mustLoad(t, `{"capacity": 3000000}`)
	for range 3 {
		if _, _, err := load(t, `{"capacity": 7000000, "ttl": "1m"}`); err == nil {
			t.Fatal("loaded with a ttl of 1m")
		}
		_, unload := mustLoad(t, `{"capacity": 5000000}`)
		if got := s.capacity.Load(); got != 5_000_000 {
			t.Errorf("capacity = %d, want the larger one", got)
		}
		unload()
		if got := s.capacity.Load(); got != 3_000_000 {
			t.Errorf("capacity = %d after the unload, want 3000000", got)
		}
	}
}

func TestCleanupWorksAtAnyTime(t *testing.T) {
	s := mustShare(t)
	mustLoad(t, `{"capacity": 3000000}`)
	never := &Memory{Capacity: 8_000_000}
	twice := &Memory{Capacity: 9_000_000}
	if err := twice.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Memory{never, twice, twice, never} {
		if err := m.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	if got := s.capacity.Load(); got != 3_000_000 {
		t.Errorf("capacity = %d, want 3000000", got)
	}
	if got := len(s.capacities); got != 1 {
		t.Errorf("%d configs count, want 1", got)
	}
}

func TestRequestsOfAnUnloadedConfigGoOn(t *testing.T) {
	m, unload := mustLoad(t, `{}`)
	key, owner := newKey(), NewOwner()
	if claimed, err := m.Claim(t.Context(), key, owner, m.TTL()); !claimed {
		t.Fatal(err)
	}
	unload()
	expectClaim(t, m, newKey(), true, nil)
	if err := m.Release(t.Context(), key, owner); err != nil {
		t.Fatal(err)
	}
	expectClaim(t, m, key, true, nil)
}

func TestLoweredCapacityRefusesButForgetsNothing(t *testing.T) {
	m, unload := mustLoad(t, `{}`)
	keys := []Key{newKey(), newKey(), newKey()}
	for _, key := range keys {
		expectClaim(t, m, key, true, nil)
	}
	small, _ := mustLoad(t, `{"capacity": 1}`)
	expectClaim(t, small, newKey(), true, nil) // the old config still counts
	unload()
	expectClaim(t, small, newKey(), false, ErrFull)
	for _, key := range keys {
		expectClaim(t, small, key, false, nil)
	}
}

func TestRequestThatIsOverClaimsNothingButReleases(t *testing.T) {
	m, _ := mustLoad(t, `{}`)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	key, owner := newKey(), NewOwner()
	if claimed, err := m.Claim(over, key, owner, m.TTL()); claimed || !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Claim = %t, %v; want false, unavailable and canceled", claimed, err)
	}
	if claimed, err := m.Claim(t.Context(), key, owner, m.TTL()); !claimed {
		t.Fatal(err)
	}
	if err := m.Release(over, key, owner); err != nil {
		t.Error(err)
	}
	expectClaim(t, m, key, true, nil)
}

func TestMemoryCaddyfile(t *testing.T) {
	for input, want := range map[string]Memory{
		`memory`:                          {},
		`memory { }`:                      {},
		"memory {\n capacity 5\n}":        {Capacity: 5},
		"memory {\n ttl 1d\n}":            {Lifetime: caddy.Duration(24 * time.Hour)},
		"memory {\n ttl 15m\n}":           {Lifetime: caddy.Duration(15 * time.Minute)},
		"memory {\nttl 1h\ncapacity 1\n}": {Capacity: 1, Lifetime: caddy.Duration(time.Hour)},
	} {
		var m Memory
		if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(input)); err != nil {
			t.Errorf("%q: %v", input, err)
		}
		if m != want {
			t.Errorf("%q: got %+v, want %+v", input, m, want)
		}
	}
}

func TestMemoryCaddyfileErrorsNameOptionAndLine(t *testing.T) {
	for input, want := range map[string]string{
		`memory 5`:                                    "wrong argument count",
		"memory {\n capacity\n}":                      "wrong argument count",
		"memory {\n capacity 5 6\n}":                  "wrong argument count",
		"memory {\n capacity 0\n}":                    "capacity must be at least 1",
		"memory {\n capacity -5\n}":                   "capacity must be at least 1",
		"memory {\n capacity many\n}":                 "capacity must be a whole number",
		"memory {\n capacity 99999999999999999999\n}": "capacity must be a whole number",
		"memory {\n capacity 5\n capacity 5\n}":       "capacity is given twice",
		"memory {\n capacity 5 {\n a\n }\n}":          "unexpected token '{'",
		"memory {\n ttl\n}":                           "wrong argument count",
		"memory {\n ttl 14m\n}":                       "ttl must be at least 15m",
		"memory {\n ttl 0\n}":                         "ttl must be at least 15m",
		"memory {\n ttl soon\n}":                      "ttl must be a duration",
		"memory {\n size 5\n}":                        "unrecognized subdirective size",
	} {
		err := new(Memory).UnmarshalCaddyfile(caddyfile.NewTestDispenser(input))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Testfile:") {
			t.Errorf("%q: error %v, want one with %q and the line", input, err, want)
		}
	}
}
