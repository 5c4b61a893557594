package integration

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestABodyThatStallsIsAnsweredWith408: a client has ten seconds to send the
// part of the body that is searched. It is answered although it still holds
// the rest back, and neither upstream nor provider hear of it.
func TestABodyThatStallsIsAnsweredWith408(t *testing.T) {
	b := newUpstream(t)
	b.serve("log\n"+b.directive(), b.proxyTo(b.upstream))
	var group sync.WaitGroup
	for _, v := range b.versions() {
		for name, length := range announced {
			request := newRequest(t, "POST", v.url+"/upload", "", "Content-Type", formType)
			request.ContentLength = length
			start := b.solve(geetestV4).Encode() + "&x="
			group.Go(func() {
				began := time.Now()
				upload := b.trickle(v, request)
				io.WriteString(upload, start)
				answer := <-upload.answer
				if took := time.Since(began); answer != "408 Request Timeout" || took < 9*time.Second {
					t.Errorf("%s, %s: after %v: %s", v.name, name, took, answer)
				}
				upload.Close()
			})
		}
	}
	// On HTTP/1.1 the rest could still come where the next request would.
	client := dial(t, b.plain)
	client.say(post("Content-Type: "+formType, "Content-Length: 100") + strings.Repeat("x", 50))
	if response := client.hear(); response.StatusCode != 408 || !response.Close {
		t.Errorf("%s, Connection: close %v", response.Status, response.Close)
	}
	if rest, err := io.ReadAll(client.reader); len(rest) > 0 || err != nil {
		t.Errorf("after the answer came %q, %v", rest, err)
	}
	group.Wait()
	if b.begun.Load() > 0 || b.calls() > 0 {
		t.Errorf("the upstream saw %d requests, the provider %d", b.begun.Load(), b.calls())
	}
	for range 2*len(b.versions()) + 1 {
		if status, outcome := b.nextEntry(); status != 408 || outcome != "error" {
			t.Errorf("status %v, outcome %v", status, outcome)
		}
	}
	awaitRest(t)
}
