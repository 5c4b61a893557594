package caddycaptcha

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
)

func init() {
	caddy.RegisterModule(App{})
}

// App holds what all captcha handlers of one config share: the replay cache
// and the policies. It need not be configured; the first handler makes it with
// its defaults.
type App struct {
	// ReplayCacheRaw selects and configures the replay cache, which remembers
	// the spent proofs of all policies. Default: `{"store": "memory"}`.
	ReplayCacheRaw json.RawMessage `json:"replay_cache,omitempty" caddy:"namespace=http.captcha.replay_caches inline_key=store"`

	replay   cache.Replay
	policies map[string]*policy
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "captcha",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision loads the replay cache. It does not connect to anything.
func (a *App) Provision(ctx caddy.Context) error {
	a.policies = make(map[string]*policy)
	if a.ReplayCacheRaw == nil {
		a.ReplayCacheRaw = json.RawMessage(`{"store":"memory"}`)
	}
	if err := checkInlineKey(a.ReplayCacheRaw, "store"); err != nil {
		return fmt.Errorf("replay_cache: %w", err)
	}
	mod, err := ctx.LoadModule(a, "ReplayCacheRaw")
	if err != nil {
		return fmt.Errorf("replay_cache: %w", err)
	}
	a.replay = mod.(cache.Replay)
	return nil
}

// checkInlineKey finds a guest module without a name. Caddy would find it too,
// and quote the whole configuration of the guest, keys included.
func checkInlineKey(raw json.RawMessage, key string) error {
	var members map[string]json.RawMessage
	var name string
	if json.Unmarshal(raw, &members) != nil || json.Unmarshal(members[key], &name) != nil || name == "" {
		return fmt.Errorf("the member %q, which names it, is missing", key)
	}
	return nil
}

// Start does nothing: the app only holds what the handlers share.
func (*App) Start() error { return nil }

// Stop does nothing. Verifications that are under way outlive the config.
func (*App) Stop() error { return nil }

// policy is a named set of rules. All handlers of one policy are configured
// alike and share its limits.
type policy struct {
	origin string // where the first handler of the policy stands
	config optionDigests
	limits *limit.Limiter

	passed        atomic.Bool // whether any proof has
	warnSpoofable sync.Once
}

// policy returns the policy that c belongs to. It is an error when another
// handler of the same name is configured differently in anything but its
// matcher: what a clearance or metric of that name means would depend on the
// path.
func (a *App) policy(c *Captcha, config optionDigests) (*policy, error) {
	origin := "the handler that matches " + string(c.matchers())
	if known, ok := a.policies[c.Policy]; ok {
		if err := sameConfig(known.config, config, known.origin, origin); err != nil {
			return nil, err
		}
		return known, nil
	}
	p := &policy{
		origin: origin,
		config: config,
		limits: limit.New(c.MaxConcurrentVerifications, c.MaxConcurrentVerificationsPerClient, c.MaxFailures),
	}
	a.policies[c.Policy] = p
	return p, nil
}

// optionDigests holds a digest of each option as it was written: enough to
// compare two handlers, without keeping the secrets among the options.
type optionDigests map[string][sha256.Size]byte

// written digests the handler's options, less its matcher. How the JSON of an
// option is spelled (white space, order of members) makes no difference.
func (c *Captcha) written() (optionDigests, error) {
	handler := *c
	handler.MatcherSetsRaw = nil
	raw, err := json.Marshal(&handler)
	if err != nil {
		return nil, err
	}
	var options map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&options); err != nil {
		return nil, err
	}
	digests := make(optionDigests, len(options))
	for name, value := range options {
		text, err := json.Marshal(value) // sorts the members
		if err != nil {
			return nil, err
		}
		digests[name] = sha256.Sum256(text)
	}
	return digests, nil
}

// matchers returns the handler's matchers as JSON, to name it in an error.
func (c *Captcha) matchers() []byte {
	if len(c.MatcherSetsRaw) == 0 {
		return []byte("every request")
	}
	raw, err := json.Marshal(c.MatcherSetsRaw)
	if err != nil {
		return []byte("unknown")
	}
	return raw
}

// sameConfig returns an error that names the first option in which two
// handlers of one policy differ. It never shows the values, some are secret.
func sameConfig(a, b optionDigests, originA, originB string) error {
	names := slices.Sorted(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if a[name] != b[name] {
			return fmt.Errorf("two captcha handlers of this policy differ in %q: %s, and %s; configure them alike or give one a policy name of its own", name, originA, originB)
		}
	}
	return nil
}

var (
	_ caddy.App         = (*App)(nil)
	_ caddy.Provisioner = (*App)(nil)
)
