// Package testenv holds the rules of what a test may leave out. On somebody's
// laptop a test that needs a program that is not installed is skipped, and
// `go test -short` leaves out what takes long. Where CI=true nothing is left
// out: what is missing there is a failure.
package testenv

import (
	"os"
	"os/exec"
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
	"node": {names: []string{"node"}, install: "apt install nodejs, or brew install node"},
	"npm":  {names: []string{"npm"}, install: "apt install npm, or brew install node"},
	"cc":   {variable: "CC", names: []string{"cc", "gcc", "clang"}, install: "apt install gcc, or xcode-select --install"},
}

// Need returns the path of a program that the test runs: chromium, node, npm
// or cc, a C compiler. Where it is not installed Need ends the test with one
// line that says how to get it: the test is skipped, and with CI=true it
// fails. It fails as well when CHROMIUM or CC names what is no program.
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

// Short tells a test to take a shorter way, or to skip itself when it has
// none: go test was given -short, and this is not CI.
func Short() bool { return testing.Short() && !inCI() }

func inCI() bool { return os.Getenv("CI") == "true" }
