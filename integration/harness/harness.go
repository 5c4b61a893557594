package harness

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddycaptcha/caddycaptcha"
)

// Globals are the global options of every Caddy that a test runs.
const Globals = `
	admin off
	persist_config off
	auto_https off
	skip_install_trust
`

// Adapt turns a Caddyfile into JSON.
func Adapt(caddyfile string) (string, error) {
	result, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return "", err
	}
	for _, warning := range warnings {
		if !strings.Contains(warning.Message, "not formatted") {
			return "", errors.New(warning.String())
		}
	}
	return string(result), nil
}

// Run loads a Caddyfile into this process's Caddy until the test ends.
func Run(t *testing.T, caddyfile string) {
	t.Helper()
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	Load(t, caddyfile)
}

// Load puts a Caddyfile in place of the running config, as a reload does.
func Load(t *testing.T, caddyfile string) {
	t.Helper()
	config, err := Adapt(caddyfile)
	if err != nil {
		t.Fatalf("adapting: %v", err)
	}
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatalf("loading: %v", err)
	}
}

// Address returns the address on which a server of the running config listens.
func Address(t *testing.T, server string) string {
	t.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	listeners := app.(*caddyhttp.App).Servers[server].Listeners()
	if len(listeners) == 0 {
		t.Fatalf("server %s does not listen", server)
	}
	return listeners[0].Addr().String()
}

// Await waits for a condition, for as long as the test may run.
func Await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for tick := time.NewTicker(5 * time.Millisecond); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}
