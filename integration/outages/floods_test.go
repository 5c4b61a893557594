package outages

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// poisons are what clients may make a provider do with proofs of theirs. What
// is no JSON is done to the connection.
var poisons = map[string]string{
	"reset": "", "stall": "", "503": "", "403": "", "429": "", "html": "<html>",
	"50005": `{"status":"error","code":"-50005","msg":"illegal gen_time"}`,
	"50000": `{"status":"error","code":"-50000","msg":"runtime error"}`,
	"false": `{"seccode":"false"}`,
	"16":    `{"Response":{"CaptchaCode":16,"CaptchaMsg":"x","RequestId":"r"}}`,
	"26":    `{"Response":{"CaptchaCode":26,"CaptchaMsg":"x","RequestId":"r"}}`,
	"100":   `{"Response":{"CaptchaCode":100,"CaptchaMsg":"x","RequestId":"r"}}`,
	"Inter": `{"Response":{"Error":{"Code":"InternalError","Message":"x"},"RequestId":"r"}}`,
	"Servi": `{"Response":{"Error":{"Code":"ServiceUnavailable","Message":"x"},"RequestId":"r"}}`,
	"Limit": `{"Response":{"Error":{"Code":"RequestLimitExceeded","Message":"x"},"RequestId":"r"}}`,
	"Bill":  `{"Response":{"Error":{"Code":"UnauthorizedOperation.Unauthorized","Message":"x"},"RequestId":"r"}}`,
}

// poisonable is a provider that does with the proofs of a flood what their
// senders want, and is otherwise the simulated one.
type poisonable struct {
	behind http.Handler
	mu     sync.Mutex
	marks  map[string]string // a part of a proof, and the poison in it
	hit    map[string]int
}

func (p *poisonable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch poison := p.poisonIn(string(body)); poison {
	case "":
		p.behind.ServeHTTP(w, r)
	case "reset":
		panic(http.ErrAbortHandler)
	case "stall":
		<-r.Context().Done()
	case "503", "403", "429":
		var status int
		fmt.Sscan(poison, &status)
		w.WriteHeader(status)
	default:
		_, _ = io.WriteString(w, poisons[poison])
	}
}

func (p *poisonable) poisonIn(body string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for mark, poison := range p.marks {
		if strings.Contains(body, mark) {
			p.hit[poison]++
			return poison
		}
	}
	return ""
}

// poisoned returns a proof that does this to the provider.
func (p *poisonable) poisoned(g *harness.Gate, provider, poison string) url.Values {
	proof := g.Proof(provider, simulator.SolveOptions{Forge: true})
	mark := proof.Get(map[string]string{harness.GeeTestV3: "geetest_challenge", harness.GeeTestV4: "lot_number", harness.Tencent: "ticket"}[provider])
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks[mark] = poison
	return proof
}

// TestNoClientBringsAnOutageAbout: floods of all kinds of proofs that a
// provider does not like, from clients that wait and clients that leave, for
// longer than it takes to find a provider down. The gate never does, and who
// has a genuine proof gets in all the time.
func TestNoClientBringsAnOutageAbout(t *testing.T) {
	g := harness.NewGate(t)
	p := &poisonable{behind: g.Simulator, marks: make(map[string]string), hit: make(map[string]int)}
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	// The provider's timeout is short, so that those who make it stall do that
	// often.
	text := strings.ReplaceAll(site(g, "outage_rate 1000 100000"), "\nendpoint "+g.Provider(), "\nendpoint "+server.URL+"\ntimeout 500ms")
	text = strings.ReplaceAll(text, "on_outage allow", "on_outage allow\nmax_failures 1000000\nmax_concurrent_verifications 4000 1000")
	v := visitor{g}
	g.Run(text)

	until := time.Now().Add(12 * time.Second) // a series takes 5 to 8 s
	kinds := slices.Sorted(func(yield func(string) bool) {
		for kind := range poisons {
			if !yield(kind) {
				return
			}
		}
	})
	var flood sync.WaitGroup
	for _, provider := range harness.Providers {
		for worker := range 4 {
			flood.Go(func() {
				for i := worker; time.Now().Before(until); i++ {
					ctx, leave := context.WithCancel(t.Context())
					request := harness.NewRequest(t, "GET", g.URL+"/allow/"+provider, "").WithContext(ctx)
					harness.SetHeaders(request.Header, p.poisoned(g, provider, kinds[i%len(kinds)]))
					if i%3 == 0 { // in the middle
						time.AfterFunc(5*time.Millisecond, leave)
					}
					response, err := http.DefaultTransport.RoundTrip(request)
					if err == nil {
						if response.StatusCode == http.StatusOK {
							t.Errorf("%s: a proof with %s passed", provider, kinds[i%len(kinds)])
						}
						response.Body.Close()
					}
					leave()
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
	}
	genuine := 0
	for time.Now().Before(until) {
		for _, provider := range harness.Providers {
			if a := v.send("/allow/"+provider, g.Proof(provider)); a.StatusCode != http.StatusOK {
				t.Errorf("%s: a genuine proof in the flood: %d %s", provider, a.StatusCode, a.Text)
			}
			genuine++
			if _, members := v.challenge("allow-" + provider); members["down"] != nil || members["reason"] == "down" {
				t.Errorf("%s is found down: %v", provider, members)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	flood.Wait()
	if found := g.Entries("the captcha provider is down"); len(found) != 0 {
		t.Errorf("the log says %v", found)
	}
	for _, kind := range kinds {
		if p.hit[kind] == 0 {
			t.Errorf("the poison %s never reached the provider", kind)
		}
	}
	t.Logf("%d poisons of %d kinds, %d genuine proofs", len(p.marks), len(kinds), genuine)
}

// TestNoFaultOfOursIsAnOutage: an unpaid bill, a wrong key, a wrong clock, a
// captcha that is switched off, and a firewall in front of the bypass status.
func TestNoFaultOfOursIsAnOutage(t *testing.T) {
	g := harness.NewGate(t)
	v := visitor{g}
	g.Run(site(g))
	tencent := func(code string) string {
		return fmt.Sprintf(`{"Response":{"Error":{"Code":%q,"Message":"x"},"RequestId":"r"}}`, code)
	}
	// Each after an unknown verdict, which has the provider probed.
	for _, fault := range []simulator.Fault{
		{Path: simulator.TencentPath, Kind: simulator.Respond, Body: tencent("UnauthorizedOperation.Unauthorized")},
		{Path: simulator.V4ValidatePath, Kind: simulator.Respond, Body: `{"status":"success","result":"fail","reason":"sign_token error"}`},
		{Path: simulator.V3RegisterPath, Kind: simulator.Respond, Body: `{"challenge":0}`},
		{Path: simulator.V3BypassPath, Kind: simulator.Reset},
	} {
		g.Fail(fault)
	}
	until := time.Now().Add(10 * time.Second)
	for time.Now().Before(until) {
		for path, provider := range map[string]string{
			simulator.V3ValidatePath: harness.GeeTestV3, simulator.V4ValidatePath: harness.GeeTestV4, simulator.TencentPath: harness.Tencent,
		} {
			g.FailNext(1, simulator.Fault{Path: path, Kind: simulator.Reset})
			a := v.send("/deny/"+provider, g.Proof(provider))
			if a.StatusCode == http.StatusServiceUnavailable && a.Problem(t)["reason"] == "down" {
				t.Fatalf("%s is found down", provider)
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
}
