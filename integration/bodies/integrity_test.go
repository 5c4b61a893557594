// Package bodies tests what becomes of the body of a request: it is searched for
// a proof, and reaches the application as it was sent.
package bodies

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
)

// TestUploadsArriveAsTheyWereSent: wherever the proof is, the upstream gets the
// same bytes, framing and trailers as without a captcha.
func TestUploadsArriveAsTheyWereSent(t *testing.T) {
	for _, test := range []struct {
		option string
		limit  int64
		sizes  []int64
	}{
		{"body_limit 8KiB", 8 << 10, []int64{0, 1, 4095, 4096, 8<<10 - 1, 8 << 10, 8<<10 + 1, 100_000}},
		{"", 128 << 10, []int64{128<<10 - 1, 128 << 10, 128<<10 + 1}},
	} {
		b := harness.NewTestbed(t, test.option)
		for _, v := range b.Versions() {
			t.Run(fmt.Sprintf("%s, limit %d", v.Name, test.limit), func(t *testing.T) {
				b.T = t
				for _, kind := range []string{"header", "form", "multipart", "json"} {
					for _, size := range test.sizes {
						if kind != "header" && size < 4095 {
							continue // no room for a proof
						}
						for _, framing := range []harness.Framing{harness.Length, harness.Chunked, harness.Trailer} {
							compare(b, v, harness.Upload{Kind: kind, Size: size, Framing: framing})
						}
					}
				}
			})
		}
	}
}

// TestLongUploadsArriveAsTheyWereSent is the same with bodies that no one
// should hold in memory.
func TestLongUploadsArriveAsTheyWereSent(t *testing.T) {
	b := harness.NewTestbed(t)
	for _, v := range b.Versions() {
		t.Run(v.Name, func(t *testing.T) {
			b.T = t
			b.Send(v, harness.Upload{Kind: "header", Size: 64 << 20, Framing: harness.Length}, harness.GateHost, b.Proof(harness.GeeTestV4))
			b.Send(v, harness.Upload{Kind: "multipart", Size: 64 << 20, Framing: harness.Trailer}, harness.GateHost, b.Proof(harness.GeeTestV4))
		})
	}
}

// compare sends the upload to both hosts.
func compare(b *harness.Testbed, v harness.Version, u harness.Upload) {
	b.T.Helper()
	proof := b.Proof(harness.GeeTestV4)
	calls := b.VerifyCalls()
	gated, bare := b.Send(v, u, harness.GateHost, proof), b.Send(v, u, harness.BareHost, proof)
	if b.VerifyCalls() != calls+1 {
		b.T.Errorf("%s: the provider was called %d times, want once", u, b.VerifyCalls()-calls)
	}
	if !reflect.DeepEqual(gated, bare) {
		b.T.Errorf("%s arrived as\n%+v\nrather than as\n%+v", u, gated, bare)
	}
	wantLength, wantTrailer := int64(-1), ""
	if u.Framing == harness.Length && (v.Name != "HTTP/3.0" || u.Size > 0) { // quic-go's client does not say 0
		wantLength = u.Size
	}
	if u.Framing == harness.Trailer && v.Name != "HTTP/3.0" { // quic-go's server reads none
		wantTrailer = "sha-256=x"
	}
	if gated.Length != wantLength || gated.Trailer.Get("Digest") != wantTrailer {
		b.T.Errorf("%s arrived with length %d and trailer %v", u, gated.Length, gated.Trailer)
	}
}
