package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var readmeCaddyfile = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")

// Documented returns each Caddyfile that the project shows to its users, by
// name: the example files, and the README's blocks of the language caddyfile
// unless they leave something out ("# ...") or describe a syntax ("<name>").
// A block that shows a verifier alone is put into a site. It sets the
// environment variables that they name.
func Documented(t *testing.T) map[string]string {
	t.Helper()
	for name, value := range map[string]string{
		"GEETEST_CAPTCHA_ID": v4ID, "GEETEST_CAPTCHA_KEY": V4Key, "PNVS_APP_ID": v4ID, "PNVS_APP_KEY": V4Key,
		"REDIS_PASSWORD": "secret", "CAPTCHA_KEY": "a-key-that-everybody-knows",
		"TENCENT_APP_SECRET_KEY": AppSecret, "TENCENTCLOUD_SECRET_KEY": SecretKey,
	} {
		t.Setenv(name, value)
	}
	files, err := filepath.Glob(Path(t, "examples", "*Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, file := range append(files, Path(t, "Caddyfile.example")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(file)] = string(text)
	}
	readme, err := os.ReadFile(Path(t, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for i, block := range readmeCaddyfile.FindAllStringSubmatch(string(readme), -1) {
		text := block[1]
		if strings.Contains(text, "<") || strings.Contains(text, "# ...") {
			continue
		}
		if strings.HasPrefix(text, "verifier ") {
			text = "example.com {\n\tcaptcha /login* {\n\t\t" + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n\t\t") + "\n\t}\n\treverse_proxy localhost:3000\n}\n"
		}
		texts[fmt.Sprintf("README.md block %d", i)] = text
		whole++
	}
	if len(files) < 2 || whole < 6 {
		t.Fatalf("found %d example files and %d Caddyfiles in the README", len(files), whole)
	}
	return texts
}
