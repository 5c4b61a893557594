package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// value writes a value of the protocol, with others in it.
func value(r *rand.Rand, depth int) string {
	text := func() string { return strings.Repeat("$1\r\n", r.IntN(4)) } // looks like a line
	several := func(kind string, n, times int) string {
		s := fmt.Sprintf("%s%d\r\n", kind, n)
		for range n * times {
			s += value(r, depth-1)
		}
		return s
	}
	kinds := 11
	if depth == 0 {
		kinds = 7
	}
	switch r.IntN(kinds) {
	case 0:
		return "+OK\r\n"
	case 1:
		return "-ERR no\r\n"
	case 2:
		return ":17\r\n"
	case 3:
		return "_\r\n"
	case 4:
		return "$-1\r\n"
	case 5:
		s := text()
		return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s)
	case 6:
		return ",1.5\r\n"
	case 7:
		return several("*", r.IntN(4), 1)
	case 8:
		return several("%", r.IntN(3), 2)
	case 9:
		return several("~", r.IntN(3), 1)
	default:
		return several("|", r.IntN(2), 2) + value(r, depth-1)
	}
}

// scanned counts the outermost values in pieces of a stream.
func scanned(pieces ...string) (begun int, err error) {
	var s scanner
	for _, piece := range pieces {
		if err = s.scan([]byte(piece), func(byte) error { begun++; return nil }); err != nil {
			return begun, err
		}
	}
	return begun, nil
}

// TestScannerFollowsEveryStream: however values are nested and the stream is
// cut, each outermost one is counted, and none inside another.
func TestScannerFollowsEveryStream(t *testing.T) {
	const seed = 20261125
	r := rand.New(rand.NewPCG(seed, 1))
	for range 5000 {
		stream, want := "", 0
		for range 1 + r.IntN(4) {
			stream += value(r, 3)
			want++
		}
		var pieces []string
		for rest := stream; rest != ""; {
			n := 1 + r.IntN(len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if got, err := scanned(pieces...); got != want || err != nil {
			t.Fatalf("%d values, %v; want %d in %q (seed %d)", got, err, want, stream, seed)
		}
	}
}

func TestScannerKeepsBounds(t *testing.T) {
	for stream, want := range map[string]error{
		"HTTP/1.1 400 Bad Request\r\n":          errNotRedis,
		"+OK\n":                                 errNotRedis,
		"$x\r\n":                                errNotRedis,
		"$\r\n":                                 errNotRedis,
		"$-2\r\n":                               errNotRedis,
		"$4194305\r\n":                          errTooMuch,
		"$99999999999999999999\r\n":             errTooMuch,
		"*65537\r\n":                            errTooMuch,
		"*60000\r\n*60000\r\n":                  errTooMuch,
		"%40000\r\n":                            errTooMuch,
		strings.Repeat("*1\r\n", maxElements+1): errTooMuch,
		strings.Repeat("|0\r\n", maxElements+1): errTooMuch,
		"*2\r\n$4000000\r\n" + strings.Repeat("x", 4000000) + "\r\n$4000000\r\n": errTooMuch,
		"+" + strings.Repeat("x", maxLine+1):                                     errTooMuch,
		"+" + strings.Repeat("x", maxLine+1) + "\r\n":                            errTooMuch,
	} {
		if _, err := scanned(stream); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", stream, err, want)
		}
	}
}

// FuzzScanner: what a server sends is taken the same way however it is cut.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "*2\r\n$1\r\na\r\n:1\r\n", ">2\r\n+a\r\n+b\r\n", "|1\r\n+a\r\n+b\r\n_\r\n", "%1\r\n+a\r\n$-1\r\n", "$3\r\na\r\n\r\n+OK\r\n"} {
		f.Add(seed, uint16(3))
	}
	f.Fuzz(func(t *testing.T, stream string, cut uint16) {
		at := int(cut) % (len(stream) + 1)
		whole, wholeErr := scanned(stream)
		parts, partsErr := scanned(stream[:at], stream[at:])
		if whole != parts || !errors.Is(partsErr, wholeErr) {
			t.Errorf("whole: %d, %v; cut at %d: %d, %v", whole, wholeErr, at, parts, partsErr)
		}
	})
}
