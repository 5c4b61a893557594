// Package limits_test plays attacks on the limits against a whole Caddy with a
// look-alike provider, and counts what genuine clients get meanwhile.
package limits_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddycaptcha/caddycaptcha"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

const (
	captchaID, captchaKey = "c9c4facd1a6feeb80802222cbb74ca8e", "e4e298788aa8c768397639deb9b249a9"
	provider              = "geetest_v3" // whose challenges cost a call, too
)

// world is a site, its provider and its clients.
type world struct {
	*simulator.Simulator
	t      *testing.T
	site   string
	client http.Client
}

// newWorld runs a site with the options in its captcha directive. Clients say
// who they are by X-Forwarded-For, as they would through a proxy.
func newWorld(t *testing.T, options string) *world {
	t.Helper()
	sim, err := simulator.New(simulator.Config{GeeTestV3: []simulator.GeeTestV3{{CaptchaID: captchaID, CaptchaKey: captchaKey}}})
	if err != nil {
		t.Fatal(err)
	}
	vendor := httptest.NewServer(sim)
	t.Cleanup(vendor.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	w := &world{Simulator: sim, t: t, client: http.Client{Transport: transport}}

	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(fmt.Appendf(nil, `{
	admin off
	persist_config off
	auto_https off
	log {
		output file %s
	}
	servers {
		trusted_proxies static 127.0.0.0/8
		trusted_proxies_strict
	}
}
http://:0 {
	bind 127.0.0.1
	captcha /login {
		verifier %s {
			captcha_id  %s
			captcha_key %s
			endpoint    %s
			timeout     5m
		}
		clearance 30m
		%s
	}
	respond OK
}
`, filepath.Join(t.TempDir(), "caddy.log"), provider, captchaID, captchaKey, vendor.URL, options), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	w.site = "http://" + app.(*caddyhttp.App).Servers["srv0"].Listeners()[0].Addr().String()
	return w
}

// way is how a client makes the site call the provider.
type way struct {
	name         string
	method, path string
	endpoint     string // of the provider
	status       int    // of what is granted
}

// ways are all there are.
var ways = []way{
	{"request", http.MethodPost, "/login", simulator.V3ValidatePath, http.StatusOK},
	{"verify", http.MethodPost, "/.captcha/default/verify", simulator.V3ValidatePath, http.StatusNoContent},
	{"challenge", http.MethodGet, "/.captcha/default/challenge", simulator.V3RegisterPath, http.StatusOK},
}

// page is what a person sees before the challenge. It calls nobody.
var page = way{"page", http.MethodGet, "/.captcha/default/page", "", http.StatusOK}

// proof returns one that is genuine, or one that the provider rejects.
func (w *world) proof(genuine bool) url.Values {
	proof, err := w.Solve(provider, simulator.SolveOptions{Forge: !genuine})
	if err != nil {
		w.t.Error(err)
	}
	return proof
}

// come lets the client at the address go a way. The outcome of what is granted
// is empty.
func (w *world) come(by way, address string, genuine bool) (outcome string) {
	var body io.Reader
	if by.method == http.MethodPost {
		body = strings.NewReader(w.proof(genuine).Encode())
	}
	request, err := http.NewRequestWithContext(context.WithoutCancel(w.t.Context()), by.method, w.site+by.path, body)
	if err != nil {
		w.t.Error(err)
		return "error"
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("X-Forwarded-For", address)
	response, err := w.client.Do(request)
	if err != nil {
		w.t.Error(err)
		return "error"
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		w.t.Error(err)
	}
	outcome = response.Header.Get("Captcha-Outcome")
	switch {
	case response.StatusCode == by.status:
		return ""
	case outcome == "":
		w.t.Errorf("%s of %s: status %d without an outcome", by.name, address, response.StatusCode)
		return "error"
	}
	return outcome
}

// endedOrCalled waits until a client that came is answered, or until the
// endpoint of the provider was called n times.
func (w *world) endedOrCalled(ended <-chan string, endpoint string, n int) (outcome string, called bool) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	calls := make(chan error, 1)
	go func() { calls <- w.AwaitCalls(ctx, endpoint, n) }()
	select {
	case outcome := <-ended:
		return outcome, false
	case err := <-calls:
		return "", err == nil
	}
}

// hundred lets a hundred genuine clients come, one after the other. The format
// makes their addresses of a number from 1 to 100.
func (w *world) hundred(by way, when, format string) {
	w.t.Helper()
	granted, outcomes := 0, make(map[string]int)
	for i := range 100 {
		address, outcome := fmt.Sprintf(format, i+1), ""
		if by.method == http.MethodGet {
			outcome = w.come(page, address, true)
		}
		if outcome == "" {
			outcome = w.come(by, address, true)
		}
		if outcome == "" {
			granted++
		}
		outcomes[outcome]++
	}
	if granted != 100 {
		w.t.Errorf("%s, %s: %d of 100 genuine clients %s were served: %v", by.name, when, granted, format, outcomes)
	}
}
