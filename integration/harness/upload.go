package harness

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
	"slices"
	"strings"
	"testing"
)

// filler is a body of letters that does not repeat itself for a while.
type filler struct{ offset, end int64 }

var letters = func() []byte {
	text := make([]byte, 65521) // a prime, so as not to hide a shift by a buffer
	seed := uint32(1)
	for i := range text {
		seed = seed*1664525 + 1013904223
		text[i] = 'a' + byte(seed>>24)%26
	}
	return text
}()

func (f *filler) Read(p []byte) (int, error) {
	if f.offset == f.end {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), f.end-f.offset)]
	n := copy(p, letters[f.offset%int64(len(letters)):])
	f.offset += int64(n)
	return n, nil
}

// Trickle is an upload whose body the test writes piece by piece.
type Trickle struct {
	*io.PipeWriter
	Answer chan string // the status, or the error
}

// Trickle sends a request to GateHost and returns while its body is open.
func (b *Testbed) Trickle(v Version, request *http.Request) Trickle {
	body, w := io.Pipe()
	request.Host, request.Body, request.GetBody = GateHost, body, nil
	upload := Trickle{w, make(chan string, 1)}
	go func() {
		response, err := v.RoundTrip(request)
		if err != nil {
			upload.Answer <- err.Error()
			return
		}
		response.Body.Close()
		upload.Answer <- response.Status
	}()
	return upload
}

// Upload is a body with a proof in it, or in the header beside it.
type Upload struct {
	Kind    string // header, form, multipart or json
	Size    int64
	Framing Framing
}

// Framing is how the end of a body is told.
type Framing string

const (
	Length  Framing = "Content-Length"
	Chunked Framing = "chunked"
	Trailer Framing = "chunked, with a trailer"
)

func (u Upload) String() string { return fmt.Sprintf("%s, %d bytes, %s", u.Kind, u.Size, u.Framing) }

// envelope returns the type of the body, what is before its filler, and after.
func (u Upload) envelope(proof url.Values) (mediaType, head, tail string) {
	switch u.Kind {
	case "form":
		return FormType, proof.Encode() + "&x=", ""
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
		text, _ := json.Marshal(Members(proof))
		return "application/json", strings.TrimSuffix(string(text), "}") + `,"x":"`, `"}`
	}
	return "application/octet-stream", "", ""
}

// Body returns the body and its type.
func (u Upload) Body(t *testing.T, proof url.Values) (mediaType string, body io.Reader) {
	t.Helper()
	mediaType, head, tail := u.envelope(proof)
	rest := u.Size - int64(len(head)+len(tail))
	if rest < 0 {
		t.Fatalf("%s: too small for a proof", u)
	}
	return mediaType, io.MultiReader(strings.NewReader(head), &filler{end: rest}, strings.NewReader(tail))
}

// Request returns the request of the upload, and the digest of the body as far
// as the body has been read.
func (u Upload) Request(t *testing.T, target, host string, proof url.Values) (*http.Request, func() [sha256.Size]byte) {
	t.Helper()
	mediaType, body := u.Body(t, proof)
	digest := sha256.New()
	request := NewRequest(t, "POST", target+"/upload?q=1", "", "Content-Type", mediaType)
	request.Host = host
	if u.Kind == "header" {
		SetHeaders(request.Header, proof)
	}
	request.Body, request.GetBody = io.NopCloser(io.TeeReader(body, digest)), nil
	switch request.ContentLength = -1; {
	case u.Framing == Trailer:
		request.Trailer = http.Header{"Digest": {"sha-256=x"}}
	case u.Framing == Length && u.Size > 0:
		request.ContentLength = u.Size
	case u.Framing == Length:
		request.Body, request.ContentLength = http.NoBody, 0
	}
	return request, func() [sha256.Size]byte { return [sha256.Size]byte(digest.Sum(nil)) }
}

// Send sends the upload to the host and returns how it arrived upstream.
func (b *Testbed) Send(v Version, u Upload, host string, proof url.Values) Arrival {
	b.T.Helper()
	request, sum := u.Request(b.T, v.URL, host, proof)
	response, err := v.RoundTrip(request)
	if err != nil {
		b.T.Fatalf("%s to %s: %v", u, host, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || response.Proto != v.Name[:8] {
		b.T.Fatalf("%s to %s: %s %s, %v: %s", u, host, response.Proto, response.Status, err, answer)
	}
	a := <-b.Arrivals
	if a.Err != "" || a.Size != u.Size || a.Sum != sum() {
		b.T.Errorf("%s to %s: %d bytes arrived, %s", u, host, a.Size, a.Err)
	}
	return a
}
