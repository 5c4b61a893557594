package simulator

import (
	"encoding/json"
	"net/http"
	"regexp"
)

// callbackName is what a JSONP callback may be called. Anything else could put
// code of the caller's choice into the answer.
var callbackName = regexp.MustCompile(`^[A-Za-z_$][0-9A-Za-z_$]{0,63}$`)

// jsonpAnswer answers with a script that hands value to the callback that the
// call names, or without a callback with plain JSON.
func jsonpAnswer(c Call, value any) answer {
	a := jsonAnswer(value)
	callback := c.Query.Get("callback")
	switch {
	case callback == "":
		return a
	case !callbackName.MatchString(callback):
		// GeeTest v4 docs, error code -50004. It stays plain JSON.
		a = v4Refuse("-50004", "jsonp xss")
		a.status = http.StatusBadRequest
		return a
	}
	return inCallback(callback, a)
}

// inCallback turns a JSON answer into a JSONP one.
func inCallback(callback string, a answer) answer {
	// JSON that encoding/json made is a JavaScript expression: it escapes the
	// two line separators that are not.
	a.body = append([]byte(callback+"("), append(a.body, ')')...)
	a.contentType = scriptType
	return a
}

// present returns the answer of a Respond fault in the form that the endpoint
// gives its own: a JSONP endpoint hands a JSON body to the callback.
func (e endpoint) present(c Call, f Fault) answer {
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	a := answer{status: status, contentType: jsonType, body: []byte(f.Body)}
	callback := c.Query.Get("callback")
	if !e.jsonp || !callbackName.MatchString(callback) || !json.Valid(a.body) {
		return a
	}
	var value any
	if err := json.Unmarshal(a.body, &value); err != nil {
		return a
	}
	wrapped := inCallback(callback, jsonAnswer(value))
	wrapped.status = status
	return wrapped
}
