// Package docs tests what the documentation says: the examples, the README and
// xcaddy.sh.
package docs

import (
	"encoding/json"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestDocumented: the Caddyfiles that the project shows are formatted, adapt and
// validate as they are, and the module has nothing to say against them.
func TestDocumented(t *testing.T) {
	for name, text := range harness.Documented(t) {
		t.Run(name, func(t *testing.T) {
			if warning, different := caddyfile.FormattingDifference(name, []byte(text)); different {
				t.Errorf("line %d: %s", warning.Line, warning.Message)
			}
			validateCaddyfile(t, text)
		})
	}
}

func validateCaddyfile(t *testing.T, text string) {
	t.Helper()
	adapted, err := harness.Adapt(text)
	if err != nil {
		t.Fatalf("adapting: %v", err)
	}
	var config caddy.Config
	if err := json.Unmarshal([]byte(adapted), &config); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "caddy.log")
	writer, err := json.Marshal(map[string]string{"output": "file", "filename": log})
	if err != nil {
		t.Fatal(err)
	}
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: writer}}}}
	if err := caddy.Validate(&config); err != nil {
		t.Errorf("validating: %v", err)
	}
	said, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(said)) {
		// DokuWiki and phpMyAdmin take a password from the query, which the
		// examples match beside the rest.
		if strings.Contains(line, `"level":"warn"`) && strings.Contains(line, "http.handlers.captcha\"") && !strings.Contains(line, "query is matched") {
			t.Error(line)
		}
	}
}

// TestExampleDemo walks through the README's quick start with the example
// Caddyfile, on free ports.
func TestExampleDemo(t *testing.T) {
	text, err := os.ReadFile(harness.Path(t, "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	demo := string(text)
	base := make(map[string]string)
	for _, port := range []string{"8080", "8081", "8082", "8083"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, free, _ := net.SplitHostPort(listener.Addr().String())
		listener.Close()
		demo = strings.ReplaceAll(demo, "localhost:"+port, "localhost:"+free)
		base[port] = "http://localhost:" + free
	}
	harness.Run(t, demo)
	for path, provider := range map[string]string{"/v4/login": harness.GeeTestV4, "/v3/login": harness.GeeTestV3, "/tencent/login": harness.Tencent} {
		post := func(body string) harness.Answer {
			return harness.Send(t, harness.NewRequest(t, "POST", base["8080"]+path, body, "Content-Type", harness.FormType))
		}
		if a := post("user=alice"); a.StatusCode != 403 || a.Header.Get("Captcha-Outcome") != "missing" || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s without a proof: %d %s", path, a.StatusCode, a.Text)
		}
		proof := harness.Send(t, harness.NewRequest(t, "POST", base["8081"]+"/solve/"+provider+"?format=form", "")).Text
		if a := post("user=alice&" + proof); a.StatusCode != 200 || !strings.Contains(a.Text, "alice") {
			t.Errorf("%s with a proof: %d %s", path, a.StatusCode, a.Text)
		}
		if a := post("user=alice&" + proof); a.StatusCode != 403 || a.Header.Get("Captcha-Outcome") != "replayed" {
			t.Errorf("%s with the same proof: %d %s", path, a.StatusCode, a.Text)
		}
		values, err := url.ParseQuery(proof)
		if err != nil {
			t.Fatal(err)
		}
		if a := post(harness.MadeUp(values).Encode()); a.StatusCode != 403 || a.Header.Get("Captcha-Outcome") != "rejected" {
			t.Errorf("%s with a made-up proof: %d %s", path, a.StatusCode, a.Text)
		}
	}
}
