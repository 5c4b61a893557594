package extract

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

// maxDepth is how many objects and arrays a document may have inside each
// other.
const maxDepth = 32

// member is a node in the tree of the parameters' JSON paths.
type member struct {
	parameter int                // none unless a path ends here
	members   map[string]*member // nil unless a path leads on
}

func (m *member) insert(path string, parameter int) {
	for name := range strings.SplitSeq(path, ".") {
		if m.members == nil {
			m.members = make(map[string]*member)
		}
		if m.members[name] == nil {
			m.members[name] = &member{parameter: none}
		}
		m = m.members[name]
	}
	m.parameter = parameter
}

// errStop ends the search of a document that is malformed, or not JSON.
var errStop = errors.New("stop")

// searchJSON reads a JSON document (RFC 8259). Of a truncated one it reads
// what is there; otherwise all of it has to be right. A document that is not
// an object holds nothing of ours.
func searchJSON(found *proof, paths *member, body prefix) {
	search := jsonSearch{
		found:   found,
		decoder: json.NewDecoder(bytes.NewReader(body.bytes)),
	}
	search.decoder.UseNumber() // a number beyond float64 is JSON, too
	if err := search.document(paths, body.bytes); err != nil && found.defect == "" && !body.truncated {
		found.fail(ReasonBody)
	}
}

type jsonSearch struct {
	found   *proof
	decoder *json.Decoder
	entered []*member // the objects on our paths that were there
	count   int       // of members
}

func (s *jsonSearch) document(paths *member, text []byte) error {
	var err error
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		err = s.object(paths, 0)
	} else {
		err = s.skip(0)
	}
	if err != nil {
		return err
	}
	if _, err := s.decoder.Token(); err != io.EOF {
		return errStop // something follows
	}
	return nil
}

// object searches the value that comes next, which has to be an object inside
// of depth others.
func (s *jsonSearch) object(m *member, depth int) error {
	start, err := s.decoder.Token()
	if err != nil {
		return err
	}
	if start != json.Delim('{') {
		return s.stop(ReasonType)
	}
	if depth == maxDepth {
		return s.stop(ReasonBody)
	}
	for s.decoder.More() {
		token, err := s.decoder.Token()
		if err != nil {
			return err
		}
		if s.count++; s.count > maxFields {
			return s.stop(ReasonBody)
		}
		name, _ := token.(string)
		if err := s.value(m.members[name], depth+1); err != nil {
			return err
		}
	}
	_, err = s.decoder.Token()
	return err
}

// value searches the value of a member, which is nil when it is not ours.
func (s *jsonSearch) value(m *member, depth int) error {
	switch {
	case m == nil:
		return s.skip(depth)
	case m.parameter == none:
		if slices.Contains(s.entered, m) {
			return s.stop(ReasonDuplicate)
		}
		s.entered = append(s.entered, m)
		return s.object(m, depth)
	}
	token, err := s.decoder.Token()
	if err != nil {
		return err
	}
	value, ok := token.(string)
	if !ok {
		return s.stop(ReasonType)
	}
	if !s.found.add(m.parameter, value) {
		return errStop
	}
	return nil
}

// skip passes over the value that comes next, inside of depth others.
func (s *jsonSearch) skip(depth int) error {
	shape := shape{depth: depth}
	if err := s.decoder.Decode(&shape); err != nil {
		return err
	}
	if s.count += shape.members; s.count > maxFields || shape.deepest > maxDepth {
		return s.stop(ReasonBody)
	}
	return nil
}

func (s *jsonSearch) stop(reason string) error {
	s.found.fail(reason)
	return errStop
}

// shape measures a value instead of decoding it, which costs no memory.
type shape struct{ depth, deepest, members int }

// UnmarshalJSON is given text that is one valid value.
func (s *shape) UnmarshalJSON(text []byte) error {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case ':':
			s.members++
		case '{', '[':
			s.depth++
			s.deepest = max(s.deepest, s.depth)
		case '}', ']':
			s.depth--
		}
	}
	return nil
}
