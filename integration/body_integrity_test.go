package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// upload is a body with a proof in it, or in the header beside it.
type upload struct {
	kind    string // header, form, multipart or json
	size    int64
	framing framing
}

// framing is how the end of a body is told.
type framing string

const (
	length  framing = "Content-Length"
	chunked framing = "chunked"
	trailer framing = "chunked, with a trailer"
)

func (u upload) String() string { return fmt.Sprintf("%s, %d bytes, %s", u.kind, u.size, u.framing) }

// envelope returns the type of the body, what is before its filler, and after.
func (u upload) envelope(proof url.Values) (mediaType, head, tail string) {
	switch u.kind {
	case "form":
		return formType, proof.Encode() + "&x=", ""
	case "multipart":
		var text bytes.Buffer
		w := multipart.NewWriter(&text)
		w.SetBoundary("a-boundary")
		for _, name := range slices.Sorted(maps.Keys(proof)) {
			w.WriteField(name, proof.Get(name))
		}
		w.CreateFormFile("file", "photo.jpg")
		return w.FormDataContentType(), text.String(), "\r\n--" + w.Boundary() + "--\r\n"
	case "json":
		text, _ := json.Marshal(members(proof))
		return "application/json", strings.TrimSuffix(string(text), "}") + `,"x":"`, `"}`
	}
	return "application/octet-stream", "", ""
}

// body returns the body and its type.
func (u upload) body(t *testing.T, proof url.Values) (mediaType string, body io.Reader) {
	t.Helper()
	mediaType, head, tail := u.envelope(proof)
	rest := u.size - int64(len(head)+len(tail))
	if rest < 0 {
		t.Fatalf("%s: too small for a proof", u)
	}
	return mediaType, io.MultiReader(strings.NewReader(head), &filler{end: rest}, strings.NewReader(tail))
}

// request returns the request of the upload, and the digest of the body as far
// as the body has been read.
func (u upload) request(t *testing.T, target, host string, proof url.Values) (*http.Request, func() [sha256.Size]byte) {
	t.Helper()
	mediaType, body := u.body(t, proof)
	digest := sha256.New()
	request := newRequest(t, "POST", target+"/upload?q=1", "", "Content-Type", mediaType)
	request.Host = host
	if u.kind == "header" {
		setHeaders(request.Header, proof)
	}
	request.Body, request.GetBody = io.NopCloser(io.TeeReader(body, digest)), nil
	switch request.ContentLength = -1; {
	case u.framing == trailer:
		request.Trailer = http.Header{"Digest": {"sha-256=x"}}
	case u.framing == length && u.size > 0:
		request.ContentLength = u.size
	case u.framing == length:
		request.Body, request.ContentLength = http.NoBody, 0
	}
	return request, func() [sha256.Size]byte { return [sha256.Size]byte(digest.Sum(nil)) }
}

// send sends the upload to the host and returns how it arrived upstream.
func (b *testbed) send(v version, u upload, host string, proof url.Values) arrival {
	b.t.Helper()
	request, sum := u.request(b.t, v.url, host, proof)
	response, err := v.RoundTrip(request)
	if err != nil {
		b.t.Fatalf("%s to %s: %v", u, host, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || response.Proto != v.name[:8] {
		b.t.Fatalf("%s to %s: %s %s, %v: %s", u, host, response.Proto, response.Status, err, answer)
	}
	a := <-b.arrivals
	if a.Err != "" || a.Size != u.size || a.Sum != sum() {
		b.t.Errorf("%s to %s: %d bytes arrived, %s", u, host, a.Size, a.Err)
	}
	return a
}

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
		b := newTestbed(t, test.option)
		for _, v := range b.versions() {
			t.Run(fmt.Sprintf("%s, limit %d", v.name, test.limit), func(t *testing.T) {
				b.t = t
				for _, kind := range []string{"header", "form", "multipart", "json"} {
					for _, size := range test.sizes {
						if kind != "header" && size < 4095 {
							continue // no room for a proof
						}
						for _, framing := range []framing{length, chunked, trailer} {
							b.compare(v, upload{kind, size, framing})
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
	b := newTestbed(t)
	for _, v := range b.versions() {
		t.Run(v.name, func(t *testing.T) {
			b.t = t
			b.send(v, upload{"header", 64 << 20, length}, gateHost, b.solve(geetestV4))
			b.send(v, upload{"multipart", 64 << 20, trailer}, gateHost, b.solve(geetestV4))
		})
	}
}

// compare sends the upload to both hosts.
func (b *testbed) compare(v version, u upload) {
	b.t.Helper()
	proof := b.solve(geetestV4)
	calls := b.calls()
	gated, bare := b.send(v, u, gateHost, proof), b.send(v, u, bareHost, proof)
	if b.calls() != calls+1 {
		b.t.Errorf("%s: the provider was called %d times, want once", u, b.calls()-calls)
	}
	if !reflect.DeepEqual(gated, bare) {
		b.t.Errorf("%s arrived as\n%+v\nrather than as\n%+v", u, gated, bare)
	}
	wantLength, wantTrailer := int64(-1), ""
	if u.framing == length && (v.name != "HTTP/3.0" || u.size > 0) { // quic-go's client does not say 0
		wantLength = u.size
	}
	if u.framing == trailer && v.name != "HTTP/3.0" { // quic-go's server reads none
		wantTrailer = "sha-256=x"
	}
	if gated.Length != wantLength || gated.Trailer.Get("Digest") != wantTrailer {
		b.t.Errorf("%s arrived with length %d and trailer %v", u, gated.Length, gated.Trailer)
	}
}
