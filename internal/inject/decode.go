package inject

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// Decoding needs a window of at most this size, as browsers do.
const maxWindow = 8 << 20

// What decodes to more than maxRatio times its size is a bomb, once there is
// enough of it. Deflate cannot even reach that ratio, other encodings can.
const (
	maxRatio   = 1100
	ratioAfter = 256 << 20
)

var errBomb = fmt.Errorf("it decodes to more than %d times its size", maxRatio)

// decoders open what the Content-Encodings are made of.
var decoders = map[string]func(io.Reader) (io.Reader, error){
	"gzip":   func(r io.Reader) (io.Reader, error) { return newGzipReader(r) },
	"x-gzip": func(r io.Reader) (io.Reader, error) { return newGzipReader(r) },
	"br":     func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	"zstd": func(r io.Reader) (io.Reader, error) {
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	},
}

// decoder decodes what is written to it. The decoding packages want to read,
// and therefore run as a coroutine: it reads what a Write brings and stops where
// it needs more. That way there is no second goroutine that works on the
// response.
type decoder struct {
	to      func([]byte) error
	in      []byte
	read    int64
	wrote   int64
	ended   bool
	finish  bool // the page ends cleanly
	err     error
	pause   func(struct{}) bool
	proceed func() (struct{}, bool)
	stop    func()
}

// newDecoder returns a decoder that hands what it decodes to the function.
func newDecoder(open func(io.Reader) (io.Reader, error), to func([]byte) error) *decoder {
	d := &decoder{to: to}
	d.proceed, d.stop = iter.Pull(func(pause func(struct{}) bool) {
		d.pause = pause
		d.err = d.decode(open)
		d.ended = true
	})
	return d
}

// Write decodes p as far as it is complete.
func (d *decoder) Write(p []byte) (int, error) {
	if !d.ended {
		d.in = p
		d.proceed()
	}
	return len(p), d.err
}

// Close decodes what is left.
func (d *decoder) Close() error {
	d.finish = true
	if !d.ended {
		d.proceed()
	}
	d.abandon()
	return d.err
}

// abandon ends the decoding where it is.
func (d *decoder) abandon() {
	d.to = func([]byte) error { return errAbandoned }
	d.stop()
}

var errAbandoned = errors.New("the response was abandoned")

// decode runs in the coroutine.
func (d *decoder) decode(open func(io.Reader) (io.Reader, error)) error {
	if _, err := d.peek(); err != nil {
		return nil // an empty page
	}
	r, err := open(d)
	if err != nil {
		return fmt.Errorf("decoding it: %w", err)
	}
	if closer, ok := r.(interface{ Close() }); ok {
		defer closer.Close()
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		d.wrote += int64(n)
		if d.wrote > ratioAfter+maxRatio*d.read {
			return errBomb
		}
		if n > 0 {
			if err := d.to(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("decoding it: %w", err)
		}
	}
}

// peek waits for input.
func (d *decoder) peek() ([]byte, error) {
	for len(d.in) == 0 {
		if d.finish {
			return nil, io.EOF
		}
		if !d.pause(struct{}{}) {
			return nil, errAbandoned
		}
	}
	return d.in, nil
}

// Read reads what Write was given. It is called in the coroutine.
func (d *decoder) Read(p []byte) (int, error) {
	in, err := d.peek()
	if err != nil {
		return 0, err
	}
	n := copy(p, in)
	d.in = in[n:]
	d.read += int64(n)
	return n, nil
}

// gzipReader reads the members of a gzip file up to what is none: browsers
// ignore that.
type gzipReader struct {
	*gzip.Reader
	from *bufio.Reader
}

func newGzipReader(r io.Reader) (io.Reader, error) {
	from := bufio.NewReader(r)
	reader, err := gzip.NewReader(from)
	if err != nil {
		return nil, err
	}
	reader.Multistream(false)
	return &gzipReader{reader, from}, nil
}

func (g *gzipReader) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if err != io.EOF {
		return n, err
	}
	if n > 0 {
		return n, nil // before waiting for another member
	}
	if magic, _ := g.from.Peek(2); string(magic) != "\x1f\x8b" {
		return 0, io.EOF
	}
	if err := g.Reset(g.from); err != nil {
		return 0, err
	}
	g.Multistream(false)
	return 0, nil
}
