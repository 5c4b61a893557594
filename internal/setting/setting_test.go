package setting

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	t.Setenv("SETTING_SET", "value")
	t.Setenv("SETTING_EMPTY", "")
	t.Setenv("SETTING_LINES", "key\n")
	t.Setenv("SETTING_BLANK", " \t")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"literal": "literal", "{env.SETTING_SET}": "value", "a{env.SETTING_SET}b": "avalueb", "{file." + file + "}": "from-file",
	} {
		if got, err := Expand("captcha_key", text); err != nil || got != want {
			t.Errorf("Expand(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "{env.SETTING_UNSET}", "{env.SETTING_EMPTY}", "{env.SETTING_BLANK}", "value-{env.SETTING_UNSET}",
		"{file./does/not/exist}", " key", "key\n", "key\r\nkey", "{env.SETTING_LINES}", "{http.request.host}", "{unknown}",
	} {
		got, err := Expand("captcha_key", text)
		if err == nil {
			t.Errorf("Expand(%q) = %q, want an error", text, got)
		} else if !strings.Contains(err.Error(), "captcha_key") {
			t.Errorf("the error does not name the option: %v", err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	t.Setenv("SETTING_HOST", "provider.test")
	for text, want := range map[string]string{
		"":                                  "https://default.test",
		"https://api.geetest.com":           "https://api.geetest.com",
		"https://{env.SETTING_HOST}/prefix": "https://provider.test/prefix",
		"http://127.0.0.1:8081":             "http://127.0.0.1:8081",
		"http://[::1]:8081":                 "http://[::1]:8081",
		"http://localhost":                  "http://localhost",
	} {
		u, err := Endpoint("endpoint", text, "https://default.test")
		if err != nil || u.String() != want {
			t.Errorf("Endpoint(%q) = %v, %v; want %s", text, u, err, want)
		}
	}
	for _, text := range []string{
		"http://api.geetest.com", "http://localhost.attacker.test", "http://127.0.0.1.attacker.test", "http://10.0.0.1",
		"ftp://127.0.0.1", "api.geetest.com", "https://", "https:api.geetest.com", "https://u:canary@api.geetest.com",
		"https://api.geetest.com?key=canary", "https://api.geetest.com#x", "https://a b/canary", "{env.SETTING_UNSET}",
	} {
		u, err := Endpoint("endpoint", text, "https://default.test")
		if err == nil {
			t.Errorf("Endpoint(%q) = %v, want an error", text, u)
		} else if !strings.Contains(err.Error(), "endpoint") || strings.Contains(err.Error(), "canary") {
			t.Errorf("the error does not name the option, or shows the value: %v", err)
		}
	}
}
