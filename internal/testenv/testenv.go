// Package testenv holds the rules of what a test may leave out. On somebody's
// laptop a test that needs a program that is not installed is skipped, and
// `go test -short` leaves out what takes long. Where CI=true nothing is left
// out: what is missing there is a failure.
package testenv

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A tool is a program that some tests run.
type tool struct {
	variable string   // of the environment, that names another program
	names    []string // under which it may be installed, the first found
	install  string   // how to get it
}

var tools = map[string]tool{
	"chromium": {
		variable: "CHROMIUM",
		names: []string{
			"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
			"/Applications/Chromium.app/Contents/MacOS/Chromium",
			"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
		},
		install: "apt install chromium, brew install --cask chromium, or name another Chromium in the variable CHROMIUM",
	},
	"node":         {names: []string{"node"}, install: "apt install nodejs, or brew install node"},
	"npm":          {names: []string{"npm"}, install: "apt install npm, or brew install node"},
	"redis-server": {variable: "REDIS", names: []string{"redis-server", "valkey-server"}, install: "apt install redis-server, or brew install redis, or name another in the variable REDIS"},
	"cc":           {variable: "CC", names: []string{"cc", "gcc", "clang"}, install: "apt install gcc, or xcode-select --install"},
}

// Need returns the path of a program that the test runs: chromium, node, npm,
// redis-server or cc, a C compiler. Where it is not installed Need ends the
// test with one line that says how to get it: the test is skipped, and with
// CI=true it fails. It fails as well when CHROMIUM, REDIS or CC names what is
// no program.
func Need(t testing.TB, program string) string {
	t.Helper()
	tool, ok := tools[program]
	if !ok {
		t.Fatalf("testenv knows no program %q", program)
	}
	if tool.variable != "" && os.Getenv(tool.variable) != "" {
		path, err := exec.LookPath(os.Getenv(tool.variable))
		if err != nil {
			t.Fatalf("the variable %s does not name a program: %v", tool.variable, err)
		}
		return path
	}
	for _, name := range tool.names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if inCI() {
		t.Fatalf("%s is not installed: %s", program, tool.install)
	}
	t.Skipf("%s is not installed: %s", program, tool.install)
	return ""
}

// NeedDebian is like Need for packages of Debian, and for root, whom their
// servers need to become users of their own.
func NeedDebian(t testing.TB, packages ...string) {
	t.Helper()
	var missing []string
	for _, name := range packages {
		if exec.Command("dpkg-query", "--show", name).Run() != nil { //nolint:gosec,noctx // asks what is installed
			missing = append(missing, name)
		}
	}
	switch {
	case len(missing) > 0 && inCI():
		t.Fatalf("not installed: apt install %s", strings.Join(missing, " "))
	case len(missing) > 0:
		t.Skipf("not installed: apt install %s", strings.Join(missing, " "))
	case len(packages) > 0 && os.Geteuid() != 0 && inCI():
		t.Fatal("runs as root only: their servers need to become users of their own")
	case len(packages) > 0 && os.Geteuid() != 0:
		t.Skip("runs as root only, in a container or a machine of its own")
	}
}

// NodeModules installs what package.json in a directory names under
// node_modules there, once.
func NodeModules(t testing.TB, in string) {
	t.Helper()
	modules := filepath.Join(in, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return
	}
	npm := Need(t, "npm")
	// The rename makes it there as a whole or not at all, whatever breaks off
	// or runs beside this.
	dir, err := os.MkdirTemp(in, "node_modules.")
	if err != nil {
		t.Fatalf("installing packages of npm: %v", err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := os.ReadFile(filepath.Join(in, name)) //nolint:gosec // of the test's
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600) //nolint:gosec // one of two names, below where the test is
		}
		if err != nil {
			t.Fatalf("installing packages of npm: %v", err)
		}
	}
	install := exec.CommandContext(t.Context(), npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, output)
	}
	if err := os.Rename(filepath.Join(dir, "node_modules"), modules); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatalf("installing packages of npm: %v", err)
	}
}

// Short tells a test to take a shorter way, or to skip itself when it has
// none: go test was given -short, and this is not CI.
func Short() bool { return testing.Short() && !inCI() }

func inCI() bool { return os.Getenv("CI") == "true" }
