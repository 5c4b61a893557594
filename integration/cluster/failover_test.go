package cluster

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
)

// startSentinel starts a Redis with a replica, and a sentinel that puts the one
// in the other's place. It returns the first, once all know each other.
func (c *cluster) startSentinel() (master *process) {
	t := c.t
	server := testenv.Need(t, "redis-server")
	start := func(name string, args ...string) (p *process, port string) {
		_, port, _ = net.SplitHostPort(harness.FreeAddress(t))
		dir := filepath.Join(c.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		p = &process{t: t, args: append(append([]string{server}, args...), "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--logfile", filepath.Join(c.dir, name+".log"))}
		p.start()
		t.Cleanup(p.kill)
		return p, port
	}
	says := func(port, text string, question ...string) {
		harness.Await(t, text, func() bool {
			answer, _ := exec.CommandContext(t.Context(), "redis-cli", append([]string{"-p", port}, question...)...).Output() //nolint:gosec // on loopback
			return strings.Contains(string(answer), text)
		})
	}
	master, port := start("master", "--save", "")
	_, replica := start("replica", "--save", "", "--replicaof", "127.0.0.1 "+port)
	says(replica, "master_link_status:up", "INFO", "replication")
	file := filepath.Join(c.dir, "sentinel.conf")
	text := "sentinel monitor door 127.0.0.1 " + port + " 1\nsentinel down-after-milliseconds door 500\nsentinel failover-timeout door 5000\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, sentinel := start("sentinel", file, "--sentinel")
	says(sentinel, replica, "SENTINEL", "REPLICAS", "door")
	c.store = func(int) string { return "address 127.0.0.1:" + sentinel + "\nmaster door" }
	return master
}

// TestFailover: when Redis dies and its replica takes over, which may not know
// the last claims, a provider that takes each proof once sees to it that none is
// used twice. The nodes go on by themselves.
func TestFailover(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir(), started: time.Now(), seed: setting("CLUSTER_SEED", uint64(time.Now().UnixNano())), accepted: make(map[string]bool)}
	c.forwards = make(map[int][]time.Duration)
	t.Logf("CLUSTER_SEED=%d", c.seed)
	c.serve()
	master := c.startSentinel()
	c.startNodes()
	client := &http.Client{Timeout: 10 * time.Second}
	goesOn := func(what string) {
		for node := range nodes {
			harness.Await(t, fmt.Sprintf("node %d %s", node, what), func() bool {
				proof := int(c.proofs.Add(1))
				c.try(client, proof, node)
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.history.attempts[len(c.history.attempts)-1].outcome == passed
			})
		}
	}
	goesOn("to begin")
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for c.proofs.Load() < 1000 {
			time.Sleep(time.Millisecond)
		}
		master.kill()
	}()
	c.load(2000)
	<-killed
	goesOn("to go on with the replica")
	before := len(c.forwards)
	c.load(int(c.proofs.Load()) + 1000)
	if after := len(c.forwards); after < before+900 {
		t.Errorf("of 1000 proofs after the failover %d were used", after-before)
	}
	used, counts := c.report()
	t.Logf("the provider was asked once more about %d of %d proofs", c.caught.Load(), used)
	if counts[unknown] == 0 {
		t.Error("nobody noticed the failover")
	}
}
