package harness

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns the absolute path of a file of the repository, given from the
// directory that holds go.mod: a test may move to another package.
func Path(t testing.TB, elements ...string) string {
	t.Helper()
	directory, err := os.Getwd() // the package's, while its tests run
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			return filepath.Join(append([]string{directory}, elements...)...)
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			t.Fatal("no directory above the test's own has a go.mod: run the tests from a working tree")
		}
		directory = parent
	}
}
