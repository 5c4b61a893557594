// Package e2e opens the example Caddyfile in a browser: Caddy with this module,
// the simulated providers, and an application that knows nothing of captchas.
package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddycaptcha/caddycaptcha"
	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
	_ "github.com/caddycaptcha/caddycaptcha/simulator"
)

// Caddy keeps goroutines for as long as the process lives.
func TestMain(m *testing.M) { os.Exit(browsertest.Run(m)) }

// prefixes are the paths under which the example protects the application, by
// verifier.
var prefixes = map[string]string{"geetest_v4": "/v4", "geetest_v3": "/v3", "tencent": "/tencent", "altcha": "/work"}

// runExample runs Caddyfile.example on free ports, with changes (old and new
// in turn), and returns the URL of its site.
func runExample(t *testing.T, changes ...string) (url string) {
	t.Helper()
	text, err := os.ReadFile(harness.Path(t, "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	example := string(text)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(example, changes[i]) {
			t.Fatalf("the example has no %q", changes[i])
		}
		example = strings.ReplaceAll(example, changes[i], changes[i+1])
	}
	for i, free := range freePorts(t, 4) {
		port := strconv.Itoa(8080 + i)
		example = strings.ReplaceAll(example, "localhost:"+port, "localhost:"+free)
		if port == "8080" {
			url = "http://localhost:" + free
		}
	}
	example = strings.Replace(example, "{\n", "{\n\tstorage file_system "+t.TempDir()+"\n", 1)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(example), map[string]any{"filename": "Caddyfile.example"})
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
	return url
}

// freePorts returns n ports, of which no two are the same.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

// person is somebody with a browser.
type person struct {
	t   *testing.T
	ctx context.Context
}

func newPerson(t *testing.T) person {
	t.Helper()
	return person{t, browsertest.New(t)}
}

func (p person) open(url string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, browsertest.Open(url)); err != nil {
		p.t.Fatal(err)
	}
}

// await waits until the expression is true.
func (p person) await(expression string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, browsertest.Await(expression)); err != nil {
		p.t.Fatal(err)
	}
}

func (p person) text(expression string) string {
	p.t.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return text
}

// click clicks an element of the page, once it is there.
func (p person) click(selector string) {
	p.t.Helper()
	p.await(clicking(selector))
}

// clicking is an expression that is true once it has had the element clicked.
// The click itself comes later, because it may end the document.
func clicking(selectors ...string) string {
	var parts []string
	for _, selector := range selectors {
		element := fmt.Sprintf("document.querySelector('%s:enabled:not([hidden])')", selector)
		parts = append(parts, fmt.Sprintf("%s && setTimeout(() => %s.click())", element, element))
	}
	return strings.Join(parts, " || ")
}

const solveButton, button = ".captcha-simulator-solve", "#captcha-button"

// solve solves the captcha on the challenge page, or in the dialog that the
// injected script shows.
func (p person) solve() {
	p.t.Helper()
	p.onPage().solve()
}

// passes does what the captcha of the verifier asks for.
func (p person) passes(verifier string) {
	p.t.Helper()
	if verifier != "altcha" { // which leaves it to the browser
		p.solve()
	}
}

// sound fails the test if a document reported an error or a violation of its
// Content-Security-Policy.
func (p person) sound() {
	p.t.Helper()
	if problems := browsertest.Problems(p.ctx); len(problems) != 0 {
		p.t.Errorf("the browser reported %q", problems)
	}
}

// TestAProtectedPage: opening it brings the challenge page, solving that
// brings the page, and for as long as the clearance is good nothing asks again.
func TestAProtectedPage(t *testing.T) {
	for provider, prefix := range prefixes {
		t.Run(provider, func(t *testing.T) {
			url := runExample(t)
			answer, err := http.Get(url + prefix + "/members")
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusForbidden {
				t.Fatalf("without a captcha the answer is %s", answer.Status)
			}
			p := newPerson(t)
			p.open(url + prefix + "/members")
			p.passes(provider)
			p.await("document.title === 'Demo application'")
			p.open(url + prefix + "/members")
			if title := p.text("document.title"); title != "Demo application" {
				t.Errorf("a clearance is good for three requests, the second one brought %q", title)
			}
			if path := p.text("location.pathname"); path != prefix+"/members" {
				t.Errorf("the page is at %s", path)
			}
			p.sound()
		})
	}
}

// TestAPlainForm: the captcha comes on submit, and the application gets exactly
// the form that it would have got.
func TestAPlainForm(t *testing.T) {
	for provider, prefix := range prefixes {
		for _, csp := range []string{"", "?csp=strict"} {
			t.Run(provider+csp, func(t *testing.T) {
				url := runExample(t)
				unprotected := newPerson(t)
				unprotected.open(url + "/elsewhere" + csp)
				unprotected.click("#plain button")
				unprotected.await("document.title === 'Welcome' && document.readyState === 'complete'")
				want := strings.ReplaceAll(unprotected.text("document.body.innerText"), "/elsewhere", prefix+"/login")

				p := newPerson(t)
				p.open(url + prefix + "/login" + csp)
				p.click("#plain button")
				p.passes(provider)
				p.await("document.title === 'Welcome' && document.readyState === 'complete'")
				if got := p.text("document.body.innerText"); got != want {
					t.Errorf("the application got\n%s\nwithout the captcha it gets\n%s", got, want)
				}
				p.sound()
			})
		}
	}
}

// TestAScript: logins by fetch and XMLHttpRequest are held up by the captcha
// and then answered as if there were none.
func TestAScript(t *testing.T) {
	for provider, prefix := range prefixes {
		for _, form := range []string{"fetch", "xhr"} {
			t.Run(provider+" "+form, func(t *testing.T) {
				url := runExample(t)
				p := newPerson(t)
				p.open(url + prefix + "/login")
				p.click("#" + form + " button")
				p.passes(provider)
				output := fmt.Sprintf("document.querySelector('#%s output').textContent", form)
				p.await(output)
				status, body, _ := strings.Cut(p.text(output), "\n")
				var echo struct{ Fields map[string]any }
				if err := json.Unmarshal([]byte(body), &echo); status != "Status 200" || err != nil {
					t.Fatalf("the script got %s %s", status, body)
				}
				if got := fmt.Sprint(echo.Fields); !strings.Contains(got, "alice") || !strings.Contains(got, "secret") || len(echo.Fields) != 2 {
					t.Errorf("the application got %s", got)
				}
				p.sound()
			})
		}
	}
}
