package integration

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

var errLeft = errors.New("the client leaves")

// announced are the lengths of bodies that will break off.
var announced = map[string]int64{"length": 1_000_000, "chunked": -1}

// TestAClientThatLeavesBeforeItsProofIsWhole: the upstream sees nothing, the
// provider is not asked, and the proof is still good.
func TestAClientThatLeavesBeforeItsProofIsWhole(t *testing.T) {
	b := newUpstream(t)
	b.serve("log\n"+b.directive(), b.proxyTo(b.upstream))
	for _, v := range b.versions() {
		for name, length := range announced {
			t.Run(v.name+", "+name, func(t *testing.T) {
				b.t = t
				proof := b.solve(geetestV4)
				body := proof.Encode()
				request := newRequest(t, "POST", v.url+"/upload", "", "Content-Type", formType)
				request.ContentLength = length
				calls := b.calls()
				b.begun.Store(0)

				upload := b.trickle(v, request)
				io.WriteString(upload, body[:len(body)-1])
				await(t, "the body to be read", func() bool { return strings.Contains(stacks(), "caddycaptcha/internal/extract.") })
				upload.CloseWithError(errLeft)
				<-upload.answer
				if status, outcome := b.nextEntry(); status != 499 || outcome != "canceled" {
					t.Errorf("status %v, outcome %v", status, outcome)
				}
				awaitRest(t)
				if b.begun.Load() > 0 || b.calls() > calls {
					t.Errorf("the upstream saw %d requests, the provider %d", b.begun.Load(), b.calls()-calls)
				}
				b.resend(v, proof, "")
				b.nextEntry()
			})
		}
	}
}

// TestAClientThatLeavesDuringItsUpload: once a proof has let a request pass it
// is spent. The upstream knows that the body is not complete.
func TestAClientThatLeavesDuringItsUpload(t *testing.T) {
	b := newTestbed(t, "body_limit 8KiB")
	for _, v := range b.versions() {
		for name, length := range announced {
			for _, kind := range []string{"header", "form"} {
				t.Run(v.name+", "+name+", "+kind, func(t *testing.T) {
					b.t = t
					proof := b.solve(geetestV4)
					request := newRequest(t, "POST", v.url+"/upload", "", "Content-Type", formType)
					request.ContentLength = length
					start := "a=b&x="
					if kind == "header" {
						setHeaders(request.Header, proof)
					} else {
						start = proof.Encode() + "&x="
					}
					before := b.received.Load()
					upload := b.trickle(v, request)
					io.WriteString(upload, start+strings.Repeat("y", 100_000))
					await(t, "the upstream to see some of the body", func() bool { return b.received.Load() > before+8<<10 })
					upload.CloseWithError(errLeft)
					<-upload.answer
					if a := <-b.arrivals; a.Err == "" {
						t.Errorf("the upstream took %d bytes for the whole body", a.Size)
					}
					awaitRest(t)
					b.resend(v, proof, "replayed")
				})
			}
		}
	}
}

// TestAClientThatLeavesDuringVerification: the provider's yes comes too late
// for the request, but the proof is good for the same request once more.
func TestAClientThatLeavesDuringVerification(t *testing.T) {
	b := newUpstream(t)
	b.serve("log\nwatch\n"+b.directive(), b.proxyTo(b.upstream))
	for _, v := range b.versions() {
		t.Run(v.name, func(t *testing.T) {
			b.t = t
			proof := b.solve(geetestV4)
			hold := make(chan struct{})
			b.FailNext(1, simulator.Fault{Hold: hold})
			calls := b.calls()
			b.begun.Store(0)
			ctx, leave := context.WithCancel(t.Context())
			request := newRequest(t, "POST", v.url+"/upload", "", "Content-Type", formType).WithContext(ctx)
			request.ContentLength = -1
			upload := b.trickle(v, request)
			io.WriteString(upload, proof.Encode())
			upload.Close()
			if err := b.AwaitCalls(t.Context(), simulator.V4ValidatePath, calls+1); err != nil {
				t.Fatal(err)
			}
			leave()
			<-upload.answer
			<-departures
			close(hold)
			if status, outcome := b.nextEntry(); status != 499 || outcome != "canceled" {
				t.Errorf("status %v, outcome %v", status, outcome)
			}
			awaitRest(t)
			if n := b.begun.Load(); n > 0 {
				t.Errorf("%d requests reached the upstream", n)
			}
			for _, outcome := range []string{"", "replayed"} {
				b.resend(v, proof, outcome)
				b.nextEntry()
			}
			if n := b.calls() - calls; n != 1 {
				t.Errorf("the provider was called %d times, want once", n)
			}
		})
	}
}

// watch is a handler that tells when a client leaves.
type watch struct{}

var departures = make(chan struct{}, 1)

func (watch) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.watch", New: func() caddy.Module { return new(watch) }}
}

func (watch) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	stop := context.AfterFunc(r.Context(), func() { departures <- struct{}{} })
	defer stop()
	return next.ServeHTTP(w, r)
}

func init() {
	caddy.RegisterModule(watch{})
	httpcaddyfile.RegisterHandlerDirective("watch", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return watch{}, nil })
	httpcaddyfile.RegisterDirectiveOrder("watch", httpcaddyfile.Before, "basic_auth")
}

// resend posts the proof in a whole body; the outcome of a forwarded request
// is empty.
func (b *testbed) resend(v version, proof url.Values, outcome string) {
	b.t.Helper()
	request := newRequest(b.t, "POST", v.url+"/upload", proof.Encode(), "Content-Type", formType)
	request.Host, request.ContentLength = gateHost, -1
	response, err := v.RoundTrip(request)
	if err != nil {
		b.t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Captcha-Outcome"); got != outcome {
		b.t.Fatalf("%s, outcome %q, want %q", response.Status, got, outcome)
	}
	if outcome == "" {
		<-b.arrivals
	}
}
