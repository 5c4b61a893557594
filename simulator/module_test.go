package simulator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite" // handle_path
	_ "github.com/caddyserver/caddy/v2/modules/logging"           // log to a file
)

// adapt returns a Caddyfile as Caddy's JSON.
func adapt(input string) (string, error) {
	body, warnings, err := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}.Adapt([]byte(input), nil)
	for _, warning := range warnings {
		err = errors.Join(err, errors.New(warning.Message))
	}
	return string(body), err
}

func TestCaddyfileIsTheJSONConfig(t *testing.T) {
	got, err := adapt(`http://localhost:9000 {
	bind 127.0.0.1
	respond "not reached"
	captcha_simulator /provider/* {
		geetest_v3 id3 key3
		geetest_v3 id3b {env.KEY3} hmac-sha256
		geetest_v4 id4 key4
		tencent 2000000001 app-secret AKID secret
		tencent 2000000002 app-secret AKID secret force_aid_encrypted
	}
}
`)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"handler":"captcha_simulator",` +
		`"geetest_v3":[{"captcha_id":"id3","captcha_key":"key3"},{"captcha_id":"id3b","captcha_key":"{env.KEY3}","digest":"hmac-sha256"}],` +
		`"geetest_v4":[{"captcha_id":"id4","captcha_key":"key4"}],` +
		`"tencent":[{"captcha_app_id":"2000000001","app_secret_key":"app-secret","secret_id":"AKID","secret_key":"secret"},` +
		`{"captcha_app_id":"2000000002","app_secret_key":"app-secret","secret_id":"AKID","secret_key":"secret","force_aid_encrypted":true}]}`
	routes := got[strings.Index(got, `"routes":`):]
	simulator, respond := strings.Index(routes, "/provider/*"), strings.Index(routes, "static_response")
	if simulator < 0 || respond < simulator {
		t.Errorf("captcha_simulator does not come before respond: %s", routes)
	}
	if !equalHandler(t, routes, want) {
		t.Errorf("got %s\nwant a handler %s", routes, want)
	}
}

// equalHandler reports whether the adapted routes hold the handler, whatever
// the order of its members.
func equalHandler(t *testing.T, routes, want string) bool {
	t.Helper()
	var parsed map[string]any
	if err := json.Unmarshal([]byte(want), &parsed); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	var all any
	if err := json.NewDecoder(strings.NewReader(strings.TrimPrefix(routes, `"routes":`))).Decode(&all); err != nil {
		t.Fatal(err)
	}
	sortedRoutes, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(sortedRoutes), string(sorted))
}

func TestCaddyfileErrorsNameTheOptionAndTheLine(t *testing.T) {
	for name, test := range map[string]struct{ block, want string }{
		"no block":         {``, "needs a block"},
		"empty block":      {"{\n}", "needs a block"},
		"argument":         {"x {\n}", "captcha_simulator"},
		"unknown option":   {"{\ngeetest_v5 a b\n}", `unknown option "geetest_v5"`},
		"v3 too few":       {"{\ngeetest_v3 a\n}", "geetest_v3 takes <captcha_id> <captcha_key> [<digest>], got 1 arguments"},
		"v3 too many":      {"{\ngeetest_v3 a b md5 d\n}", "geetest_v3 takes"},
		"v4 too few":       {"{\ngeetest_v4 a\n}", "geetest_v4 takes <captcha_id> <captcha_key>, got 1 arguments"},
		"v4 too many":      {"{\ngeetest_v4 a b c\n}", "geetest_v4 takes"},
		"tencent too few":  {"{\ntencent 1 b c\n}", "tencent takes <captcha_app_id> <app_secret_key> <secret_id> <secret_key> [force_aid_encrypted], got 3 arguments"},
		"tencent unknown":  {"{\ntencent 1 b c d e\n}", "tencent takes"},
		"tencent too many": {"{\ntencent 1 b c d force_aid_encrypted f\n}", "tencent takes"},
		"twice":            {"{\ngeetest_v4 a b\ngeetest_v4 a c\n}", "geetest_v4 a is configured twice"},
		"nested block":     {"{\ngeetest_v4 a b {\nx\n}\n}", "geetest_v4 takes no block"},
	} {
		_, err := adapt("http://localhost:9000 {\n\tcaptcha_simulator " + test.block + "\n}\n")
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "Caddyfile:") {
			t.Errorf("%s: got error %v, want %q", name, err, test.want)
		}
	}
}

// provision provisions a handler as Caddy does.
func provision(t *testing.T, config string) (*Handler, error) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	h := new(Handler)
	if err := json.Unmarshal([]byte(config), h); err != nil {
		t.Fatal(err)
	}
	return h, h.Provision(ctx)
}

func TestProvisionReplacesPlaceholdersAndKeepsNoKeyWhereItCouldBeShown(t *testing.T) {
	t.Setenv("SIMULATOR_TEST_KEY", testV4.CaptchaKey)
	h, err := provision(t, `{"geetest_v4":[{"captcha_id":"`+testV4.CaptchaID+`","captcha_key":"{env.SIMULATOR_TEST_KEY}"}],
		"geetest_v3":[{"captcha_id":"i","captcha_key":"{env.SIMULATOR_TEST_KEY}","digest":"sha256"}],
		"tencent":[{"captcha_app_id":"1","app_secret_key":"{env.SIMULATOR_TEST_KEY}","secret_id":"{env.SIMULATOR_TEST_KEY}","secret_key":"{env.SIMULATOR_TEST_KEY}"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	proof := solve(t, h.simulator, "geetest_v4", SolveOptions{})
	w := do(wrap(h), http.MethodPost, testV4Target, formType, signed(proof).Encode())
	if !strings.Contains(w.Body.String(), `"result":"success"`) {
		t.Fatalf("got %s", w.Body)
	}
	if shown, err := json.Marshal(h); err != nil || string(shown) != "{}" {
		t.Fatalf("the handler shows %s, error %v", shown, err)
	}
	if got := h.simulator.tencent["1"]; got != (Tencent{"1", testV4.CaptchaKey, testV4.CaptchaKey, testV4.CaptchaKey, false}) {
		t.Fatalf("tencent has not all keys: %v", got)
	}
}

func wrap(h *Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.ServeHTTP(w, r, nil); err != nil {
			panic(err)
		}
	})
}

func TestProvisionRefusesBadConfigsWithoutShowingKeys(t *testing.T) {
	t.Setenv("SIMULATOR_TEST_KEY", "the-key-itself")
	for config, want := range map[string]string{
		`{}`:                                   "no captcha is configured",
		`{"geetest_v3":[{"captcha_key":"k"}]}`: "geetest_v3: captcha_id is required",
		`{"geetest_v4":[{"captcha_id":"i","captcha_key":"{env.SIMULATOR_TEST_UNSET}"}]}`:                                                              "geetest_v4: captcha_key: ",
		`{"geetest_v3":[{"captcha_id":"i","captcha_key":"{env.SIMULATOR_TEST_KEY}","digest":"x"}]}`:                                                   "geetest_v3: digest must be",
		`{"tencent":[{"captcha_app_id":"x","app_secret_key":"{env.SIMULATOR_TEST_KEY}","secret_id":"s","secret_key":"{env.SIMULATOR_TEST_KEY}"}]}`:    "tencent: captcha_app_id must be a number",
		`{"tencent":[{"captcha_app_id":"1","app_secret_key":"{env.SIMULATOR_TEST_KEY}","secret_id":"s","secret_key":"{http.request.header.X-Key}"}]}`: "tencent: secret_key: ",
	} {
		_, err := provision(t, config)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "the-key-itself") {
			t.Errorf("%s: got error %v, want %q", config, err, want)
		}
	}
}

// startCaddy runs Caddy with the site, on a socket of its own, and returns a
// client for it and the name of Caddy's log.
func startCaddy(t *testing.T, site string) (client *http.Client, log string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "caddy.sock")
	log = filepath.Join(t.TempDir(), "caddy.log")
	config, err := adapt("{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\tlog {\n\t\tlevel DEBUG\n\t\toutput file " + log + " {\n\t\t\troll_disabled\n\t\t}\n\t}\n}\n" +
		"http:// {\n\tbind unix/" + socket + "\n\tlog\n" + site + "\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	// Caddy's cleaning of its storage is no part of this, and outlives it.
	config = strings.Replace(config, `"apps":{`, `"apps":{"tls":{"disable_storage_clean":true},`, 1)
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}, log
}

// send posts a form and returns the body of the answer.
func send(t *testing.T, client *http.Client, path, form string) string {
	t.Helper()
	resp, err := client.Post("http://localhost"+path, formType, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestTheModuleWorksInAHandleBlockAndLogsNoKeyOrProof(t *testing.T) {
	client, log := startCaddy(t, `
	handle_path /provider/* {
		captcha_simulator {
			geetest_v4 `+testV4.CaptchaID+` `+testV4.CaptchaKey+`
		}
	}
	handle {
		respond "application"
	}`)
	proof, err := url.ParseQuery(send(t, client, "/provider/solve/geetest_v4", "format=form&age=5m")) // its gen_time then differs from the log's times
	if err != nil {
		t.Fatal(err)
	}
	form := signed(proof)
	if got := send(t, client, "/provider"+testV4Target, form.Encode()); !strings.Contains(got, `"result":"success"`) {
		t.Fatalf("verification: %s", got)
	}
	if got := send(t, client, "/provider"+testV4Target, form.Encode()); !strings.Contains(got, "illegal verify") {
		t.Fatalf("second verification: %s", got)
	}
	if got := send(t, client, "/", ""); got != "application" {
		t.Fatalf("outside of the block: %s", got)
	}
	logged, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(logged), "captcha simulator is on") {
		t.Error("Caddy's log lacks the warning")
	}
	for name := range form {
		if strings.Contains(string(logged), form.Get(name)) {
			t.Errorf("Caddy's log holds the %s", name)
		}
	}
	if strings.Contains(string(logged), testV4.CaptchaKey) {
		t.Error("Caddy's log holds the key")
	}
}

func TestFaultsWorkUnderCaddy(t *testing.T) {
	client, _ := startCaddy(t, `
	captcha_simulator {
		geetest_v3 `+testV3.CaptchaID+` `+testV3.CaptchaKey+`
	}`)
	for _, test := range []struct {
		kind  Kind
		start string // of the body that comes; none comes without
	}{
		{StallInHeaders, ""},
		{StallInBody, `{"status":"succ`},
		{Reset, ""},
		{Endless, `{    `},
	} {
		t.Run(string(test.kind), func(t *testing.T) {
			if got := send(t, client, "/fault", "times=1&kind="+string(test.kind)); got != "" {
				t.Fatal(got)
			}
			conn, err := client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() // Caddy's shutdown waits for the handler to notice
			if _, err := io.WriteString(conn, "GET "+V3BypassPath+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			switch test.kind {
			case Reset:
				if got, err := io.ReadAll(conn); len(got) != 0 {
					t.Fatalf("got %q, error %v", got, err)
				}
			case StallInHeaders:
				const half = "HTTP/1.1 200 OK\r\nContent-Type: appl"
				got := make([]byte, len(half))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != half {
					t.Fatalf("got %q, error %v", got, err)
				}
			default:
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(test.start))
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != test.start {
					t.Fatalf("got %q, error %v", got, err)
				}
			}
		})
	}
}
