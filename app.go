package caddycaptcha

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/gate"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/internal/placement"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

func init() {
	caddy.RegisterModule(App{})
}

// App holds what all captcha handlers of one config share: the replay cache,
// the keys and the policies. It need not be configured; the first handler makes it with
// its defaults.
type App struct {
	// The replay cache, which remembers
	// the spent proofs of all policies. Default: `{"store": "memory"}`.
	ReplayCacheRaw json.RawMessage `json:"replay_cache,omitempty" caddy:"namespace=captcha.replay_caches inline_key=store"`

	// The secrets that sign clearances, each of at least 16 bytes;
	// they take global placeholders. The first signs and all verify, so that a
	// key can be replaced without a break: put the new one first, and remove
	// the old one when the clearances it signed have ended. Default: one that
	// is made once and kept in Caddy's storage, as captcha/keys/master.
	Keys []string `json:"keys,omitempty"`

	// How many bytes all bodies together may take that are
	// searched for proofs. A client (IPv4 address, IPv6 /64) may hold a
	// sixteenth of it, its prefix (/24, /56) an eighth and its network (/16,
	// /48) a quarter; whoever wants more is refused as `overloaded`. Default:
	// 268435456 (256 MiB); at least 1 MiB.
	BodyMemory int64 `json:"body_memory,omitempty"`

	// The protocols besides `websocket` to which requests may
	// ask to upgrade, such as `tcp` for Docker. Every other upgrade is removed
	// from every request that reaches a captcha handler, whether it is matched
	// or not, because it could be a tunnel to the paths that are; that holds
	// for `h2c` above all, which cannot be listed. Default: none.
	Upgrade []string `json:"upgrade,omitempty"`

	store    cache.Store
	memory   *limit.Memory
	keys     *clearance.Keys
	gates    gate.Gates
	policies map[string]policy
	injected []*Inject
	closing  []func() error // of the gates
	logger   *zap.Logger
	alarm    *zap.Logger // says the same thing once a minute at most
	ctx      caddy.Context
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
	a.alarm = gate.Throttled(a.logger)
	for _, token := range a.Upgrade {
		if err := checkUpgrade(token); err != nil {
			return err
		}
	}
	a.BodyMemory = cmp.Or(a.BodyMemory, defaultBodyMemory)
	if err := checkBodyMemory(a.BodyMemory); err != nil {
		return err
	}
	a.memory = limit.NewMemory(a.BodyMemory)
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
	store, ok := mod.(cache.Store)
	if !ok {
		return fmt.Errorf("replay_cache: the module %T is no replay cache: it must implement cache.Store", mod)
	}
	a.store = store
	return nil
}

const (
	defaultBodyMemory = 256 << 20
	minBodyMemory     = 1 << 20
)

func checkBodyMemory(size int64) error {
	if size < minBodyMemory {
		return errors.New("body_memory must be at least 1MiB: a client may hold a sixteenth of it, and a form with a proof must fit")
	}
	return nil
}

// checkUpgrade returns an error if the token is no protocol that a request may
// be upgraded to.
func checkUpgrade(token string) error {
	switch name, _, _ := strings.Cut(strings.ToLower(token), "/"); {
	case name == "h2c":
		return fmt.Errorf("upgrade: %s is a tunnel in which requests to protected paths are not seen; it cannot be allowed", token)
	case token == "" || strings.ContainsAny(token, " \t,"):
		return fmt.Errorf("upgrade: %q is not one protocol; write each by itself, such as tcp or SPDY/3.1", token)
	default:
		return nil
	}
}

// closeTunnels removes an upgrade to another protocol from a request, whether
// it is matched or not.
func (a *App) closeTunnels(r *http.Request) {
	if removed := request.RemoveUpgrade(r, a.Upgrade); removed != "" {
		a.alarm.Warn("an upgrade to another protocol was removed from a request, because it could be a tunnel to protected paths; name it with upgrade in the global option captcha if the application needs it",
			zap.String("upgrade", removed))
	}
}

// provisionKeys reads the configured keys, or arranges for the one in Caddy's
// storage to be read, or made, when a policy first needs one. Storage is left
// alone until then: `caddy validate` may run as another user.
func (a *App) provisionKeys(storage certmagic.Storage) error {
	var secrets [][]byte
	for i, key := range a.Keys {
		name := fmt.Sprintf("key %d of %d", i+1, len(a.Keys))
		secret, err := setting.Expand(name, key)
		if err != nil {
			return err
		}
		if err := clearance.CheckSecret([]byte(secret)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		secrets = append(secrets, []byte(secret))
	}
	a.Keys = nil
	a.keys = clearance.NewKeys(func() ([][]byte, error) {
		if len(secrets) > 0 {
			return secrets, nil
		}
		key, err := clearance.StoredKey(storage)
		if err != nil {
			return nil, fmt.Errorf("the key for clearances, %s in Caddy's storage: %w; or configure one with key in the global option captcha", clearance.StoredKeyName, err)
		}
		return [][]byte{key}, nil
	})
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
	for _, g := range a.gates.All() {
		if err := g.Start(); err != nil {
			return err
		}
	}
	return a.checkPlacement()
}

// checkPlacement logs what could be wrong with where our handlers stand among
// the others, and returns an error for what is.
func (a *App) checkPlacement() error {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil //nolint:nilerr // without sites nothing is in a wrong place
	}
	changed := placement.Changed(app.(*caddyhttp.App), placed)
	for _, g := range a.gates.All() {
		if !changed[g.Policy] {
			g.Foresee()
		}
	}
	var certain []error
	for _, finding := range placement.Check(app.(*caddyhttp.App), placed) {
		if finding.Certain {
			certain = append(certain, fmt.Errorf("server %s: %s", finding.Server, finding.Message))
			continue
		}
		a.logger.Warn(finding.Message, zap.String("server", finding.Server), zap.String("policy", finding.Policy))
	}
	return errors.Join(certain...)
}

// placed tells the check of placement which handlers are ours.
func placed(handler any) (placement.Handler, bool) {
	switch h := handler.(type) {
	case *Captcha:
		return placement.Handler{
			Kind:     placement.Captcha,
			Policy:   h.Policy,
			Named:    h.Policy != defaultPolicy,
			BasePath: h.BasePath,
			Matchers: h.matchers.Sets(),
			Clears:   h.gate.GivesClearances(),
		}, true
	case *Inject:
		return placement.Handler{Kind: placement.Inject, Policy: h.Policy}, true
	}
	return placement.Handler{}, false
}

// Stop does nothing. Verifications that are under way outlive the config.
func (*App) Stop() error { return nil }

// Cleanup ends what the gates share with those of other configs.
func (a *App) Cleanup() error {
	errs := make([]error, 0, len(a.closing))
	for _, closeGate := range a.closing {
		errs = append(errs, closeGate())
	}
	return errors.Join(errs...)
}

// policy is what the first handler of a policy looks like. All others are
// configured alike.
type policy struct {
	origin string // where the handler stands
	config optionDigests
}

// gate returns the gate of a policy, which is made for its first handler. It is
// an error when another handler of the same name is configured differently in
// anything but its matcher: what a clearance or metric of that name means would
// depend on the path.
func (a *App) gate(name, origin string, config optionDigests, make func() (*gate.Gate, error)) (*gate.Gate, error) {
	if first, ok := a.policies[name]; ok {
		return a.gates.Named(name), sameConfig(first.config, config, first.origin, origin)
	}
	g, err := make()
	if err != nil {
		return nil, err
	}
	if a.policies == nil {
		a.policies = map[string]policy{}
	}
	a.policies[name] = policy{origin, config}
	a.closing = append(a.closing, g.Close)
	return g, a.gates.Add(g)
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

// origin names the handler in an error, by its matchers as JSON.
func (c *Captcha) origin() string {
	const handler = "the handler that matches "
	if len(c.MatcherSetsRaw) == 0 {
		return handler + "every request"
	}
	raw, err := json.Marshal(c.MatcherSetsRaw)
	if err != nil {
		return handler + "what cannot be shown"
	}
	return handler + string(raw)
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
	_ caddy.Module       = (*App)(nil)
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
