package readings_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddycaptcha/caddycaptcha"
)

// Header lines of ours: which site a request is for, and in front of which
// server that site is.
const (
	siteHeader   = "Readings-Site"
	serverHeader = "Readings-Server"
)

// gates is a Caddy with a site for each kind of matcher, and another one for
// each kind without the captcha.
type gates struct{ *caddyhttp.Server }

// guarded and bare are the names of the sites of a kind.
func (k kind) guarded() string { return "guarded " + k.name }
func (k kind) bare() string    { return "bare " + k.name }

// newGates runs a Caddy until the test ends.
func newGates(t *testing.T) gates {
	t.Helper()
	var sites []string
	for _, k := range kinds {
		sites = append(sites,
			site(t, k.guarded(), k.before+"\n@protected {\n"+k.matcher+"\n}\ncaptcha @protected {\n"+
				"verifier geetest_v4 {\ncaptcha_id id\ncaptcha_key key\nendpoint http://127.0.0.1:1\n}\n}\n"),
			site(t, k.bare(), k.before+"\n"))
	}
	config := `{"admin": {"disabled": true, "config": {"persist": false}},
		"logging": {"logs": {"default": {"level": "FATAL"}}},
		"apps": {"http": {"servers": {"gates": {"listen": ["127.0.0.1:0"], "routes": [` + strings.Join(sites, ",") + `]}}}}}`
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	return gates{app.(*caddyhttp.App).Servers["gates"]}
}

// site returns the route to a site with directives and a proxy behind them.
func site(t *testing.T, name, directives string) string {
	t.Helper()
	caddyfile := "http://:0 {\n" + directives + "arrival\n" +
		"reverse_proxy {http.request.header." + serverHeader + "} {\nheader_up -" + serverHeader + "\nheader_up -" + siteHeader + "\n}\n}\n"
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": name})
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, caddyfile)
	}
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes json.RawMessage `json:"routes"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"match": [{"header": {%q: [%q]}}], "handle": [{"handler": "subroute", "routes": %s}], "terminal": true}`,
		siteHeader, name, config.Apps.HTTP.Servers["srv0"].Routes)
}

// address returns where the gates listen.
func (g gates) address() string { return g.Listeners()[0].Addr().String() }

// evaluate takes a request through a site in process. It returns the request as
// it arrives behind the captcha, to be proxied, and nothing if it does not get
// there.
func (g gates) evaluate(site string, r request) (arrived *request) {
	parsed, ok := r.parse(siteHeader + ": " + site)
	if !ok {
		return nil
	}
	arrived = new(request)
	ctx := context.WithValue(parsed.Context(), arrivalKey{}, arrived)
	g.ServeHTTP(httptest.NewRecorder(), parsed.WithContext(ctx))
	if arrived.method == "" {
		return nil
	}
	arrived.lines = r.lines
	return arrived
}

// arrivalKey is the context key of the request that an arrival fills in.
type arrivalKey struct{}

// arrival is the handler before reverse_proxy. It notes what reverse_proxy
// would send, and proxies nothing, where somebody asks for that.
type arrival struct{}

func init() {
	caddy.RegisterModule(arrival{})
	httpcaddyfile.RegisterHandlerDirective("arrival", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return arrival{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("arrival", httpcaddyfile.Before, "reverse_proxy")
}

func (arrival) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.arrival", New: func() caddy.Module { return new(arrival) }}
}

func (arrival) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	arrived, ok := r.Context().Value(arrivalKey{}).(*request)
	if !ok {
		return next.ServeHTTP(w, r)
	}
	// What net/http's client makes of it: it cuts and encodes hosts, too.
	target := *r.URL
	target.Scheme, target.Host = "http", "upstream"
	var sent bytes.Buffer
	if err := (&http.Request{Method: r.Method, URL: &target, Host: r.Host}).Write(&sent); err != nil {
		return nil // nothing is sent
	}
	head, _, _ := strings.Cut(sent.String(), "\r\nUser-Agent: ")
	if arrives, ok := parseRequest(head + "\r\n\r\n"); ok {
		*arrived = arrives
	}
	return nil
}

// throughGate sends a request to a site in front of a server.
func throughGate(c *client, site string, s *server, r request) (reply, error) {
	answer, err := c.ask(r.method, r.bytes(siteHeader+": "+site, serverHeader+": "+s.address))
	if err != nil {
		return reply{}, fmt.Errorf("%q through the gate: %w", r, err)
	}
	return answer, nil
}
