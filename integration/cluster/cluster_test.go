// Package cluster runs three Caddys on one Redis under load, breaks them and
// what is between them by a schedule, and checks what clients and the
// application saw: that no proof was used twice, and that claims are
// linearizable as long as Redis loses nothing that it has acknowledged.
//
// The variables CLUSTER_PROOFS and CLUSTER_SEED set how many proofs there are
// and the schedule.
package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
)

const (
	nodes   = 3
	workers = 24
)

// cluster is everything there is.
type cluster struct {
	t       *testing.T
	dir     string
	started time.Time
	seed    uint64

	history
	app, provider *httptest.Server
	redis         *process
	nodes         [nodes]*process
	lines         [nodes]*harness.Wire
	addresses     [nodes]string
	admins        [nodes]string
	store         func(node int) string // where the claims are, as options of replay_cache redis
	accepted      map[string]bool       // proofs that the provider has vouched for, where it does so once
	caught        atomic.Int64          // that it was asked about once more
	untimely      atomic.Int64          // requests that a wrong clock had refused
	reloads       int
	attempts      atomic.Int64
	proofs        atomic.Int64
	slow          chan struct{} // a request to slowPath has come, and may go
}

// slowPath is where the application takes its time.
const slowPath = "/login/slow"

func (c *cluster) now() time.Duration { return time.Since(c.started) }

// The header by which the application knows an attempt.
const attemptHeader = "X-Attempt"

const made = "made-up-proof-" // begins the lot_number of one that the provider rejects

func (c *cluster) serve() {
	c.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number, err := strconv.Atoi(r.Header.Get(attemptHeader))
		if err != nil {
			number = -1
		}
		c.forward(number, c.now())
		if r.URL.Path == slowPath {
			c.slow <- struct{}{}
			<-c.slow
		}
		w.WriteHeader(http.StatusOK)
	}))
	c.t.Cleanup(c.app.Close)
	// It vouches for a proof as often as it is asked, so that the gate alone
	// sees to single use, unless accepted is there.
	var mu sync.Mutex
	c.provider = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lot := r.FormValue("lot_number")
		if strings.HasPrefix(lot, made) {
			_, _ = io.WriteString(w, `{"status":"success","result":"fail","reason":"pass_token error"}`)
			return
		}
		mu.Lock()
		again := c.accepted[lot]
		if c.accepted != nil {
			c.accepted[lot] = true
		}
		mu.Unlock()
		if again {
			c.caught.Add(1)
			_, _ = io.WriteString(w, `{"status":"error","code":"-50003","msg":"illegal verify","desc":{"type":"defined error"}}`)
			return
		}
		fmt.Fprintf(w, `{"status":"success","result":"success","reason":"","captcha_args":{"lot_number":%q}}`, lot)
	}))
	c.t.Cleanup(c.provider.Close)
}

// config is a node's. Each differs a little from the last.
func (c *cluster) config(node int) string {
	c.t.Helper()
	c.reloads++
	json, err := harness.Adapt(fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	default_bind 127.0.0.1
	grace_period 10s
	storage file_system %s
	log {
		output file %s
		level ERROR
	}
	captcha {
		replay_cache redis {
			%s
			timeout 500ms
		}
		key a-key-that-all-nodes-have
	}
}
http://%s {
	captcha /login* {
		verifier geetest_v4 {
			captcha_id 647f5ed2ed8acb4be36784e01556bb71
			captcha_key b09a7aafbfd83f73b35a9b530d0337bf
			endpoint %s
		}
		max_failures %d
		max_concurrent_verifications 4000 1000
		clearance 30m {
			max_uses 2
		}
	}
	reverse_proxy %s
}
`, c.admins[node], filepath.Join(c.dir, "storage"), filepath.Join(c.dir, fmt.Sprintf("node%d.log", node)), c.store(node), c.addresses[node],
		c.provider.URL, 1_000_000+c.reloads, c.app.Listener.Addr()))
	if err != nil {
		c.t.Fatal(err)
	}
	return json
}

// startRedis starts the one that all nodes have, each over a line of its own.
func (c *cluster) startRedis() {
	t := c.t
	server := testenv.Need(t, "redis-server")
	address := harness.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	data := filepath.Join(c.dir, "redis")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	// What it has acknowledged it keeps, even if it is killed.
	c.redis = &process{t: t, args: []string{server, "--port", port, "--bind", "127.0.0.1", "--dir", data, "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--logfile", filepath.Join(c.dir, "redis.log")}}
	c.redis.start()
	t.Cleanup(c.redis.kill)
	for node := range nodes {
		c.lines[node] = harness.NewWire(t, address)
	}
	c.store = func(node int) string { return "address " + c.lines[node].Addr().String() }
}

// startNodes builds and starts them. Their clocks can be set.
func (c *cluster) startNodes() {
	t := c.t
	caddy := filepath.Join(c.dir, "caddy")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "testclock", "-o", caddy, "../../cmd/caddy") //nolint:gosec // ours
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	for node := range nodes {
		c.addresses[node], c.admins[node] = harness.FreeAddress(t), harness.FreeAddress(t)
		file := filepath.Join(c.dir, fmt.Sprintf("node%d.json", node))
		if err := os.WriteFile(file, []byte(c.config(node)), 0o600); err != nil {
			t.Fatal(err)
		}
		c.nodes[node] = &process{t: t, args: []string{caddy, "run", "--config", file}, env: []string{"HOME=" + c.dir, "CADDYCAPTCHA_CLOCK=" + c.clock(node)}}
		c.nodes[node].start()
		t.Cleanup(c.nodes[node].kill)
	}
	for node := range nodes {
		c.awaitNode(node)
	}
}

// clock is the file that sets a node's clock.
func (c *cluster) clock(node int) string { return filepath.Join(c.dir, fmt.Sprintf("clock%d", node)) }

// step sets a node's clock wrong by that much.
func (c *cluster) step(node int, by time.Duration) {
	if err := os.WriteFile(c.clock(node), []byte(by.String()), 0o600); err != nil {
		c.t.Error(err)
	}
}

// awaitNode waits until a node answers.
func (c *cluster) awaitNode(node int) {
	harness.Await(c.t, fmt.Sprintf("node %d", node), func() bool {
		answer, err := http.Get("http://" + c.addresses[node] + "/.captcha/default/none") // which the gate answers
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
}

// reload gives a node another config, a good one or one that it rejects.
func (c *cluster) reload(node int, good bool) {
	config := c.config(node)
	if !good {
		config = strings.Replace(config, `"provider":"geetest_v4"`, `"provider":"geetest_v5"`, 1)
	}
	answer, err := http.Post("http://"+c.admins[node]+"/load", "application/json", strings.NewReader(config))
	if err != nil {
		return // it may be dead
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); (answer.StatusCode == http.StatusOK) != good {
		c.t.Errorf("a reload of a config that is good: %t, was answered with %d %s", good, answer.StatusCode, text)
	}
}

// faults are what happens to a cluster. Each ends by itself.
var faults = map[string]func(c *cluster, node int, d time.Duration){
	"a node is killed": func(c *cluster, node int, d time.Duration) {
		c.nodes[node].kill()
		time.Sleep(d / 2)
		c.nodes[node].start()
		c.awaitNode(node)
	},
	"a node stalls": func(c *cluster, node int, d time.Duration) { c.nodes[node].stall(d) },
	"Redis is killed": func(c *cluster, _ int, d time.Duration) {
		c.redis.kill()
		time.Sleep(d / 2)
		c.redis.start()
	},
	"Redis stalls":      func(c *cluster, _ int, d time.Duration) { c.redis.stall(d) },
	"answers get lost":  func(c *cluster, node int, d time.Duration) { c.broken(node, harness.Loses, d) },
	"a node is cut off": func(c *cluster, node int, d time.Duration) { c.broken(node, harness.Cut, d) },
	"a line is slow": func(c *cluster, node int, d time.Duration) {
		c.lines[node].Delay.Store(int64(d / 4))
		time.Sleep(d)
		c.lines[node].Delay.Store(0)
	},
	"a clock goes back":    func(c *cluster, node int, d time.Duration) { c.wrong(node, -10*time.Minute, d) },
	"a clock goes forward": func(c *cluster, node int, d time.Duration) { c.wrong(node, 10*time.Minute, d) },
	"a reload":             func(c *cluster, node int, _ time.Duration) { c.reload(node, true) },
	"a rejected reload":    func(c *cluster, node int, _ time.Duration) { c.reload(node, false) },
}

func (c *cluster) wrong(node int, by, d time.Duration) {
	c.step(node, by)
	time.Sleep(d)
	c.step(node, 0)
}

func (c *cluster) broken(node int, mode int32, d time.Duration) {
	c.lines[node].Breaks(mode)
	time.Sleep(d)
	c.lines[node].Breaks(harness.Carries)
}

// breakUntil lets faults happen, all kinds in a random order and then again, until
// done is closed and each has happened.
func (c *cluster) breakUntil(done <-chan struct{}) map[string]int {
	random := rand.New(rand.NewPCG(c.seed, 2)) //nolint:gosec // a test
	happened := make(map[string]int)
	names := slices.Sorted(maps.Keys(faults))
	for round := 0; ; round++ {
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			select {
			case <-done:
				if round > 0 {
					return happened
				}
			default:
			}
			faults[name](c, random.IntN(nodes), 100*time.Millisecond+time.Duration(random.Int64N(int64(900*time.Millisecond))))
			happened[name]++
			time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
		}
	}
}

// proofOf is a proof as GeeTest's widget makes it. One below zero is made up.
func proofOf(proof int) url.Values {
	lot := fmt.Sprintf("%032d", proof)
	if proof < 0 {
		lot = made + fmt.Sprintf("%020d", -proof)
	}
	return url.Values{
		"lot_number": {lot}, "captcha_output": {"output"}, "pass_token": {strings.Repeat("0", 64)},
		"gen_time": {strconv.FormatInt(time.Now().Unix(), 10)},
	}
}

// try sends a request with the proof to a node.
func (c *cluster) try(client *http.Client, proof, node int) {
	a := attempt{proof: proof, number: int(c.attempts.Add(1)), call: c.now(), outcome: unknown}
	request := harness.NewRequest(c.t, "POST", "http://"+c.addresses[node]+"/login", "", attemptHeader, strconv.Itoa(a.number))
	harness.SetHeaders(request.Header, proofOf(proof))
	answer, err := client.Do(request)
	a.end = c.now()
	if err == nil {
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		a.outcome = outcomeOf(answer, text)
		if strings.Contains(string(text), `"gen_time"`) {
			c.untimely.Add(1)
		}
		if a.outcome == "" {
			c.t.Errorf("proof %d at node %d: %d %s", proof, node, answer.StatusCode, text)
		}
	}
	c.ended(a)
}

// outcomeOf reads an answer; empty is one that must not be.
func outcomeOf(answer *http.Response, text []byte) outcome {
	var problem struct{ Outcome, Reason string }
	_ = json.Unmarshal(text, &problem) // there may be none
	switch {
	case answer.StatusCode == http.StatusOK:
		return passed
	case problem.Outcome == "replayed" && problem.Reason == "claimed":
		return spent
	case answer.StatusCode >= 500,
		problem.Outcome == "rejected",                                   // of made-up ones only, which have no claim
		problem.Outcome == "replayed" && problem.Reason == "code_50003", // by the provider, perhaps of its own attempt
		problem.Outcome == "missing" && problem.Reason == "gen_time",    // to a clock that is behind it is not made yet
		problem.Outcome == "expired":                                    // and too old to one that is ahead
		return unknown
	}
	return ""
}

// load spends proofs until there were enough: each is tried by several clients
// at once at nodes of their choice, and some of them later once more.
func (c *cluster) load(enough int) {
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(c.seed, uint64(100+worker))) //nolint:gosec // a test
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: 10 * time.Second}
			defer client.CloseIdleConnections()
			var later []int
			for {
				proof := int(c.proofs.Add(1))
				if proof > enough {
					break
				}
				if proof%100_000 == 0 {
					fmt.Printf("integration/cluster: %d of %d proofs\n", proof, enough)
				}
				var together sync.WaitGroup
				for range 1 + random.IntN(3) {
					node := random.IntN(nodes)
					together.Go(func() { c.try(client, proof, node) })
				}
				together.Wait()
				switch x := random.IntN(20); {
				case x < 6:
					later = append(later, proof)
				case x == 6:
					c.try(client, -proof, random.IntN(nodes))
				}
				if len(later) > 50 {
					c.try(client, later[0], random.IntN(nodes))
					later = later[1:]
				}
			}
			for _, proof := range later {
				c.try(client, proof, random.IntN(nodes))
			}
		})
	}
	all.Wait()
}

func setting(name string, otherwise uint64) uint64 {
	if value, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return value
	}
	return otherwise
}

// TestCluster: whatever breaks, no proof is used twice.
func TestCluster(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir(), started: time.Now(), seed: setting("CLUSTER_SEED", uint64(time.Now().UnixNano()))}
	c.forwards = make(map[int][]time.Duration)
	proofs := int(setting("CLUSTER_PROOFS", 10_000)) //nolint:gosec // a number of proofs
	t.Logf("%d proofs, CLUSTER_SEED=%d", proofs, c.seed)
	c.serve()
	c.startRedis()
	c.startNodes()

	done := make(chan struct{})
	happened := make(chan map[string]int)
	go func() { happened <- c.breakUntil(done) }()
	c.load(proofs)
	close(done)
	for name, n := range <-happened {
		t.Logf("%3d times %s", n, name)
	}
	used, counts := c.report()
	if c.untimely.Load() == 0 {
		t.Error("no clock was wrong")
	}
	if used < proofs/10 || counts[spent] < proofs/20 || counts[unknown] == 0 {
		t.Errorf("the faults left too little of the load, or none happened")
	}
}

// report checks the history, and says what there was.
func (c *cluster) report() (used int, counts map[outcome]int) {
	c.t.Helper()
	problems, used := c.check()
	for i, problem := range problems {
		if i < 20 {
			c.t.Error(problem)
		}
	}
	counts = make(map[outcome]int)
	for _, a := range c.history.attempts {
		counts[a.outcome]++
	}
	c.t.Logf("%d attempts in %v: %v; %d proofs used", len(c.history.attempts), c.now().Round(time.Second), counts, used)
	return used, counts
}
