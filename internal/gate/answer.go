package gate

import (
	"net/http"

	"github.com/caddycaptcha/caddycaptcha/internal/response"
)

const noStore = "no-store"

// answer writes an answer of ours. All of them go this way. The fields have the
// last word, whatever the site's header directives say; one without values is
// one that the answer must not have.
func answer(w http.ResponseWriter, status int, fields http.Header, body []byte) {
	w = response.Final(w, fields)
	w.WriteHeader(status)
	if body != nil {
		w.Write(body) //nolint:errcheck,gosec // when the client has gone there is nobody to tell; what comes from a request is escaped
	}
}

// closeUnread ends the connection if a part of the body was left unread. Or
// else net/http would first wait for the rest of it, while a client that
// expects 100 (Continue) waits for us.
func closeUnread(header http.Header, r *http.Request, unread bool) {
	if unread && r.ProtoMajor == 1 {
		header.Set("Connection", "close")
	}
}
