// Package browser measures in Chromium what people wait for: the application's
// first paint with captcha_inject and without, and the captcha after a press on
// the button. See bench/README.md.
package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// Caddy keeps goroutines for as long as the process lives.
func TestMain(m *testing.M) { os.Exit(browsertest.Run(m)) }

const captchaID, captchaKey = "647f5ed2ed8acb4be36784e01556bb71", "b09a7aafbfd83f73b35a9b530d0337bf"

// sites are an application, bare and behind the gate, and one that shows the
// provider's widget itself, as the provider's page tells it to.
type sites struct{ bare, gated, own string }

func serve(b *testing.B) sites {
	sim, err := simulator.New(simulator.Config{GeeTestV4: []simulator.GeeTestV4{{CaptchaID: captchaID, CaptchaKey: captchaKey}}})
	if err != nil {
		b.Fatal(err)
	}
	provider := httptest.NewServer(sim)
	text := strings.Repeat("<p>What people read while they look for the form.</p>\n", 400)
	body := `<form method="post" action="/login"><input name="user" id="user"><button id="go">Log in</button></form>` + text
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		switch r.URL.Path {
		case "/style.css":
			w.Header().Set("Content-Type", "text/css")
			fmt.Fprint(w, "body { font: 16px sans-serif }")
		case "/own":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, `<!doctype html><title>own</title><script src="%s"></script>%s<script>
				initGeetest4({ captchaId: %q, product: "bind" }, (captcha) => captcha.onReady(() => {
					document.title = "ready";
					document.querySelector("form").onsubmit = (event) => { event.preventDefault(); captcha.showCaptcha(); };
				}));</script>`, provider.URL+simulator.V4ScriptPath, body, captchaID)
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<!doctype html><title>ready</title><link rel="stylesheet" href="/style.css">`+body)
		}
	}))
	ports := freePorts(b, 2)
	config, err := harness.Adapt(fmt.Sprintf(`{
	admin off
	persist_config off
	storage file_system %s
	default_bind 127.0.0.1
	log {
		level ERROR
	}
}
http://127.0.0.1:%s {
	encode
	reverse_proxy %s
}
http://127.0.0.1:%s {
	@login {
		path /login*
		not method GET HEAD OPTIONS
	}
	captcha @login {
		verifier geetest_v4 {
			captcha_id %s
			captcha_key %s
			endpoint %s
			script %s
		}
		clearance 30m
	}
	captcha_inject
	encode
	reverse_proxy %[3]s
}
`, b.TempDir(), ports[0], strings.TrimPrefix(application.URL, "http://"), ports[1], captchaID, captchaKey, provider.URL, provider.URL+simulator.V4ScriptPath))
	if err != nil {
		b.Fatal(err)
	}
	if err := caddy.Load([]byte(config), true); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			b.Error(err)
		}
		application.Close()
		provider.Close()
	})
	return sites{"http://127.0.0.1:" + ports[0], "http://127.0.0.1:" + ports[1], "http://127.0.0.1:" + ports[0] + "/own"}
}

func freePorts(b *testing.B, n int) []string {
	var ports []string
	for range n {
		server := httptest.NewServer(http.NotFoundHandler())
		ports = append(ports, server.URL[strings.LastIndex(server.URL, ":")+1:])
		defer server.Close()
	}
	return ports
}

// tab is one of a browser that has been nowhere yet.
type tab struct {
	b   *testing.B
	ctx context.Context
}

// newTab opens one over a line of that latency.
func newTab(b *testing.B, latency time.Duration) tab {
	ctx := browsertest.New(b)
	conditions := []*network.Conditions{{Latency: float64(latency.Milliseconds()), DownloadThroughput: -1, UploadThroughput: -1}}
	for _, err := range []error{
		call(chromedp.Call(ctx, network.Enable, network.EnableParams{})),
		call(chromedp.Call(ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: conditions})),
		call(chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch})),
	} {
		if err != nil {
			b.Fatal(err)
		}
	}
	return tab{b, ctx}
}

func (t tab) do(actions ...chromedp.Action[chromedp.Void]) {
	t.b.Helper()
	if err := chromedp.Do(t.ctx, actions...); err != nil {
		t.b.Fatal(err)
	}
}

func (t tab) number(expression string) float64 {
	t.b.Helper()
	number, err := chromedp.Run(t.ctx, chromedp.Evaluate[float64](expression))
	if err != nil {
		t.b.Fatal(err)
	}
	return number
}

func call[T any](_ T, err error) error { return err }

// watch tells the outermost document when a person has pressed the button, and
// when they see the widget, in whatever frame it is.
const watch = `(() => {
	if (self === top) {
		addEventListener("click", (event) => { if (event.target.id === "go") self.pressed = Date.now(); }, true);
		addEventListener("message", (event) => { if (event.data && event.data.seen) self.seen = event.data.seen; }, true);
	}
	const look = () => {
		const solve = document.querySelector(".captcha-simulator-solve");
		if (solve && solve.offsetHeight) top.postMessage({ seen: Date.now() }, "*");
		else requestAnimationFrame(look);
	};
	look();
})()`

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkFirstPaint compares the application's first contentful paint with
// captcha_inject and without, at a latency of 60 ms: on a browser's first visit
// and on its next one. A ratio is taken in each round, and the median counts.
func BenchmarkFirstPaint(b *testing.B) {
	s := serve(b)
	paint := func(t tab, url string) float64 {
		t.do(chromedp.Navigate(url), browsertest.Await(`performance.getEntriesByName("first-contentful-paint").length > 0`))
		return t.number(`performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	}
	var first, next []float64
	for round := 0; b.Loop(); round++ {
		var at [2][2]float64 // with the gate or not, first visit or next
		for i := range 2 {
			which := (i + round) % 2
			t := newTab(b, 60*time.Millisecond)
			for visit := range 2 {
				at[which][visit] = paint(t, []string{s.bare, s.gated}[which])
				t.do(chromedp.Navigate("about:blank"))
			}
		}
		first = append(first, at[1][0]/at[0][0])
		next = append(next, at[1][1]/at[0][1])
	}
	b.ReportMetric(median(first), "of-bare-first")
	b.ReportMetric(median(next), "of-bare-next")
}

// BenchmarkPressToWidget counts the round trips between a press on the button
// and a widget that can be seen, by what the time gains from a longer line.
func BenchmarkPressToWidget(b *testing.B) {
	s := serve(b)
	const short, long = 40 * time.Millisecond, 240 * time.Millisecond
	wait := func(url string, types bool, latency time.Duration) float64 {
		t := newTab(b, latency)
		t.do(chromedp.Navigate(url), browsertest.Await(`document.title === "ready" && document.readyState === "complete"`))
		if types {
			t.do(chromedp.SendKeys(chromedp.CSS("#user"), "alice"), chromedp.Sleep(3*time.Second)) // as a person does
		}
		t.do(chromedp.Click(chromedp.CSS("#go")), browsertest.Await("self.seen"))
		return t.number("self.seen - self.pressed")
	}
	trips := map[string][]float64{}
	for b.Loop() {
		for name, page := range map[string]struct {
			url   string
			types bool
		}{"own-page": {s.own, true}, "gate": {s.gated, true}, "gate-untouched": {s.gated, false}} {
			trips[name] = append(trips[name], (wait(page.url, page.types, long)-wait(page.url, page.types, short))/float64((long-short).Milliseconds()))
		}
	}
	for name, of := range trips {
		b.ReportMetric(median(of), name+"-trips")
	}
}
