package pages

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

func TestInjectNeedsAPolicyWithClearance(t *testing.T) {
	g := harness.NewGate(t)
	for _, c := range []struct{ site, want string }{
		{g.Captcha(harness.GeeTestV4, "clearance 30m") + "captcha_inject * login\n", `there is no captcha of policy "login"; there is default`},
		{"captcha_inject\n", `there is no captcha of policy "default"; there is none`},
		{"captcha_inject\n" + g.Captcha(harness.GeeTestV4), `policy "default" (the handler that matches [{"path":["/login*"]}]) has no clearance`},
	} {
		config, err := harness.Adapt(g.Caddyfile(c.site + g.Proxy()))
		if err != nil {
			t.Fatal(err)
		}
		err = caddy.Load([]byte(config), true)
		if err == nil {
			caddy.Stop() //nolint:errcheck // the test has failed
			t.Errorf("%q loads", c.site)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %q, want %q in it", err, c.want)
		}
	}
}

// TestInjectPutsTheScriptIntoPages checks the wiring; what the handler does to
// pages is tested where it is done.
func TestInjectPutsTheScriptIntoPages(t *testing.T) {
	const page = `<!DOCTYPE html><html><head><title>Login</title></head><body><form method="post"></form></body></html>`
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(page)) //nolint:errcheck // the client would notice
	}))
	defer upstream.Close()
	g := harness.NewGate(t)
	g.Run("captcha /api/* login {\n" + g.Verifier(harness.GeeTestV4) + "clearance 30m\nbase_path /app/captcha\n}\n" +
		"captcha_inject /page* login {\nform \"form.login, [data-x=\\\"y\\\"]\"\n}\nencode\nreverse_proxy " + upstream.Listener.Addr().String() + "\n")
	navigate := []string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate"}
	a := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/page", "", navigate...))
	script, _, ok := strings.Cut(strings.TrimPrefix(a.Text[strings.Index(a.Text, "<script"):], `<script src="`), `"`)
	if !ok || !strings.HasPrefix(script, "/app/captcha/inject-") {
		t.Fatalf("no script in %s", a.Text)
	}
	for _, want := range []string{`data-policy="login"`, `data-captcha="inject"`, `data-forms="form.login, [data-x=&#34;y&#34;]"`, `integrity="sha256-`} {
		if !strings.Contains(a.Text, want) {
			t.Errorf("%s is not in %s", want, a.Text)
		}
	}
	served := harness.Send(t, harness.NewRequest(t, "GET", g.URL+script, ""))
	if served.StatusCode != 200 || served.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" ||
		!strings.HasPrefix(served.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("the script: %d %v", served.StatusCode, served.Header)
	}
	if stale := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/app/captcha/inject-0.js", "")); stale.Header.Get("Cache-Control") != "no-store" || stale.Text != served.Text {
		t.Errorf("another version: %v", stale.Header)
	}
	if a := harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/elsewhere", "", navigate...)); a.Text != page {
		t.Errorf("a page that is not matched became %s", a.Text)
	}
}
