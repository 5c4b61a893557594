package verifier

import (
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
	value, err := (&scanner{text: string(data)}).value(maxDepth)
	if err != nil {
		return nil, err
	}
	answer, ok := value.(object)
	if !ok {
		return nil, errNotJSON
	}
	return answer, nil
}

// scanner walks through text that encoding/json found to be valid JSON, so it
// meets no error of syntax. A json.Decoder would do the same in four times the
// time, which is a twentieth of what a verification takes.
type scanner struct {
	text string
	at   int
}

// peek returns the first byte of the next value, name or closing bracket.
func (s *scanner) peek() byte {
	for strings.IndexByte(" \t\r\n,:", s.text[s.at]) >= 0 {
		s.at++
	}
	return s.text[s.at]
}

func (s *scanner) value(depth int) (any, error) {
	switch first := s.peek(); {
	case (first == '{' || first == '[') && depth == 0:
		return nil, errTooDeep
	case first == '{':
		return s.members(depth)
	case first == '[':
		return s.array(depth)
	case first == '"':
		return s.string()
	}
	start := s.at
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n,]}", s.text[s.at]) < 0 {
		s.at++
	}
	switch word := s.text[start:s.at]; word {
	case "true", "false":
		return word == "true", nil
	case "null":
		return nil, nil
	default:
		return json.Number(word), nil
	}
}

func (s *scanner) members(depth int) (any, error) {
	members, seen := object{}, map[string]bool{}
	for s.at++; s.peek() != '}'; {
		name, err := s.string()
		if err != nil {
			return nil, err
		}
		folded := fold(name)
		if seen[folded] {
			return nil, errDuplicate
		}
		seen[folded] = true
		if members[name], err = s.value(depth - 1); err != nil {
			return nil, err
		}
	}
	s.at++
	return members, nil
}

func (s *scanner) array(depth int) (any, error) {
	for s.at++; s.peek() != ']'; {
		if _, err := s.value(depth - 1); err != nil {
			return nil, err
		}
	}
	s.at++
	return array{}, nil
}

func (s *scanner) string() (string, error) {
	start, escaped := s.at, false
	for s.at++; s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			escaped = true
			s.at++
		}
	}
	s.at++
	quoted := s.text[start:s.at]
	if !escaped {
		return quoted[1 : len(quoted)-1], nil
	}
	var unescaped string
	err := json.Unmarshal([]byte(quoted), &unescaped)
	return unescaped, err
}

// fold makes names equal that differ in letter case only. Beyond ASCII upper
// case comes first, because that is where "ſ" becomes the letter that it folds
// with.
func fold(name string) string {
	if !only(name, func(c byte) bool { return c < utf8.RuneSelf }) {
		name = strings.ToUpper(name)
	}
	return strings.ToLower(name)
}

// optional returns a member that may be missing. ok is false if it is there
// but of another type, or under a name that differs in letter case: to another
// reader it would not be missing.
func optional[T any](o object, name string) (value T, ok bool) {
	member, found := o[name]
	if !found {
		return value, o.lacks(name)
	}
	value, ok = member.(T)
	return value, ok
}

// lacks reports whether no reader finds such a member.
func (o object) lacks(name string) bool {
	folded := fold(name)
	for other := range o {
		if fold(other) == folded {
			return false
		}
	}
	return true
}

// nullableInteger returns a number that may be null or missing: found is false
// then. ok is as for optional.
func nullableInteger(o object, name string) (n int64, found, ok bool) {
	member, found := o[name]
	if !found || member == nil {
		return 0, false, found || o.lacks(name)
	}
	n, ok = integer(member)
	return n, true, ok
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
	return Verdict{Reason: ReasonAnswer, Err: errors.New("the answer's " + member + " is not the protocol's")}
}
