package verifiertest

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

func (s *suite) testConfiguration(t *testing.T) {
	url := "http://127.0.0.1:9/service"
	changes := s.reaching(t, url)
	if s.isLocal() {
		url = ""
	} else {
		changes[s.option(t, RoleTimeout)] = "1s"
	}
	module, err := s.module(t, changes)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(module)
	if err != nil {
		t.Fatal(err)
	}
	// What is left in exported fields is what Caddy prints with a
	// configuration.
	s.expectNothingPrivate(t, "the module", string(text))
	v := module.(verifier.Verifier)
	if got := v.Service(); got != url {
		t.Errorf("the service is at %q, want %q", got, url)
	}
	provider, id := v.Captcha()
	if !strings.HasSuffix(s.Module, "."+provider) || id == "" {
		t.Errorf("the captcha is %q of %q, want the provider of %s", id, provider, s.Module)
	}
	s.testOptions(t, reflect.TypeOf(module).Elem())
	s.testSecrets(t)
	if u, ok := module.(caddyfile.Unmarshaler); ok {
		err := u.UnmarshalCaddyfile(caddyfile.NewTestDispenser(provider + " {\n no_such_option CANARY\n}"))
		if err == nil || !strings.Contains(err.Error(), "unrecognized subdirective") || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("the error on an unknown option in a Caddyfile is %v", err)
		}
	}
}

// testOptions finds options of the module that are not listed.
func (s *suite) testOptions(t *testing.T, module reflect.Type) {
	listed := make(map[string]bool)
	for _, o := range s.Options {
		listed[o.Name] = true
	}
	for field := range module.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.IsExported() && name != "-" && !listed[name] {
			t.Errorf("the subject does not list the option %q", name)
		}
	}
}

// testSecrets tests how keys get into the configuration, and that no error
// shows one.
func (s *suite) testSecrets(t *testing.T) {
	const variable = "VERIFIERTEST_SECRET"
	whole := s.load(t, nil).Fingerprint()
	for _, o := range s.Options {
		if o.Role != RoleSecret {
			continue
		}
		t.Setenv(variable, o.Value.(string))
		if s.load(t, map[string]any{o.Name: "{env." + variable + "}"}).Fingerprint() != whole {
			t.Errorf("%s takes no placeholder", o.Name)
		}
		t.Setenv(variable, "CANARY\nCANARY")
		for _, value := range []any{nil, "", "{env.VERIFIERTEST_UNSET}", "{http.request.header.key}", "{env." + variable + "}"} {
			_, err := s.module(t, map[string]any{o.Name: value})
			if err == nil || !strings.Contains(err.Error(), o.Name) {
				t.Errorf("%s as %v: the error is %v", o.Name, value, err)
				continue
			}
			s.expectNothingPrivate(t, "an error", err.Error())
			if strings.Contains(err.Error(), "CANARY") {
				t.Errorf("an error shows the value: %v", err)
			}
		}
	}
}

func (s *suite) testFingerprint(t *testing.T) {
	const url = "http://127.0.0.1:9/"
	seen := map[[32]byte]string{s.load(t, s.reaching(t, url)).Fingerprint(): "the subject"}
	whole := s.load(t, s.reaching(t, url)).Fingerprint()
	if seen[whole] == "" {
		t.Error("one configuration has two fingerprints")
	}
	for _, o := range s.Options {
		changes := s.reaching(t, url)
		changes[o.Name] = o.Other
		if o.Role == RoleService {
			changes[o.Name] = url + "other"
		}
		judges := o.Role != RoleBrowser && o.Role != RoleHealth && o.Role != RoleRate
		fingerprint := s.load(t, changes).Fingerprint()
		switch other, found := seen[fingerprint]; {
		case !judges && fingerprint != whole:
			t.Errorf("%s is part of the fingerprint: handlers that differ in it would not share a verdict", o.Name)
		case judges && found:
			t.Errorf("with another %s the fingerprint is that of %s", o.Name, other)
		}
		if judges {
			seen[fingerprint] = "another " + o.Name
		}
	}
}

// proxyCall is the variable of the environment that has the URL of a service
// for a process that was started for testProxy alone.
const proxyCall = "VERIFIERTEST_PROXY_CALL"

// Keys go where the configuration says and nowhere else, whatever proxies the
// environment names. net/http reads that once for each process, and uses no
// proxy for loopback addresses, which is why this takes a process of its own
// and the address 0.0.0.0.
func (s *suite) testProxy(t *testing.T) {
	var connected atomic.Bool
	proxy := "http://" + listening(t, func(net.Conn) { connected.Store(true) })
	_, port, _ := net.SplitHostPort(vacant(t))
	test, _ := strings.CutSuffix(t.Name(), "/proxy")
	var pattern []string
	for name := range strings.SplitSeq(test, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(name)+"$")
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.v") //nolint:gosec // the test itself
	command.Env = append(os.Environ(), proxyCall+"=https://0.0.0.0:"+port, "NO_PROXY=", "no_proxy=",
		"HTTP_PROXY="+proxy, "http_proxy="+proxy, "HTTPS_PROXY="+proxy, "https_proxy="+proxy, "ALL_PROXY="+proxy, "all_proxy="+proxy)
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), proxyCalled) {
		t.Errorf("the test does not run on its own: %v\n%s", err, output)
	}
	if connected.Load() {
		t.Error("the proxy of the environment was used")
	}
}

const proxyCalled = "the service was called"

// callPastProxy is what the process of testProxy does.
func (s *suite) callPastProxy(t *testing.T) {
	for _, c := range s.calls() {
		verdict := s.verdict(t, c, os.Getenv(proxyCall), 5*time.Second)
		if verdict.Result != verifier.Unknown {
			t.Errorf("without a service the verdict is %+v", verdict)
		}
	}
	t.Log(proxyCalled)
}
