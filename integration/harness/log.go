package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// AwaitEntries waits for n log entries with the message.
func AwaitEntries(t *testing.T, g *Gate, message string, n int) {
	t.Helper()
	Await(t, fmt.Sprintf("%d entries %q in the log", n, message), func() bool { return len(g.Entries(message)) >= n })
}

// Metrics returns the metrics of the running config as text.
func Metrics(t *testing.T) string {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			fmt.Fprintln(&text, family.GetName(), metric)
		}
	}
	return text.String()
}

// Log returns everything that Caddy has logged.
func (g *Gate) Log() string {
	text, err := os.ReadFile(g.LogFile)
	if err != nil {
		g.T.Fatal(err)
	}
	return string(text)
}

// Entries returns the log entries with the message.
func (g *Gate) Entries(message string) (entries []map[string]any) {
	g.T.Helper()
	for line := range strings.Lines(g.Log()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			g.T.Fatalf("%v in %s", err, line)
		}
		if text, _ := entry["msg"].(string); strings.HasPrefix(text, message) {
			entries = append(entries, entry)
		}
	}
	return entries
}
