package cache

import (
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

// UnmarshalCaddyfile sets up the replay cache from Caddyfile tokens. Syntax:
//
//	replay_cache redis {
//		address           <host:port>...
//		cluster
//		master            <name>
//		username          <name>
//		password          <secret>
//		sentinel_username <name>
//		sentinel_password <secret>
//		db                <n>
//		tls {
//			ca                 <file>
//			server_name        <name>
//			client_certificate <certificate> <key>
//		}
//		key_prefix        <text>
//		timeout           <duration>
//		ttl               <duration>
//		eviction_ok
//	}
//
// Only address is required. tls may stand without a block.
func (r *Redis) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.ArgErr()
	}
	texts := map[string]*string{
		"master": &r.Master, "username": &r.Username, "password": &r.Password,
		"sentinel_username": &r.SentinelUsername, "sentinel_password": &r.SentinelPassword, "key_prefix": &r.KeyPrefix,
	}
	flags := map[string]*bool{"cluster": &r.Cluster, "eviction_ok": &r.EvictionOK}
	durations := map[string]*caddy.Duration{"timeout": &r.Timeout, "ttl": &r.Lifetime}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] {
			return d.Errf("%s is given twice", option)
		}
		seen[option] = true
		if flag, ok := flags[option]; ok {
			if d.NextArg() {
				return d.ArgErr()
			}
			*flag = true
			continue
		}
		switch option {
		case "address":
			if r.Addresses = d.RemainingArgs(); len(r.Addresses) == 0 {
				return d.ArgErr()
			}
			continue
		case "tls":
			if err := r.unmarshalTLS(d); err != nil {
				return err
			}
			continue
		}
		var value string
		if !d.AllArgs(&value) {
			return d.ArgErr()
		}
		if text, ok := texts[option]; ok {
			if value == "" {
				return d.Errf("%s is empty", option)
			}
			*text = value
			continue
		}
		if duration, ok := durations[option]; ok {
			parsed, err := caddy.ParseDuration(value)
			if err != nil {
				return d.Errf("%s must be a duration such as 30m: %v", option, err)
			}
			if parsed <= 0 {
				return d.Errf("%s must be longer than nothing", option)
			}
			*duration = caddy.Duration(parsed)
			continue
		}
		if option != "db" {
			return setting.Unrecognized(d, option, "replay_cache redis", "address", "cluster", "master", "username", "password",
				"sentinel_username", "sentinel_password", "db", "tls", "key_prefix", "timeout", "ttl", "eviction_ok")
		}
		var err error
		if r.DB, err = strconv.Atoi(value); err != nil || r.DB < 0 {
			return d.Errf("db must be a whole number, not %q", value)
		}
	}
	if err := r.check(); err != nil {
		return d.WrapErr(fmt.Errorf("replay_cache redis: %w", err))
	}
	return nil
}

func (r *Redis) unmarshalTLS(d *caddyfile.Dispenser) error {
	r.TLS = new(RedisTLS)
	if d.NextArg() {
		return d.ArgErr()
	}
	texts := map[string][]*string{
		"ca": {&r.TLS.CA}, "server_name": {&r.TLS.ServerName}, "client_certificate": {&r.TLS.Certificate, &r.TLS.Key},
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		targets, ok := texts[option]
		if !ok {
			return setting.Unrecognized(d, option, "tls", "ca", "server_name", "client_certificate")
		}
		if seen[option] {
			return d.Errf("%s is given twice", option)
		}
		seen[option] = true
		if !d.AllArgs(targets...) {
			return d.ArgErr()
		}
	}
	return nil
}
