package request

import (
	"net/http"
	"strings"
)

// websocket is the protocol that a request may change to.
const websocket = "websocket"

// IsTarget reports whether what the client sent as the request's target names
// something that paths can be compared with. Everything else is to be refused:
// net/url reads `x:http://x/login` as opaque, without a path, while an
// application that is asked for it logs in. An empty path and a CONNECT to an
// authority are targets, `*` is one of OPTIONS only, and an extended CONNECT
// (RFC 8441, RFC 9220) has to be for a websocket.
func IsTarget(r *http.Request) bool {
	sent := Original(r)
	if u := sent.URL; u.Opaque != "" || u.Scheme != "" && u.Host == "" && u.Path == "" {
		return false // "x:" is opaque, too, with nothing behind it
	}
	switch p := sent.URL.Path; {
	case sent.Method == http.MethodConnect:
		if name := protocol(r); name != "" {
			return name == websocket && strings.HasPrefix(p, "/")
		}
		return p == ""
	case p == "*":
		return sent.Method == http.MethodOptions
	default:
		return p == "" || p[0] == '/'
	}
}

// protocol returns the protocol of an extended CONNECT, or nothing. In HTTP/2
// net/http keeps it in the header, under a name that no field can have; in
// HTTP/3 quic-go puts it where the version is.
func protocol(r *http.Request) string {
	switch {
	case Original(r).Method != http.MethodConnect:
		return ""
	case r.ProtoMajor == 2:
		return r.Header.Get(":protocol")
	case r.ProtoMajor == 3 && r.Proto != "HTTP/3.0":
		return r.Proto
	default:
		return ""
	}
}
