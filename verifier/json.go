package verifier

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may be nested in an answer.
const maxDepth = 32

var (
	errNotJSON   = errors.New("the answer is not one JSON object")
	errDuplicate = errors.New("the answer has a member twice")
	errTooDeep   = errors.New("the answer is nested too deep")
)

// object is a JSON object: its members under their exact names, as string,
// json.Number, bool, nil, object or array.
type object map[string]any

// array stands for a JSON array. No protocol here has one that is looked at.
type array struct{}

// parseObject decodes an answer that is one JSON object and nothing else.
//
// Decoding into a struct would be shorter and is what this must not do:
// encoding/json takes a member of any letter case and, of several, the last.
// An answer that other readers could take for a different one is refused.
func parseObject(data []byte) (object, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, errNotJSON
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	value, err := parseValue(decoder, maxDepth)
	if err != nil {
		return nil, err
	}
	answer, ok := value.(object)
	if !ok {
		return nil, errNotJSON
	}
	return answer, nil
}

func parseValue(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, errNotJSON
	}
	delimiter, ok := token.(json.Delim)
	switch {
	case !ok:
		return token, nil
	case depth == 0:
		return nil, errTooDeep
	case delimiter == '[':
		return parseArray(decoder, depth)
	}
	return parseMembers(decoder, depth)
}

func parseArray(decoder *json.Decoder, depth int) (any, error) {
	for decoder.More() {
		if _, err := parseValue(decoder, depth-1); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token() // the closing bracket
	return array{}, err
}

func parseMembers(decoder *json.Decoder, depth int) (any, error) {
	members, seen := object{}, map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, errNotJSON
		}
		folded := fold(name.(string))
		if seen[folded] {
			return nil, errDuplicate
		}
		seen[folded] = true
		if members[name.(string)], err = parseValue(decoder, depth-1); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token() // the closing brace
	return members, err
}

// fold makes names equal that differ in letter case only. Upper case first,
// because that is where "ſ" becomes the letter that it folds with.
func fold(name string) string {
	if only(name, func(c byte) bool { return c < 'A' || 'Z' < c && c < utf8.RuneSelf }) {
		return name // as nearly all are; the rest is for the odd ones
	}
	return strings.ToLower(strings.ToUpper(name))
}

// optional returns a member that may be missing. ok is false if it is there
// but of another type.
func optional[T any](o object, name string) (value T, ok bool) {
	member, found := o[name]
	if !found {
		return value, true
	}
	value, ok = member.(T)
	return value, ok
}

// integer returns a number that is written as one: 1, but not 1.0 or 1e0.
func integer(value any) (int64, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	n, err := number.Int64()
	return n, err == nil
}

// unexpected is the verdict on an answer with a member that is missing, of a
// wrong type or of a value that the protocol does not have.
func unexpected(member string) Verdict {
	return Verdict{Reason: reasonAnswer, Err: errors.New("the answer's " + member + " is not the protocol's")}
}
