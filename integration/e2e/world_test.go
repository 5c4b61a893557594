package e2e

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// world is a site with a gate, the application behind it and the simulated
// providers.
type world struct {
	t       *testing.T
	storage string
	config  string // the Caddyfile in use

	url       string // of the site
	app       *application
	simulator *simulator.Simulator
	provider  string // the simulator's URL
	scripts   string // and as the pages know it
}

// setup is what a test wants of the site. Zero members stand for what is there
// by default.
type setup struct {
	provider  string // geetest_v4
	script    string // the provider's usual one
	tencent   string // the Tencent site: cn
	clearance string // 30m
	site      string // what replaces the site's directives but reverse_proxy
	address   string // http://:<port>
	global    string // more global options
}

// The captchas that the simulator knows.
const (
	captchaV4, keyV4  = "647f5ed2ed8acb4be36784e01556bb71", "b09a7aafbfd83f73b35a9b530d0337bf"
	captchaV3, keyV3  = "c9c4facd1a6feeb80802222cbb74ca8e", "e4e298788aa8c768397639deb9b249a9"
	otherV4, otherKey = "54088bb07d2df3c46b79f80300b0abbe", "c9c4facd1a6feeb80802222cbb74ca8e"
	appID             = "199999164"
)

// directives are those of a site of which /members is protected altogether, as
// are submits to /login, whose form gets the captcha injected. /plain has a
// form that does not.
const directives = `
	captcha /members* {
		import policy
	}
	@submit {
		path /login*
		not method GET HEAD OPTIONS
	}
	captcha @submit {
		import policy
	}
	captcha_inject /login*
`

// newWorld runs the site, for the time of the test.
func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	sim, err := simulator.New(simulator.Config{
		GeeTestV4: []simulator.GeeTestV4{{CaptchaID: captchaV4, CaptchaKey: keyV4}, {CaptchaID: otherV4, CaptchaKey: otherKey}},
		GeeTestV3: []simulator.GeeTestV3{{CaptchaID: captchaV3, CaptchaKey: keyV3}},
		Tencent:   []simulator.Tencent{{CaptchaAppID: appID, AppSecretKey: "E4kwK9AcXQMHkktiItyMEyQPn", SecretID: "AKIDEXAMPLE", SecretKey: "SKEXAMPLE"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	providers := httptest.NewServer(sim)
	t.Cleanup(providers.Close)
	w := &world{t: t, storage: t.TempDir(), app: newApplication(t), simulator: sim, provider: providers.URL, scripts: providers.URL}
	if strings.HasPrefix(s.address, "https:") { // as a real provider's scripts are
		secure := httptest.NewTLSServer(sim)
		t.Cleanup(secure.Close)
		w.scripts = secure.URL
	}
	port := freePorts(t, 1)[0]
	w.url = "http://127.0.0.1:" + port
	address := "http://:" + port
	if s.address != "" {
		w.url = s.address + ":" + port
		address = w.url
	}
	if s.site == "" {
		s.site = directives
	}
	t.Cleanup(func() {
		providers.CloseClientConnections() // a fault may hold them
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	w.load(`{
	admin off
	persist_config off
	default_bind 127.0.0.1
	auto_https disable_redirects
	skip_install_trust
	storage file_system ` + w.storage + `
	log default {
		level ERROR
	}
	` + s.global + `
}

(policy) {
	` + w.verifier(s) + `
	clearance ` + or(s.clearance, "30m") + `
}

` + address + ` {
	` + s.site + `
	reverse_proxy ` + strings.TrimPrefix(w.app.URL, "http://") + `
}
`)
	for strings.HasPrefix(w.url, "https:") { // the certificate is made meanwhile
		name := strings.TrimPrefix(s.address, "https://")
		connection, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // nobody knows its authority
		if err == nil {
			connection.Close()
			break
		}
	}
	return w
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// verifier is the option of that name for the provider.
func (w *world) verifier(s setup) string {
	provider := or(s.provider, "geetest_v4")
	if provider == "altcha" {
		return "verifier altcha {\ndifficulty 20\n}"
	}
	usual := map[string]string{"geetest_v4": simulator.V4ScriptPath, "geetest_v3": simulator.V3ScriptPath, "tencent": simulator.TencentScript2Path}
	credentials := map[string]string{
		"geetest_v4": "captcha_id " + captchaV4 + "\ncaptcha_key " + keyV4,
		"geetest_v3": "captcha_id " + captchaV3 + "\ncaptcha_key " + keyV3,
		"tencent": "site " + or(s.tencent, "cn") + "\ncaptcha_app_id " + appID +
			"\napp_secret_key E4kwK9AcXQMHkktiItyMEyQPn\nsecret_id AKIDEXAMPLE\nsecret_key SKEXAMPLE",
	}
	return "verifier " + provider + " {\n" + credentials[provider] +
		"\nendpoint " + w.provider + "\nscript " + w.scripts + or(s.script, usual[provider]) + "\n}"
}

// load makes a Caddyfile the one in use.
func (w *world) load(config string) {
	w.t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		w.t.Fatal(err)
	}
	w.config = config
}

// reload changes the Caddyfile in use: old and new text in turn.
func (w *world) reload(changes ...string) {
	w.t.Helper()
	w.load(strings.NewReplacer(changes...).Replace(w.config))
}

// named is the site's URL under another host name.
func (w *world) named(host string) string {
	return strings.Replace(w.url, "127.0.0.1", host, 1)
}

// application answers under every path, and knows nothing of captchas. A test
// may give it pages of its own.
type application struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	sent  []sending
}

// sending is a request with a body that reached the application.
type sending struct {
	path, contentType, cookies string
	body                       []byte
}

// loginPage has a plain form. It says whether it came back out of the
// back-forward cache.
const loginPage = `<!DOCTYPE html><html lang="en"><head><title>Login</title></head><body><h1>Login</h1>
<form method="post" action="/login"><input name="user"><input name="password" type="password" value="s&amp;cret=ü"><button id="send" name="do" value="login">Log in</button></form>
<script>addEventListener("pageshow", (event) => { window.persisted = event.persisted })</script></body></html>`

func newApplication(t *testing.T) *application {
	a := &application{pages: make(map[string]http.HandlerFunc)}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	page := a.pages[r.URL.Path]
	a.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Method != http.MethodGet {
		a.mu.Lock()
		a.sent = append(a.sent, sending{r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Cookie"), body})
		a.mu.Unlock()
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	switch {
	case page != nil:
		r.Body = io.NopCloser(bytes.NewReader(body))
		page(w, r)
	case r.Method != http.MethodGet:
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Welcome</title><h1>Welcome</h1>")
	case strings.HasPrefix(r.URL.Path, "/members"):
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Members</title><h1>Members</h1>")
	default:
		_, _ = io.WriteString(w, loginPage)
	}
}

// page gives the application a page.
func (a *application) page(path string, serve http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pages[path] = serve
}

// html gives the application a page that is always the same.
func (a *application) html(path, html string) {
	a.page(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, html) })
}

// got returns what was sent to the application so far.
func (a *application) got() []sending {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]sending(nil), a.sent...)
}

// proxy is a proxy in front of the gate that a test can make do what happens
// to people: it counts their requests, changes their address, loses cookies.
type proxy struct {
	url string
	mu  sync.Mutex
	// All may be changed with set.
	address func(path string) string // told to the gate as the client's
	cookies bool                     // whether they reach the browser
	seen    map[string]int           // requests by path
}

func newProxy(t *testing.T, w *world) *proxy {
	p := &proxy{cookies: true, seen: make(map[string]int), address: func(string) string { return "192.0.2.1" }}
	target, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.seen[r.In.URL.Path]++
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.Out.Header.Set("X-Forwarded-For", p.address(r.In.URL.Path))
		},
		ModifyResponse: func(r *http.Response) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if !p.cookies {
				r.Header.Del("Set-Cookie")
			}
			return nil
		},
	})
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *proxy) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[path]
}

// trusting are the global options that make Caddy believe the proxy.
const trusting = `servers {
		trusted_proxies static 127.0.0.1/8
		trusted_proxies_strict
	}`
