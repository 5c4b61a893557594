package request

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxLogged bounds what is said of a client's value.
const maxLogged = 64

// RemoveUpgrade removes an upgrade to another protocol from the request, with
// what belongs to it, unless it is to `websocket` or one of the allowed
// tokens, alone and in any case. An upgrade to `h2c`, which an application may
// accept on a path that is not protected, is a tunnel to all that are. It
// returns what was removed, quoted and cut to a length that is fit for a log,
// or nothing.
func RemoveUpgrade(r *http.Request, allowed []string) (removed string) {
	values, ok := r.Header["Upgrade"]
	if !ok {
		return ""
	}
	if len(values) == 1 {
		is := func(token string) bool { return strings.EqualFold(strings.Trim(values[0], " \t"), token) }
		if is(websocket) || slices.ContainsFunc(allowed, is) {
			return ""
		}
	}
	delete(r.Header, "Upgrade")
	delete(r.Header, "Http2-Settings")
	removeConnection(r.Header, "upgrade", "http2-settings")
	text := strings.Join(values, ", ")
	return strconv.QuoteToASCII(text[:min(len(text), maxLogged)])
}

// removeConnection removes tokens from the field Connection.
func removeConnection(header http.Header, tokens ...string) {
	var kept []string
	for _, line := range header["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.Trim(token, " \t")
			is := func(other string) bool { return strings.EqualFold(token, other) }
			if token != "" && !slices.ContainsFunc(tokens, is) {
				kept = append(kept, token)
			}
		}
	}
	if len(kept) == 0 {
		delete(header, "Connection")
		return
	}
	header["Connection"] = []string{strings.Join(kept, ", ")}
}
