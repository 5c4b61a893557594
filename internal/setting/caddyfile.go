package setting

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Unrecognized returns the error about a subdirective that its owner, a
// directive or option, does not have: in Caddy's own words, with file and line,
// and with those that there are.
func Unrecognized(d *caddyfile.Dispenser, subdirective, owner string, known ...string) error {
	return d.Errf("unrecognized subdirective %s; %s has %s", subdirective, owner, strings.Join(known, ", "))
}
