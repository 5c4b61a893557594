package placement_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddycaptcha/caddycaptcha"
	_ "github.com/caddycaptcha/caddycaptcha/simulator"
)

// verifier is one whose provider nobody asks.
const verifier = `verifier geetest_v4 {
	captcha_id 647f5ed2ed8acb4be36784e01556bb71
	captcha_key b09a7aafbfd83f73b35a9b530d0337bf
	endpoint http://127.0.0.1:9
}
`

// world is a directory for logs, and two applications.
type world struct {
	t        *testing.T
	log      string
	app, api *httptest.Server
	http     *caddyhttp.App // that serves
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, log: filepath.Join(t.TempDir(), "caddy.log")}
	w.app, w.api = application(t, "app"), application(t, "api")
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	return w
}

// application is one that says its name and what it was asked for.
func application(t *testing.T, name string) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s: %s %s", name, r.Method, r.RequestURI)
	}))
	t.Cleanup(server.Close)
	return server
}

// fill puts what stands for it into a Caddyfile: CAPTCHA for the options of a
// captcha, APP and API for the applications' addresses.
func (w *world) fill(text string) string {
	return strings.NewReplacer(
		"CAPTCHA", verifier+"clearance 30m",
		"PROOFS", verifier,
		"APP", w.app.Listener.Addr().String(),
		"API", w.api.Listener.Addr().String(),
	).Replace(text)
}

// site is a Caddyfile with one site on a free port, and global options.
func (w *world) site(options, site string) string {
	return w.file(options, "http://:0 {\nbind 127.0.0.1\n"+site+"\n}\n")
}

// file is a Caddyfile with sites and global options.
func (w *world) file(options, sites string) string {
	return w.fill("{\nadmin off\npersist_config off\nauto_https off\nskip_install_trust\nlog {\noutput file " + w.log + "\n}\n" + options + "\n}\n" + sites)
}

// load loads the Caddyfile as a reload does.
func (w *world) load(caddyfile string) error {
	w.t.Helper()
	config := w.adapt(caddyfile)
	if err := os.WriteFile(w.log, nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	w.serving(caddy.ActiveContext())
	return nil
}

func (w *world) adapt(caddyfile string) []byte {
	w.t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		w.t.Fatalf("adapting: %v\n%s", err, caddyfile)
	}
	return config
}

// serving notes which sites are asked.
func (w *world) serving(ctx caddy.Context) {
	w.t.Helper()
	app, err := ctx.App("http")
	if err != nil {
		w.t.Fatal(err)
	}
	w.http = app.(*caddyhttp.App)
}

// serveUnchecked serves the sites of a Caddyfile that would be refused, as if
// the captcha app did not look at it.
func (w *world) serveUnchecked(caddyfile string) {
	w.t.Helper()
	var config caddy.Config
	if err := json.Unmarshal(w.adapt(caddyfile), &config); err != nil {
		w.t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.serving(ctx)
	if err := w.http.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := w.http.Stop(); err != nil {
			w.t.Errorf("stopping the sites: %v", err)
		}
	})
}

// warnings returns the warnings about placement since the last load.
func (w *world) warnings() (messages []string) {
	w.t.Helper()
	text, err := os.ReadFile(w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	for entry := range strings.Lines(string(text)) {
		var members struct{ Level, Logger, Msg string }
		if err := json.Unmarshal([]byte(entry), &members); err != nil {
			w.t.Fatalf("%v in %s", err, entry)
		}
		if members.Level == "warn" && members.Logger == "captcha" {
			messages = append(messages, members.Msg)
		}
	}
	return messages
}

// address is where the one server listens.
func (w *world) address() string {
	w.t.Helper()
	for _, server := range w.http.Servers {
		for _, listener := range server.Listeners() {
			return listener.Addr().String()
		}
	}
	w.t.Fatal("no server listens")
	return ""
}

// response is an answer read to its end.
type response struct {
	status  int
	outcome string // of the captcha
	media   string
	body    string
}

// ask sends a request with the target as it is, over a connection of its own.
func (w *world) ask(method, target string, header ...string) response {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	host := "127.0.0.1"
	var more strings.Builder
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			host = header[i+1]
			continue
		}
		fmt.Fprintf(&more, "%s: %s\r\n", header[i], header[i+1])
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n", method, target, host, more.String())
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, target, err)
	}
	return response{answer.StatusCode, answer.Header.Get("Captcha-Outcome"), answer.Header.Get("Content-Type"), string(body)}
}

// refused reports whether the captcha refuses the request.
func (w *world) refused(method, target string, header ...string) bool {
	w.t.Helper()
	r := w.ask(method, target, header...)
	return r.status == http.StatusForbidden && r.outcome == "missing"
}
