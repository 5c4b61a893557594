// Package caching tests that no cache keeps an answer of ours, or hands one
// browser's answer to another, whatever the site's header directives say.
package caching

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// storable reports whether a cache may store the answer (RFC 9111, section 3,
// and the fields that single shared caches follow instead).
func storable(header http.Header, shared bool) bool {
	for name := range header {
		lower := strings.ToLower(name)
		if shared && (strings.HasSuffix(lower, "cdn-cache-control") || lower == "surrogate-control") {
			return true
		}
	}
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(header["Cache-Control"], ",")), ",") {
		switch strings.TrimSpace(directive) {
		case "no-store":
			return false
		case "private":
			if shared {
				return false
			}
		}
	}
	return true
}

// directives returns header directives as sites have them: at once and
// deferred, for one field and for many, by name and by pattern.
func directives(r *rand.Rand) string {
	fields := []string{"Cache-Control", "CDN-Cache-Control", "Surrogate-Control", "Set-Cookie", "Content-Security-Policy", "Expires", "Captcha-Outcome", "Content-Type", "X-Frame-Options", "Cross-Origin-Embedder-Policy"}
	operation := func() string {
		field := fields[r.IntN(len(fields))]
		switch r.IntN(6) {
		case 0:
			return "-" + field
		case 1:
			return "+" + field + ` "public, max-age=3600"`
		case 2:
			return ">" + field + ` "public, max-age=3600"`
		case 3:
			return "?" + field + ` "public, s-maxage=60"`
		case 4:
			return field + " no-store public"
		}
		return field + ` "public, max-age=3600"`
	}
	var b strings.Builder
	b.WriteString("header >Strict-Transport-Security max-age=1\n")
	for range 1 + r.IntN(4) {
		switch r.IntN(4) {
		case 0:
			b.WriteString("header " + operation() + "\n")
		case 1:
			b.WriteString("header /* " + operation() + "\n")
		case 2:
			fmt.Fprintf(&b, "header {\n%s\n%s\n-Server\n}\n", operation(), operation())
		case 3:
			fmt.Fprintf(&b, "header {\n%s\ndefer\n}\n", operation())
		}
	}
	return b.String()
}

// TestNoCacheKeepsAnAnswerOfOurs puts random header directives around the
// captcha and looks at every kind of answer that it gives.
func TestNoCacheKeepsAnAnswerOfOurs(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 25 {
		site := directives(r)
		g := harness.NewGate(t)
		config := site + g.Captcha(harness.GeeTestV4, "clearance 30m") + g.Proxy()
		if r.IntN(2) == 0 {
			config = "route {\n" + config + "}\n"
		}
		if _, err := harness.Adapt(g.Caddyfile(config)); err != nil {
			continue // such as two values for one field
		}
		g.Run(config)
		for name, send := range map[string]func() harness.Answer{
			"problem": func() harness.Answer { return harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/login", "")) },
			"page": func() harness.Answer {
				return harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/login", "", harness.Navigate("en")...))
			},
			"challenge": func() harness.Answer {
				return harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/.captcha/default/challenge", ""))
			},
			"widget": func() harness.Answer {
				return harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/.captcha/default/page", ""))
			},
			"not found": func() harness.Answer {
				return harness.Send(t, harness.NewRequest(t, "GET", g.URL+"/.captcha/default/x", ""))
			},
			"verify": func() harness.Answer {
				return harness.Send(t, harness.NewRequest(t, "POST", g.URL+"/.captcha/default/verify", g.Proof(harness.GeeTestV4).Encode(), "Content-Type", harness.FormType))
			},
			"replayed": func() harness.Answer {
				proof := g.Proof(harness.GeeTestV4)
				g.GetWith(proof)
				return g.GetWith(proof)
			},
		} {
			a := send()
			if storable(a.Header, false) || storable(a.Header, true) {
				t.Errorf("a cache may store the %s (%s): %v\n%s", name, a.Status, a.Header, config)
			}
			if got := a.Header.Get("Strict-Transport-Security"); got != "max-age=1" {
				t.Errorf("the %s lost a field of the site: %v\n%s", name, a.Header, config)
			}
			switch name {
			case "page", "widget":
				if !strings.Contains(a.Header.Get("Content-Security-Policy"), "frame-ancestors 'self'") || len(a.Header["Content-Security-Policy"]) != 1 ||
					a.Header.Get("X-Frame-Options")+a.Header.Get("Cross-Origin-Embedder-Policy") != "" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
					t.Errorf("the site breaks the %s: %v\n%s", name, a.Header, config)
				}
			case "verify":
				if a.StatusCode != 204 || !strings.HasPrefix(strings.Join(a.Header["Set-Cookie"], "\n"), "captcha-default=") && !strings.Contains(strings.Join(a.Header["Set-Cookie"], "\n"), "\ncaptcha-default=") {
					t.Errorf("no clearance for a proof: %s %v\n%s", a.Status, a.Header, config)
				}
			case "problem", "replayed":
				if len(a.Header["Captcha-Outcome"]) != 1 || a.Header.Get("Captcha-Outcome") == "no-store" {
					t.Errorf("the %s says of itself %v\n%s", name, a.Header, config)
				}
			}
		}
	}
}

// TestGatedAnswersArePrivate: what a proof or clearance brings is not for those
// who have none.
func TestGatedAnswersArePrivate(t *testing.T) {
	for _, c := range []struct {
		option, site, says string
		path               string
		shared             bool
	}{
		{"", "", "public, s-maxage=60", "/login", false},
		{"", "", "", "/login", false},
		{"", "header >Cache-Control \"public, max-age=3600\"\n", "", "/login", false},
		{"", "header {\n>Cache-Control \"public, max-age=3600\"\n>CDN-Cache-Control max-age=60\n}\n", "max-age=1", "/login", false},
		{"answers keep", "", "public, s-maxage=60", "/login", true},
		{"answers keep", "", "", "/login", true},
		{"mode monitor", "", "public", "/login", false},
		{"", "", "public, s-maxage=60", "/other", true},
	} {
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.says != "" {
				w.Header().Set("Cache-Control", c.says)
				w.Header().Set("Surrogate-Control", "max-age=60")
			}
			fmt.Fprint(w, "secret")
		}))
		t.Cleanup(app.Close)
		g := harness.NewGate(t)
		g.Run(c.site + g.Captcha(harness.GeeTestV4, c.option) + "reverse_proxy " + app.Listener.Addr().String() + "\n")
		request := harness.NewRequest(t, "GET", g.URL+c.path, "")
		harness.SetHeaders(request.Header, g.Proof(harness.GeeTestV4))
		a := harness.Send(t, request)
		if a.StatusCode != 200 || a.Text != "secret" {
			t.Fatalf("%+v: %s %s", c, a.Status, a.Text)
		}
		if got := storable(a.Header, true); got != c.shared {
			t.Errorf("%+v: a shared cache may store %v: %t", c, a.Header, got)
		}
	}
}
