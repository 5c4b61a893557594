package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// report is a test that remembers how it ended.
type report struct {
	testing.TB
	failed, skipped string
}

func (*report) Helper() {}

func (r *report) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *report) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// need is Need in a test of its own.
func need(t *testing.T, program string) (path string, r *report) {
	r = &report{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		path = Need(r, program)
	}()
	<-done
	return path, r
}

// TestWhatIsMissingIsSkippedOrFails: it is skipped on a laptop, and fails where
// CI=true. Either way one line says how to get it.
func TestWhatIsMissingIsSkippedOrFails(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CC", "")
	for _, program := range []string{"node", "npm", "cc"} {
		t.Setenv("CI", "")
		_, laptop := need(t, program)
		t.Setenv("CI", "true")
		_, ci := need(t, program)
		if laptop.failed != "" || ci.skipped != "" || laptop.skipped != ci.failed {
			t.Errorf("%s: on a laptop %+v, in CI %+v", program, laptop, ci)
		}
		if !strings.HasPrefix(ci.failed, program+" is not installed: apt install") || strings.Contains(ci.failed, "\n") {
			t.Errorf("%s: %q", program, ci.failed)
		}
	}
}

// TestAVariableNamesAnotherProgram, and a wrong name is not taken for none.
func TestAVariableNamesAnotherProgram(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CI", "")
	t.Setenv("CHROMIUM", other)
	if path, r := need(t, "chromium"); path != other {
		t.Errorf("CHROMIUM=%s: %q, %+v", other, path, r)
	}
	t.Setenv("CHROMIUM", other+"x")
	if _, r := need(t, "chromium"); !strings.Contains(r.failed, "CHROMIUM") {
		t.Errorf("CHROMIUM=%sx: %+v", other, r)
	}
	t.Setenv("CHROMIUM", "")
	directory := t.TempDir()
	t.Setenv("PATH", directory)
	second := filepath.Join(directory, "chromium-browser")
	if err := os.WriteFile(second, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if path, r := need(t, "chromium"); path != second {
		t.Errorf("found %q, %+v", path, r)
	}
}

// TestNothingIsShortInCI whatever go test was told.
func TestNothingIsShortInCI(t *testing.T) {
	t.Setenv("CI", "true")
	if Short() {
		t.Error("CI takes the short way")
	}
	t.Setenv("CI", "")
	if Short() != testing.Short() {
		t.Errorf("Short is %t and -short %t", Short(), testing.Short())
	}
}
