package streams

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/integration/harness"
	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
)

// TestABodyBesideAHeaderProofIsNotRead: the upstream has the request before
// the client has sent one byte of the body, although the body's type is one
// that could hold a proof.
func TestABodyBesideAHeaderProofIsNotRead(t *testing.T) {
	b := harness.NewTestbed(t)
	for _, v := range b.Versions() {
		for name, length := range map[string]int64{"length": 3, "chunked": -1} {
			passed := t.Run(v.Name+", "+name, func(t *testing.T) {
				b.T = t
				request := harness.NewRequest(t, "POST", v.URL+"/upload", "", "Content-Type", harness.FormType)
				request.ContentLength = length
				harness.SetHeaders(request.Header, b.Proof(harness.GeeTestV4))
				before := b.Begun.Load()
				upload := b.Trickle(v, request)
				harness.Await(t, "the upstream to see the request", func() bool { return b.Begun.Load() > before })
				io.WriteString(upload, "a=b")
				upload.Close()
				if answer := <-upload.Answer; answer != "200 OK" {
					t.Fatal(answer)
				}
				if a := <-b.Arrivals; a.Size != 3 || a.Err != "" {
					t.Errorf("%d bytes arrived, %s", a.Size, a.Err)
				}
			})
			if !passed {
				return // the others would wait as long
			}
		}
	}
}

// TestUploadsStreamBehindTheSearchedPart: what the client sends behind the
// part that is searched reaches the upstream before the client has sent the
// rest.
func TestUploadsStreamBehindTheSearchedPart(t *testing.T) {
	const limit = 8 << 10
	b := harness.NewTestbed(t, "body_limit 8KiB")
	for _, v := range b.Versions() {
		passed := t.Run(v.Name, func(t *testing.T) {
			b.T = t
			request := harness.NewRequest(t, "POST", v.URL+"/upload", "", "Content-Type", harness.FormType)
			request.ContentLength = -1
			upload := b.Trickle(v, request)
			start := b.Proof(harness.GeeTestV4).Encode() + "&x="
			start += strings.Repeat("y", limit+1-len(start))
			before := b.Received.Load()
			io.WriteString(upload, start)
			for n := int64(len(start)); n < 4*limit; n += limit {
				harness.Await(t, "the upstream to see what was sent", func() bool { return b.Received.Load()-before == n })
				io.WriteString(upload, strings.Repeat("z", limit))
			}
			upload.Close()
			if answer := <-upload.Answer; answer != "200 OK" {
				t.Fatal(answer)
			}
			if a := <-b.Arrivals; a.Size != int64(len(start))+3*limit || a.Err != "" {
				t.Errorf("%d bytes arrived, %s", a.Size, a.Err)
			}
		})
		if !passed {
			return // the others would wait as long
		}
	}
}

// TestABodyThatDribblesInIsNoWorse: a body of which every byte comes by itself
// is searched and forwarded like any other.
func TestABodyThatDribblesInIsNoWorse(t *testing.T) {
	b := harness.NewTestbed(t)
	for _, v := range b.Versions() {
		t.Run(v.Name, func(t *testing.T) {
			b.T = t
			body := b.Proof(harness.GeeTestV4).Encode()
			request := harness.NewRequest(t, "POST", v.URL+"/upload", "", "Content-Type", harness.FormType)
			request.ContentLength = -1
			upload := b.Trickle(v, request)
			for i := range len(body) {
				io.WriteString(upload, body[i:i+1])
			}
			upload.Close()
			if answer := <-upload.Answer; answer != "200 OK" {
				t.Fatal(answer)
			}
			if a := <-b.Arrivals; a.Size != int64(len(body)) || a.Err != "" {
				t.Errorf("%d bytes arrived, %s", a.Size, a.Err)
			}
		})
	}
}

// TestUploadsDoNotFillTheMemory: of an upload of 1 GiB no more than the part
// that is searched is held, wherever the proof is.
func TestUploadsDoNotFillTheMemory(t *testing.T) {
	if testenv.Short() {
		t.Skip("sends 2 GiB")
	}
	const limit = 128 << 10 // the default
	b := harness.NewTestbed(t)
	v := b.Versions()[0]
	for _, kind := range []string{"header", "multipart"} {
		t.Run(kind, func(t *testing.T) {
			b.T = t
			b.Send(v, harness.Upload{Kind: kind, Size: 1 << 20, Framing: harness.Chunked}, harness.GateHost, b.Proof(harness.GeeTestV4)) // what is made at first use
			baseline := heapInUse()
			u, proof := harness.Upload{Kind: kind, Size: 1 << 30, Framing: harness.Chunked}, b.Proof(harness.GeeTestV4)
			request, _ := u.Request(t, v.URL, harness.GateHost, proof)
			_, body := u.Body(t, proof) // without the digest, which takes its time
			gauge := &gauge{Reader: body, next: 1 << 20}
			request.Body = io.NopCloser(gauge)
			response, err := v.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if a := <-b.Arrivals; response.StatusCode != http.StatusOK || a.Size != u.Size {
				t.Errorf("%s, %d bytes arrived, %s", response.Status, a.Size, a.Err)
			}
			if gauge.samples < 16 || gauge.most > baseline+limit+8<<20 {
				t.Errorf("%d bytes of memory became %d in %d samples", baseline, gauge.most, gauge.samples)
			}
		})
	}
}

// gauge is a body that looks at the memory now and then while it is read.
type gauge struct {
	io.Reader
	read, next int64
	samples    int
	most       uint64
}

func (g *gauge) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if g.read += int64(n); g.read >= g.next {
		g.next += 32 << 20
		g.samples++
		g.most = max(g.most, heapInUse())
	}
	return n, err
}

// heapInUse returns the memory that is in use after a garbage collection.
func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapInuse
}
