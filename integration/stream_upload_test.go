package integration

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// trickle is an upload whose body the test writes piece by piece.
type trickle struct {
	*io.PipeWriter
	answer chan string // the status, or the error
}

// trickle sends a request to gateHost and returns while its body is open.
func (b *testbed) trickle(v version, request *http.Request) trickle {
	body, w := io.Pipe()
	request.Host, request.Body, request.GetBody = gateHost, body, nil
	upload := trickle{w, make(chan string, 1)}
	go func() {
		response, err := v.RoundTrip(request)
		if err != nil {
			upload.answer <- err.Error()
			return
		}
		response.Body.Close()
		upload.answer <- response.Status
	}()
	return upload
}

// TestABodyBesideAHeaderProofIsNotRead: the upstream has the request before
// the client has sent one byte of the body, although the body's type is one
// that could hold a proof.
func TestABodyBesideAHeaderProofIsNotRead(t *testing.T) {
	b := newTestbed(t)
	for _, v := range b.versions() {
		for name, length := range map[string]int64{"length": 3, "chunked": -1} {
			passed := t.Run(v.name+", "+name, func(t *testing.T) {
				b.t = t
				request := newRequest(t, "POST", v.url+"/upload", "", "Content-Type", formType)
				request.ContentLength = length
				setHeaders(request.Header, b.solve(geetestV4))
				before := b.begun.Load()
				upload := b.trickle(v, request)
				await(t, "the upstream to see the request", func() bool { return b.begun.Load() > before })
				io.WriteString(upload, "a=b")
				upload.Close()
				if answer := <-upload.answer; answer != "200 OK" {
					t.Fatal(answer)
				}
				if a := <-b.arrivals; a.Size != 3 || a.Err != "" {
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
	b := newTestbed(t, "body_limit 8KiB")
	for _, v := range b.versions() {
		passed := t.Run(v.name, func(t *testing.T) {
			b.t = t
			request := newRequest(t, "POST", v.url+"/upload", "", "Content-Type", formType)
			request.ContentLength = -1
			upload := b.trickle(v, request)
			start := b.solve(geetestV4).Encode() + "&x="
			start += strings.Repeat("y", limit+1-len(start))
			before := b.received.Load()
			io.WriteString(upload, start)
			for n := int64(len(start)); n < 4*limit; n += limit {
				await(t, "the upstream to see what was sent", func() bool { return b.received.Load()-before == n })
				io.WriteString(upload, strings.Repeat("z", limit))
			}
			upload.Close()
			if answer := <-upload.answer; answer != "200 OK" {
				t.Fatal(answer)
			}
			if a := <-b.arrivals; a.Size != int64(len(start))+3*limit || a.Err != "" {
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
	b := newTestbed(t)
	for _, v := range b.versions() {
		t.Run(v.name, func(t *testing.T) {
			b.t = t
			body := b.solve(geetestV4).Encode()
			request := newRequest(t, "POST", v.url+"/upload", "", "Content-Type", formType)
			request.ContentLength = -1
			upload := b.trickle(v, request)
			for i := range len(body) {
				io.WriteString(upload, body[i:i+1])
			}
			upload.Close()
			if answer := <-upload.answer; answer != "200 OK" {
				t.Fatal(answer)
			}
			if a := <-b.arrivals; a.Size != int64(len(body)) || a.Err != "" {
				t.Errorf("%d bytes arrived, %s", a.Size, a.Err)
			}
		})
	}
}

// TestUploadsDoNotFillTheMemory: of an upload of 1 GiB no more than the part
// that is searched is held, wherever the proof is.
func TestUploadsDoNotFillTheMemory(t *testing.T) {
	const limit = 128 << 10 // the default
	b := newTestbed(t)
	v := b.versions()[0]
	for _, kind := range []string{"header", "multipart"} {
		t.Run(kind, func(t *testing.T) {
			b.t = t
			b.send(v, upload{kind, 1 << 20, chunked}, gateHost, b.solve(geetestV4)) // what is made at first use
			baseline := heapInUse()
			u, proof := upload{kind, 1 << 30, chunked}, b.solve(geetestV4)
			request, _ := u.request(t, v.url, gateHost, proof)
			_, body := u.body(t, proof) // without the digest, which takes its time
			gauge := &gauge{Reader: body, next: 1 << 20}
			request.Body = io.NopCloser(gauge)
			response, err := v.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if a := <-b.arrivals; response.StatusCode != http.StatusOK || a.Size != u.size {
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
