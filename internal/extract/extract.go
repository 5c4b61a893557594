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

	// Fields are the names that its form field, query parameter or cookie may
	// have. In JSON they are paths: "captcha.lot" is the member lot of the
	// object captcha. No name may be there twice, for one parameter or two,
	// and no path may be the beginning of another.
	Fields []string

	// Header is the name of its request header.
	Header string

	// MaxLength is the longest value in bytes. A longer one is malformed.
	MaxLength int

	// Integer says that the value is a whole number, without a sign, which
	// JSON may write as a number. The value is its digits.
	Integer bool
}

// Memory is what searches may use for the bodies that they hold, all of them
// together. Its methods are called by many searches at once.
type Memory interface {
	// Take takes n bytes, or returns false and takes nothing.
	Take(n int64) bool

	// Return gives back n bytes that were taken.
	Return(n int64)
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
	// Overloaded means that the Memory had too little left to read the body.
	Overloaded
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
	// ReasonType: in JSON, a parameter is neither a string nor, where it may
	// be one, a whole number, or what its path leads through is not an object.
	ReasonType = "type"
	// ReasonLength: a value is longer than its MaxLength.
	ReasonLength = "length"
	// ReasonCharacters: a value is not printable ASCII without spaces, or its
	// percent-encoding is broken.
	ReasonCharacters = "characters"
	// ReasonBody: the body is not what its media type says, or has more than
	// 1000 fields, parts or members, more than 32 levels, or more than 16 KiB
	// of header before the value of a part.
	ReasonBody = "body"
)

// ReasonMemory is the reason of Overloaded.
const ReasonMemory = "memory"

// Result is what Extract found.
type Result struct {
	Status Status

	// Values are the proof, in the order of the parameters. Only with Found.
	Values []string

	// Source holds the proof, or what is malformed or was not read. Empty
	// with Missing.
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
	names      []name
	paths      *member
	sources    []Source
	bodyLimit  int

	longestName, longestValue int
}

// name is a name of a parameter, of which that is the index.
type name struct {
	text      string
	parameter int
}

// New returns an Extractor of proofs that consist of parameters. It looks into
// the sources in their order, and into at most bodyLimit bytes of a body.
func New(parameters []Parameter, sources []Source, bodyLimit int64) *Extractor {
	e := &Extractor{sources: sources, paths: &member{parameter: none}, bodyLimit: int(bodyLimit)}
	for i, parameter := range parameters {
		parameter.Header = http.CanonicalHeaderKey(parameter.Header)
		e.parameters = append(e.parameters, parameter)
		e.longestValue = max(e.longestValue, parameter.MaxLength)
		for _, field := range parameter.Fields {
			e.names = append(e.names, name{field, i})
			e.paths.insert(field, i)
			e.longestName = max(e.longestName, len(field))
		}
	}
	return e
}

// parameter returns the index of the parameter that has the name.
func (e *Extractor) parameter(text string) int {
	for _, name := range e.names {
		if name.text == text {
			return name.parameter
		}
	}
	return none
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
// What is held of the body is taken from memory as it arrives, and all of it is
// given back when Extract returns; a nil memory has no bound. So memory bounds
// what clients can make searches hold by sending slowly. The body that was put
// back lives longer, until the next handler has read it or the request has
// been refused, and is not counted: while its proof is verified, the slots for
// verifications bound how many there are, and once it is let through it is
// freed piece by piece as the next handler reads it.
// Where memory is used up, the Status is Overloaded, no later source is looked
// at, and the body is as whole as after any other search.
//
// An error is one of reading the body, and a caddyhttp.HandlerError: the one
// that an earlier handler's body returned, or one of status 408 when the body
// came too slowly, 499 when the client left and 400 otherwise.
func (e *Extractor) Extract(w http.ResponseWriter, r *http.Request, rawQuery string, timeout time.Duration, memory Memory) (Result, error) {
	result := Result{Reason: ReasonNone, BodyUnread: hasBody(r)}
	held := loan{memory: memory}
	defer held.repay()
	for _, source := range e.sources {
		found := proof{wanted: e}
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
			body, err := readBody(w, r, e.bodyLimit, timeout, &held)
			if err != nil {
				return Result{}, err
			}
			result.BodyUnread = !body.ended
			if body.refused {
				result.Status, result.Source, result.Reason = Overloaded, source, ReasonMemory
				return result, nil
			}
			if body.truncated {
				result.Reason = ReasonBodyLimit
			}
			found = e.searchBody(mediaType, r.Header["Content-Type"][0], body)
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
