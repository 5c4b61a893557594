//go:build unix

package cache_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/cache/cachetest"
)

// authority signs certificates for the time of a test.
type authority struct {
	t           *testing.T
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.certificate, a.key = a.make(name, time.Hour, true)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// make writes <name>.crt and <name>.key.
func (a *authority) make(name string, valid time.Duration, isCA bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(valid), IsCA: isCA, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if a.certificate != nil {
		parent, signer = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate, key
}

// TestRedisOverTLS with a certificate authority and client certificates of
// one's own.
func TestRedisOverTLS(t *testing.T) {
	a := newAuthority(t, "ca")
	a.make("redis", time.Hour, false)
	a.make("caddy", time.Hour, false)
	a.make("expired", -time.Hour, false)
	other := newAuthority(t, "other")
	other.make("caddy", time.Hour, false)
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	serve := func(t *testing.T, certificate string) {
		startRedis(t, address, "--port", "0", "--tls-port", port, "--tls-ca-cert-file", a.file("ca.crt"),
			"--tls-cert-file", a.file(certificate+".crt"), "--tls-key-file", a.file(certificate+".key"))
	}
	good := cache.RedisTLS{CA: a.file("ca.crt"), Certificate: a.file("caddy.crt"), Key: a.file("caddy.key")}
	for name, test := range map[string]struct {
		server string
		change func(*cache.RedisTLS)
		good   bool
	}{
		"all is right":                 {"redis", func(*cache.RedisTLS) {}, true},
		"the server's name is given":   {"redis", func(c *cache.RedisTLS) { c.ServerName = "redis" }, true},
		"another authority":            {"redis", func(c *cache.RedisTLS) { c.CA = other.file("other.crt") }, false},
		"the system's authorities":     {"redis", func(c *cache.RedisTLS) { c.CA = "" }, false},
		"no client certificate":        {"redis", func(c *cache.RedisTLS) { c.Certificate, c.Key = "", "" }, false},
		"another's client certificate": {"redis", func(c *cache.RedisTLS) { c.Certificate, c.Key = other.file("caddy.crt"), other.file("caddy.key") }, false},
		"another name":                 {"redis", func(c *cache.RedisTLS) { c.ServerName = "example.com" }, false},
		"a certificate that expired":   {"expired", func(*cache.RedisTLS) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, test.server)
			config := good
			test.change(&config)
			store := open(t, &cache.Redis{Addresses: []string{address}, TLS: &config, Timeout: patient})
			claimed, err := store.Claim(t.Context(), cache.Key(cache.NewOwner()), cache.NewOwner(), store.TTL())
			if claimed != test.good || !test.good && !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("Claim = %t, %v", claimed, err)
			}
		})
	}
}

// TestRedisTakesARenewedAuthority: a reload goes by what the file holds, not by
// its name.
func TestRedisTakesARenewedAuthority(t *testing.T) {
	a, old := newAuthority(t, "ca"), newAuthority(t, "ca")
	a.make("redis", time.Hour, false)
	address := freeAddress(t)
	startRedis(t, address, "--port", "0", "--tls-port", port(address), "--tls-ca-cert-file", a.file("ca.crt"),
		"--tls-cert-file", a.file("redis.crt"), "--tls-key-file", a.file("redis.key"), "--tls-auth-clients", "no")
	load := func() *cache.Redis {
		return open(t, &cache.Redis{Addresses: []string{address}, TLS: &cache.RedisTLS{CA: old.file("ca.crt")}, Timeout: patient})
	}
	before := load()
	if claimed, err := before.Claim(t.Context(), cache.Key(cache.NewOwner()), cache.NewOwner(), before.TTL()); claimed || !errors.Is(err, cache.ErrUnavailable) {
		t.Fatalf("with the old one: Claim = %t, %v", claimed, err)
	}
	renewed, err := os.ReadFile(a.file("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old.file("ca.crt"), renewed, 0o600); err != nil {
		t.Fatal(err)
	}
	after := load()
	if claimed, err := after.Claim(t.Context(), cache.Key(cache.NewOwner()), cache.NewOwner(), after.TTL()); !claimed || err != nil {
		t.Errorf("with the new one: Claim = %t, %v", claimed, err)
	}
}

// TestRedisCluster runs what every store has to pass against a cluster, of
// which a third moves meanwhile.
func TestRedisCluster(t *testing.T) {
	var addresses []string
	for range 3 {
		server := startRedis(t, freeAddress(t), "--cluster-enabled", "yes", "--cluster-port", port(freeAddress(t)))
		addresses = append(addresses, server.address)
	}
	tool := &redisServer{address: addresses[0]}
	tool.command(t, append(append([]string{"--cluster", "create"}, addresses...), "--cluster-yes")...)
	for _, address := range addresses {
		for node := (&redisServer{address: address}); !strings.Contains(node.command(t, "CLUSTER", "INFO"), "cluster_state:ok"); {
			time.Sleep(50 * time.Millisecond)
		}
	}
	subject := cachetest.Subject{Open: func(t *testing.T) cache.Store {
		return open(t, &cache.Redis{Addresses: addresses, Cluster: true, Timeout: patient})
	}}
	cachetest.Run(t, subject)
	t.Run("moving", func(t *testing.T) {
		store := subject.Open(t)
		moved := make(chan struct{})
		go func() {
			defer close(moved)
			from, to := tool.command(t, "CLUSTER", "MYID"), (&redisServer{address: addresses[1]}).command(t, "CLUSTER", "MYID")
			tool.command(t, "--cluster", "reshard", addresses[0], "--cluster-from", strings.TrimSpace(from), "--cluster-to", strings.TrimSpace(to), "--cluster-slots", "2000", "--cluster-yes")
		}()
		for claims := 0; ; claims++ {
			key := cache.Key(cache.NewOwner())
			if claimed, err := store.Claim(t.Context(), key, cache.NewOwner(), store.TTL()); !claimed || err != nil {
				t.Fatalf("Claim %d = %t, %v", claims, claimed, err)
			}
			if claimed, err := store.Claim(t.Context(), key, cache.NewOwner(), store.TTL()); claimed || err != nil {
				t.Fatalf("Claim %d again = %t, %v", claims, claimed, err)
			}
			select {
			case <-moved:
				return
			default:
			}
		}
	})
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// TestRedisSentinel: when the master dies, the store goes on with the one that
// the sentinels make the new one.
func TestRedisSentinel(t *testing.T) {
	master := startRedis(t, freeAddress(t))
	replica := startRedis(t, freeAddress(t), "--replicaof", "127.0.0.1 "+port(master.address))
	for !strings.Contains(replica.command(t, "INFO", "replication"), "master_link_status:up") {
		time.Sleep(20 * time.Millisecond)
	}
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := "sentinel monitor door 127.0.0.1 " + port(master.address) + " 1\nsentinel down-after-milliseconds door 500\nsentinel failover-timeout door 5000\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := startRedis(t, freeAddress(t), sentinelOf, file)
	for !strings.Contains(sentinel.command(t, "SENTINEL", "REPLICAS", "door"), port(replica.address)) {
		time.Sleep(50 * time.Millisecond)
	}
	store := open(t, &cache.Redis{Addresses: []string{sentinel.address}, Master: "door", Timeout: caddy.Duration(5 * time.Second)})
	key, owner := cache.Key(cache.NewOwner()), cache.NewOwner()
	for {
		claimed, err := store.Claim(t.Context(), key, owner, store.TTL())
		if claimed {
			break
		}
		if err == nil {
			t.Fatal("the claim of nobody is taken")
		}
		_ = store.Release(t.Context(), key, owner) // it may have been made
	}
	if got := master.command(t, "WAIT", "1", "60000"); !strings.HasPrefix(got, "1") {
		t.Fatalf("the replica has not got the claim: %s", got)
	}
	master.kill(t)
	for { // refused, until there is a master
		claimed, err := store.Claim(t.Context(), key, cache.NewOwner(), store.TTL())
		if claimed {
			t.Fatal("the claim is made again")
		}
		if err == nil {
			break
		}
		if !errors.Is(err, cache.ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
