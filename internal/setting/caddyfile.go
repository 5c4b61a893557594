package setting

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Unrecognized returns the error about a subdirective that its owner, a
// directive or option, does not have: in Caddy's own words, with file and line,
// and with those that there are.
func Unrecognized(d *caddyfile.Dispenser, subdirective, owner string, known ...string) error {
	return d.Errf("unrecognized subdirective %s; %s has %s", subdirective, owner, strings.Join(known, ", "))
}

// Count parses a positive number. Zero would read as "not given" in JSON.
func Count(d *caddyfile.Dispenser, option, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, d.Errf("%s must be a whole number above 0, not %q", option, text)
	}
	return n, nil
}

// Size parses a number of bytes, with or without a unit: "128KiB". It must be
// positive, for zero would read as "not given" in JSON, and at most limit.
func Size(d *caddyfile.Dispenser, option, text string, limit uint64) (int64, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n < 1 || n > limit {
		return 0, d.Errf("%s must be a size such as 128KiB, at most %s, not %q", option, humanize.IBytes(limit), text)
	}
	return int64(n), nil
}

// Guest reads "<name> { ... }" for the guest module of that name in
// the namespace, and returns it and its JSON with its name under inlineKey.
func Guest(d *caddyfile.Dispenser, namespace, inlineKey string) (caddyfile.Unmarshaler, json.RawMessage, error) {
	option := d.Val()
	if !d.NextArg() {
		return nil, nil, d.Errf("%s needs the name of a %s", option, inlineKey)
	}
	name := d.Val()
	if _, err := caddy.GetModule(namespace + "." + name); err != nil {
		var known []string
		for _, module := range caddy.GetModules(namespace) {
			known = append(known, module.ID.Name())
		}
		return nil, nil, d.Errf("unknown %s %q; this Caddy has %s", inlineKey, name, strings.Join(known, ", "))
	}
	guest, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
	if err != nil {
		return nil, nil, err
	}
	return guest, caddyconfig.JSONModuleObject(guest, inlineKey, name, nil), nil
}
