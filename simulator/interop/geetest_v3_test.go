// Package interop holds tests in which the providers' official clients talk to
// the simulator.
package interop

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

func TestTheOfficialGeeTestV3NodeSDK(t *testing.T) {
	node := testenv.Need(t, "node") // 18 or later
	testenv.NodeModules(t, ".")
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
