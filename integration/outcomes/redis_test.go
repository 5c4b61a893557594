package outcomes

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestRedisIsDown: without its replay cache nothing is forwarded that needs it,
// monitor mode lets everything through, and when Redis is there again nothing
// has to be done. A proof that was used stays used through reloads.
func TestRedisIsDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	g := harness.NewGate(t)
	g.Global = "captcha {\nreplay_cache redis {\naddress " + address + "\ntimeout 5s\neviction_ok\n}\n}\n"
	run := func(options ...string) { g.Run(g.Captcha(harness.GeeTestV4, options...) + g.Proxy()) }
	run()
	proof := g.Proof(harness.GeeTestV4)
	g.Want(g.Post(proof), http.StatusServiceUnavailable, "overloaded")
	g.Want(g.Post(nil), http.StatusForbidden, "missing") // which needs no cache

	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	var a harness.Answer
	harness.Await(t, "the proof to pass", func() bool { a = g.Post(proof); return a.StatusCode == http.StatusOK })
	g.WantPassed(a)
	g.Want(g.Post(proof), http.StatusForbidden, "replayed")
	run("clearance 10m") // another config
	g.Want(g.Post(proof), http.StatusForbidden, "replayed")
	g.WantPassed(g.Post(g.Proof(harness.GeeTestV4)))

	server.Close()
	g.Want(g.Post(g.Proof(harness.GeeTestV4)), http.StatusServiceUnavailable, "overloaded")
	run("mode monitor")
	g.WantPassed(g.Post(g.Proof(harness.GeeTestV4)))
	harness.AwaitEntries(t, g, "the replay cache cannot record proofs", 1)
}

// TestMonitorWaitsOnce: monitor mode holds up a request for a second at most,
// with the uses of its clearance and the claim of its proof together.
func TestMonitorWaitsOnce(t *testing.T) {
	server := miniredis.RunT(t)
	slow := harness.NewWire(t, server.Addr())
	g := harness.NewGate(t)
	g.Global = "captcha {\nreplay_cache redis {\naddress " + slow.Addr().String() + "\ntimeout 5s\neviction_ok\n}\n}\n"
	g.Run(g.Captcha(harness.GeeTestV4, "clearance 10m {\nmax_uses 1\n}", "mode monitor") + g.Proxy())
	cookie := harness.Pair(g.Clear(harness.GeeTestV4))
	send := func() { // with a clearance, and a proof for when that is used up
		request := harness.NewRequest(t, "GET", g.URL+"/login", "", "Cookie", cookie)
		harness.SetHeaders(request.Header, g.Proof(harness.GeeTestV4))
		g.WantPassed(harness.Send(t, request))
	}
	send()                                          // takes the use
	slow.Delay.Store(int64(350 * time.Millisecond)) // there, and back
	send()
	harness.AwaitEntries(t, g, "captcha would have refused", 1)
	if reason := g.Entries("captcha would have refused")[0]["reason"]; reason != "cache_unavailable" && reason != "monitor_wait" {
		t.Errorf("the reason is %v", reason)
	}
}
