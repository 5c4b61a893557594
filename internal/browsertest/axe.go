package browsertest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Axe returns what axe-core (https://github.com/dequelabs/axe-core, of npm) finds
// that keeps people with disabilities from using the document that the tab
// shows, less its frames: one line for each violation, with the element.
// node_modules has to be there.
func Axe(t *testing.T, ctx context.Context) string { //nolint:revive // a test comes first
	t.Helper()
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	script := string(axe) + `
		axe.run(document, { iframes: false }).then(({ violations, passes }) => {
			if (passes.length < 5) throw new Error("axe has looked at nothing");
			return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => id + ": " + html + " " + failureSummary)).join("\n");
		})`
	found, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
	if err != nil {
		t.Fatal(fmt.Errorf("axe: %w", err))
	}
	return strings.TrimSpace(found)
}
