package placement_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// find loads the Caddyfile and returns what was found.
func (w *world) find(caddyfile string) (found string, refused bool) {
	w.t.Helper()
	err := w.load(caddyfile)
	messages := w.warnings()
	if err != nil {
		return strings.Join(append(messages, err.Error()), "\n"), true
	}
	return strings.Join(messages, "\n"), false
}

// TestEndpoints: endpoints that no request reaches are found, and requests
// show that it is so; a config whose endpoints are reached has no such finding.
func TestEndpoints(t *testing.T) {
	const out = "are out of reach"
	for _, c := range []struct {
		name, site, base string
		certain          bool
		want             string
	}{
		{"at the level of the site", "captcha /login* {\nCAPTCHA\n}\nreverse_proxy APP", "", false, ""},
		{"in a block of another path", "handle /app/* {\ncaptcha {\nCAPTCHA\n}\nreverse_proxy APP\n}", "", true, out + ": the routes around it, path /app/*, do not match them"},
		{"in a block of its path", "handle /app/* {\ncaptcha {\nCAPTCHA\nbase_path /app/captcha\n}\nreverse_proxy APP\n}", "/app/captcha", false, ""},
		{"in handle_path of its path", "handle_path /app/* {\ncaptcha {\nCAPTCHA\nbase_path /app/captcha\n}\nreverse_proxy APP\n}", "/app/captcha", false, ""},
		{"in handle_path, as the application sees it", "handle_path /app/* {\ncaptcha {\nCAPTCHA\nbase_path /captcha\n}\nreverse_proxy APP\n}", "/captcha", true, out},
		{"in a regular expression of another path", "@app path_regexp ^/app/\nhandle @app {\ncaptcha {\nCAPTCHA\n}\nreverse_proxy APP\n}", "", true, out + ": the routes around it, path_regexp ^/app/, do not"},
		{"in a regular expression of its path", "@app path_regexp ^/app/\nhandle @app {\ncaptcha {\nCAPTCHA\nbase_path /app/captcha\n}\nreverse_proxy APP\n}", "/app/captcha", false, ""},
		{"in all but its path", "@app not path /.captcha*\nhandle @app {\ncaptcha {\nCAPTCHA\n}\nreverse_proxy APP\n}", "", true, out},
		{"in two blocks", "handle /app/* {\nhandle /app/x/* {\ncaptcha {\nCAPTCHA\nbase_path /app/captcha\n}\nreverse_proxy APP\n}\n}", "/app/captcha", true, out},
		{"in a block of a method", "@post method POST\nhandle @post {\ncaptcha {\nCAPTCHA\n}\nreverse_proxy APP\n}", "", true, out},
		{"in a block of clients", "@here remote_ip 127.0.0.1\nhandle @here {\ncaptcha {\nCAPTCHA\n}\nreverse_proxy APP\n}", "", false, ""},
		{"reached by the captcha of another block", "handle /app/* {\ncaptcha {\nCAPTCHA\n}\nreverse_proxy APP\n}\nhandle {\ncaptcha other {\nCAPTCHA\nbase_path /.captcha/other\n}\nreverse_proxy API\n}", "", false, ""},
		{"behind a text", "route {\nrespond /.captcha/* hidden\ncaptcha /login* {\nCAPTCHA\n}\nreverse_proxy APP\n}", "", true, out + ": respond answers requests for them before"},
		{"behind a refusal", "route {\nrespond /.captcha/* 404\ncaptcha /login* {\nCAPTCHA\n}\nreverse_proxy APP\n}", "", true, out + ": respond answers requests for them before"},
		{"behind an application", "route {\nreverse_proxy /.* APP\ncaptcha /login* {\nCAPTCHA\n}\nreverse_proxy APP\n}", "", true, out + ": reverse_proxy"},
		{"perhaps behind a text", "route {\n@x header X-App 1\nrespond @x hidden\ncaptcha /login* {\nCAPTCHA\n}\nreverse_proxy APP\n}", "", false, "may be out of reach: respond may answer"},
		{"without clearances", "handle /app/* {\ncaptcha {\nPROOFS\n}\nreverse_proxy APP\n}", "", false, out},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			found, refused := w.find(w.site("", c.site))
			if !strings.Contains(found, c.want) || c.want == "" && strings.Contains(found, "out of reach") {
				t.Errorf("found %q, want %q", found, c.want)
			}
			if refused != c.certain {
				t.Fatalf("the load is refused: %t, want %t: %s", refused, c.certain, found)
			}
			if refused {
				w.serveUnchecked(w.site("", c.site))
			}
			base := c.base
			if base == "" {
				base = "/.captcha/default"
			}
			r := w.ask("GET", base+"/challenge", "X-App", "1")
			if reached := r.status == 200 && r.media == "application/json"; reached != (c.want == "") {
				t.Errorf("the endpoint is reached: %t: %+v", reached, r)
			}
		})
	}
}

// TestHost: a captcha that looks at the host cannot see the one that the client
// sent where a handler before it changes it.
func TestHost(t *testing.T) {
	const gate = "@login {\nhost login.example.com\npath /login*\n}\ncaptcha @login {\nCAPTCHA\n}\n"
	for _, c := range []struct {
		name, site string
		certain    bool
		want       string
	}{
		{"the default order", gate + "request_header Host app.internal\nreverse_proxy APP", false, ""},
		{"always", "route {\nrequest_header Host app.internal\n" + gate + "reverse_proxy APP\n}", true, "never sees the host that the client sent: request_header Host changes it before"},
		{"removed", "route {\nrequest_header -Host\n" + gate + "reverse_proxy APP\n}", true, "never sees the host that the client sent"},
		{"for some", "route {\n@x header X-App 1\nrequest_header @x Host app.internal\n" + gate + "reverse_proxy APP\n}", false, "may see another host than the client sent"},
		{"by a placeholder", "route {\nrequest_header Host {header.X-Host}\n" + gate + "reverse_proxy APP\n}", false, "may see another host than the client sent"},
		{"another header", "route {\nrequest_header X-Host app.internal\n" + gate + "reverse_proxy APP\n}", false, ""},
		{"behind the captcha", "route {\n" + gate + "request_header Host app.internal\nreverse_proxy APP\n}", false, ""},
		{"in a not", "route {\nrequest_header Host app.internal\n@login not host app.internal\ncaptcha @login {\nCAPTCHA\n}\nreverse_proxy APP\n}", true, "never sees the host"},
		{"a matcher that does not look", "route {\nrequest_header Host app.internal\ncaptcha /login* {\nCAPTCHA\n}\nreverse_proxy APP\n}", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			found, refused := w.find(w.site("", c.site))
			if !strings.Contains(found, c.want) || c.want == "" && found != "" || refused != c.certain {
				t.Fatalf("found %q, refused: %t, want %q, %t", found, refused, c.want, c.certain)
			}
			if refused {
				w.serveUnchecked(w.site("", c.site))
			}
			if open := !w.refused("POST", "/login", "Host", "login.example.com", "X-App", "1"); open != (c.want != "") {
				t.Errorf("a request for the protected host passes: %t", open)
			}
		})
	}
}

// TestExemptions: what is exempt by one spelling of a path is not by the other.
func TestExemptions(t *testing.T) {
	gate := func(exempt string) string {
		return "@x not path " + exempt + "\ncaptcha @x {\nCAPTCHA\n}\nreverse_proxy APP\n"
	}
	const base = "base_path /app/captcha\n"
	for _, c := range []struct {
		name, site, target, want string
	}{
		{"no rewrite", gate("/public/*"), "/public/x", ""},
		{"another rewrite", "rewrite /a /b\n" + gate("/public/*"), "/public/x", ""},
		{"strip_prefix", "uri strip_prefix /app\n" + gate("/public/*"), "/app/public/x", "write both spellings"},
		{"strip_prefix, both", "uri strip_prefix /app\n" + gate("/public/* /app/public/*"), "/app/public/x", ""},
		{"handle_path", "handle_path /app/* {\n" + strings.Replace(gate("/public/*"), "CAPTCHA\n", "CAPTCHA\n"+base, 1) + "}", "/app/public/x", "write both spellings"},
		{"try_files", "root /nonexistent\n@f file {\ntry_files {path} /index.php\ntry_policy first_exist_fallback\n}\nrewrite @f {file_match.relative}\n" + gate("/public/*"), "/public/x", "write both spellings"},
		{"a rewrite to it", "rewrite /p /public/x\n" + gate("/public/*"), "/p", "write both spellings"},
		{"behind", "route {\n" + strings.Replace(gate("/public/*"), "reverse_proxy", "rewrite /public/a /public/b\nreverse_proxy", 1) + "}", "/public/x", ""},
		{"no `not path`", "uri strip_prefix /app\ncaptcha /login* {\nCAPTCHA\n}\nreverse_proxy APP", "/public/x", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			found, refused := w.find(w.site("", c.site))
			if refused || !strings.Contains(found, c.want) || c.want == "" && found != "" {
				t.Fatalf("found %q, want %q", found, c.want)
			}
			if gated := w.refused("GET", c.target); gated != (c.want != "") {
				t.Errorf("%s is refused: %t", c.target, gated)
			}
		})
	}
}

// TestBlocks: what the routes around a captcha do not match goes past it.
func TestBlocks(t *testing.T) {
	block := func(around, elsewhere string) string {
		return around + " {\ncaptcha {\nCAPTCHA\nbase_path /login/captcha\n}\nreverse_proxy APP\n}\n" + elsewhere
	}
	const rest = "handle {\nreverse_proxy APP\n}\n"
	const exact, readings, rootless = "stands in a block for exactly /login:", "answers outside of it, too", "whose target is no path"
	const opaque = "x:http://x/login"
	for _, c := range []struct {
		name, site string
		want       []string
		open       []string // targets that reach the application
		closed     []string // and that do not
	}{
		{"a prefix", block("handle /login*", rest), []string{readings, rootless}, []string{opaque, "/;/login", "//x/login"}, []string{"/login", "/login/"}},
		{"an exact path", block("@login path /login /login/captcha/*\nhandle @login", rest), []string{exact, readings, rootless}, []string{opaque, "/login/"}, []string{"/login"}},
		{"an exact path that is covered", block("@login path /login /login/*\nhandle @login", rest), []string{readings, rootless}, []string{opaque}, []string{"/login", "/login/"}},
		{"a route", "route /login* {\ncaptcha {\nCAPTCHA\nbase_path /login/captcha\n}\n}\nreverse_proxy APP\n", []string{readings, rootless}, []string{opaque, "/;/login"}, []string{"/login"}},
		{"with the recipe", block("handle /login*", rest+"@rootless not path /*\nhandle @rootless {\nerror 400\n}\n"), []string{readings}, []string{"/;/login"}, []string{opaque, "/login"}},
		{"with the recipe in a route", "route {\n@rootless not path /*\nerror @rootless 400\n" + block("handle /login*", rest) + "}", []string{readings}, []string{"/;/login"}, []string{opaque, "/login"}},
		{"with the recipe behind a block that takes it", block("handle /login*", rest+"@rootless not path /*\nerror @rootless 400\n"), []string{readings, rootless}, []string{opaque}, []string{"/login"}},
		{"another application elsewhere", block("handle /login*", "handle {\nreverse_proxy API\n}\n"), nil, nil, []string{"/login"}},
		{"nothing elsewhere", block("handle /login*", ""), nil, nil, []string{"/login", opaque}},
		{"files elsewhere", block("handle /login*", "handle {\nfile_server\n}\n"), nil, nil, []string{"/login", opaque}},
		{"no path", block("@x header X-App 1\nhandle @x", rest), nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			found, refused := w.find(w.site("", c.site))
			if refused {
				t.Fatal(found)
			}
			for _, message := range []string{exact, readings, rootless} {
				if has, want := strings.Contains(found, message), slices.Contains(c.want, message); has != want {
					t.Errorf("%q is found: %t, want %t, in %q", message, has, want, found)
				}
			}
			for _, target := range c.open {
				if r := w.ask("POST", target); !strings.HasPrefix(r.body, "app: ") {
					t.Errorf("%s does not reach the application: %+v", target, r)
				}
			}
			for _, target := range c.closed {
				if r := w.ask("POST", target); strings.HasPrefix(r.body, "app: ") {
					t.Errorf("%s reaches the application: %+v", target, r)
				}
			}
		})
	}
}

// TestMatcherless: a policy's name that may have been meant as a path.
func TestMatcherless(t *testing.T) {
	for _, c := range []struct{ site, want string }{
		{"captcha login {\nCAPTCHA\n}\nreverse_proxy APP", `if "login" was meant as a path, write ` + "`captcha /login* {`"},
		{"captcha {\nCAPTCHA\n}\nreverse_proxy APP", ""},
		{"captcha /login* login {\nCAPTCHA\n}\nreverse_proxy APP", ""},
		{"handle /login* {\ncaptcha login {\nCAPTCHA\nbase_path /login/captcha\n}\nreverse_proxy APP\n}", ""},
	} {
		w := newWorld(t)
		found, refused := w.find(w.site("", c.site))
		if refused || !strings.Contains(found, c.want) || c.want == "" && found != "" {
			t.Errorf("%s: found %q, want %q", c.site, found, c.want)
		}
		if !w.refused("GET", "/login") || c.want != "" && !w.refused("GET", "/style.css") {
			t.Errorf("%s does not protect what it says", c.site)
		}
	}
}

// TestInject: a captcha_inject needs its captcha on the same site.
func TestInject(t *testing.T) {
	const gate = "captcha /login* {\nCAPTCHA\n}\n"
	const other = "captcha /x* other {\nCAPTCHA\n}\n"
	for _, c := range []struct {
		name, a, b string // two sites
		certain    bool
		want       string
	}{
		{"on the same site", gate + "captcha_inject\nreverse_proxy APP", "reverse_proxy API", false, ""},
		{"on another site", gate + "reverse_proxy APP", "captcha_inject\nreverse_proxy API", true, "puts a script into pages that is out of reach there"},
		{"beside another captcha", gate + "reverse_proxy APP", other + "captcha_inject\nreverse_proxy API", false, "has no captcha of its policy on the same site"},
		{"behind the application", "route {\n" + gate + "reverse_proxy APP\ncaptcha_inject\n}", "reverse_proxy API", false, "does nothing: reverse_proxy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			sites := fmt.Sprintf("http://a.test:0 {\nbind 127.0.0.1\n%s\n}\nhttp://b.test:0 {\nbind 127.0.0.1\n%s\n}\n", c.a, c.b)
			found, refused := w.find(w.file("", sites))
			if !strings.Contains(found, c.want) || c.want == "" && found != "" || refused != c.certain {
				t.Fatalf("found %q, refused: %t, want %q, %t", found, refused, c.want, c.certain)
			}
			if !refused {
				return
			}
			w.serveUnchecked(w.file("", sites))
			if r := w.ask("GET", "/.captcha/default/page", "Host", "b.test"); !strings.HasPrefix(r.body, "api: ") {
				t.Errorf("the page is there: %+v", r)
			}
		})
	}
}

// TestRefusedReload: a reload that is refused leaves the old config running.
func TestRefusedReload(t *testing.T) {
	w := newWorld(t)
	if err := w.load(w.site("", "captcha /login* {\nCAPTCHA\n}\nreverse_proxy APP")); err != nil {
		t.Fatal(err)
	}
	before := w.address()
	err := w.load(w.site("order captcha last", "captcha /login* {\nCAPTCHA\n}\nreverse_proxy APP"))
	if err == nil || !strings.Contains(err.Error(), "the site is open") {
		t.Fatalf("the reload: %v", err)
	}
	if w.address() != before || !w.refused("POST", "/login") {
		t.Error("the old config does not protect any more")
	}
	if r := w.ask("GET", "/other"); !strings.HasPrefix(r.body, "app: ") {
		t.Errorf("the old config does not forward any more: %+v", r)
	}
}
