package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

var update = flag.Bool("update", false, "write the adapted JSON or the error into the files of testdata/adapt")

const separator = "\n----------\n"

// TestAdapt compares each Caddyfile of testdata/adapt with the JSON, or the
// text of the error, that it adapts to.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob(harness.Path(t, "integration", "testdata", "adapt", "*.caddytest"))
	if err != nil || len(files) < 30 {
		t.Fatalf("found %d files of adapt tests: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddytest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			caddyfile, want, _ := strings.Cut(string(content), separator)
			got := adaptOrError(t, caddyfile)
			if *update {
				if err := os.WriteFile(file, []byte(caddyfile+separator+got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("adapted to:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func adaptOrError(t *testing.T, caddyfile string) string {
	config, err := harness.Adapt(caddyfile)
	if err != nil {
		return err.Error()
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(config), "", "\t"); err != nil {
		t.Fatal(err)
	}
	return indented.String()
}
