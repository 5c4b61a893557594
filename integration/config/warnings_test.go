package config

import (
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestWarningsAtLoad: what loads but may not do what the operator expects is
// said once, with the policy.
func TestWarningsAtLoad(t *testing.T) {
	for name, test := range map[string]struct{ globals, option, message string }{
		"refusal error":             {"", "refusal error", "refusal error leaves answers to the site's error routes"},
		"a body_limit out of reach": {"captcha {\nbody_memory 16MiB\n}\n", "body_limit 1MiB", "body_limit is more than one client may hold"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, given := range []bool{true, false} {
				g := harness.NewGate(t)
				option := ""
				if given {
					option = test.option
				}
				harness.Run(t, strings.Replace(g.Caddyfile(g.Captcha(harness.GeeTestV4, option)+g.Proxy()), "{\n", "{\n"+test.globals, 1))
				entries := g.Entries(test.message)
				switch {
				case !given && len(entries) != 0:
					t.Errorf("without the option there is the warning %v", entries[0])
				case given && len(entries) != 1:
					t.Errorf("%d warnings, want 1", len(entries))
				case given && (entries[0]["level"] != "warn" || entries[0]["policy"] != "default"):
					t.Errorf("the warning is %v", entries[0])
				}
			}
		})
	}
}
