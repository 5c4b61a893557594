package cache

import (
	"bytes"
	"errors"
	"net"
	"sync/atomic"
)

// guarded is a connection to a server that may be no Redis, or one that means
// harm. Reading fails before the client gets to see
//
//   - a length or a line that is longer than any answer to what we ask: the
//     client would allocate it;
//   - an answer to nothing: the client takes it for a mistake of its own, and
//     panics.
//
// Both directions speak the protocol of Redis (RESP), which is a row of lines,
// some of which say how many bytes, or how many more values, follow.
type guarded struct {
	net.Conn
	sent, received scanner
	unanswered     atomic.Int64 // commands
}

const (
	maxAnswer   = 4 << 20  // bytes of all strings: what a cluster of thousands of nodes says of itself
	maxElements = 64 << 10 // values, in all and in each other: the client calls itself for each depth
	maxLine     = 64 << 10
)

var (
	errNotRedis   = errors.New("the server does not speak the protocol of Redis")
	errUnasked    = errors.New("the server answers what was not asked")
	errTooMuch    = errors.New("the server sends more than an answer can hold")
	errNotCommand = errors.New("what was sent is no command")
)

func (g *guarded) Write(p []byte) (int, error) {
	// Before it is sent: the answer may be here before Write returns.
	err := g.sent.scan(p, func(byte) error {
		g.unanswered.Add(1)
		return nil
	})
	if err != nil {
		return 0, errNotCommand
	}
	return g.Conn.Write(p)
}

func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if scanErr := g.received.scan(p[:n], func(kind byte) error {
		if kind != '>' && g.unanswered.Add(-1) < 0 { // a push answers nothing
			return errUnasked
		}
		return nil
	}); scanErr != nil {
		g.Conn.Close()
		return 0, scanErr
	}
	return n, err
}

// scanner follows a stream of values, however it is cut.
type scanner struct {
	line []byte // the part of a line that has been seen
	skip int    // bytes of a string that are still to come, with its line's end
	owed int    // values that are still to come before the outermost one is whole
	seen int    // values in it
	size int    // bytes of its strings
}

// scan goes through the next bytes. begins is called for each outermost value,
// with the byte that says its kind.
func (s *scanner) scan(p []byte, begins func(kind byte) error) error {
	for len(p) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			s.skip -= n
			p = p[n:]
			continue
		}
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.line = append(s.line, p...)
			if len(s.line) > maxLine {
				return errTooMuch
			}
			return nil
		}
		line := p[:end]
		if len(s.line) > 0 {
			line = append(s.line, line...)
			s.line = line[:0]
		}
		p = p[end+1:]
		if err := s.take(line, begins); err != nil {
			return err
		}
	}
	return nil
}

// take is for a whole line but its \n.
func (s *scanner) take(line []byte, begins func(byte) error) error {
	if len(line) < 2 || line[len(line)-1] != '\r' {
		return errNotRedis
	}
	if len(line) > maxLine {
		return errTooMuch
	}
	kind, rest := line[0], line[1:len(line)-1]
	if s.owed == 0 {
		s.owed, s.seen, s.size = 1, 0, 0
		if err := begins(kind); err != nil {
			return err
		}
	}
	if s.seen++; s.seen > maxElements {
		return errTooMuch
	}
	switch kind {
	case '+', '-', ':', '_', ',', '#', '(': // a line is the value
		s.owed--
	case '$', '=', '!': // a string
		n, err := length(rest, maxAnswer-s.size)
		if err != nil {
			return err
		}
		if n >= 0 {
			s.size += n
			s.skip = n + len("\r\n")
		}
		s.owed--
	case '*', '~', '>', '%', '|': // values; pairs of them; pairs before the value that they are about
		n, err := length(rest, maxElements)
		if err != nil {
			return err
		}
		n = max(n, 0)
		if kind == '%' || kind == '|' {
			n *= 2
		}
		if kind != '|' {
			n--
		}
		if s.owed += n; s.owed > maxElements {
			return errTooMuch
		}
	default:
		return errNotRedis
	}
	return nil
}

// length reads a number of bytes or values. -1 stands for no value at all.
func length(text []byte, limit int) (int, error) {
	if string(text) == "-1" {
		return -1, nil
	}
	if len(text) == 0 {
		return 0, errNotRedis
	}
	n := 0
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			return 0, errNotRedis
		}
		if n = 10*n + int(digit-'0'); n > limit {
			return 0, errTooMuch
		}
	}
	return n, nil
}
