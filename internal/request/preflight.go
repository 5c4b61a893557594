package request

import (
	"bufio"
	"io"
	"net/http"
)

// IsBarePreflight reports whether the request is a CORS preflight and nothing
// more: what a browser sends, without anything by which an application could
// take it for a request of the kind that is protected.
func IsBarePreflight(r *http.Request) bool {
	if r.Method != http.MethodOptions || !hasNoBody(r) ||
		r.Header.Get("Origin") == "" ||
		r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	for _, name := range [...]string{"Cookie", "Authorization", "Proxy-Authorization", "Upgrade"} {
		if _, ok := r.Header[name]; ok {
			return false
		}
	}
	if namesAny(r.Header, methodHeaders[:]) {
		return false
	}
	return r.TLS == nil || len(r.TLS.PeerCertificates) == 0
}

// hasNoBody reports whether the request has no body. HTTP/3 does not say so in
// the request's header; there the stream has to be looked at.
func hasNoBody(r *http.Request) bool {
	if r.ContentLength == 0 {
		return true
	}
	if r.ContentLength > 0 || r.ProtoMajor != 3 {
		return false
	}
	body := bufio.NewReaderSize(r.Body, 16)
	_, err := body.Peek(1)
	r.Body = peeked{body, r.Body}
	return err == io.EOF
}

// peeked is a body that was looked into.
type peeked struct {
	io.Reader
	io.Closer
}
