package verifier

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"testing"
)

// BenchmarkVerify measures a verification over a loopback connection. The
// provider is one that allocates nothing, so that what is counted is ours.
func BenchmarkVerify(b *testing.B) {
	for _, s := range subjects {
		b.Run(s.name, func(b *testing.B) {
			answer := []byte(httpOK(s.pass))
			address := listening(b, func(conn net.Conn) {
				for reader := bufio.NewReader(conn); skipRequest(reader) == nil; {
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			})
			v := s.new(b, "http://"+address, forever)
			b.ReportAllocs()
			for b.Loop() {
				if verdict := v.Verify(b.Context(), s.proof, testClient); verdict.Result != Passed {
					b.Fatalf("the verdict is %+v", verdict)
				}
			}
		})
	}
}

// skipRequest reads a request to its end.
func skipRequest(reader *bufio.Reader) error {
	length := 0
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if digits, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(digits)); err != nil {
				return err
			}
		}
		if len(line) == 0 {
			_, err = io.CopyN(io.Discard, reader, int64(length))
			return err
		}
	}
}
