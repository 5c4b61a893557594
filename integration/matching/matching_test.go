// Package matching tests which requests need a proof, whatever the site does to
// them before.
package matching

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// unreachable is a verifier whose provider would answer nothing.
const unreachable = `verifier geetest_v4 {
		captcha_id 647f5ed2ed8acb4be36784e01556bb71
		captcha_key b09a7aafbfd83f73b35a9b530d0337bf
		endpoint http://127.0.0.1:1
	}`

// TestRewritesDoNotOpenTheGate: whatever stands before the captcha, or around
// it, no request for a protected path reaches the application without a proof.
func TestRewritesDoNotOpenTheGate(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "index.php"), []byte("<?php"), 0o600); err != nil {
		t.Fatal(err)
	}
	gate := func(matcher string) string { return "captcha " + matcher + " {\n" + unreachable + "\n}\n" }

	for _, test := range []struct {
		name       string
		site       string // PROXY stands for the way to the app
		protected  []string
		forwarded  string // a request that is not protected, or none
		namedRoute string
	}{
		{name: "plain", site: gate("/login*") + "PROXY", protected: []string{"/login", "/login/", "/login/x?y"}, forwarded: "/other"},
		{name: "every request", site: gate("") + "PROXY", protected: []string{"/", "/x", "*"}},
		{name: "two matchers", site: "@m path /login* /signup*\n" + gate("@m") + "PROXY", protected: []string{"/login", "/signup"}, forwarded: "/other"},
		{name: "try_files", site: "root " + root + "\ntry_files {path} /index.php\n" + gate("/login*") + "PROXY", protected: []string{"/login", "/login/x"}, forwarded: "/other"},
		{name: "rewrite", site: "rewrite * /index.php?p={path}\n" + gate("/login*") + "PROXY", protected: []string{"/login"}, forwarded: "/other"},
		{name: "rewrite to the protected path", site: "rewrite /alias /login\n" + gate("/login*") + "PROXY", protected: []string{"/alias", "/login"}, forwarded: "/other"},
		{name: "uri strip_prefix", site: "uri strip_prefix /app\n" + gate("/app/login*") + "PROXY", protected: []string{"/app/login"}, forwarded: "/other"},
		{name: "uri strip_suffix", site: "uri strip_suffix .php\n@m path *.php\n" + gate("@m") + "PROXY", protected: []string{"/login.php"}, forwarded: "/login"},
		{name: "uri replace", site: "uri replace login signin\n" + gate("/login*") + "PROXY", protected: []string{"/login"}, forwarded: "/other"},
		{name: "uri path_regexp", site: "uri path_regexp ^/login /signin\n" + gate("/login*") + "PROXY", protected: []string{"/login"}, forwarded: "/other"},
		{name: "uri query", site: "uri query -action\n@m query action=login\n" + gate("@m") + "PROXY", protected: []string{"/x?action=login"}, forwarded: "/x?action=view"},
		{name: "method", site: "method GET\n@m method POST\n" + gate("@m") + "PROXY", protected: []string{"POST /x"}, forwarded: "/x"},
		{name: "handle", site: "handle /login* {\n" + gate("") + "PROXY\n}\nhandle {\nPROXY\n}", protected: []string{"/login"}, forwarded: "/other"},
		{name: "handle with a matcher in it", site: "handle {\n" + gate("/login*") + "PROXY\n}", protected: []string{"/login"}, forwarded: "/other"},
		{name: "handle_path, inner path", site: "handle_path /app/* {\n" + gate("/login*") + "PROXY\n}", protected: []string{"/app/login"}, forwarded: "/app/other"},
		{name: "handle_path, path as sent", site: "handle_path /app/* {\n" + gate("/app/login*") + "PROXY\n}", protected: []string{"/app/login"}, forwarded: "/app/other"},
		{name: "route, rewritten before", site: "route {\nrewrite * /index.php\n" + gate("/login*") + "PROXY\n}", protected: []string{"/login"}, forwarded: "/other"},
		{name: "nested routes", site: "route {\nuri strip_prefix /a\nroute {\nuri strip_prefix /b\n" + gate("/a/b/login*") + "PROXY\n}\n}", protected: []string{"/a/b/login"}, forwarded: "/a/b/other"},
		{name: "named route", namedRoute: "&(app) {\n" + gate("/login*") + "respond /ping pong\nPROXY\n}\n", site: "rewrite * /index.php\ninvoke app", protected: []string{"/login"}, forwarded: "/other"},
		{name: "error route", site: "error 404\nhandle_errors {\n" + gate("/login*") + "PROXY\n}", protected: []string{"/login"}, forwarded: "/other"},
		{name: "error route, rewritten", site: "rewrite * /index.php\nerror 404\nhandle_errors {\nrewrite * /error.php\n" + gate("/login*") + "PROXY\n}", protected: []string{"/login"}, forwarded: "/other"},
		{name: "error route, placeholder", site: "rewrite * /index.php\nerror 404\nhandle_errors {\nrewrite * /error.php\n@m vars {http.request.uri.path} /login\n" + gate("@m") + "PROXY\n}", protected: []string{"/login"}, forwarded: "/other"},
		{name: "error route, expression", site: "error 404\nhandle_errors {\nrewrite * /error.php\n@m expression `{http.request.uri.path}.startsWith(\"/login\")`\n" + gate("@m") + "PROXY\n}", protected: []string{"/login"}, forwarded: "/other"},
		{name: "expression", site: "rewrite * /index.php\n@m expression `{http.request.uri.path}.startsWith(\"/login\")`\n" + gate("@m") + "PROXY", protected: []string{"/login"}, forwarded: "/other"},
		{name: "placeholder in vars", site: "rewrite * /index.php\n@m vars {http.request.uri.path} /login\n" + gate("@m") + "PROXY", protected: []string{"/login"}, forwarded: "/other"},
		{name: "path_regexp", site: "rewrite * /index.php\n@m path_regexp ^/(login|signup)\n" + gate("@m") + "PROXY", protected: []string{"/login", "/signup"}, forwarded: "/other"},
		{name: "not", site: "uri strip_prefix /app\n@m not path /public* /app/public*\n" + gate("@m") + "PROXY", protected: []string{"/login", "/app/login"}, forwarded: "/app/public"},
		{name: "two gates", site: gate("/login*") + "@p path /signup*\n" + strings.Replace(gate("@p"), "@p {", "@p signup {", 1) + "PROXY", protected: []string{"/login", "/signup"}, forwarded: "/other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			app := harness.NewApp(t)
			proxy := "reverse_proxy " + app.Listener.Addr().String()
			caddyfile := "{\n" + harness.Globals + "}\n" + test.namedRoute + "http://:0 {\nbind 127.0.0.1\n" + test.site + "\n}\n"
			harness.Run(t, strings.ReplaceAll(caddyfile, "PROXY", proxy))
			addr := harness.Address(t, "srv0")

			for _, target := range test.protected {
				methods := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "FOO", "post"}
				if method, rest, ok := strings.Cut(target, " "); ok {
					methods, target = []string{method}, rest
				}
				for _, method := range methods {
					if target == "*" && method != "OPTIONS" {
						continue
					}
					harness.RawRequest(t, addr, method+" "+target+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				}
			}
			if seen := app.Seen(); len(seen) > 0 {
				t.Errorf("the app saw requests without a proof: %q", seen)
			}
			if test.forwarded == "" {
				return
			}
			harness.RawRequest(t, addr, "GET "+test.forwarded+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if len(app.Seen()) != 1 {
				t.Errorf("the app did not see %s, which is not protected", test.forwarded)
			}
		})
	}
}

// TestLoopholesAreWarnedOf: an operator is told of matchers that leave out what
// may be the same page to the application.
func TestLoopholesAreWarnedOf(t *testing.T) {
	for matcher, warnings := range map[string][]string{
		"path /login":                 {"/login is matched exactly"},
		"path /login /login/*":        {"/login is matched exactly"},
		"path /login /login*":         nil,
		"path /login* /signup":        {"/signup is matched exactly"},
		"method POST":                 {"only the methods POST"},
		"not method GET HEAD OPTIONS": nil,
		"path *.php":                  nil,
		"expression path('/login*') && method('POST')": nil, // not looked into
	} {
		g := harness.NewGate(t)
		g.Run("@m " + matcher + "\n" + strings.Replace(g.Captcha(harness.GeeTestV4), "/login*", "@m", 1) + g.Proxy())
		var logged []string
		for _, entry := range g.Entries("") {
			if text := entry["msg"].(string); entry["level"] == "warn" && strings.Contains(text, " matched") {
				logged = append(logged, text)
			}
		}
		if len(logged) != len(warnings) {
			t.Errorf("%s: warned %q, want %q", matcher, logged, warnings)
			continue
		}
		for i, want := range warnings {
			if !strings.Contains(logged[i], want) {
				t.Errorf("%s: warned %q, want %q", matcher, logged[i], want)
			}
		}
	}
}

// TestHeadersDoNotChooseTheRoute: nothing but the request line decides.
func TestHeadersDoNotChooseTheRoute(t *testing.T) {
	app := harness.NewApp(t)
	harness.Run(t, "{\n"+harness.Globals+"}\nhttp://:0 {\nbind 127.0.0.1\n@m {\npath /login*\nmethod POST\n}\ncaptcha @m {\n"+unreachable+"\n}\nreverse_proxy "+app.Listener.Addr().String()+"\n}\n")
	addr := harness.Address(t, "srv0")
	for _, header := range []string{
		"X-Original-URI: /health", "X-Original-URL: /health", "X-Rewrite-URL: /health", "X-Forwarded-Uri: /health",
		"X-Forwarded-Host: other", "X-Forwarded-Method: GET", "X-HTTP-Method-Override: GET", "X-Forwarded-For: 127.0.0.1",
		"Referer: http://a/health", "User-Agent: Googlebot/2.1", "Upgrade: websocket\r\nConnection: Upgrade", "Upgrade: h2c\r\nConnection: Upgrade",
		"Origin: http://a\r\nAccess-Control-Request-Method: POST",
	} {
		for _, target := range []string{"/login", "/login?x=/health", "http://a/login", "/login?_method=GET"} {
			status := harness.RawRequest(t, addr, "POST "+target+" HTTP/1.1\r\nHost: a\r\n"+header+"\r\nContent-Length: 0\r\n\r\n")
			if !strings.Contains(status, " 403 ") {
				t.Errorf("%s with %q: %s", target, header, status)
			}
		}
	}
	if seen := app.Seen(); len(seen) > 0 {
		t.Errorf("the app saw %q", seen)
	}
}

// TestSpellingsOfAPath: no spelling of /login makes an application log in
// without a proof.
func TestSpellingsOfAPath(t *testing.T) {
	app := harness.NewApp(t)
	harness.Run(t, "{\n"+harness.Globals+"}\nhttp://:0 {\nbind 127.0.0.1\ncaptcha /login* {\n"+unreachable+"\n}\nreverse_proxy "+app.Listener.Addr().String()+"\n}\n")
	addr := harness.Address(t, "srv0")
	for _, target := range spellings() {
		harness.RawRequest(t, addr, "GET "+target+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	}
	for _, request := range app.Seen() {
		target := strings.TrimPrefix(request, "GET ")
		for name, logsIn := range map[string]func(string) bool{"Go": goMux, "Tomcat": tomcat, "PHP": php} {
			if logsIn(target) {
				t.Errorf("the app in %s logged in for %s", name, target)
			}
		}
	}
	harness.RawRequest(t, addr, "GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if len(app.Seen()) != 1 {
		t.Error("the app did not see a path that is not protected")
	}
}

func spellings() (targets []string) {
	for _, login := range []string{"login", "LOGIN", "LogIn", "%6cogin", "%6Cogin", "l%6fgin", "%4c%4f%47%49%4e"} {
		for _, before := range []string{"/", "//", "///", "/./", "/x/../", "/x/%2e%2e/", "/%2e/", "/%2f", "/x//../", "http://a/"} {
			for _, after := range []string{"", "/", "//", "/.", "/x/..", ";x=1", ";jsessionid=1/", ".json", ".php", ".php/x", "%00", "%2f", "%20", "?a=b", "?", "%3b", "%0a"} {
				targets = append(targets, before+login+after)
			}
		}
	}
	return targets
}

// goMux says whether a Go ServeMux with a handler for /login calls it.
func goMux(target string) bool {
	u, err := url.ParseRequestURI(target)
	return err == nil && u.Path == "/login"
}

// tomcat says whether a servlet container maps the target to /login: it cuts
// path parameters off and tidies the path.
func tomcat(target string) bool {
	p, _, _ := strings.Cut(strings.TrimPrefix(target, "http://a"), "?")
	var segments []string
	for segment := range strings.SplitSeq(p, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		if decoded, err := url.PathUnescape(segment); err == nil {
			segment = decoded
		}
		segments = append(segments, segment)
	}
	return path.Clean("/"+strings.Join(segments, "/")) == "/login"
}

// php says whether a web server runs the script /login or /login.php, with
// whatever follows as PATH_INFO, on a file system that ignores case.
func php(target string) bool {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return false
	}
	p := strings.ToLower(path.Clean(u.Path))
	p, _, _ = strings.Cut(p, "\x00")
	for _, script := range []string{"/login", "/login.php"} {
		if p == script || strings.HasPrefix(p, script+"/") {
			return true
		}
	}
	return false
}
