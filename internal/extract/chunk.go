package extract

import (
	"errors"
	"io"
	"os"
	"time"
)

// minChunk is how much memory a body gets at first, however long it is said to
// be: what a client announces but does not send costs nothing.
const minChunk = 4 << 10

// chunk is a piece of a body. A body is held as a list of them: it grows
// without being copied, and of what has been read again nothing keeps what
// lies behind.
type chunk struct {
	bytes []byte
	next  *chunk
}

// cursor is a place in a list of chunks. The zero cursor is at the end.
type cursor struct {
	rest []byte // of the chunk that the place is in
	next *chunk
}

// fill makes rest hold at least one byte. It returns false at the end.
func (c *cursor) fill() bool { return len(c.rest) > 0 || c.advance() }

func (c *cursor) advance() bool {
	for len(c.rest) == 0 {
		if c.next == nil {
			c.rest = nil // or it would keep the chunk
			return false
		}
		c.rest, c.next = c.next.bytes, c.next.next
	}
	return true
}

func (c *cursor) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !c.fill() {
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// loan is what one search has taken of the memory that all of them share.
type loan struct {
	memory Memory // nil: without a bound
	taken  int64
}

func (l *loan) take(n int) bool {
	if l.memory != nil && !l.memory.Take(int64(n)) {
		return false
	}
	l.taken += int64(n)
	return true
}

func (l *loan) repay() {
	if l.memory != nil && l.taken > 0 {
		l.memory.Return(l.taken)
	}
}

// errMemory means that a loan was refused.
var errMemory = errors.New("the memory for request bodies is used up")

// readChunks reads at most limit bytes, and returns with them their number and
// the error that ended the body, io.EOF included. length is what the body is
// said to have, or -1. A deadline that is not zero is looked at between reads.
//
// Every chunk is taken from the loan before it is made. A chunk is a sixteenth
// of the ones before it, so that a body never occupies much more than has
// arrived of it. Chunks are not pooled: a transport may still read the body
// after the handler has returned.
func readChunks(body io.Reader, limit int, length int64, deadline time.Time, memory *loan) (first *chunk, n int, err error) {
	last := &first
	for n < limit {
		size := max(minChunk, n/16/minChunk*minChunk)
		if left := length - int64(n); 0 <= left && left < int64(size) {
			size = int(left) + 1 // the read after the last byte finds the end
		}
		size = min(size, limit-n)
		if !memory.take(size) {
			return first, n, errMemory
		}
		buffer := make([]byte, 0, size)
		added := &chunk{}
		*last, last = added, &added.next
		for len(buffer) < size && err == nil {
			var read int
			read, err = body.Read(buffer[len(buffer):size])
			buffer = buffer[:len(buffer)+read]
			if err == nil && !deadline.IsZero() && !time.Now().Before(deadline) && n+len(buffer) < limit {
				err = os.ErrDeadlineExceeded
			}
		}
		added.bytes = buffer
		n += len(buffer)
		if err != nil {
			break
		}
	}
	return first, n, err
}
