package placement_test

import (
	"strings"
	"testing"
)

// TestOpenings: wherever something answers or rewrites in the wrong place
// there is a finding, and requests show that it is true: what should be
// refused is not. Where nothing does there is none, and it is refused.
func TestOpenings(t *testing.T) {
	const gate = "captcha /login* {\nCAPTCHA\n}\n"
	for _, c := range []struct {
		name, options, site string
		certain             bool
		want                string // in the message; empty for none
		target              string // that needs a captcha, if it is not /login
	}{
		{"the default order", "", gate + "reverse_proxy APP", false, "", ""},
		{"the default order, written backwards", "", "reverse_proxy APP\n" + gate, false, "", ""},
		{"the default order behind a rewrite", "", gate + "rewrite /signin /login\nreverse_proxy APP", false, "", "/signin"},
		{"order last", "order captcha last", gate + "reverse_proxy APP", true, "never sees requests for /login*, the site is open: reverse_proxy", ""},
		{"order after reverse_proxy", "order captcha after reverse_proxy", gate + "reverse_proxy APP", true, "the site is open: reverse_proxy", ""},
		{"order after respond", "order captcha after respond", gate + "respond hello", true, "the site is open: respond", ""},
		{"order last behind files", "order captcha last", gate + "file_server", true, "the site is open: file_server", ""},
		{"order last behind files that pass on", "order captcha last", gate + "root /nonexistent\nfile_server {\npass_thru\n}", false, "", ""},
		{"order last behind blocks", "order captcha last", gate + "handle /api/* {\nreverse_proxy API\n}\nhandle {\nreverse_proxy APP\n}", true, "the site is open: reverse_proxy", ""},
		{"order last behind a block of another path", "order captcha last", gate + "handle /api/* {\nreverse_proxy API\n}", false, "", ""},
		{"order last behind something narrower", "order captcha last", gate + "reverse_proxy /login/help APP", false, "may be open: reverse_proxy", "/login/help"},
		{"order last behind a header", "order captcha last", gate + "@x header X-App 1\nreverse_proxy @x APP", false, "may be open: reverse_proxy", ""},
		{"order first", "order captcha first", gate + "reverse_proxy APP", false, "", ""},
		{"order first before a rewrite", "order captcha first", gate + "rewrite /signin /login\nreverse_proxy APP", false, "stands before rewrite /login", "/signin"},
		{"order first before strip_prefix", "order captcha first", gate + "uri strip_prefix /app\nreverse_proxy APP", false, "stands before uri strip_prefix /app", "/app/login"},
		{"order first before strip_suffix", "order captcha first", "@php path *.php\ncaptcha @php {\nCAPTCHA\n}\nuri strip_suffix .txt\nreverse_proxy APP", false, "stands before uri strip_suffix .txt", "/x.php.txt"},
		{"order first before uri replace", "order captcha first", gate + "uri replace signin login\nreverse_proxy APP", false, "stands before uri replace signin login", "/signin"},
		{"order first before uri path_regexp", "order captcha first", gate + "uri path_regexp ^/v[0-9]/ /\nreverse_proxy APP", false, "stands before uri path_regexp", "/v1/login"},
		{"order first before a placeholder", "order captcha first", gate + "@x path_regexp x ^/x(/.*)$\nrewrite @x {re.x.1}\nreverse_proxy APP", false, "stands before rewrite", "/x/login"},
		{"order first before a prefix", "order captcha first", "captcha /app/login* {\nCAPTCHA\n}\nrewrite /login* /app{uri}\nreverse_proxy APP", false, "stands before rewrite /app{uri}", ""},
		{"order first before a rewrite elsewhere", "order captcha first", gate + "rewrite /a /b\nreverse_proxy APP", false, "", ""},
		{"order first before try_files", "order captcha first", "captcha /index.php* {\nCAPTCHA\n}\nroot /nonexistent\n@f {\nfile {\ntry_files {path} /index.php\ntry_policy first_exist_fallback\n}\n}\nrewrite @f {file_match.relative}\nreverse_proxy APP", false, "stands before try_files {path} /index.php", "/x"},
		{"order first before a method", "order captcha first", "@post {\npath /login*\nmethod POST\n}\ncaptcha @post {\nCAPTCHA\n}\nmethod POST\nreverse_proxy APP", false, "makes POST /login of GET /login", "GET /login"},
		{"route, the application first", "", "route {\nreverse_proxy APP\n" + gate + "}", true, "the site is open: reverse_proxy", ""},
		{"route, the captcha first", "", "route {\n" + gate + "reverse_proxy APP\n}", false, "", ""},
		{"route, files first", "", "route {\nfile_server\n" + gate + "}", true, "the site is open: file_server", ""},
		{"route, respond first", "", "route {\nrespond hello\n" + gate + "}", true, "the site is open: respond", ""},
		{"route, the application first as widely", "", "route {\nreverse_proxy /log* APP\n" + gate + "reverse_proxy APP\n}", true, "the site is open: reverse_proxy", ""},
		{"route, the application first at another path", "", "route {\nreverse_proxy /api/* APP\n" + gate + "reverse_proxy APP\n}", false, "", ""},
		{"route, a rewrite behind", "", "route {\n" + gate + "rewrite /signin /login\nreverse_proxy APP\n}", false, "stands before rewrite /login", "/signin"},
		{"route, a rewrite before", "", "route {\nrewrite /signin /login\n" + gate + "reverse_proxy APP\n}", false, "", "/signin"},
		{"route, one of two captchas late", "", "route {\n" + gate + "rewrite /signin /login\n" + gate + "reverse_proxy APP\n}", false, "", "/signin"},
		{"route around everything, no matcher", "", "route {\nreverse_proxy APP\ncaptcha {\nCAPTCHA\n}\n}", true, "never sees the requests that it protects, the site is open", ""},
		{"handle_path behind", "", gate + "handle_path /app/* {\nreverse_proxy APP\n}\nhandle {\nreverse_proxy APP\n}", false, "stands before uri strip_prefix /app (handle_path), which makes /login of /app/login", "/app/login"},
		{"handle_path behind, alone", "", gate + "handle_path /app/* {\nreverse_proxy APP\n}", false, "stands before uri strip_prefix /app", "/app/login"},
		{"handle_path behind, to another application", "", gate + "handle_path /api/* {\nreverse_proxy API\n}\nhandle {\nreverse_proxy APP\n}", false, "", ""},
		{"handle_path behind, with files", "", gate + "handle_path /static/* {\nfile_server\n}\nhandle {\nreverse_proxy APP\n}", false, "", ""},
		{"handle before", "", "handle /log* {\nreverse_proxy APP\n}\nhandle {\n" + gate + "reverse_proxy APP\n}", true, "the site is open: reverse_proxy", ""},
		{"handle before, narrower", "", "handle /login/help* {\nreverse_proxy APP\n}\nhandle {\n" + gate + "reverse_proxy APP\n}", false, "may be open: reverse_proxy", "/login/help"},
		{"handle before, by suffix", "", "@css path *.css\nhandle @css {\nreverse_proxy APP\n}\nhandle {\n" + gate + "reverse_proxy APP\n}", false, "may be open: reverse_proxy", "/login;x.css"},
		{"handle before, with a captcha", "", "handle /login* {\ncaptcha {\nCAPTCHA\n}\nreverse_proxy API\n}\nhandle {\n" + gate + "reverse_proxy APP\n}", false, "", ""},
		{"handle of another path", "", "handle /app/* {\n" + gate + "reverse_proxy APP\n}\nhandle {\nrespond hello\n}", true, "protects nothing", ""},
		{"named route", "", "route {\nreverse_proxy APP\ninvoke gate\n}\n}\n&(gate) {\n" + gate, true, "the site is open: reverse_proxy", ""},
		{"redirect before", "", "redir https://example.com{uri}\n" + gate + "reverse_proxy APP", false, "redir answers all of them before", "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			err := w.load(w.site(c.options, c.site))
			found := w.warnings()
			if err != nil {
				found = append(found, err.Error())
			}
			all := strings.Join(found, "\n")
			switch {
			case c.want == "" && all != "":
				t.Fatalf("found: %s", all)
			case !strings.Contains(all, c.want):
				t.Fatalf("found: %q, want %q", all, c.want)
			case (err != nil) != c.certain:
				t.Fatalf("the load fails: %v, want %t", err, c.certain)
			}
			method, target := "POST", "/login"
			if before, after, ok := strings.Cut(c.target, " "); ok {
				method, target = before, after
			} else if c.target != "" {
				target = c.target
			}
			if c.certain { // what the refused config would have done
				w.serveUnchecked(w.site(c.options, c.site))
			}
			header := []string{"X-App", "1"}
			open := !w.refused(method, target, header...)
			if want := c.want != ""; open != want {
				t.Errorf("%s %s is open: %t, want %t: %+v", method, target, open, want, w.ask(method, target, header...))
			}
		})
	}
}
