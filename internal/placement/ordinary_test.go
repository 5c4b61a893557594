package placement_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestOrdinary: nothing is found in ordinary Caddyfiles, and requests show that
// nothing is wrong with them. The comments at the top of each say what is
// refused, what passes and which endpoints answer.
func TestOrdinary(t *testing.T) {
	files, err := filepath.Glob("testdata/ordinary/*.caddyfile")
	if err != nil || len(files) < 30 {
		t.Fatalf("there are %d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfile"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			if found, _ := w.find(w.file("default_bind 127.0.0.1\n", string(text))); found != "" {
				t.Fatalf("found: %s", found)
			}
			asked := 0
			for comment := range strings.Lines(string(text)) {
				fields := strings.Fields(comment)
				if len(fields) == 0 || fields[0] != "#" {
					break
				}
				asked++
				switch fields[1] {
				case "refused", "passes":
					if refused := w.refused(fields[2], fields[4], "Host", fields[3]); refused != (fields[1] == "refused") {
						t.Errorf("%s is refused: %t", strings.TrimSpace(comment), refused)
					}
				case "endpoint":
					if r := w.ask("GET", fields[3]+"/challenge", "Host", fields[2]); r.status != 200 || r.media != "application/json" {
						t.Errorf("%s: %+v", strings.TrimSpace(comment), r)
					}
				default:
					t.Errorf("what is %q?", comment)
				}
			}
			if asked == 0 {
				t.Error("the file says nothing of requests")
			}
		})
	}
}

// TestDocumented: nothing is found in what the project shows to its users.
func TestDocumented(t *testing.T) {
	for name, text := range harness.Documented(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if found, _ := w.find(w.example(text)); found != "" {
				t.Errorf("found: %s", found)
			}
		})
	}
}

var (
	exampleSite = regexp.MustCompile(`(?m)^(?:http://)?(example\.com|localhost)(?::\d+)? \{`)
	exampleLog  = regexp.MustCompile(`(?m)^\tlog \{$`)
	exampleOpts = regexp.MustCompile(`(?m)^\t(?:admin|default_bind|persist_config) .*$`)
)

// example makes a Caddyfile of the user's listen on free ports and log to the
// test's file.
func (w *world) example(text string) string {
	n := 0
	text = exampleSite.ReplaceAllStringFunc(text, func(site string) string {
		n++
		return "http://" + string(rune('a'+n)) + ".test:0 {"
	})
	text = exampleOpts.ReplaceAllString(text, "")
	head := "admin off\npersist_config off\nauto_https off\nskip_install_trust\ndefault_bind 127.0.0.1\n"
	at := strings.Index(text, "{\n") // the global options come first, behind comments
	global := at >= 0 && strings.TrimSpace(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(text[:at], "")) == ""
	if !global {
		return "{\n" + head + "log {\noutput file " + w.log + "\n}\n}\n" + text
	}
	rest := text[at+2:]
	end := strings.Index(rest, "\n}")
	options := rest[:end]
	if exampleLog.MatchString(options) {
		options = exampleLog.ReplaceAllString(options, "\tlog {\noutput file "+w.log)
	} else {
		options += "\nlog {\noutput file " + w.log + "\n}\n"
	}
	return text[:at] + "{\n" + head + options + rest[end:]
}
