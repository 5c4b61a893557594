package caddycaptcha

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
)

func init() {
	caddy.RegisterModule(App{})
}

// App holds what all captcha handlers of one config share: the replay cache,
// the keys and the policies. It need not be configured; the first handler makes it with
// its defaults.
type App struct {
	// ReplayCacheRaw selects and configures the replay cache, which remembers
	// the spent proofs of all policies. Default: `{"store": "memory"}`.
	ReplayCacheRaw json.RawMessage `json:"replay_cache,omitempty" caddy:"namespace=http.captcha.replay_caches inline_key=store"`

	// Keys are the secrets that sign clearances, each of at least 16 bytes;
	// they take global placeholders. The first signs and all verify, so that a
	// key can be replaced without a break: put the new one first, and remove
	// the old one when the clearances it signed have ended. Default: one that
	// is made once and kept in Caddy's storage, as captcha/keys/master.
	Keys []string `json:"keys,omitempty"`

	replay   replayCache
	keys     *clearance.Keys
	policies []*policy
	injected []*Inject
	logger   *zap.Logger
	ctx      caddy.Context
}

// replayCache is what a guest module in http.captcha.replay_caches has to be.
type replayCache interface {
	cache.Replay
	cache.Counter
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
	a.ctx, a.logger = ctx, ctx.Logger()
	if err := a.provisionKeys(ctx.Storage()); err != nil {
		return err
	}
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
	replay, ok := mod.(replayCache)
	if !ok {
		return fmt.Errorf("replay_cache: the module %T cannot count the uses of clearances; it must implement cache.Replay and cache.Counter", mod)
	}
	a.replay = replay
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

// Start checks what can only be checked when all handlers are there, and gets
// the keys, which it is better to do before the first request than with it.
func (a *App) Start() error {
	for _, inject := range a.injected {
		if _, err := inject.injector(); err != nil {
			return err
		}
	}
	for _, p := range a.policies {
		if p.handler.issuer != nil {
			if _, err := a.keys.Derive(clearance.PurposeClearance, p.name); err != nil {
				return err
			}
		}
	}
	a.warnUnreachable()
	return nil
}

// Stop does nothing. Verifications that are under way outlive the config.
func (*App) Stop() error { return nil }

// policy is a named set of rules. All handlers of one policy are configured
// alike and share its limits.
type policy struct {
	name     string
	origin   string // where the first handler of the policy stands
	config   optionDigests
	handler  *Captcha // the first one, which serves the endpoints
	basePath string

	limits       *limit.Limiter // of proofs with requests
	verifyLimits *limit.Limiter // of proofs at the endpoint verify
	challenges   *limit.Limiter // of challenges

	passed        atomic.Bool // whether any proof has
	warnSpoofable sync.Once
}

// policy returns the policy that c belongs to. It is an error when another
// handler of the same name is configured differently in anything but its
// matcher: what a clearance or metric of that name means would depend on the
// path.
func (a *App) policy(c *Captcha, config optionDigests) (*policy, error) {
	origin := "the handler that matches " + string(c.matchers())
	if known := a.named(c.Policy); known != nil {
		return known, sameConfig(known.config, config, known.origin, origin)
	}
	for _, other := range a.policies {
		if err := apart(c.BasePath, other.basePath, fmt.Sprintf("policy %q", other.name)); err != nil {
			return nil, err
		}
	}
	slots, perClient := c.MaxConcurrentVerifications, c.MaxConcurrentVerificationsPerClient
	p := &policy{
		name:         c.Policy,
		origin:       origin,
		config:       config,
		handler:      c,
		basePath:     c.BasePath,
		limits:       limit.New(slots, perClient, c.MaxFailures),
		verifyLimits: limit.New(slots, perClient, c.MaxFailures),
		challenges:   limit.New(slots, perClient, challengesPerMinute),
	}
	a.policies = append(a.policies, p)
	return p, nil
}

// named returns the policy of that name, or nil.
func (a *App) named(name string) *policy {
	for _, p := range a.policies {
		if p.name == name {
			return p
		}
	}
	return nil
}

// apart returns an error if the endpoints of two policies are in each other's
// way.
func apart(basePath, other, otherOrigin string) error {
	if within(basePath, other) || within(other, basePath) {
		return fmt.Errorf("base_path %s and base_path %s of another policy (%s) are equal, or one lies in the other; give one a path of its own", basePath, other, otherOrigin)
	}
	return nil
}

// within reports whether the path is the base or lies under it.
func within(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}

// optionDigests holds a digest of each option as it was written: enough to
// compare two handlers, without keeping the secrets among the options.
type optionDigests map[string][sha256.Size]byte

// written digests the handler's options, less its matcher. How the JSON of an
// option is spelled (white space, order of members) makes no difference.
func (c *Captcha) written() (optionDigests, error) {
	handler := *c
	handler.MatcherSetsRaw = nil
	handler.Policy = "" // the same for all, if only by default
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
	_ caddy.Module      = (*App)(nil)
	_ caddy.App         = (*App)(nil)
	_ caddy.Provisioner = (*App)(nil)
)
