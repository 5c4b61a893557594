//go:build apps

package app

import "testing"

// PHP starts the built-in server of PHP and returns its address. environment
// is added to ours.
func PHP(t *testing.T, dir, root string, environment ...string) (address string) {
	t.Helper()
	address = "127.0.0.1:" + FreePort(t)
	Serve(t, dir, address, append(environment, "PHP_CLI_SERVER_WORKERS=4"), "php", "-S", address, "-t", root)
	return address
}
