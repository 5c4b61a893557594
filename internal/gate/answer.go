package gate

import (
	"net/http"
	"strconv"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/response"
)

const noStore = "no-store"

// answer writes an answer of ours. All of them go this way. The fields have the
// last word, whatever the site's header directives say; one without values is
// one that the answer must not have.
func answer(w http.ResponseWriter, r *http.Request, status int, fields http.Header, body []byte) {
	closes := w.Header().Get("Connection") == "close"
	if body != nil {
		fields.Set("Content-Length", strconv.Itoa(len(body))) // or its end would be sent when linger is done
	}
	w = response.Final(w, fields)
	w.WriteHeader(status)
	if body != nil {
		w.Write(body) //nolint:errcheck,gosec // when the client has gone there is nobody to tell; what comes from a request is escaped
	}
	if closes {
		linger(w, r)
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

// How long linger waits for more of a body, and in all. They are nginx's.
const (
	lingerSilence = 5 * time.Second
	lingerTime    = 30 * time.Second
)

// linger reads what a client still sends of its body, once it has the answer.
// A connection that is closed with bytes unread is reset, and a client that
// reads when it has sent everything, as browsers do, then loses the answer (RFC
// 9112, section 9.6). Who expects 100 (Continue) sends no more.
func linger(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if r.Header.Get("Expect") != "" || control.Flush() != nil {
		return
	}
	discarded := make([]byte, 4<<10)
	for end := time.Now().Add(lingerTime); ; {
		now := time.Now()
		if control.SetReadDeadline(now.Add(min(lingerSilence, end.Sub(now)))) != nil {
			return
		}
		if _, err := r.Body.Read(discarded); err != nil { // or the last deadline has passed
			return
		}
	}
}
