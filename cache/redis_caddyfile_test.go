package cache

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestRedisCaddyfile(t *testing.T) {
	for input, want := range map[string]Redis{
		"redis {\n address a:1\n}":                                                            {Addresses: []string{"a:1"}},
		"redis {\n address a:1 b:2\n cluster\n}":                                              {Addresses: []string{"a:1", "b:2"}, Cluster: true},
		"redis {\n address a:1\n db 3\n ttl 1h\n timeout 2s\n}":                               {Addresses: []string{"a:1"}, DB: 3, Lifetime: caddy.Duration(time.Hour), Timeout: caddy.Duration(2 * time.Second)},
		"redis {\n address a:1\n db 0\n eviction_ok\n}":                                       {Addresses: []string{"a:1"}, EvictionOK: true},
		"redis {\n address a:1\n username u\n password p\n}":                                  {Addresses: []string{"a:1"}, Username: "u", Password: "p"},
		"redis {\n address a:1\n key_prefix door:\n tls\n}":                                   {Addresses: []string{"a:1"}, KeyPrefix: "door:", TLS: &RedisTLS{}},
		"redis {\n address a:1\n tls {\n  server_name n\n }\n}":                               {Addresses: []string{"a:1"}, TLS: &RedisTLS{ServerName: "n"}},
		"redis {\n address a:1\n tls {\n  ca f\n client_certificate c k\n }\n}":               {Addresses: []string{"a:1"}, TLS: &RedisTLS{CA: "f", Certificate: "c", Key: "k"}},
		"redis {\n address a:1 b:2\n master m\n sentinel_username u\n sentinel_password p\n}": {Addresses: []string{"a:1", "b:2"}, Master: "m", SentinelUsername: "u", SentinelPassword: "p"},
	} {
		var r Redis
		if err := r.UnmarshalCaddyfile(caddyfile.NewTestDispenser(input)); err != nil {
			t.Errorf("%q: %v", input, err)
		}
		if !reflect.DeepEqual(r, want) {
			t.Errorf("%q: got %+v, want %+v", input, r, want)
		}
	}
}

func TestRedisCaddyfileErrorsNameOptionAndLine(t *testing.T) {
	for input, want := range map[string]string{
		`redis a:1`:                                                    "wrong argument count",
		"redis {\n address\n}":                                         "wrong argument count",
		"redis {\n timeout 1s\n}":                                      "address is missing",
		"redis {\n address a:1 b:2\n}":                                 "write cluster",
		"redis {\n address a:1\n cluster yes\n}":                       "wrong argument count",
		"redis {\n address a:1\n cluster\n master m\n}":                "exclude each other",
		"redis {\n address a:1\n cluster\n db 1\n}":                    "db 0 only",
		"redis {\n address a:1\n db -1\n}":                             "db must be a whole number",
		"redis {\n address a:1\n db x\n}":                              "db must be a whole number",
		"redis {\n address a:1\n password\n}":                          "wrong argument count",
		"redis {\n address a:1\n password \"\"\n}":                     "password is empty",
		"redis {\n address a:1\n sentinel_password p\n}":               "need master",
		"redis {\n address a:1\n timeout soon\n}":                      "timeout must be a duration",
		"redis {\n address a:1\n timeout 0\n}":                         "timeout must be longer",
		"redis {\n address a:1\n ttl 14m\n}":                           "ttl must be at least 15m",
		"redis {\n address a:1\n address b:2\n}":                       "address is given twice",
		"redis {\n address a:1\n adress b:2\n}":                        "unrecognized subdirective adress",
		"redis {\n address a:1\n tls on\n}":                            "wrong argument count",
		"redis {\n address a:1\n tls {\n  insecure\n }\n}":             "unrecognized subdirective insecure",
		"redis {\n address a:1\n tls {\n  ca a\n ca b\n }\n}":          "ca is given twice",
		"redis {\n address a:1\n tls {\n  client_certificate c\n }\n}": "wrong argument count",
	} {
		err := new(Redis).UnmarshalCaddyfile(caddyfile.NewTestDispenser(input))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Testfile:") {
			t.Errorf("%q: error %v, want one with %q and the line", input, err, want)
		}
	}
}

// TestRedisProvisionErrors: what is wrong with the options, or with the files
// that they name, is an error when the config is loaded, and shows no secret.
func TestRedisProvisionErrors(t *testing.T) {
	for input, want := range map[string]string{
		`{}`:                    "address is missing",
		`{"addresses": ["a"]}`:  "not host:port",
		`{"addresses": [":1"]}`: "not host:port",
		`{"addresses": ["{env.NOT_SET_AT_ALL}"]}`:                                                  "NOT_SET_AT_ALL",
		`{"addresses": ["a:1"], "password": "{env.NOT_SET_AT_ALL}"}`:                               "NOT_SET_AT_ALL",
		`{"addresses": ["a:1"], "ttl": "1m"}`:                                                      "ttl must be at least 15m",
		`{"addresses": ["a:1"], "timeout": -1}`:                                                    "timeout",
		`{"addresses": ["a:1"], "tls": {"ca": "/nonexistent"}}`:                                    "tls: ca: open /nonexistent",
		`{"addresses": ["a:1"], "tls": {"ca": "redis.go"}}`:                                        "redis.go holds no certificate",
		`{"addresses": ["a:1"], "tls": {"client_certificate": "a"}}`:                               "needs its key",
		`{"addresses": ["a:1"], "tls": {"client_certificate": "/nonexistent", "client_key": "a"}}`: "tls: client_certificate: open /nonexistent",
	} {
		var r Redis
		if err := json.Unmarshal([]byte(input), &r); err != nil {
			t.Fatal(err)
		}
		err := r.Provision(caddy.Context{Context: context.Background()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", input, err, want)
		}
	}
}
