//go:build apps

package app

import (
	"path/filepath"
	"testing"
)

// MariaDB starts a server with an empty database app, for the user app with the
// password app, and returns its socket.
func MariaDB(t *testing.T, dir string) (socket string) {
	t.Helper()
	data := filepath.Join(dir, "mariadb")
	Run(t, dir, "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	socket = filepath.Join(dir, "mariadb.sock")
	Serve(t, dir, socket, nil, "mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--socket="+socket, "--skip-networking", "--skip-log-bin")
	Run(t, dir, "mariadb", "--no-defaults", "--socket="+socket, "--user=root", "--execute",
		"CREATE DATABASE app; CREATE USER app@localhost IDENTIFIED BY 'app'; GRANT ALL ON *.* TO app@localhost")
	return socket
}
