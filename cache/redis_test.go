//go:build unix

package cache_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/cache/cachetest"
)

// patient is a timeout that only what hangs reaches.
const patient = caddy.Duration(time.Minute)

// open provisions a store, which is cleaned up with the test.
func open(t *testing.T, store *cache.Redis) *cache.Redis {
	t.Helper()
	if err := store.Provision(caddy.Context{Context: context.Background()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// TestRedisIsAStore runs what every store has to pass against a real server,
// and where time has to pass against one whose clock can be turned.
func TestRedisIsAStore(t *testing.T) {
	t.Run("redis-server", func(t *testing.T) {
		address := startRedis(t, freeAddress(t)).address
		cachetest.Run(t, cachetest.Subject{
			Open: func(t *testing.T) cache.Store {
				return open(t, &cache.Redis{Addresses: []string{address}, Timeout: patient})
			},
			OpenUnavailable: unreachable,
		})
	})
	t.Run("miniredis", func(t *testing.T) {
		server := miniredis.RunT(t)
		cachetest.Run(t, cachetest.Subject{
			Open: func(t *testing.T) cache.Store {
				return open(t, &cache.Redis{Addresses: []string{server.Addr()}, Timeout: patient, EvictionOK: true})
			},
			Pass: func(_ *testing.T, d time.Duration) { server.FastForward(d) },
		})
	})
}

const hasty = caddy.Duration(300 * time.Millisecond)

// unreachable are servers of which nothing can be had.
var unreachable = map[string]func(*testing.T) cache.Store{
	"nothing listens": func(t *testing.T) cache.Store {
		return open(t, &cache.Redis{Addresses: []string{freeAddress(t)}, Timeout: hasty})
	},
	"it says nothing": func(t *testing.T) cache.Store {
		return open(t, &cache.Redis{Addresses: []string{listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })}, Timeout: hasty})
	},
	"it hangs up": func(t *testing.T) cache.Store {
		return open(t, &cache.Redis{Addresses: []string{listen(t, func(net.Conn) {})}, Timeout: hasty})
	},
	"it is no Redis": func(t *testing.T) cache.Store {
		server := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(server.Close)
		return open(t, &cache.Redis{Addresses: []string{strings.TrimPrefix(server.URL, "http://")}, Timeout: hasty})
	},
	"it answers with endless strings": func(t *testing.T) cache.Store {
		return open(t, &cache.Redis{Addresses: []string{listen(t, answering("$99999999999\r\nx"))}, Timeout: hasty})
	},
	"it answers with endless arrays": func(t *testing.T) cache.Store {
		return open(t, &cache.Redis{Addresses: []string{listen(t, answering(strings.Repeat("*65000\r\n", 100)))}, Timeout: hasty})
	},
	"it answers with arrays without a bottom": func(t *testing.T) cache.Store {
		return open(t, &cache.Redis{Addresses: []string{listen(t, answering(strings.Repeat("*1\r\n", 8<<20)))}, Timeout: patient})
	},
	"it answers what was not asked": func(t *testing.T) cache.Store {
		return open(t, &cache.Redis{Addresses: []string{listen(t, answering(strings.Repeat("+OK\r\n", 100)))}, Timeout: hasty})
	},
	"it wants a password": func(t *testing.T) cache.Store {
		address := startRedis(t, freeAddress(t), "--requirepass", "secret").address
		return open(t, &cache.Redis{Addresses: []string{address}, Timeout: patient})
	},
	"it wants another password": func(t *testing.T) cache.Store {
		address := startRedis(t, freeAddress(t), "--requirepass", "secret").address
		return open(t, &cache.Redis{Addresses: []string{address}, Password: "other", Timeout: patient})
	},
	"it may forget claims": func(t *testing.T) cache.Store {
		address := startRedis(t, freeAddress(t), "--maxmemory-policy", "allkeys-lru").address
		return open(t, &cache.Redis{Addresses: []string{address}, Timeout: patient})
	},
	"it wants TLS": func(t *testing.T) cache.Store {
		address := startRedis(t, freeAddress(t)).address // which speaks none
		return open(t, &cache.Redis{Addresses: []string{address}, TLS: &cache.RedisTLS{}, Timeout: hasty})
	},
}

// TestRedisRefusesWhatItCannotKeep: a server that takes no writes is no store,
// and one that takes them again is.
func TestRedisRefusesWhatItCannotKeep(t *testing.T) {
	for name, test := range map[string]struct{ ill, well []string }{
		"a replica":  {[]string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}},
		"a full one": {[]string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := startRedis(t, freeAddress(t))
			store := open(t, &cache.Redis{Addresses: []string{server.address}, Timeout: patient})
			key, owner := cache.Key(cache.NewOwner()), cache.NewOwner()
			server.command(t, test.ill...)
			claimed, err := store.Claim(t.Context(), key, owner, store.TTL())
			if claimed || !errors.Is(err, cache.ErrUnavailable) || strings.Contains(err.Error(), "captcha:") {
				t.Errorf("Claim = %t, %v", claimed, err)
			}
			server.command(t, test.well...)
			if claimed, err := store.Claim(t.Context(), key, owner, store.TTL()); !claimed || err != nil {
				t.Errorf("well again: Claim = %t, %v", claimed, err)
			}
		})
	}
}

// TestRedisComesBack: whatever happens to the server, the store is there when
// the server is.
func TestRedisComesBack(t *testing.T) {
	address := freeAddress(t)
	store := open(t, &cache.Redis{Addresses: []string{address}, Timeout: caddy.Duration(3 * time.Second)})
	claim := func() error {
		_, err := store.Claim(t.Context(), cache.Key(cache.NewOwner()), cache.NewOwner(), store.TTL())
		return err
	}
	if err := claim(); !errors.Is(err, cache.ErrUnavailable) {
		t.Fatalf("before it runs: %v", err)
	}
	back := func() {
		t.Helper()
		for start := time.Now(); claim() != nil; {
			if time.Since(start) > 2*time.Minute {
				t.Fatal("it does not come back")
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	server := startRedis(t, address)
	back()
	server.kill(t)
	if err := claim(); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("when it is dead: %v", err)
	}
	server = startRedis(t, address)
	back()
	server.stall(t, true)
	if err := claim(); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("when it is stalled: %v", err)
	}
	server.stall(t, false)
	back()
	server.command(t, "SCRIPT", "FLUSH") // NOSCRIPT
	key := cache.Key(cache.NewOwner())
	if err := store.Grant(t.Context(), key, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	if taken, err := store.Use(t.Context(), key); !taken || err != nil {
		t.Errorf("without its scripts: Use = %t, %v", taken, err)
	}
}

// TestRedisIsSharedByConfigs: a reload goes on with the connections that are
// there.
func TestRedisIsSharedByConfigs(t *testing.T) {
	server := startRedis(t, freeAddress(t))
	connections := func() (ids []string) {
		for client := range strings.Lines(server.command(t, "CLIENT", "LIST")) {
			if id, _, ok := strings.Cut(client, " "); ok && !strings.Contains(client, "cmd=client") { // less those that ask
				ids = append(ids, id)
			}
		}
		return ids
	}
	// Which connection a command goes by depends on its key.
	const keys = 200
	key := func(n int) cache.Key { return cache.Key{0: byte(n), 1: 1} }
	owner := cache.NewOwner()
	claimAll := func(store *cache.Redis, want bool) {
		t.Helper()
		for n := range keys {
			if claimed, err := store.Claim(t.Context(), key(n), owner, store.TTL()); claimed != want || err != nil {
				t.Fatalf("Claim = %t, %v", claimed, err)
			}
		}
	}
	first := open(t, &cache.Redis{Addresses: []string{server.address}, Timeout: patient})
	claimAll(first, true)
	before := connections()
	second := &cache.Redis{Addresses: []string{server.address}, Timeout: patient, Lifetime: caddy.Duration(time.Hour)}
	if err := second.Provision(caddy.Context{Context: context.Background()}); err != nil {
		t.Fatal(err)
	}
	claimAll(second, false)
	if after := connections(); len(before) == 0 || !slices.Equal(after, before) {
		t.Errorf("the connections were %v and are %v", before, after)
	}
	if err := second.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if claimed, err := first.Claim(t.Context(), cache.Key(cache.NewOwner()), owner, first.TTL()); !claimed || err != nil {
		t.Errorf("after the second has gone: Claim = %t, %v", claimed, err)
	}
}

// TestRedisKeysTellNothing: what lies in Redis is digests and random values.
func TestRedisKeysTellNothing(t *testing.T) {
	server := startRedis(t, freeAddress(t))
	store := open(t, &cache.Redis{Addresses: []string{server.address}, Timeout: patient, KeyPrefix: "door:"})
	if _, err := store.Claim(t.Context(), cache.Key{1, 2}, cache.Owner{3}, store.TTL()); err != nil {
		t.Fatal(err)
	}
	if err := store.Grant(t.Context(), cache.Key{4}, 7, time.Hour); err != nil {
		t.Fatal(err)
	}
	keys := strings.Fields(server.command(t, "KEYS", "*"))
	if len(keys) != 2 || !strings.HasPrefix(keys[0], "door:") || !strings.HasPrefix(keys[1], "door:") {
		t.Errorf("the keys are %q", keys)
	}
	for _, key := range keys {
		if ttl := server.command(t, "PTTL", key); strings.HasPrefix(ttl, "-") {
			t.Errorf("%s lives for ever", key)
		}
	}
}

// TestRedisUser: the README says what a user of Redis needs to be allowed.
func TestRedisUser(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile("`ACL SETUSER caddy on >\\.\\.\\. ([^`]*)`").FindStringSubmatch(string(readme))
	if rule == nil {
		t.Fatal("the README does not say it")
	}
	server := startRedis(t, freeAddress(t))
	server.command(t, append([]string{"ACL", "SETUSER", "caddy", "on", ">secret"}, strings.Fields(rule[1])...)...)
	store := open(t, &cache.Redis{Addresses: []string{server.address}, Username: "caddy", Password: "secret", Timeout: patient})
	key, owner := cache.Key(cache.NewOwner()), cache.NewOwner()
	if claimed, err := store.Claim(t.Context(), key, owner, store.TTL()); !claimed || err != nil {
		t.Errorf("Claim = %t, %v", claimed, err)
	}
	if err := store.Release(t.Context(), key, owner); err != nil {
		t.Errorf("Release: %v", err)
	}
	if claimed, err := store.Claim(t.Context(), key, owner, store.TTL()); !claimed || err != nil {
		t.Errorf("after the release: Claim = %t, %v", claimed, err)
	}
	if err := store.Grant(t.Context(), key, 2, time.Hour); err != nil {
		t.Errorf("Grant: %v", err)
	}
	if taken, err := store.Use(t.Context(), key); !taken || err != nil {
		t.Errorf("Use = %t, %v", taken, err)
	}
	if left, err := store.Uses(t.Context(), key); left != 1 || err != nil {
		t.Errorf("Uses = %d, %v", left, err)
	}
}

// TestRedisPasswordThatChanges: new connections are refused, until a reload
// brings the password or it is the old one again.
func TestRedisPasswordThatChanges(t *testing.T) {
	server := startRedis(t, freeAddress(t))
	change := func(password string) {
		server.command(t, "ACL", "SETUSER", "caddy", "on", "resetpass", ">"+password, "~*", "+@all")
	}
	with := func(password string) *cache.Redis {
		return open(t, &cache.Redis{Addresses: []string{server.address}, Username: "caddy", Password: password, Timeout: patient})
	}
	claim := func(store *cache.Redis) error {
		claimed, err := store.Claim(t.Context(), cache.Key(cache.NewOwner()), cache.NewOwner(), store.TTL())
		if claimed != (err == nil) {
			t.Errorf("Claim = %t, %v", claimed, err)
		}
		return err
	}
	change("a-secret")
	before := with("a-secret")
	if err := claim(before); err != nil {
		t.Fatal(err)
	}
	change("another-secret")
	server.command(t, "CLIENT", "KILL", "USER", "caddy")
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) { // until the client has seen it
		err := claim(before)
		if err != nil && strings.Contains(err.Error(), "WRONGPASS") {
			if !errors.Is(err, cache.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
				t.Errorf("with the old one: %v", err)
			}
			break
		}
		if time.Since(start) > 2*time.Minute {
			t.Fatalf("with the old one: %v", err)
		}
	}
	if err := claim(with("another-secret")); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	change("a-secret")
	for start := time.Now(); claim(before) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > 2*time.Minute {
			t.Fatal("it does not come back")
		}
	}
}
