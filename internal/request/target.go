package request

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// websocket is the protocol that a request may change to.
const websocket = "websocket"

// IsTarget reports whether what the client sent as the request's target names
// something that paths can be compared with. Everything else is to be refused:
// net/url reads `x:http://x/login` as opaque, without a path, while an
// application that is asked for it logs in. An empty path and a CONNECT to a
// host and port are targets, `*` is one of OPTIONS only, and an extended CONNECT
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
		return p == "" && isAuthority(sent.URL.Host)
	case p == "*":
		return sent.Method == http.MethodOptions
	default:
		return p == "" || p[0] == '/'
	}
}

// isAuthority reports whether a CONNECT may name the host: with a port, as RFC
// 9110, section 9.3.6, says. Others could take the rest for a path.
func isAuthority(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil || name == "" {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
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
