package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
)

// script runs xcaddy.sh with an environment in which PATH begins with dir.
func script(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	command := exec.Command(harness.Path(t, "xcaddy.sh"), args...)
	command.Env = append(append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH")), env...)
	output, err := command.CombinedOutput()
	return string(output), err
}

// TestScriptUsesXcaddy: where xcaddy is installed, the script has it build the
// working tree, at a version that no proxy is asked for.
func TestScriptUsesXcaddy(t *testing.T) {
	dir := t.TempDir()
	output := filepath.Join(dir, "caddy")
	// A stand-in that writes down its arguments, and as the Caddy it builds
	// one that claims to have the modules.
	standIn := `#!/bin/sh
printf '%s\n' "$@" > ` + dir + `/arguments
cat > ` + output + ` <<'END'
#!/bin/sh
printf '%s\n' http.handlers.captcha http.handlers.captcha_inject http.captcha.verifiers.geetest_v3 http.captcha.verifiers.geetest_v4 http.captcha.verifiers.tencent http.captcha.verifiers.altcha
END
chmod +x ` + output
	if err := os.WriteFile(filepath.Join(dir, "xcaddy"), []byte(standIn), 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := script(t, dir, []string{"CADDY_VERSION=v2.99.0"}, "build", "--output", output, "--with", "example.com/a@v1.2.3", "--with", "example.com/b=/some where")
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	arguments, err := os.ReadFile(filepath.Join(dir, "arguments"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"build", "v2.99.0", "--output", output,
		"--with", "github.com/caddycaptcha/caddycaptcha@v0.0.0-00010101000000-000000000000=" + harness.Path(t),
		"--with", "example.com/a@v1.2.3", "--with", "example.com/b=/some where", "",
	}, "\n")
	if string(arguments) != want {
		t.Errorf("xcaddy was called with\n%s\nwant\n%s", arguments, want)
	}

	// Without CADDY_VERSION it is the version of go.mod.
	if text, err := script(t, dir, []string{"CADDY_VERSION="}, "build", "--output", output); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/caddyserver/caddy/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	if arguments, _ := os.ReadFile(filepath.Join(dir, "arguments")); !strings.Contains(string(arguments), "\n"+strings.TrimSpace(string(version))+"\n") {
		t.Errorf("xcaddy was called with\n%s", arguments)
	}

	// A build without the module is an error.
	standIn = strings.ReplaceAll(standIn, " http.captcha.verifiers.tencent", "")
	if err := os.WriteFile(filepath.Join(dir, "xcaddy"), []byte(standIn), 0o700); err != nil {
		t.Fatal(err)
	}
	if text, err := script(t, dir, nil, "build", "--output", output); err == nil || !strings.Contains(text, "http.captcha.verifiers.tencent") {
		t.Errorf("a build without a module: %v, %s", err, text)
	}
}

// TestScriptRefusesWhatItDoesNotKnow, and says what it does know.
func TestScriptRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"deploy"}, "build, run, test and apps"},
		{[]string{"build", "--race", "x"}, "--race"},
		{[]string{"build", "foo"}, "--with"},
		{[]string{"build", "--output"}, "--output needs an argument"},
	} {
		text, err := script(t, "/nonexistent", nil, test.args...)
		if err == nil || !strings.Contains(text, test.says) {
			t.Errorf("%q: %v, %s", test.args, err, text)
		}
	}
}

// TestScriptBuildsWithGo: without xcaddy plain go builds the same Caddy, for
// other platforms too, and with other modules.
func TestScriptBuildsWithGo(t *testing.T) {
	if testenv.Short() {
		t.Skip("builds all of Caddy, for two platforms, with modules from the network")
	}
	dir := t.TempDir()
	extra := filepath.Join(dir, "extra")
	if err := os.Mkdir(extra, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod":   "module example.com/extra\n\ngo 1.26.0\n",
		"extra.go": "package extra\n\nvar Marker = \"extra\"\n",
	} {
		if err := os.WriteFile(filepath.Join(extra, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output := filepath.Join(dir, "caddy")
	text, err := script(t, withoutXcaddy(t), nil, "build", "--output", output, "--with", "example.com/extra="+extra)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	info, err := exec.Command("go", "version", "-m", output).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"github.com/caddycaptcha/caddycaptcha", "github.com/caddyserver/caddy/v2", "example.com/extra", "-tags=nobadger,nomysql,nopgx", "-trimpath=true"} {
		if !strings.Contains(string(info), want) {
			t.Errorf("the binary does not know of %s:\n%s", want, info)
		}
	}
	modules, err := exec.Command(output, "list-modules", "--skip-standard").Output()
	if err != nil || !strings.Contains(string(modules), "http.handlers.captcha\n") || strings.Contains(string(modules), "simulator") {
		t.Errorf("modules: %v\n%s", err, modules)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if text, err := script(t, withoutXcaddy(t), []string{"GOOS=darwin", "GOARCH=arm64"}, "build", "--output", output); err != nil {
		t.Errorf("for another platform: %v: %s", err, text)
	}
}

// withoutXcaddy returns a directory to put before PATH. When xcaddy is in PATH
// the test cannot hide it and fails.
func withoutXcaddy(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("xcaddy"); err == nil {
		t.Fatalf("take %s out of PATH to test the build without it", path)
	}
	return t.TempDir()
}
