//go:build apps

// Package apps puts real applications, unmodified, behind the gate, and has a
// person use them. See xcaddy.sh apps.
package apps

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddycaptcha/caddycaptcha"
	"github.com/caddycaptcha/caddycaptcha/apps/app"
	"github.com/caddycaptcha/caddycaptcha/apps/cockpit"
	"github.com/caddycaptcha/caddycaptcha/apps/dokuwiki"
	"github.com/caddycaptcha/caddycaptcha/apps/jupyter"
	"github.com/caddycaptcha/caddycaptcha/apps/lab"
	"github.com/caddycaptcha/caddycaptcha/apps/mediawiki"
	"github.com/caddycaptcha/caddycaptcha/apps/miniflux"
	"github.com/caddycaptcha/caddycaptcha/apps/nodered"
	"github.com/caddycaptcha/caddycaptcha/apps/phpmyadmin"
	"github.com/caddycaptcha/caddycaptcha/apps/pocketbase"
	"github.com/caddycaptcha/caddycaptcha/apps/roundcube"
	"github.com/caddycaptcha/caddycaptcha/apps/verdaccio"
	"github.com/caddycaptcha/caddycaptcha/apps/wordpress"
	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

var apps = append([]*app.App{
	&cockpit.App, &dokuwiki.App, &jupyter.App, &mediawiki.App, &miniflux.App, &nodered.App, &phpmyadmin.App, &pocketbase.App, &roundcube.App,
	&verdaccio.App, &wordpress.App,
}, lab.Apps()...)

// The ways to put the captcha in front of a login.
const (
	page   = "page"       // on a page before the application's
	login  = "login"      // in the pages of the login, as the example has it
	always = "everywhere" // in all pages

	bare = "bare" // no captcha at all, to compare with
)

// Caddy keeps goroutines for as long as the process lives.
func TestMain(m *testing.M) { os.Exit(browsertest.Run(m)) }

// TestApps: a person logs in to each application, with the wrong password and
// the right one, and does what it is for; the application gets the same
// requests as without the gate, and the person the same pages.
//
// APPS_WAYS names the ways to take, all by default; with "turn" each
// application is taken one of them, which APPS_TURN, a number, chooses. With
// APPS_DOCUMENT=true what came of it is written to docs/apps.md.
func TestApps(t *testing.T) {
	var tried []try
	for n, a := range apps {
		t.Run(a.Name, func(t *testing.T) {
			testenv.NeedDebian(t, a.Debian...)
			version := a.Version(t)
			t.Logf("%s %s", a.Title, version)
			var without visit
			if !t.Run(bare, func(t *testing.T) { without = newWorld(t, a).visit(t, bare) }) {
				return
			}
			for _, way := range ways(t, n) {
				passed := t.Run(way, func(t *testing.T) {
					with := newWorld(t, a).visit(t, way)
					if with.solved == 0 {
						t.Error("no captcha came")
					}
					with.compare(t, without)
				})
				tried = append(tried, try{a, version, way, passed})
			}
		})
	}
	document(t, tried)
}

func ways(t *testing.T, n int) []string {
	all := []string{page, login, always}
	switch named := os.Getenv("APPS_WAYS"); named {
	case "":
		return all
	case "turn":
		turn := 0
		if number := os.Getenv("APPS_TURN"); number != "" {
			if _, err := fmt.Sscan(number, &turn); err != nil {
				t.Fatal(err)
			}
		}
		return all[(n+turn)%len(all):][:1]
	default:
		return strings.Fields(named)
	}
}

// world is an application that nobody has used yet, what stands in front of it,
// and who records what reaches it.
type world struct {
	app      *app.App
	site     string
	port     string
	upstream string // the recorder's address
	provider string // the simulator's URL

	mu       sync.Mutex
	requests []string
}

// token is what an application makes up anew for each page.
var token = regexp.MustCompile(`[0-9a-fA-F]{10,}|[\w%-]{24,}`)

const captchaID, captchaKey = "647f5ed2ed8acb4be36784e01556bb71", "b09a7aafbfd83f73b35a9b530d0337bf"

func newWorld(t *testing.T, a *app.App) *world {
	w := &world{app: a, port: app.FreePort(t)}
	w.site = "http://127.0.0.1:" + w.port
	t.Setenv("GEETEST_CAPTCHA_ID", captchaID)
	t.Setenv("GEETEST_CAPTCHA_KEY", captchaKey)
	sim, err := simulator.New(simulator.Config{GeeTestV4: []simulator.GeeTestV4{{CaptchaID: captchaID, CaptchaKey: captchaKey}}})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(sim)
	t.Cleanup(provider.Close)
	w.provider = provider.URL

	address := a.Start(t, t.TempDir(), w.site)
	target, err := url.Parse("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.Out.Header["X-Forwarded-Proto"] = r.In.Header["X-Forwarded-Proto"]
			r.Out.Header["X-Forwarded-Host"] = r.In.Header["X-Forwarded-Host"]
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }, // the browser has left
	}
	recorder := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.requests = append(w.requests, r.Method+" "+token.ReplaceAllString(r.RequestURI, "…"))
		w.mu.Unlock()
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(recorder.Close)
	w.upstream = strings.TrimPrefix(recorder.URL, "http://")
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// caddyfile is the application's example for a way.
func (w *world) caddyfile(t *testing.T, way, storage string) string {
	text, err := os.ReadFile(harness.Path(t, "examples", w.app.Caddyfile()))
	if err != nil {
		t.Fatal(err)
	}
	example := string(text)
	replace := func(pattern, replacement string) {
		changed := regexp.MustCompile("(?m)"+pattern).ReplaceAllString(example, replacement)
		if changed == example {
			t.Fatalf("the example has nothing like %s", pattern)
		}
		example = changed
	}
	global := fmt.Sprintf("{\n\tadmin off\n\tstorage file_system %s\n\tlog {\n\t\tlevel ERROR\n\t}\n}\n", storage)
	if way == bare {
		return fmt.Sprintf("%s%s {\n\tencode\n\treverse_proxy %s\n}\n", global, w.site, w.upstream)
	}
	replace(`^example\.com \{`, w.site+" {")
	replace(`localhost:8081`, w.upstream)
	replace(`captcha_key .*`, "captcha_key {env.GEETEST_CAPTCHA_KEY}\n endpoint "+w.provider+"\n script "+w.provider+simulator.V4ScriptPath)
	switch way {
	case page:
		replace(`^\tcaptcha_inject.*\n`, "")
		if w.app.Page != "" {
			replace(`^\tcaptcha @login \{`, "\t@page path "+w.app.Page+"\n\tcaptcha @page {")
		}
	case always:
		replace(`^\tcaptcha_inject.*\n`, "\tcaptcha_inject *\n")
	}
	return global + example
}

// visit is what came of a person's visit.
type visit struct {
	requests []string
	pages    []string // after each journey: URL and title
	problems []string
	solved   int
}

func (w *world) visit(t *testing.T, way string) visit {
	harness.Load(t, w.caddyfile(t, way, t.TempDir()))
	p := &app.Person{T: t, Ctx: browsertest.New(t), Site: w.site}
	var v visit
	plain := strings.NewReplacer(w.site, "", strings.TrimPrefix(w.site, "http://"), "SITE")
	look := func(name string) {
		v.pages = append(v.pages, name+": "+token.ReplaceAllString(plain.Replace(p.Where()), "…"))
	}
	w.app.Login(p, app.Wrong)
	p.Until(w.app.Refusal)
	look("refusal")
	w.app.Login(p, app.Password)
	p.Until(w.app.Welcome)
	look("welcome")
	for _, journey := range w.app.Journeys {
		journey.Do(p)
		look(journey.Name)
	}
	v.solved = p.Solved
	for _, problem := range browsertest.Problems(p.Ctx) {
		if !slices.ContainsFunc(w.app.Complaints, func(part string) bool { return strings.Contains(problem, part) }) {
			v.problems = append(v.problems, plain.Replace(problem))
		}
	}
	aside := regexp.MustCompile(cmp.Or(w.app.Aside, "^$") + "|GET /favicon.ico$") // which a browser asks for our page as well
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]bool{}
	for _, request := range w.requests {
		request = plain.Replace(request)
		// What a browser gets depends on what it still has; what it sends does not.
		if aside.MatchString(request) || strings.HasPrefix(request, "GET ") && seen[request] {
			continue
		}
		seen[request] = true
		v.requests = append(v.requests, request)
	}
	slices.Sort(v.requests)
	return v
}

// compare fails the test where a visit was another than without the gate.
func (v visit) compare(t *testing.T, without visit) {
	for what, both := range map[string][2][]string{
		"the requests at the application": {v.requests, without.requests},
		"the pages":                       {v.pages, without.pages},
		"what the browser reports":        {v.problems, without.problems},
	} {
		if !slices.Equal(both[0], both[1]) {
			t.Errorf("%s are others than without the gate:\n%s", what, difference(both[0], both[1]))
		}
	}
}

func difference(with, without []string) string {
	counts := map[string]int{}
	for _, line := range with {
		counts[line]++
	}
	for _, line := range without {
		counts[line]--
	}
	var lines []string
	for line, count := range counts {
		if count != 0 {
			lines = append(lines, fmt.Sprintf("%+d %s", count, line))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
