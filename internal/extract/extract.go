// Package extract takes a proof out of an HTTP request and leaves the request
// as it was, its body included.
//
// A proof is a set of named parameters that stand together in one source: the
// header, the query, the cookies, a form or a JSON body. The package knows
// HTTP, and nothing of captchas or of what the parameters mean.
package extract

import (
	"net/http"
	"time"
)

// Source is a part of a request that can hold a proof.
type Source string

// The sources. Form is a body of type application/x-www-form-urlencoded or
// multipart/form-data, JSON one of type application/json or with the suffix
// +json. Query is the query of the URL, whatever the method.
const (
	Header Source = "header"
	Form   Source = "form"
	JSON   Source = "json"
	Query  Source = "query"
	Cookie Source = "cookie"
)

// Parameter is one part of a proof and says where to look for it.
type Parameter struct {
	// Name is what the parameter is called.
	Name string

	// Field is the name of its form field, query parameter and cookie. In
	// JSON it is the path of its member: "captcha.lot" is the member lot of
	// the object captcha.
	Field string

	// Header is the name of its request header.
	Header string

	// MaxLength is the longest value in bytes. A longer one is malformed.
	MaxLength int
}

// Status is what a search came to.
type Status uint8

// The statuses.
const (
	// Missing means that no source holds a complete proof.
	Missing Status = iota
	// Found means that one does.
	Found
	// Malformed means that what a source holds cannot be a proof.
	Malformed
)

// The reasons of Missing.
const (
	// ReasonNone: nothing of a proof is there.
	ReasonNone = "none"
	// ReasonIncomplete: a source has some parameters, but not all.
	ReasonIncomplete = "incomplete"
	// ReasonBodyLimit: the body is longer than the part that was searched.
	ReasonBodyLimit = "body_limit"
)

// The reasons of Malformed.
const (
	// ReasonDuplicate: a parameter is twice in its source. Which of the two
	// counts is a question that client and server could answer differently.
	ReasonDuplicate = "duplicate"
	// ReasonType: in JSON, a parameter is not a string, or what its path
	// leads through is not an object.
	ReasonType = "type"
	// ReasonLength: a value is longer than its MaxLength.
	ReasonLength = "length"
	// ReasonCharacters: a value is not printable ASCII without spaces, or its
	// percent-encoding is broken.
	ReasonCharacters = "characters"
	// ReasonBody: the body is not what its media type says, or has more than
	// 1000 fields, parts or members, or more than 32 levels.
	ReasonBody = "body"
)

// Result is what Extract found.
type Result struct {
	Status Status

	// Values are the proof, in the order of the parameters. Only with Found.
	Values []string

	// Source holds the proof, or what is malformed. Empty with Missing.
	Source Source

	// Reason is one of the constants above. Empty with Found.
	Reason string

	// BodyUnread says that part of the body has not been read from the
	// client.
	BodyUnread bool
}

// Extractor finds proofs in requests. It is safe for concurrent use.
type Extractor struct {
	parameters []Parameter
	paths      *member
	sources    []Source
	bodyLimit  int
}

// New returns an Extractor of proofs that consist of parameters. It looks into
// the sources in their order, and into at most bodyLimit bytes of a body.
func New(parameters []Parameter, sources []Source, bodyLimit int64) *Extractor {
	e := &Extractor{sources: sources, paths: &member{parameter: none}, bodyLimit: int(bodyLimit)}
	for i, parameter := range parameters {
		parameter.Header = http.CanonicalHeaderKey(parameter.Header)
		e.parameters = append(e.parameters, parameter)
		e.paths.insert(parameter.Field, i)
	}
	return e
}

// Extract looks for a proof in the request. The first source that holds all
// parameters, or something malformed, decides; an empty parameter is one that
// is not there, and sources are never mixed. rawQuery is the query as the
// client sent it, which r.URL may no longer hold.
//
// The body is read only when its source's turn comes, and put back: r.Body
// gives the same bytes, and at their end the same error, as before. The bytes
// that are searched have to arrive within timeout, if that is positive.
//
// An error is one of reading the body, and a caddyhttp.HandlerError: the one
// that an earlier handler's body returned, or one of status 408 when the body
// came too slowly, 499 when the client left and 400 otherwise.
func (e *Extractor) Extract(w http.ResponseWriter, r *http.Request, rawQuery string, timeout time.Duration) (Result, error) {
	result := Result{Reason: ReasonNone, BodyUnread: hasBody(r)}
	for _, source := range e.sources {
		found := proof{parameters: e.parameters}
		switch source {
		case Header:
			searchHeader(&found, r.Header)
		case Query:
			searchPairs(&found, rawQuery, false)
		case Cookie:
			searchCookies(&found, r.Header["Cookie"])
		case Form, JSON:
			mediaType := searchableType(r)
			if !source.carriedBy(mediaType) {
				continue
			}
			body, err := e.readBody(w, r, timeout)
			if err != nil {
				return Result{}, err
			}
			result.BodyUnread = !body.ended
			if body.truncated {
				result.Reason = ReasonBodyLimit
			}
			found = e.searchBody(r, mediaType, body)
		}
		switch {
		case found.defect != "":
			result.Status, result.Source, result.Reason = Malformed, source, found.defect
			return result, nil
		case found.complete():
			result.Status, result.Source, result.Reason, result.Values = Found, source, "", found.values
			return result, nil
		case found.begun() && result.Reason == ReasonNone:
			result.Reason = ReasonIncomplete
		}
	}
	return result, nil
}
