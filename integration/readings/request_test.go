package readings_test

import (
	"bufio"
	"bytes"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// request is a request as a client writes it. It has no body.
type request struct {
	method, target, host string
	lines                []string // further header lines, without their ends
}

// bytes returns what goes over the wire in HTTP/1.1, with more header lines.
func (r request) bytes(more ...string) []byte {
	var b bytes.Buffer
	b.WriteString(r.method + " " + r.target + " HTTP/1.1\r\nHost: " + r.host + "\r\n")
	for _, line := range slices.Concat(r.lines, more) {
		b.WriteString(line + "\r\n")
	}
	if r.method == "POST" || r.method == "PUT" {
		b.WriteString("Content-Length: 0\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// String returns the request without its fixed parts, for messages and as a key.
func (r request) String() string { return string(r.bytes()) }

// parseRequest takes apart what bytes returned.
func parseRequest(text string) (request, bool) {
	head, ok := strings.CutSuffix(text, "\r\n\r\n")
	if !ok {
		return request{}, false
	}
	lines := strings.Split(head, "\r\n")
	method, rest, ok := strings.Cut(lines[0], " ")
	target, ok2 := strings.CutSuffix(rest, " HTTP/1.1")
	if !ok || !ok2 || len(lines) < 2 {
		return request{}, false
	}
	host, ok := strings.CutPrefix(lines[1], "Host: ")
	r := request{method: method, target: target, host: host}
	for _, line := range lines[2:] {
		if line != "Content-Length: 0" {
			r.lines = append(r.lines, line)
		}
	}
	return r, ok
}

// parse reads the request as Go's server does. It fails where that server would
// answer 400 without a handler, or answers by itself. The request gets more
// header lines.
func (r request) parse(more ...string) (*http.Request, bool) {
	parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.bytes(more...))))
	if err != nil || !httpguts.ValidHostHeader(r.host) || parsed.Method == http.MethodOptions && parsed.RequestURI == "*" {
		return nil, false
	}
	for name, values := range parsed.Header {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(value string) bool { return !httpguts.ValidHeaderFieldValue(value) }) {
			return nil, false
		}
	}
	parsed.RemoteAddr = "127.0.0.1:40000"
	return parsed, true
}
