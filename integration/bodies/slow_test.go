package bodies

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestABodyThatStallsIsAnsweredWith408: a client has ten seconds to send the
// part of the body that is searched. It is answered although it still holds
// the rest back, and neither upstream nor provider hear of it.
func TestABodyThatStallsIsAnsweredWith408(t *testing.T) {
	b := harness.NewUpstream(t)
	b.Serve("log\n"+b.Directive(), b.ProxyTo(b.Upstream))
	var group sync.WaitGroup
	for _, v := range b.Versions() {
		for name, length := range announced {
			request := harness.NewRequest(t, "POST", v.URL+"/upload", "", "Content-Type", harness.FormType)
			request.ContentLength = length
			start := b.Proof(harness.GeeTestV4).Encode() + "&x="
			group.Go(func() {
				began := time.Now()
				upload := b.Trickle(v, request)
				io.WriteString(upload, start)
				answer := <-upload.Answer
				if took := time.Since(began); answer != "408 Request Timeout" || took < 9*time.Second {
					t.Errorf("%s, %s: after %v: %s", v.Name, name, took, answer)
				}
				upload.Close()
			})
		}
	}
	// On HTTP/1.1 the rest could still come where the next request would.
	client := harness.Dial(t, b.Plain)
	client.Say(post("Content-Type: "+harness.FormType, "Content-Length: 100") + strings.Repeat("x", 50))
	if response := client.Hear(); response.StatusCode != 408 || !response.Close {
		t.Errorf("%s, Connection: close %v", response.Status, response.Close)
	}
	if rest, err := io.ReadAll(client.Reader); len(rest) > 0 || err != nil {
		t.Errorf("after the answer came %q, %v", rest, err)
	}
	group.Wait()
	if b.Begun.Load() > 0 || b.VerifyCalls() > 0 {
		t.Errorf("the upstream saw %d requests, the provider %d", b.Begun.Load(), b.VerifyCalls())
	}
	for range 2*len(b.Versions()) + 1 {
		if status, outcome := b.NextEntry(); status != 408 || outcome != "error" {
			t.Errorf("status %v, outcome %v", status, outcome)
		}
	}
	harness.AwaitRest(t)
}
