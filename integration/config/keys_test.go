package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// loadWithGlobals puts a site with clearances, with more global options, in
// place of the running one.
func loadWithGlobals(g *harness.Gate, t *testing.T, more string) {
	t.Helper()
	harness.Load(t, g.WithGlobals(more))
	g.URL = "http://" + harness.Address(t, "srv0")
}

func TestKeysCanBeReplacedWithoutABreak(t *testing.T) {
	const first, second = "the-first-of-all-keys", "the-second-of-all-keys"
	g := harness.NewGate(t)
	harness.Run(t, g.WithGlobals("captcha {\nkey "+first+"\n}"))
	g.URL = "http://" + harness.Address(t, "srv0")
	old := g.Cookie()
	for _, c := range []struct {
		keys        string
		oldIsGood   bool
		newIsGoodAt bool
	}{
		{first, true, true},
		{second + " " + first, true, true},
		{second, false, true},
		{first, true, false},
	} {
		loadWithGlobals(g, t, "captcha {\nkey "+c.keys+"\n}")
		if g.Passes(old) != c.oldIsGood {
			t.Errorf("with %s the first clearance passes: %t", c.keys, !c.oldIsGood)
		}
		fresh := g.Cookie()
		loadWithGlobals(g, t, "captcha {\nkey "+second+"\n}")
		// What was signed by the first key of two is good without the second.
		if want := strings.HasPrefix(c.keys, second); g.Passes(fresh) != want {
			t.Errorf("with %s a clearance was signed with the wrong key", c.keys)
		}
	}
}

func TestAKeyIsMadeOnceAndKeptInStorage(t *testing.T) {
	dir := t.TempDir()
	storage := "storage file_system " + dir
	file := filepath.Join(dir, "captcha", "keys", "master")
	g := harness.NewGate(t)

	config, err := harness.Adapt(g.WithGlobals(storage))
	if err != nil {
		t.Fatal(err)
	}
	var parsed caddy.Config
	if err := caddy.StrictUnmarshalJSON([]byte(config), &parsed); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&parsed); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("validating a config made the key; it may run as another user")
	}

	harness.Run(t, g.WithGlobals(storage))
	g.URL = "http://" + harness.Address(t, "srv0")
	cookie := g.Cookie()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read the key: %s", info.Mode())
	}
	// Another node, or this one after a restart, knows the file alone.
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	loadWithGlobals(g, t, storage)
	if !g.Passes(cookie) {
		t.Error("a clearance did not survive the restart")
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	loadWithGlobals(g, t, "storage file_system "+t.TempDir())
	if g.Passes(cookie) {
		t.Error("a clearance passes with another key")
	}
}

func TestBadKeysAreLoadErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "captcha", "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "captcha", "keys", "master"), []byte("CANARY\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SHORT_KEY", "CANARY")
	g := harness.NewGate(t)
	for _, c := range []struct{ globals, want string }{
		{"captcha {\nkey {env.SHORT_KEY}\n}", "key 1 of 1: it has 6 bytes and must have at least 16"},
		{"captcha {\nkey 0123456789abcdef {env.NO_SUCH_KEY}\n}", "key 2 of 2"},
		{"storage file_system " + dir, "captcha/keys/master in Caddy's storage: it is not a key; delete it"},
	} {
		config, err := harness.Adapt(g.WithGlobals(c.globals))
		if err != nil {
			t.Fatal(err)
		}
		err = caddy.Load([]byte(config), true)
		if err == nil {
			caddy.Stop() //nolint:errcheck // the test has failed
			t.Errorf("%q loads", c.globals)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %q, want %q in it", err, c.want)
		}
		if strings.Contains(err.Error(), "CANARY") {
			t.Errorf("the error shows the key: %s", err)
		}
	}
}
