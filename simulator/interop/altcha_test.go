package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// plainSeal marks a text with its beginning, which is enough where nobody
// forges.
type plainSeal struct{}

func (plainSeal) Mark(text []byte) (string, error) {
	return base64.StdEncoding.EncodeToString(text), nil
}

func (s plainSeal) Marked(text []byte, mark string) (bool, error) {
	made, err := s.Mark(text)
	return made == mark, err
}

// TestALTCHAsLibrary solves a challenge of ours.
func TestALTCHAsLibrary(t *testing.T) {
	node := testenv.Need(t, "node")
	testenv.NodeModules(t, ".")
	altcha, err := verifier.NewForOutage(50, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	client := verifier.Client{Seal: plainSeal{}}
	issued, _ := altcha.Challenge(t.Context(), client, "")
	text, err := json.Marshal(issued)
	if err != nil {
		t.Fatal(err)
	}
	var widget struct{ Challenge json.RawMessage }
	if err := json.Unmarshal(text, &widget); err != nil {
		t.Fatal(err)
	}
	script := exec.CommandContext(t.Context(), node, "altcha.mjs")
	script.Stdin, script.Stderr = bytes.NewReader(widget.Challenge), os.Stderr
	solved, err := script.Output()
	if err != nil {
		t.Fatalf("altcha.mjs: %v", err)
	}
	proof := verifier.Proof{base64.StdEncoding.EncodeToString(solved)}
	verdict := altcha.Check(proof, time.Now(), time.Hour)
	if verdict.Result == verifier.Unknown {
		verdict = altcha.Verify(t.Context(), proof, client)
	}
	if verdict.Result != verifier.Passed {
		t.Errorf("%+v for %s", verdict, solved)
	}
}

// TestALTCHAsFiles: what we serve is what its package holds.
func TestALTCHAsFiles(t *testing.T) {
	testenv.NodeModules(t, ".")
	files := new(verifier.Altcha).Files()
	for name, of := range map[string]string{"altcha.js": "external/altcha.min.js", "altcha-worker.js": "workers/pbkdf2.js"} {
		theirs, err := os.ReadFile("node_modules/altcha/dist/" + of)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(files[name], theirs) {
			t.Errorf("%s is not %s; copy it, and remove node_modules, so that it is installed again", name, of)
		}
	}
}
