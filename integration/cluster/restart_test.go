package cluster

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// terminate asks the process to end, and waits until it has.
func (p *process) terminate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it ended with %v", err)
	}
	p.cmd = nil
}

// TestRestart: a node that is asked to end lets the requests end that it has
// forwarded. Whichever way all nodes are stopped and started again, claims and
// clearances are in Redis.
func TestRestart(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir(), started: time.Now(), slow: make(chan struct{})}
	c.forwards = make(map[int][]time.Duration)
	c.serve()
	c.startRedis()
	c.startNodes()
	send := func(path string, proof int, cookie string) *http.Response {
		request := harness.NewRequest(t, "POST", "http://"+c.addresses[0]+path, "", attemptHeader, "1", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
		if proof != 0 {
			harness.SetHeaders(request.Header, proofOf(proof))
		}
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Error(err)
			return &http.Response{}
		}
		answer.Body.Close()
		return answer
	}
	wants := func(what string, answer *http.Response, outcome string) {
		t.Helper()
		if got := answer.Header.Get("Captcha-Outcome"); got != outcome || (answer.StatusCode == http.StatusOK) != (outcome == "") {
			t.Errorf("%s: %s, outcome %q, want %q", what, answer.Status, got, outcome)
		}
	}
	verify := harness.NewRequest(t, "POST", "http://"+c.addresses[0]+"/.captcha/default/verify", proofOf(2).Encode(), "Content-Type", harness.FormType, "Sec-Fetch-Site", "same-origin")
	cleared := harness.Send(t, verify)
	if cleared.StatusCode != http.StatusNoContent || len(cleared.Cookies()) == 0 {
		t.Fatalf("verify answers %s %s", cleared.Status, cleared.Text)
	}
	cookie := cleared.Cookies()[0].Name + "=" + cleared.Cookies()[0].Value
	wants("the first use of a clearance", send("/login", 0, cookie), "")

	// SIGTERM, while the application is busy.
	var drained sync.WaitGroup
	drained.Go(func() { wants("a request under way", send(slowPath, 1, ""), "") })
	<-c.slow
	stopped := make(chan struct{})
	go func() {
		c.nodes[0].terminate()
		close(stopped)
	}()
	harness.Await(t, "the node to take no more connections", func() bool {
		answer, err := http.Get("http://" + c.addresses[0] + "/.captcha/default/none")
		if err == nil {
			answer.Body.Close()
		}
		return err != nil
	})
	c.slow <- struct{}{}
	drained.Wait()
	<-stopped
	c.nodes[0].start()
	c.awaitNode(0)
	wants("its proof after a restart", send("/login", 1, ""), "replayed")

	// caddy stop, of all nodes.
	for node := range nodes {
		stop := exec.CommandContext(t.Context(), c.nodes[node].args[0], "stop", "--address", c.admins[node]) //nolint:gosec // ours
		stop.Env = append(os.Environ(), c.nodes[node].env...)
		if output, err := stop.CombinedOutput(); err != nil && !strings.Contains(string(output), "EOF") {
			t.Errorf("caddy stop: %v\n%s", err, output)
		}
		c.nodes[node].kill() // to wait for it
	}
	for node := range nodes {
		c.nodes[node].start()
		c.awaitNode(node)
	}
	wants("a proof after all nodes were stopped", send("/login", 1, ""), "replayed")
	wants("the second use of a clearance", send("/login", 0, cookie), "")
	wants("the third use of a clearance", send("/login", 0, cookie), "missing")
}
