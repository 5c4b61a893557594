package bodies

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

var errLeft = errors.New("the client leaves")

// announced are the lengths of bodies that will break off.
var announced = map[string]int64{"length": 1_000_000, "chunked": -1}

// TestAClientThatLeavesBeforeItsProofIsWhole: the upstream sees nothing, the
// provider is not asked, and the proof is still good.
func TestAClientThatLeavesBeforeItsProofIsWhole(t *testing.T) {
	b := harness.NewUpstream(t)
	b.Serve("log\n"+b.Directive(), b.ProxyTo(b.Upstream))
	for _, v := range b.Versions() {
		for name, length := range announced {
			t.Run(v.Name+", "+name, func(t *testing.T) {
				b.T = t
				proof := b.Proof(harness.GeeTestV4)
				body := proof.Encode()
				request := harness.NewRequest(t, "POST", v.URL+"/upload", "", "Content-Type", harness.FormType)
				request.ContentLength = length
				calls := b.VerifyCalls()
				b.Begun.Store(0)

				upload := b.Trickle(v, request)
				io.WriteString(upload, body[:len(body)-1])
				harness.Await(t, "the body to be read", func() bool { return strings.Contains(harness.Stacks(), "caddycaptcha/internal/extract.") })
				upload.CloseWithError(errLeft)
				<-upload.Answer
				if status, outcome := b.NextEntry(); status != 499 || outcome != "canceled" {
					t.Errorf("status %v, outcome %v", status, outcome)
				}
				harness.AwaitRest(t)
				if b.Begun.Load() > 0 || b.VerifyCalls() > calls {
					t.Errorf("the upstream saw %d requests, the provider %d", b.Begun.Load(), b.VerifyCalls()-calls)
				}
				resend(b, v, proof, "")
				b.NextEntry()
			})
		}
	}
}

// TestAClientThatLeavesDuringItsUpload: once a proof has let a request pass it
// is spent. The upstream knows that the body is not complete.
func TestAClientThatLeavesDuringItsUpload(t *testing.T) {
	b := harness.NewTestbed(t, "body_limit 8KiB")
	for _, v := range b.Versions() {
		for name, length := range announced {
			for _, kind := range []string{"header", "form"} {
				t.Run(v.Name+", "+name+", "+kind, func(t *testing.T) {
					b.T = t
					proof := b.Proof(harness.GeeTestV4)
					request := harness.NewRequest(t, "POST", v.URL+"/upload", "", "Content-Type", harness.FormType)
					request.ContentLength = length
					start := "a=b&x="
					if kind == "header" {
						harness.SetHeaders(request.Header, proof)
					} else {
						start = proof.Encode() + "&x="
					}
					before := b.Received.Load()
					upload := b.Trickle(v, request)
					io.WriteString(upload, start+strings.Repeat("y", 100_000))
					harness.Await(t, "the upstream to see some of the body", func() bool { return b.Received.Load() > before+8<<10 })
					upload.CloseWithError(errLeft)
					<-upload.Answer
					if a := <-b.Arrivals; a.Err == "" {
						t.Errorf("the upstream took %d bytes for the whole body", a.Size)
					}
					harness.AwaitRest(t)
					resend(b, v, proof, "replayed")
				})
			}
		}
	}
}

// TestAClientThatLeavesDuringVerification: the provider's yes comes too late
// for the request, but the proof is good for the same request once more.
func TestAClientThatLeavesDuringVerification(t *testing.T) {
	b := harness.NewUpstream(t)
	b.Serve("log\nwatch\n"+b.Directive(), b.ProxyTo(b.Upstream))
	for _, v := range b.Versions() {
		t.Run(v.Name, func(t *testing.T) {
			b.T = t
			proof := b.Proof(harness.GeeTestV4)
			hold := make(chan struct{})
			b.FailNext(1, simulator.Fault{Hold: hold})
			calls := b.VerifyCalls()
			b.Begun.Store(0)
			ctx, leave := context.WithCancel(t.Context())
			request := harness.NewRequest(t, "POST", v.URL+"/upload", "", "Content-Type", harness.FormType).WithContext(ctx)
			request.ContentLength = -1
			upload := b.Trickle(v, request)
			io.WriteString(upload, proof.Encode())
			upload.Close()
			if err := b.AwaitCalls(t.Context(), simulator.V4ValidatePath, calls+1); err != nil {
				t.Fatal(err)
			}
			leave()
			<-upload.Answer
			<-harness.Departures
			close(hold)
			if status, outcome := b.NextEntry(); status != 499 || outcome != "canceled" {
				t.Errorf("status %v, outcome %v", status, outcome)
			}
			harness.AwaitRest(t)
			if n := b.Begun.Load(); n > 0 {
				t.Errorf("%d requests reached the upstream", n)
			}
			for _, outcome := range []string{"", "replayed"} {
				resend(b, v, proof, outcome)
				b.NextEntry()
			}
			if n := b.VerifyCalls() - calls; n != 1 {
				t.Errorf("the provider was called %d times, want once", n)
			}
		})
	}
}

// resend posts the proof in a whole body; the outcome of a forwarded request
// is empty.
func resend(b *harness.Testbed, v harness.Version, proof url.Values, outcome string) {
	b.T.Helper()
	request := harness.NewRequest(b.T, "POST", v.URL+"/upload", proof.Encode(), "Content-Type", harness.FormType)
	request.Host, request.ContentLength = harness.GateHost, -1
	response, err := v.RoundTrip(request)
	if err != nil {
		b.T.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Captcha-Outcome"); got != outcome {
		b.T.Fatalf("%s, outcome %q, want %q", response.Status, got, outcome)
	}
	if outcome == "" {
		<-b.Arrivals
	}
}
