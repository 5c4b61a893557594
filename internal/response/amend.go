package response

import "net/http"

// Amend returns a writer that calls amend once with the header of the final
// answer, before anything of it is passed on to w. It is transparent in
// everything else. An answer of which nothing is written, neither a header nor
// a body, is passed on without.
func Amend(w http.ResponseWriter, amend func(http.Header)) http.ResponseWriter {
	amended := &writer{rule: amendment(amend)}
	amended.ResponseWriter = w
	return amended
}

type amendment func(http.Header)

func (a amendment) apply(header http.Header) { a(header) }
