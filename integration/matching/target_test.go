package matching

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestTargetsThatAreNone: what net/url reads as no path at all reaches no
// application, whatever is protected, in either mode.
func TestTargetsThatAreNone(t *testing.T) {
	for _, site := range []struct{ name, matcher, options string }{
		{"a protected path", "/login*", ""},
		{"another protected path", "/signup*", ""},
		{"a regular expression", "@m", ""},
		{"every request", "", ""},
		{"monitor mode", "/login*", "mode monitor"},
		{"errors", "/login*", "refusal error"},
	} {
		t.Run(site.name, func(t *testing.T) {
			app := harness.NewApp(t)
			harness.Run(t, "{\n"+harness.Globals+"}\nhttp://:0 {\nbind 127.0.0.1\n@m path_regexp ^/login\ncaptcha "+site.matcher+" {\n"+unreachable+"\n"+site.options+"\n}\nreverse_proxy "+app.Listener.Addr().String()+"\n}\n")
			addr := harness.Address(t, "srv0")
			for _, line := range []string{
				"POST x:http://x/login", "GET http:login", `GET http:\\x\login`, "CONNECT /login", "CONNECT a.example:80/login", "GET *", "connect a.example:80",
			} {
				status := harness.RawRequest(t, addr, line+" HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nu=1")
				if !strings.Contains(status, " 400 ") {
					t.Errorf("%s: %s", line, status)
				}
			}
			if seen := app.Seen(); len(seen) > 0 {
				t.Errorf("the app saw %q", seen)
			}
		})
	}
}

// TestRefusedTarget: the refusal says what is wrong.
func TestRefusedTarget(t *testing.T) {
	g := harness.NewGate(t)
	g.Run(g.Captcha(harness.GeeTestV4) + g.Proxy())
	r, err := http.NewRequest(http.MethodPost, g.URL, strings.NewReader("u=1"))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = "x:http://x/login"
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var problem struct{ Outcome, Reason, Detail, Proof string }
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 400 || response.Header.Get("Captcha-Outcome") != "malformed" ||
		problem.Outcome != "malformed" || problem.Reason != "target" || problem.Proof != "reusable" || !strings.Contains(problem.Detail, "target") {
		t.Errorf("%d %v %+v", response.StatusCode, response.Header, problem)
	}
	if entries := g.Entries("captcha refused"); len(entries) != 1 || entries[0]["reason"] != "target" {
		t.Errorf("logged %v", entries)
	}
}

// TestNoTunnel: an upgrade to another protocol reaches no application, on
// paths that are not protected either, and the operator is told once.
func TestNoTunnel(t *testing.T) {
	for _, test := range []struct {
		global, upgrade string
		passes, warned  bool
	}{
		{"", "h2c", false, true},
		{"", "tcp", false, true},
		{"", "websocket", true, false},
		{"captcha {\nupgrade tcp SPDY/3.1\n}\n", "TCP", true, false},
		{"captcha {\nupgrade tcp SPDY/3.1\n}\n", "spdy/3.1", true, false},
		{"captcha {\nupgrade tcp SPDY/3.1\n}\n", "h2c", false, true},
	} {
		g := harness.NewGate(t)
		load := strings.Replace(g.Caddyfile(g.Captcha(harness.GeeTestV4)+g.Proxy()), harness.Globals, harness.Globals+test.global, 1)
		harness.Run(t, load)
		addr := harness.Address(t, "srv0")
		for range 2 {
			harness.RawRequest(t, addr, "GET /other HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nUpgrade: "+test.upgrade+"\r\n\r\n")
		}
		requests, header := len(g.App.Seen()), g.App.LastHeader
		got, settings := header.Get("Upgrade"), header.Get("Http2-Settings")
		if requests != 2 || strings.EqualFold(got, test.upgrade) != test.passes || !test.passes && got+settings != "" {
			t.Errorf("%q, %s: the app saw %d requests, the last with Upgrade %q and HTTP2-Settings %q", test.global, test.upgrade, requests, got, settings)
		}
		entries := g.Entries("an upgrade to another protocol was removed from a request, because it could be a tunnel to protected paths; name it with upgrade in the global option captcha if the application needs it")
		if test.warned != (len(entries) == 1) || test.warned && entries[0]["upgrade"] != `"`+test.upgrade+`"` {
			t.Errorf("%q, %s: logged %v", test.global, test.upgrade, entries)
		}
	}
}
