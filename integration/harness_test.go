package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddycaptcha/caddycaptcha"
)

// globals are the global options of every Caddy that a test runs.
const globals = `
	admin off
	persist_config off
	auto_https off
	skip_install_trust
`

// adapt turns a Caddyfile into JSON.
func adapt(caddyfile string) (string, error) {
	result, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return "", err
	}
	for _, warning := range warnings {
		if !strings.Contains(warning.Message, "not formatted") {
			return "", &json.InvalidUnmarshalError{}
		}
	}
	return string(result), nil
}

// run loads a Caddyfile into this process's Caddy until the test ends.
func run(t *testing.T, caddyfile string) {
	t.Helper()
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	load(t, caddyfile)
}

// load puts a Caddyfile in place of the running config, as a reload does.
func load(t *testing.T, caddyfile string) {
	t.Helper()
	config, err := adapt(caddyfile)
	if err != nil {
		t.Fatalf("adapting: %v", err)
	}
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatalf("loading: %v", err)
	}
}

// address returns the address on which a server of the running config listens.
func address(t *testing.T, server string) string {
	t.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	listeners := app.(*caddyhttp.App).Servers[server].Listeners()
	if len(listeners) == 0 {
		t.Fatalf("server %s does not listen", server)
	}
	return listeners[0].Addr().String()
}

// answer is a response read to its end.
type answer struct {
	*http.Response
	body string
}

// problem returns the answer's problem details.
func (a answer) problem(t *testing.T) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(a.body), &members); err != nil {
		t.Fatalf("the body is not problem details: %v\n%s", err, a.body)
	}
	return members
}

// send sends a request and reads the whole answer.
func send(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", request.Method, request.URL, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return answer{response, string(body)}
}

func newRequest(t *testing.T, method, url, body string, header ...string) *http.Request {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	return request
}
