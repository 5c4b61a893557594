//go:build apps

package apps

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// try is one way that an application was taken.
type try struct {
	app     *app.App
	version string
	way     string
	passed  bool
}

const (
	begin = "<!-- made by `APPS_DOCUMENT=true ./xcaddy.sh apps` -->\n"
	end   = "<!-- end -->\n"
)

// document writes the table in docs/apps.md, or says what of it is no longer
// so.
func document(t *testing.T, tried []try) {
	file := harness.Path(t, "docs", "apps.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	table, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", file)
	}
	if os.Getenv("APPS_DOCUMENT") != "true" {
		for _, try := range tried {
			if written := row(try.app, "*", "*"); !regexp.MustCompile(`(?m)^` + strings.ReplaceAll(regexp.QuoteMeta(written), `\*`, ".*") + `$`).MatchString(table) {
				t.Errorf("docs/apps.md has no row\n%s", written)
			}
		}
		return
	}
	table = "| application | version | it logs in by | what to match | other doors | tried with |\n|---|---|---|---|---|---|\n"
	for _, a := range apps {
		version, ways := "", []string(nil)
		for _, try := range tried {
			if try.app != a {
				continue
			}
			version = try.version
			if try.passed {
				ways = append(ways, try.way)
			}
		}
		if version == "" {
			t.Errorf("%s was not tried: the table would be without it", a.Name)
		}
		table += row(a, version, strings.Join(ways, ", ")) + "\n"
	}
	if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o600); err != nil { //nolint:gosec // a file of the project's
		t.Fatal(err)
	}
}

// row is an application's in the table.
func row(a *app.App, version, ways string) string {
	return fmt.Sprintf("| %s | %s | %s | [%s](../examples/%[4]s) | %s | %s |", a.Title, version, a.Technique, a.Caddyfile(), a.Doors, ways)
}
