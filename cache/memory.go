package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

func init() {
	caddy.RegisterModule(Memory{})
}

const memoryID = "captcha.replay_caches.memory"

const defaultCapacity = 1_000_000

// Memory is a replay cache in the memory of this process. All the sites,
// policies and configs of the process share its claims, whatever their
// capacity and ttl, and a reload forgets none. A restart forgets all of them,
// and other nodes know nothing of them: there the provider's own single use of
// a proof is the only guard.
type Memory struct {
	// How many claims may live at once; where configs or sites
	// differ, the largest counts. When so many live, new proofs are refused as
	// overloaded; a live claim is never forgotten to make room. A clearance
	// with limited uses takes as much as a claim, for as long as it is valid.
	// One million claims take about 180 MB. Default: 1000000.
	Capacity int `json:"capacity,omitempty"`

	// How long a claim lives. Less than 15m is an error, because
	// the provider may still take a proof that old. Default: 30m.
	Lifetime caddy.Duration `json:"ttl,omitempty"`

	ledger *ledger
}

// CaddyModule returns the Caddy module information.
func (Memory) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  memoryID,
		New: func() caddy.Module { return new(Memory) },
	}
}

// Provision sets the defaults, checks the options and joins the claims of this
// process.
func (m *Memory) Provision(caddy.Context) error {
	if m.Capacity == 0 {
		m.Capacity = defaultCapacity
	}
	if m.Lifetime == 0 {
		m.Lifetime = caddy.Duration(DefaultTTL)
	}
	if err := checkCapacity(m.Capacity); err != nil {
		return err
	}
	if err := checkTTL(m.TTL()); err != nil {
		return err
	}
	var err error
	if m.ledger, err = sharedLedger(); err != nil {
		return err
	}
	m.ledger.allow(m, int64(m.Capacity))
	return nil
}

// Bound implements Bounded.
func (m *Memory) Bound() int { return m.Capacity }

// Cleanup lets the capacity of this config no longer count. The claims stay,
// and requests that are still under way may go on claiming.
func (m *Memory) Cleanup() error {
	if m.ledger != nil {
		m.ledger.allow(m, 0)
	}
	return nil
}

// Claim implements Store.
func (m *Memory) Claim(ctx context.Context, key Key, owner Owner, ttl time.Duration) (bool, error) {
	if err := available(ctx); err != nil {
		return false, err
	}
	return m.ledger.claim(key, owner, ttl, int64(m.Capacity))
}

// available says whether a request that is not over may use the cache.
func available(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// Release implements Store. It does its work even when ctx is done.
func (m *Memory) Release(_ context.Context, key Key, owner Owner) error {
	m.ledger.release(key, owner)
	return nil
}

// Grant implements Store.
func (m *Memory) Grant(ctx context.Context, key Key, uses int, ttl time.Duration) error {
	if err := checkUses(uses); err != nil {
		return err
	}
	if err := available(ctx); err != nil {
		return err
	}
	return m.ledger.grant(key, int32(uses), ttl, int64(m.Capacity))
}

// Use implements Store.
func (m *Memory) Use(ctx context.Context, key Key) (bool, error) {
	if err := available(ctx); err != nil {
		return false, err
	}
	return m.ledger.use(key), nil
}

// Uses implements Store.
func (m *Memory) Uses(ctx context.Context, key Key) (int, error) {
	if err := available(ctx); err != nil {
		return 0, err
	}
	return m.ledger.uses(key), nil
}

// TTL implements Store.
func (m *Memory) TTL() time.Duration { return time.Duration(m.Lifetime) }

// UnmarshalCaddyfile sets up the replay cache from Caddyfile tokens. Syntax:
//
//	replay_cache memory {
//		capacity <n>
//		ttl      <duration>
//	}
//
// Both options, and so the block, may be left out.
func (m *Memory) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] {
			return d.Errf("%s is given twice", option)
		}
		seen[option] = true

		var value string
		if !d.AllArgs(&value) {
			return d.ArgErr()
		}
		var err error
		switch option {
		case "capacity":
			err = m.setCapacity(value)
		case "ttl":
			err = m.setTTL(value)
		default:
			return setting.Unrecognized(d, option, "replay_cache memory", "capacity", "ttl")
		}
		if err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

func (m *Memory) setCapacity(value string) (err error) {
	if m.Capacity, err = strconv.Atoi(value); err != nil {
		return fmt.Errorf("capacity must be a whole number: %w", errors.Unwrap(err))
	}
	return checkCapacity(m.Capacity)
}

func (m *Memory) setTTL(value string) error {
	ttl, err := caddy.ParseDuration(value)
	if err != nil {
		return fmt.Errorf("ttl must be a duration such as 30m: %w", err)
	}
	m.Lifetime = caddy.Duration(ttl)
	return checkTTL(ttl)
}

func checkCapacity(capacity int) error {
	if capacity < 1 {
		return errors.New("capacity must be at least 1")
	}
	return nil
}

// Interface guards.
var (
	_ Store                 = (*Memory)(nil)
	_ caddy.Provisioner     = (*Memory)(nil)
	_ caddy.CleanerUpper    = (*Memory)(nil)
	_ caddyfile.Unmarshaler = (*Memory)(nil)
)
