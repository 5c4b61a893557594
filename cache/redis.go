package cache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

func init() {
	caddy.RegisterModule(Redis{})
}

const redisID = "captcha.replay_caches.redis"

// Redis is a replay cache in Redis, or Valkey, that all nodes share: a proof
// that one of them has forwarded is spent for all. It is as good as Redis keeps
// what it has acknowledged: see the README on persistence and failovers.
//
// A server that cannot be reached, is slow, read-only or full makes proofs be
// refused as `overloaded`, until it is well again. Nothing is counted locally
// instead. Neither loading a config nor `caddy validate` needs it.
//
// What is stored tells nothing of the proofs: keys are digests, values random.
type Redis struct {
	// The servers, as host:port: one, or several of a cluster, or the
	// sentinels. Required. They take global placeholders.
	Addresses []string `json:"addresses,omitempty"`

	// Whether the servers are a cluster.
	Cluster bool `json:"cluster,omitempty"`

	// The name of the master, when the servers are sentinels.
	Master string `json:"master,omitempty"`

	// Who logs in to Redis, and with what; and to the sentinels, where that is
	// another. They take global placeholders.
	Username         string `json:"username,omitempty"`
	Password         string `json:"password,omitempty"`
	SentinelUsername string `json:"sentinel_username,omitempty"`
	SentinelPassword string `json:"sentinel_password,omitempty"`

	// The number of the database. A cluster has 0 only. Default: 0.
	DB int `json:"db,omitempty"`

	// TLS to Redis and to the sentinels. Default: none.
	TLS *RedisTLS `json:"tls,omitempty"`

	// What all keys begin with. Default: `captcha:`.
	KeyPrefix string `json:"key_prefix,omitempty"`

	// How long a request waits for Redis, a connection included.
	// Default: 1s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long a claim lives. Less than 15m is an error, because
	// the provider may still take a proof that old. Default: 30m.
	Lifetime caddy.Duration `json:"ttl,omitempty"`

	// Whether a maxmemory-policy other than noeviction is accepted, or one that
	// Redis does not tell. A claim that Redis evicts is a proof that can be
	// used again, so without this all are refused as `overloaded`.
	EvictionOK bool `json:"eviction_ok,omitempty"`

	connection *redisConnection
	poolKey    string
}

// RedisTLS is how to connect to Redis by TLS.
type RedisTLS struct {
	// The file with the certificates, in PEM, that a server's has to be signed
	// by. Default: the system's.
	CA string `json:"ca,omitempty"`

	// The name that a server's certificate has to be for. Default: its host.
	ServerName string `json:"server_name,omitempty"`

	// The files, in PEM, of a certificate of our own and its key. They are read
	// at each connection, so that they can be renewed.
	Certificate string `json:"client_certificate,omitempty"`
	Key         string `json:"client_key,omitempty"`

	ca []byte // what CA held when the config was loaded
}

// CaddyModule returns the Caddy module information.
func (Redis) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  redisID,
		New: func() caddy.Module { return new(Redis) },
	}
}

const (
	defaultRedisPrefix  = "captcha:"
	defaultRedisTimeout = time.Second
)

// Provision sets the defaults, checks the options and joins the connections
// that configs with the same servers and credentials share. It connects to
// nothing.
func (r *Redis) Provision(caddy.Context) error {
	if r.KeyPrefix == "" {
		r.KeyPrefix = defaultRedisPrefix
	}
	if r.Timeout == 0 {
		r.Timeout = caddy.Duration(defaultRedisTimeout)
	}
	if r.Lifetime == 0 {
		r.Lifetime = caddy.Duration(DefaultTTL)
	}
	if err := r.check(); err != nil {
		return err
	}
	option, err := r.option()
	if err != nil {
		return err
	}
	r.poolKey = identity(r, option)
	shared, _, err := redisConnections.LoadOrNew(r.poolKey, func() (caddy.Destructor, error) {
		return newRedisConnection(option), nil
	})
	if err != nil {
		return err
	}
	r.connection = shared.(*redisConnection)
	return nil
}

// check finds what is wrong with the options.
func (r *Redis) check() error {
	switch {
	case len(r.Addresses) == 0:
		return errors.New("address is missing: name the server as host:port")
	case r.Cluster && r.Master != "":
		return errors.New("cluster and master exclude each other: a cluster has no sentinels")
	case len(r.Addresses) > 1 && !r.Cluster && r.Master == "":
		return errors.New("several addresses are those of a cluster (write cluster) or of sentinels (write master and its name)")
	case r.Cluster && r.DB != 0:
		return errors.New("a cluster has the db 0 only")
	case r.DB < 0:
		return errors.New("db must not be negative")
	case r.Master == "" && (r.SentinelUsername != "" || r.SentinelPassword != ""):
		return errors.New("sentinel_username and sentinel_password need master: without it the addresses are not sentinels")
	case r.Timeout < 0:
		return errors.New("timeout must not be negative")
	case r.TLS != nil && (r.TLS.Certificate == "") != (r.TLS.Key == ""):
		return errors.New("tls: a client certificate needs its key")
	}
	if r.Lifetime == 0 {
		return nil
	}
	return checkTTL(r.TTL())
}

// option translates the options to the client's.
func (r *Redis) option() (option rueidis.ClientOption, err error) {
	expanded := make([]string, len(r.Addresses))
	for i, address := range r.Addresses {
		if expanded[i], err = setting.Expand("address", address); err != nil {
			return option, err
		}
		if host, port, err := net.SplitHostPort(expanded[i]); err != nil || host == "" || port == "" {
			return option, fmt.Errorf("address %q is not host:port", expanded[i])
		}
	}
	secrets := []*string{&option.Username, &option.Password, &option.Sentinel.Username, &option.Sentinel.Password}
	for i, value := range []string{r.Username, r.Password, r.SentinelUsername, r.SentinelPassword} {
		if value == "" {
			continue
		}
		name := []string{"username", "password", "sentinel_username", "sentinel_password"}[i]
		if *secrets[i], err = setting.Expand(name, value); err != nil {
			return option, err
		}
	}
	if r.TLS != nil {
		if option.TLSConfig, err = r.TLS.config(); err != nil {
			return option, fmt.Errorf("tls: %w", err)
		}
	}
	timeout := time.Duration(r.Timeout)
	option.InitAddress = expanded
	option.SelectDB = r.DB
	option.Sentinel.MasterSet = r.Master
	option.Sentinel.TLSConfig = option.TLSConfig
	option.Dialer.Timeout = timeout
	option.Sentinel.Dialer.Timeout = timeout
	option.ConnWriteTimeout = max(timeout, minSilence)
	option.ForceSingleClient = r.Master == "" && !r.Cluster
	option.ShuffleInit = r.Cluster
	option.ClientSetInfo = rueidis.DisableClientSetInfo
	option.DisableCache = true // nothing may be answered from anywhere but Redis
	option.DisableRetry = true // what may have been done must not be done twice
	return option, nil
}

// minSilence is the least time after which a connection counts as dead on which
// Redis owes an answer. It is longer than what a busy server may need.
const minSilence = 3 * time.Second

// config reads the files.
func (t *RedisTLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		var err error
		if t.ca, err = os.ReadFile(t.CA); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(t.ca) {
			return nil, fmt.Errorf("ca: %s holds no certificate in PEM", t.CA)
		}
	}
	if t.Certificate != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
			return &pair, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("client_certificate: %w", err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return config, nil
}

// Cleanup gives up the connections. They are closed with their last user.
func (r *Redis) Cleanup() error {
	if r.connection == nil {
		return nil
	}
	_, err := redisConnections.Delete(r.poolKey)
	return err
}

// Redis runs each of these at once. A claim is one SET NX PX, which needs none.
var (
	releaseScript = rueidis.NewLuaScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end
return 0`)
	useScript = rueidis.NewLuaScript(`local uses = tonumber(redis.call("GET", KEYS[1]) or "0")
if uses < 1 then return 0 end
redis.call("DECR", KEYS[1])
return 1`)
)

func (r *Redis) claimKey(key Key) string { return r.KeyPrefix + "claim:" + hex.EncodeToString(key[:]) }

func (r *Redis) usesKey(key Key) string { return r.KeyPrefix + "uses:" + hex.EncodeToString(key[:]) }

// Claim implements Store.
func (r *Redis) Claim(ctx context.Context, key Key, owner Owner, ttl time.Duration) (bool, error) {
	return r.set(ctx, r.claimKey(key), hex.EncodeToString(owner[:]), ttl)
}

// set makes a key that is not there. It returns false where it is.
func (r *Redis) set(ctx context.Context, key, value string, ttl time.Duration) (bool, error) {
	made := false
	err := r.do(ctx, func(ctx context.Context, client rueidis.Client) error {
		set := client.B().Set().Key(key).Value(value).Nx().PxMilliseconds(ttl.Milliseconds()).Build()
		answer, err := client.Do(ctx, set).ToString()
		switch {
		case rueidis.IsRedisNil(err):
			return nil
		case err != nil:
			return err
		case answer != "OK":
			return errStrange
		}
		made = true
		return nil
	})
	return made && err == nil, err
}

// errStrange is an answer that Redis does not give.
var errStrange = errors.New("the answer is not one that Redis gives to the command")

// Release implements Store.
func (r *Redis) Release(ctx context.Context, key Key, owner Owner) error {
	return r.do(context.WithoutCancel(ctx), func(ctx context.Context, client rueidis.Client) error {
		return releaseScript.Exec(ctx, client, []string{r.claimKey(key)}, []string{hex.EncodeToString(owner[:])}).Error()
	})
}

// Grant implements Store.
func (r *Redis) Grant(ctx context.Context, key Key, uses int, ttl time.Duration) error {
	if err := checkUses(uses); err != nil {
		return err
	}
	made, err := r.set(ctx, r.usesKey(key), strconv.Itoa(uses), ttl)
	if err == nil && !made {
		return ErrGranted
	}
	return err
}

// Use implements Store.
func (r *Redis) Use(ctx context.Context, key Key) (taken bool, err error) {
	err = r.do(ctx, func(ctx context.Context, client rueidis.Client) error {
		answer, err := useScript.Exec(ctx, client, []string{r.usesKey(key)}, nil).AsInt64()
		taken = err == nil && answer == 1
		return err
	})
	return taken && err == nil, err
}

// Uses implements Store.
func (r *Redis) Uses(ctx context.Context, key Key) (uses int, err error) {
	err = r.do(ctx, func(ctx context.Context, client rueidis.Client) error {
		answer, err := client.Do(ctx, client.B().Get().Key(r.usesKey(key)).Build()).AsInt64()
		if rueidis.IsRedisNil(err) {
			return nil
		}
		if err == nil && (answer < 0 || answer > MaxUses) {
			return errStrange
		}
		uses = int(answer)
		return err
	})
	if err != nil {
		return 0, err
	}
	return uses, nil
}

// TTL implements Store.
func (r *Redis) TTL() time.Duration { return time.Duration(r.Lifetime) }

// do runs a command within the timeout. Whatever goes wrong, nobody knows
// whether Redis has done it.
func (r *Redis) do(ctx context.Context, command func(context.Context, rueidis.Client) error) error {
	if err := available(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.Timeout))
	defer cancel()
	server, err := r.connection.get(ctx)
	if err == nil && !r.EvictionOK {
		err = server.mayEvict()
	}
	if err == nil {
		err = command(ctx, server)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, describe(err))
	}
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner  = (*Redis)(nil)
	_ caddy.CleanerUpper = (*Redis)(nil)
	_ Store              = (*Redis)(nil)

	_ caddyfile.Unmarshaler = (*Redis)(nil)
)
