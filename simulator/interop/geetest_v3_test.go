// Package interop holds tests in which the providers' official clients talk to
// the simulator.
package interop

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// installSDK installs GeeTest's official Node SDK under node_modules, once.
func installSDK(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("node_modules"); err == nil {
		return
	}
	npm := testenv.Need(t, "npm") // to install it
	// The rename makes it there as a whole or not at all, whatever breaks off
	// or runs beside this.
	dir, err := os.MkdirTemp(".", "node_modules.")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci cannot install GeeTest's official SDK: %v\n%s", err, output)
	}
	if err := os.Rename(filepath.Join(dir, "node_modules"), "node_modules"); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}

func TestTheOfficialGeeTestV3NodeSDK(t *testing.T) {
	node := testenv.Need(t, "node") // 18 or later
	installSDK(t)
	const id, key = "002bc30ff1eef93e912f45814945e752", "4193a0e3247b82a26f563d595c447b1a"
	sim, err := simulator.New(simulator.Config{GeeTestV3: []simulator.GeeTestV3{{CaptchaID: id, CaptchaKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	defer server.Close()

	script := exec.CommandContext(t.Context(), node, "--no-deprecation", "geetest_v3.js", strings.TrimPrefix(server.URL, "http://"), id, key)
	script.Env = append(os.Environ(), "NO_PROXY=*")
	script.Stderr = os.Stderr
	output, err := script.Output()
	if err != nil {
		t.Fatalf("geetest_v3.js: %v", err)
	}
	var got struct {
		Registered, Unknown, Malformed int
		Validated, Again, Forged       bool
	}
	if err := json.Unmarshal(output, &got); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if call, _ := sim.LastCall(simulator.V3RegisterPath); call.Query.Get("sdk") != "Node_2.0.0" {
		t.Errorf("the SDK is %q; remove node_modules, so that it is installed again", call.Query.Get("sdk"))
	}
	if got.Registered != 1 {
		t.Error("register: the SDK went offline")
	}
	if !got.Validated {
		t.Error("validate: the proof was refused")
	}
	if got.Again {
		t.Error("validate: the proof passed a second time")
	}
	if got.Forged {
		t.Error("validate: a forged proof passed")
	}
	if got.Unknown != 0 || got.Malformed != 0 {
		t.Errorf("register: a bad captcha id got a challenge: %+v", got)
	}
	// The SDK's own check of the digest let the forged proof through to us.
	if n := sim.Calls(simulator.V3ValidatePath); n != 3 {
		t.Errorf("%d calls of validate.php, want 3", n)
	}
}
