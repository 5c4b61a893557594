package response

import (
	"net/http"
	"reflect"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
)

// place is where a writer of ours belongs among the writers of a request.
type place struct {
	// front is the first of the writers, to which the answer is written.
	front http.ResponseWriter

	// above is the part of the writer above the place that holds the writer
	// beneath it. It is nil where nothing is above.
	above *caddyhttp.ResponseWriterWrapper

	// beneath is the writer beneath the place.
	beneath http.ResponseWriter
}

// find returns the place beneath the deferred header writers that surround w
// directly. With the global option metrics, Caddy puts a recorder around each
// route, and so between them; those are passed.
//
// The place is beneath no other writer: one that encodes, intercepts or
// executes templates may turn our answer into another, whose header is not ours
// to say. Where a header writer has not the shape that is known, the place is
// beside it: the answer goes past it, and its operations are not done.
//
// isDeferred tells which types are deferred header writers.
func find(w http.ResponseWriter, isDeferred func(reflect.Type) bool) place {
	found := place{front: w, beneath: w}
	var above *caddyhttp.ResponseWriterWrapper
	for at := w; ; {
		kind := reflect.TypeOf(at)
		deferred := isDeferred(kind)
		if !deferred && kind != recorder {
			return found
		}
		if part := embedded(at); part != nil {
			above, at = part, part.ResponseWriter
		} else if unwrapper, ok := at.(interface{ Unwrap() http.ResponseWriter }); ok {
			at = unwrapper.Unwrap()
		} else {
			return found
		}
		if deferred {
			found.above, found.beneath = above, at
		}
	}
}

// put puts ours, which passes on to the writer beneath the place, into it. It
// returns the writer to which the answer is to be written.
func (p place) put(ours http.ResponseWriter) http.ResponseWriter {
	if p.above == nil {
		return ours
	}
	p.above.ResponseWriter = ours
	return p.front
}

var (
	headersPackage = reflect.TypeFor[headers.Handler]().PkgPath()
	recorder       = reflect.TypeOf(caddyhttp.NewResponseRecorder(nil, nil, nil))
	wrapper        = reflect.TypeFor[*caddyhttp.ResponseWriterWrapper]()
)

// isDeferred reports whether a type is a deferred header writer. It goes by the
// package, which has no other writer, and not by a name, which may change.
func isDeferred(t reflect.Type) bool {
	return t != nil && t.Kind() == reflect.Pointer && t.Elem().PkgPath() == headersPackage
}

// embedded returns the part of one of Caddy's writers that holds the writer
// beneath, or nil if there is no such part.
func embedded(w http.ResponseWriter) *caddyhttp.ResponseWriterWrapper {
	v := reflect.ValueOf(w)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	v = v.Elem()
	for i := range v.NumField() { //nolint:modernize // its iterator allocates, for every gated answer
		if field := v.Field(i); field.Type() == wrapper && field.CanInterface() {
			return field.Interface().(*caddyhttp.ResponseWriterWrapper) // which may be nil
		}
	}
	return nil
}
