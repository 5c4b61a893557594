//go:build apps

package app

import (
	"path/filepath"
	"testing"
)

// PostgreSQL starts a server with an empty database app, for the user app, and
// returns the directory of its socket.
func PostgreSQL(t *testing.T, dir string) (socket string) {
	t.Helper()
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(programs) == 0 {
		t.Fatalf("no programs of PostgreSQL: %v", err)
	}
	bin := programs[len(programs)-1]
	socket = filepath.Join(dir, "postgresql")
	data := filepath.Join(socket, "data")
	Write(t, filepath.Join(socket, "empty"), "")
	Give(t, socket, "postgres") // it does not run as root
	Run(t, "/", "runuser", "-u", "postgres", "--", filepath.Join(bin, "initdb"),
		"--pgdata="+data, "--username=app", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	Serve(t, dir, filepath.Join(socket, ".s.PGSQL.5432"), nil, "runuser", "-u", "postgres", "--", filepath.Join(bin, "postgres"),
		"-D", data, "-k", socket, "-c", "listen_addresses=", "-c", "fsync=off")
	Run(t, "/", "sh", "-c", `until "$0" --host="$1" --timeout=60; do sleep 0.1; done`, filepath.Join(bin, "pg_isready"), socket)
	Run(t, "/", filepath.Join(bin, "createdb"), "--host="+socket, "--username=app", "app")
	return socket
}
