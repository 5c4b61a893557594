package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
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

// readMessage reads a message. The body is valid until the next call with the
// same buffer; one without Content-Length, which is chunked, is skipped.
func readMessage(r *bufio.Reader, buffer *[]byte) (message, error) {
	var m message
	length, chunked := 0, false
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return m, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			m.start = string(line)
		case len(line) == 0 && chunked:
			return m, skipChunks(r)
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
			chunked = true
		}
	}
}

func skipChunks(r *bufio.Reader) error {
	if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(r)); err != nil {
		return err
	}
	line, err := r.ReadSlice('\n') // no trailers come here
	if err == nil && len(bytes.TrimSpace(line)) > 0 {
		err = fmt.Errorf("a chunked body ends with %q", line)
	}
	return err
}

func hasField(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}

// serveLean answers each request with status 200 and the text that answer
// returns.
func serveLean(listener net.Listener, answer func(target string, body []byte) (contentType, text string)) error {
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
func serveConn(conn net.Conn, answer func(target string, body []byte) (contentType, text string)) {
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
		contentType, text := answer(target, request.body)
		out = fmt.Appendf(out[:0], "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(text), text)
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}
