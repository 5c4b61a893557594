// Package config tests what Caddy makes of a Caddyfile and of JSON: what loads,
// and what an operator is told of what does not.
package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

const v4JSON = `{"provider": "geetest_v4", "captcha_id": "647f5ed2ed8acb4be36784e01556bb71", "captcha_key": "b09a7aafbfd83f73b35a9b530d0337bf"}`

// validate does what `caddy validate` does with a config of these handlers
// and, in app, the captcha app.
func validate(t *testing.T, app string, handlers ...string) error {
	t.Helper()
	if app != "" {
		app = `"captcha": ` + app + `,`
	}
	text := fmt.Sprintf(`{"admin": {"disabled": true, "config": {"persist": false}}, "apps": {%s "http": {"servers": {"srv0": {
		"listen": ["127.0.0.1:0"], "routes": [{"handle": [%s]}]}}}}}`, app, strings.Join(handlers, ","))
	var config caddy.Config
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return caddy.Validate(&config)
}

func handlerJSON(members string) string {
	return `{"handler": "captcha", "verifier": ` + v4JSON + `, ` + members + `}`
}

// TestConfigJSON: what a JSON config is refused for, and what the operator is
// told. Nothing that is missing or wrong leaves a path unprotected.
func TestConfigJSON(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("b09a7aafbfd83f73b35a9b530d0337bf\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CAPTCHA_TEST_KEY", "b09a7aafbfd83f73b35a9b530d0337bf")
	verifierJSON := func(members string) string {
		return `{"handler": "captcha", "verifier": {"provider": "geetest_v4", ` + members + `}}`
	}
	for _, test := range []struct {
		name, app, handler string
		errors             []string // what the error says; none for a good config
	}{
		{name: "minimal", handler: handlerJSON(`"match": [{"path": ["/login*"]}]`)},
		{name: "every option", handler: handlerJSON(`"match": [{"path": ["/login", "/login/*"]}], "policy": "login",
			"from": ["header", "form", "json"], "fields": {"lot_number": ["captcha.lot", "lotNumber"]}, "headers": {"lot_number": "X-Lot"},
			"body_limit": 131072, "strip": ["header"], "refusal": "auto", "preflight": "refuse",
			"max_concurrent_verifications": 256, "max_concurrent_verifications_per_client": 16, "max_failures": 60, "mode": "enforce"`)},
		{name: "clearance", app: `{"keys": ["sixteen-bytes-12"]}`, handler: handlerJSON(`"clearance": {"ttl": "30m", "max_uses": 5, "bind_to": ["client_ip", "user_agent"]},
			"refusal": "page", "base_path": "/captcha"`) + `, {"handler": "captcha_inject", "form": "form"}`},
		{name: "app", app: `{"replay_cache": {"store": "memory", "capacity": 1000, "ttl": "20m"}}`, handler: handlerJSON(`"mode": "enforce"`)},
		{name: "key from the environment", handler: verifierJSON(`"captcha_id": "x", "captcha_key": "{env.CAPTCHA_TEST_KEY}"`)},
		{name: "key from a file", handler: verifierJSON(`"captcha_id": "x", "captcha_key": "{file.` + secret + `}"`)},

		{name: "unknown option", handler: handlerJSON(`"clearence": {}`), errors: []string{"clearence"}},
		{name: "option of a later version", handler: handlerJSON(`"demand": {}`), errors: []string{"demand"}},
		{name: "on_outage", handler: handlerJSON(`"on_outage": "open"`), errors: []string{"on_outage must be deny or allow"}},
		{name: "outage_rate that does nothing", handler: handlerJSON(`"outage_rate": 5`), errors: []string{"outage_rate has no effect"}},
		{name: "outage_rate of more than all", handler: handlerJSON(`"on_outage": "allow", "outage_rate": 20, "outage_rate_total": 10`), errors: []string{"outage_rate: 20 per client"}},
		{name: "outage_rate below zero", handler: handlerJSON(`"on_outage": "allow", "outage_rate_total": -1`), errors: []string{"outage_rate in all"}},
		{name: "outage_rate of one client for all", handler: handlerJSON(`"on_outage": "allow", "outage_rate": 5000`)},
		{name: "outage_rate of all", handler: handlerJSON(`"on_outage": "allow", "outage_rate_total": 5`)},
		{name: "unknown app option", app: `{"key": ["x"]}`, handler: handlerJSON(`"mode": "enforce"`), errors: []string{"key"}},
		{name: "short key", app: `{"keys": ["fifteen-bytes-!"]}`, handler: handlerJSON(`"mode": "enforce"`), errors: []string{"key 1 of 1", "15 bytes"}},
		{name: "unknown store", app: `{"replay_cache": {"store": "paper"}}`, handler: handlerJSON(`"mode": "enforce"`), errors: []string{"paper"}},
		{name: "short ttl", app: `{"replay_cache": {"store": "memory", "ttl": "14m59s"}}`, handler: handlerJSON(`"mode": "enforce"`), errors: []string{"ttl", "15m"}},
		{name: "no capacity", app: `{"replay_cache": {"store": "memory", "capacity": -1}}`, handler: handlerJSON(`"mode": "enforce"`), errors: []string{"capacity"}},
		{name: "no verifier", handler: `{"handler": "captcha", "policy": "login"}`, errors: []string{`"login"`, "verifier"}},
		{name: "unknown provider", handler: `{"handler": "captcha", "verifier": {"provider": "recaptcha"}}`, errors: []string{`"default"`, "verifier", "recaptcha"}},
		{name: "provider misspelt", handler: strings.Replace(handlerJSON(`"mode": "enforce"`), `"provider"`, `"Provider"`, 1), errors: []string{"verifier", `"provider"`}},
		{name: "no store", app: `{"replay_cache": {"capacity": 1000}}`, handler: handlerJSON(`"mode": "enforce"`), errors: []string{"replay_cache", `"store"`}},
		{name: "more per client than a quarter of the default", handler: handlerJSON(`"max_concurrent_verifications_per_client": 65`), errors: []string{"max_concurrent_verifications", "65", "at most 64"}},
		{name: "a quarter of the default", handler: handlerJSON(`"max_concurrent_verifications_per_client": 64`)},
		{name: "more per client than a quarter", handler: handlerJSON(`"max_concurrent_verifications": 11, "max_concurrent_verifications_per_client": 3`), errors: []string{"a quarter of 11", "at most 2"}},
		{name: "a default of at most a quarter", handler: handlerJSON(`"max_concurrent_verifications": 3`)},
		{name: "no captcha id", handler: verifierJSON(`"captcha_key": "x"`), errors: []string{"captcha_id"}},
		{name: "no captcha key", handler: verifierJSON(`"captcha_id": "x"`), errors: []string{"captcha_key"}},
		{name: "unset variable", handler: verifierJSON(`"captcha_id": "x", "captcha_key": "{env.CAPTCHA_TEST_UNSET}"`), errors: []string{"captcha_key", "{env.CAPTCHA_TEST_UNSET}"}},
		{name: "missing file", handler: verifierJSON(`"captcha_id": "x", "captcha_key": "{file./does/not/exist}"`), errors: []string{"captcha_key", "{file./does/not/exist}"}},
		{name: "request placeholder", handler: verifierJSON(`"captcha_id": "x", "captcha_key": "{http.request.host}"`), errors: []string{"captcha_key", "{http.request.host}"}},
		{name: "endpoint in clear", handler: verifierJSON(`"captcha_id": "x", "captcha_key": "y", "endpoint": "http://gcaptcha4.geetest.com"`), errors: []string{"endpoint", "https"}},
		{name: "endpoint with a password", handler: verifierJSON(`"captcha_id": "x", "captcha_key": "y", "endpoint": "https://u:p@gcaptcha4.geetest.com"`), errors: []string{"endpoint"}},
		{name: "header with underscore", handler: handlerJSON(`"headers": {"lot_number": "captcha_lot"}`), errors: []string{"header lot_number", "_"}},
		{name: "header with dot", handler: handlerJSON(`"headers": {"lot_number": "captcha.lot"}`), errors: []string{"header lot_number", "."}},
		{name: "unknown parameter", handler: handlerJSON(`"fields": {"ticket": ["t"]}`), errors: []string{`"ticket"`, "lot_number"}},
		{name: "parameter without a name", handler: handlerJSON(`"fields": {"lot_number": []}`), errors: []string{"field lot_number", "no name"}},
		{name: "one name for two parameters", handler: handlerJSON(`"fields": {"lot_number": ["lot", "pass_token"]}`), errors: []string{"field lot_number", "pass_token"}},
		{name: "unknown source", handler: handlerJSON(`"from": ["body"]`), errors: []string{"from", `"body"`}},
		{name: "strip form", handler: handlerJSON(`"strip": ["form"]`), errors: []string{"strip"}},
		{name: "refusal page", handler: handlerJSON(`"refusal": "page"`), errors: []string{"refusal page", "clearance"}},
		{name: "page template without clearance", handler: handlerJSON(`"page_template": "page.html"`), errors: []string{"page_template", "clearance"}},
		{name: "no such page template", handler: handlerJSON(`"clearance": {"ttl": "30m"}, "page_template": "/does/not/exist.html"`), errors: []string{"page_template", "/does/not/exist.html"}},
		{name: "clearance without ttl", handler: handlerJSON(`"clearance": {"max_uses": 5}`), errors: []string{"clearance", "how long"}},
		{name: "clearance of negative uses", handler: handlerJSON(`"clearance": {"ttl": "30m", "max_uses": -1}`), errors: []string{"max_uses"}},
		{name: "bound to something else", handler: handlerJSON(`"clearance": {"ttl": "30m", "bind_to": ["cookie"]}`), errors: []string{"bind_to", "cookie"}},
		{name: "domain of everybody", handler: handlerJSON(`"clearance": {"ttl": "30m", "domain": "com"}`), errors: []string{"clearance: domain com", "public suffix"}},
		{name: "domain with a port", handler: handlerJSON(`"clearance": {"ttl": "30m", "domain": "example.com:8443"}`), errors: []string{"clearance: domain", "example.com:8443"}},
		{name: "domain of a machine", handler: handlerJSON(`"clearance": {"ttl": "30m", "domain": "localhost"}`), errors: []string{"clearance: domain localhost", "public suffix"}},
		{name: "domain with an empty label", handler: handlerJSON(`"clearance": {"ttl": "30m", "domain": "a..example"}`), errors: []string{"clearance: domain", "a..example"}},
		{name: "domain with a long label", handler: handlerJSON(`"clearance": {"ttl": "30m", "domain": "` + strings.Repeat("a", 64) + `.example"}`), errors: []string{"clearance: domain"}},
		{name: "base path", handler: handlerJSON(`"base_path": "/x/"`), errors: []string{"base_path"}},
		{name: "inject unknown option", handler: handlerJSON(`"clearance": {"ttl": "30m"}`) + `, {"handler": "captcha_inject", "forms": "form"}`, errors: []string{"forms"}},
		{name: "policy name", handler: handlerJSON(`"policy": "log in"`), errors: []string{`"log in"`}},
		{name: "negative number", handler: handlerJSON(`"max_failures": -1`), errors: []string{"max_failures"}},
		{name: "wrong type", handler: handlerJSON(`"max_failures": "60"`), errors: []string{"max_failures"}},
		{name: "unknown matcher", handler: handlerJSON(`"match": [{"paht": ["/login"]}]`), errors: []string{"match", "paht"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := validate(t, test.app, test.handler)
			if len(test.errors) == 0 {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("loaded")
			}
			for _, part := range test.errors {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
			if strings.Contains(err.Error(), "b09a7aafbfd83f73b35a9b530d0337bf") {
				t.Errorf("the error holds a key: %v", err)
			}
		})
	}
}

// TestPolicyIsOneThing: two handlers of one policy may differ in what they
// match and in how their JSON is spelled, and in nothing else.
func TestPolicyIsOneThing(t *testing.T) {
	login := handlerJSON(`"match": [{"path": ["/login*"]}], "policy": "p", "max_failures": 10`)
	for name, other := range map[string]string{
		"same":          handlerJSON(`"policy": "p", "match": [{"path": ["/signup*"]}], "max_failures": 10`),
		"spelled":       `{"max_failures": 10,   "policy": "p", "handler": "captcha", "verifier": ` + strings.ReplaceAll(v4JSON, " ", "  ") + `}`,
		"other policy":  handlerJSON(`"match": [{"path": ["/signup*"]}], "policy": "q", "max_failures": 11`),
		"other policy2": handlerJSON(`"max_failures": 11`),
	} {
		if err := validate(t, "", login, other); err != nil {
			t.Errorf("%s: refused: %v", name, err)
		}
	}
	for name, test := range map[string]struct{ other, option string }{
		"option":   {handlerJSON(`"match": [{"path": ["/signup*"]}], "policy": "p", "max_failures": 11`), "max_failures"},
		"missing":  {handlerJSON(`"policy": "p"`), "max_failures"},
		"more":     {handlerJSON(`"policy": "p", "max_failures": 10, "strip": ["header"]`), "strip"},
		"verifier": {strings.Replace(handlerJSON(`"policy": "p", "max_failures": 10`), "b09a", "c09a", 1), "verifier"},
	} {
		err := validate(t, "", login, test.other)
		if err == nil {
			t.Errorf("%s: loaded", name)
			continue
		}
		for _, part := range []string{`"p"`, `"` + test.option + `"`, "/login*", "policy name"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error does not say %q: %v", name, part, err)
			}
		}
		if strings.Contains(err.Error(), "b09a7aafbfd83f73b35a9b530d0337bf") {
			t.Errorf("%s: the error holds a key: %v", name, err)
		}
	}
}
