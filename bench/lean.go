package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// message is an HTTP/1.1 request or response as far as this program needs it:
// what all set-ups share is to take as little of the machine as it can, so that
// the set-ups are what is measured.
type message struct {
	start string // request line or status line
	body  []byte
}

// readMessage reads a message whose body, if any, has a Content-Length. Nothing
// else is spoken here; a chunked one is an error. The body is valid until the
// next call with the same buffer.
func readMessage(r *bufio.Reader, buffer *[]byte) (message, error) {
	var m message
	length := 0
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return m, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			m.start = string(line)
		case len(line) == 0:
			if cap(*buffer) < length {
				*buffer = make([]byte, length)
			}
			m.body = (*buffer)[:length]
			_, err := io.ReadFull(r, m.body)
			return m, err
		case hasField(line, "Content-Length:"):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len("Content-Length:"):]))); err != nil {
				return m, err
			}
		case hasField(line, "Transfer-Encoding:"):
			return m, fmt.Errorf("%s: a message without Content-Length", m.start)
		}
	}
}

func hasField(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}

// serveLean answers each request with status 200 and the text that answer
// returns.
func serveLean(listener net.Listener, answer func(target string, body []byte) string) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go serveConn(conn, answer)
	}
}

// serveConn ends with the connection, for whatever reason: then the load or a
// Caddy reports it.
func serveConn(conn net.Conn, answer func(target string, body []byte) string) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	var buffer, out []byte
	for {
		request, err := readMessage(reader, &buffer)
		if err != nil {
			return
		}
		_, target, _ := strings.Cut(request.start, " ")
		target, _, _ = strings.Cut(target, " ")
		text := answer(target, request.body)
		out = fmt.Appendf(out[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}
