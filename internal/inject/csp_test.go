package inject

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

var testOptions = Options{
	ScriptURL: "/.captcha/login/inject-1a2b.js",
	FramePath: "/.captcha/login/page",
	CallPath:  "/.captcha/login/needed",
	Integrity: "sha256-AAAA",
	Policy:    "login",
	Forms:     `form[method="post"]`,
}

func TestPolicies(t *testing.T) {
	const (
		script = "example.com/.captcha/login/inject-1a2b.js"
		frame  = "example.com/.captcha/login/page"
		call   = "example.com/.captcha/login/needed"
		hash   = "'sha256-AAAA'"
	)
	for _, test := range []struct{ name, policy, amended, nonce string }{
		{"empty", "", "", ""},
		{"about other things", "img-src 'none'; upgrade-insecure-requests;", "img-src 'none'; upgrade-insecure-requests;", ""},
		{"self", "default-src 'self'", "default-src 'self'", ""},
		{"self in capitals", "Default-Src 'SELF'", "Default-Src 'SELF'", ""},
		{"everything", "default-src *; object-src 'none'", "default-src *; object-src 'none'", ""},
		{"nothing", "default-src 'none'", "default-src 'none'; script-src " + hash + "; connect-src " + call + "; frame-src " + frame, ""},
		{"nothing, with a semicolon", "default-src 'none';", "default-src 'none'; script-src " + hash + "; connect-src " + call + "; frame-src " + frame, ""},
		{"no sources", "default-src", "default-src; script-src " + hash + "; connect-src " + call + "; frame-src " + frame, ""},
		{"hosts", "script-src cdn.example; frame-src pay.example", "script-src cdn.example " + hash + "; frame-src pay.example " + frame, ""},
		{"calls", "connect-src api.example", "connect-src api.example " + call, ""},
		{"no calls", "connect-src 'none'", "connect-src " + call, ""},
		{"a scheme", "default-src https:", "default-src https:; script-src https: " + hash + "; connect-src https: " + call + "; frame-src https: " + frame, ""},
		{"fallback keeps keywords", "default-src a.example 'unsafe-inline'", "default-src a.example 'unsafe-inline'; script-src a.example 'unsafe-inline' " + script + "; connect-src a.example 'unsafe-inline' " + call + "; frame-src a.example 'unsafe-inline' " + frame, ""},
		{"elements", "script-src 'self'; script-src-elem 'none'", "script-src 'self'; script-src-elem " + hash, ""},
		{"inline elements", "script-src 'self'; script-src-elem 'unsafe-inline'", "script-src 'self'; script-src-elem 'unsafe-inline' " + script, ""},
		{"elements before scripts", "script-src-elem 'self'; script-src 'none'", "script-src-elem 'self'; script-src 'none'", ""},
		{"attributes do not matter", "script-src-attr 'none'", "script-src-attr 'none'", ""},
		{"children", "child-src 'none'; script-src 'self'", "child-src 'none'; script-src 'self'; frame-src " + frame, ""},
		{"children that are ours", "child-src 'self'; default-src 'none'; script-src *", "child-src 'self'; default-src 'none'; script-src *; connect-src " + call, ""},
		{"nonce", "script-src 'nonce-r4nd0m' 'unsafe-inline'", "script-src 'nonce-r4nd0m' 'unsafe-inline' " + hash, "r4nd0m"},
		{"hash", "script-src 'sha256-BBBB'; frame-src 'self'", "script-src 'sha256-BBBB' " + hash + "; frame-src 'self'", ""},
		{"hash and inline", "script-src 'SHA512-BBBB' 'unsafe-inline'", "script-src 'SHA512-BBBB' 'unsafe-inline' " + hash, ""},
		{"inline", "script-src 'unsafe-inline' 'unsafe-eval'", "script-src 'unsafe-inline' 'unsafe-eval' " + script, ""},
		{"strict", "script-src 'nonce-r4nd0m' 'strict-dynamic' https: 'unsafe-inline'; object-src 'none'", "script-src 'nonce-r4nd0m' 'strict-dynamic' https: 'unsafe-inline' " + hash + "; object-src 'none'", "r4nd0m"},
		{"strict ignores self", "script-src 'self' 'sha256-BBBB' 'Strict-Dynamic'", "script-src 'self' 'sha256-BBBB' 'Strict-Dynamic' " + hash, ""},
		{"strict and ours", "script-src 'strict-dynamic' " + hash, "script-src 'strict-dynamic' " + hash, ""},
		{"strict by default", "default-src 'nonce-a+/_-=' 'strict-dynamic'", "default-src 'nonce-a+/_-=' 'strict-dynamic'; script-src 'nonce-a+/_-=' 'strict-dynamic' " + hash + "; connect-src 'nonce-a+/_-=' 'strict-dynamic' " + call + "; frame-src 'nonce-a+/_-=' 'strict-dynamic' " + frame, "a+/_-="},
		{"twice: the first counts", "script-src 'none'; script-src 'self'", "script-src " + hash + "; script-src 'self'", ""},
		{"none beside others means nothing", "script-src 'none' a.example", "script-src 'none' a.example " + hash, ""},
		{"spaces", " \tscript-src\t a.example  b.example ;img-src  x ", " script-src a.example b.example " + hash + ";img-src  x ", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			sources := newCSPSources(testOptions).on("example.com")
			amended, nonce := sources.amend(test.policy)
			if amended != test.amended || nonce != test.nonce {
				t.Errorf("got  %q, nonce %q\nwant %q, nonce %q", amended, nonce, test.amended, test.nonce)
			}
			if again, _ := sources.amend(amended); strings.Count(again, script) > strings.Count(amended, script)+1 {
				t.Errorf("amended again it is %q", again)
			}
		})
	}
}

func TestHostsThatCannotBeSources(t *testing.T) {
	for _, test := range []struct{ host, source string }{
		{"example.com", "example.com/.captcha/login/page"},
		{"EXAMPLE.com:8443", "EXAMPLE.com:8443/.captcha/login/page"},
		{"127.0.0.1:80", "127.0.0.1:80/.captcha/login/page"},
		{"[::1]:80", "'self'"},
		{"", "'self'"},
		{":80", "'self'"},
		{"a.example:", "'self'"},
		{"a.example:b", "'self'"},
		{"a.example:80:80", "'self'"},
		{"a.example; script-src *", "'self'"},
		{"a.example, script-src *", "'self'"},
		{"*", "'self'"},
		{"*.example", "'self'"},
		{"user@a.example", "'self'"},
		{"a.example/", "'self'"},
		{"bücher.example", "'self'"},
	} {
		amended, _ := newCSPSources(testOptions).on(test.host).amend("frame-src b.example")
		if want := "frame-src b.example " + test.source; amended != want {
			t.Errorf("host %q: got %q, want %q", test.host, amended, want)
		}
	}
}

func TestPathsInSources(t *testing.T) {
	options := testOptions
	options.FramePath = "/a;b,c'd e%2F/ü/page"
	amended, _ := newCSPSources(options).on("a.example").amend("frame-src x.example")
	if want := "frame-src x.example a.example/a%3Bb%2Cc%27d%20e//%C3%BC/page"; amended != want {
		t.Errorf("got %q, want %q", amended, want)
	}
}

func TestEveryPolicyOfAHeaderIsAmended(t *testing.T) {
	h := http.Header{
		"Content-Security-Policy": {
			"frame-src a.example, frame-src b.example",
			"script-src 'strict-dynamic' 'nonce-one'",
		},
		"Content-Security-Policy-Report-Only": {"frame-src 'none'; report-uri /r", "script-src 'strict-dynamic' 'nonce-two'"},
	}
	before := h.Clone()
	lines := h["Content-Security-Policy"]
	if nonce := newCSPSources(testOptions).on("x.example").amendHeader(h); nonce != "one" {
		t.Errorf("the nonce is %q", nonce)
	}
	const frame = "x.example/.captcha/login/page"
	want := http.Header{
		"Content-Security-Policy": {
			"frame-src a.example " + frame + ", frame-src b.example " + frame,
			"script-src 'strict-dynamic' 'nonce-one' 'sha256-AAAA'",
		},
		"Content-Security-Policy-Report-Only": {"frame-src " + frame + "; report-uri /r", "script-src 'strict-dynamic' 'nonce-two' 'sha256-AAAA'"},
	}
	for key := range want {
		if !slices.Equal(h[key], want[key]) {
			t.Errorf("%s\ngot  %q\nwant %q", key, h[key], want[key])
		}
	}
	if !slices.Equal(lines, before["Content-Security-Policy"]) {
		t.Error("the values of the application were changed in place")
	}
}

func TestSandboxes(t *testing.T) {
	for policy, sandboxed := range map[string]bool{
		"default-src 'self'":                                        false,
		"sandbox":                                                   true,
		"sandbox allow-scripts":                                     true,
		"sandbox allow-forms":                                       true,
		"Sandbox ALLOW-Scripts a":                                   true,
		"sandbox allow-same-origin allow-forms":                     true,
		"sandbox allow-scripts allow-same-origin":                   false,
		"img-src x, sandbox; img-src y":                             true,
		"sandbox allow-scripts allow-same-origin; sandbox":          false,
		"sandbox allow-scripts allow-same-origin, sandbox":          true,
		"img-src sandbox; sandbox allow-same-origin allow-scripts;": false,
	} {
		if got := isSandboxed(http.Header{"Content-Security-Policy": {policy}}); got != sandboxed {
			t.Errorf("%q: sandboxed is %t", policy, got)
		}
		if isSandboxed(http.Header{"Content-Security-Policy-Report-Only": {policy}}) {
			t.Errorf("%q: sandboxed though it is only reported", policy)
		}
	}
}

func TestMetaPolicies(t *testing.T) {
	const frame = "x.example/.captcha/login/page"
	for _, test := range []struct{ name, tag, amended, nonce string }{
		{"no policy", `<meta name=a content="frame-src a">`, ``, ""},
		{"refresh", `<meta http-equiv=refresh content="frame-src a">`, ``, ""},
		{"nothing to do", `<meta http-equiv=Content-Security-Policy content="default-src 'self'">`, ``, ""},
		{"no content", `<meta http-equiv=Content-Security-Policy>`, ``, ""},
		{"simple", `<META HTTP-EQUIV=content-security-policy CONTENT='frame-src "a'/>`, `<meta http-equiv="content-security-policy" content="frame-src &#34;a ` + frame + `">`, ""},
		{"escaped", `<meta content="script-src &#39;self&#39;; frame-src &#39;none&#39;" http-equiv="Content-Security-Policy" id="a&amp;b">`, `<meta content="script-src &#39;self&#39;; frame-src ` + frame + `" http-equiv="Content-Security-Policy" id="a&amp;b">`, ""},
		{"escaped name", `<meta http-equiv="Content&#45;Security&#x2d;Policy" content="frame-src a">`, `<meta http-equiv="Content-Security-Policy" content="frame-src a ` + frame + `">`, ""},
		{"the first of two counts", `<meta http-equiv=Content-Security-Policy content="frame-src a" content="frame-src b">`, `<meta http-equiv="Content-Security-Policy" content="frame-src a ` + frame + `">`, ""},
		{"a comma does not part policies", `<meta http-equiv=Content-Security-Policy content="frame-src a, frame-src b">`, `<meta http-equiv="Content-Security-Policy" content="frame-src a, frame-src b ` + frame + `">`, ""},
		{"nonce", `<meta http-equiv=Content-Security-Policy content="script-src 'strict-dynamic' 'nonce-a' 'sha256-AAAA'">`, ``, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			amended, nonce := newCSPSources(testOptions).on("x.example").amendMeta([]byte(test.tag))
			if string(amended) != test.amended || nonce != test.nonce {
				t.Errorf("got  %s, nonce %q\nwant %s, nonce %q", amended, nonce, test.amended, test.nonce)
			}
		})
	}
}

// FuzzPolicy: the amended policy has every directive that the policy had, with
// the same sources, and allows nothing more than our two URLs and our hash.
func FuzzPolicy(f *testing.F) {
	f.Add("default-src 'none'", "example.com")
	f.Add("script-src 'nonce-a' 'strict-dynamic';; frame-src ;child-src *", "[::1]:80")
	f.Add(" SCRIPT-SRC\t'none' ; script-src 'self';sandbox", "a;b")
	f.Fuzz(func(t *testing.T, policy, host string) {
		sources := newCSPSources(testOptions).on(host)
		amended, nonce := sources.amend(policy)
		ours := []string{sources.source(sources.scriptPath), sources.source(sources.framePath), sources.hash, sources.source(sources.callPath)}
		before, after := parseCSP(policy), parseCSP(amended)
		if again := after.String(); again != amended {
			t.Fatalf("%q is written as %q", amended, again)
		}
		sourcesOf := func(c csp, names ...string) []string {
			n := c.governing(names...)
			if n < 0 {
				return nil
			}
			if s := c[n].sources; len(s) != 1 || !strings.EqualFold(s[0], "'none'") {
				return s
			}
			return nil
		}
		for _, d := range before {
			if d.name != "" && after.governing(d.name) < 0 {
				t.Fatalf("%q lost %s: %q", policy, d.name, amended)
			}
		}
		for _, names := range [][]string{
			{"script-src-elem", "script-src", "default-src"},
			{"script-src-attr", "script-src", "default-src"},
			{"script-src", "default-src"},
			{"frame-src", "child-src", "default-src"},
			{"connect-src", "default-src"},
			{"child-src", "default-src"},
			{"worker-src", "child-src", "script-src", "default-src"},
			{"default-src"},
			{"sandbox"},
			{"img-src", "default-src"},
			{"report-uri"},
		} {
			was, is := sourcesOf(before, names...), sourcesOf(after, names...)
			if before.governing(names...) >= 0 && after.governing(names...) < 0 {
				t.Fatalf("%q does not govern %s any more: %q", policy, names[0], amended)
			}
			for _, source := range was {
				if !slices.Contains(is, source) {
					t.Fatalf("%s of %q lost %s: %q", names[0], policy, source, amended)
				}
			}
			for _, source := range is {
				if !slices.Contains(was, source) && !slices.Contains(ours, source) {
					t.Fatalf("%s of %q got %s: %q", names[0], policy, source, amended)
				}
			}
			inline := func(list []string) bool {
				return hasKeyword(list, "'unsafe-inline'") && !hasKeyword(list, "'strict-dynamic'") &&
					!slices.ContainsFunc(list, func(s string) bool {
						s = strings.ToLower(s)
						return strings.HasPrefix(s, "'nonce-") || strings.HasPrefix(s, "'sha")
					})
			}
			if inline(was) != inline(is) {
				t.Fatalf("%s of %q: inline scripts %t became %t: %q", names[0], policy, inline(was), inline(is), amended)
			}
		}
		if n := after.governing("frame-src", "child-src", "default-src"); n >= 0 {
			if s := after[n].sources; !allowsOwnOrigin(s) && !slices.Contains(s, ours[1]) {
				t.Fatalf("%q does not allow our frame", amended)
			}
		}
		if n := after.governing("script-src-elem", "script-src", "default-src"); n >= 0 {
			s := after[n].sources
			strict := hasKeyword(s, "'strict-dynamic'")
			byPath := slices.Contains(s, ours[0])
			if !slices.Contains(s, ours[2]) && (strict || !allowsOwnOrigin(s) && !byPath) {
				t.Fatalf("%q does not allow our script", amended)
			}
			if byPath && !allowsInline(s) && !slices.Contains(parseCSP(policy)[before.governing("script-src-elem", "script-src", "default-src")].sources, ours[0]) {
				t.Fatalf("%q allows a path where the hash would do", amended)
			}
		}
		if n := after.governing("connect-src", "default-src"); n >= 0 {
			if s := after[n].sources; !allowsOwnOrigin(s) && !slices.Contains(s, ours[3]) {
				t.Fatalf("%q does not allow our call", amended)
			}
		}
		if nonce != "" && !strings.Contains(policy, nonce) {
			t.Fatalf("the nonce %q is not in %q", nonce, policy)
		}
	})
}
