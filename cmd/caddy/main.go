// Command caddy is Caddy with the captcha module, for `go run` and debugging.
// For use build Caddy with xcaddy, or with ./xcaddy.sh: only then does
// `caddy list-modules --versions` know the module's version.
package main

import (
	_ "time/tzdata"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddycaptcha/caddycaptcha"
)

func main() {
	caddycmd.Main()
}
