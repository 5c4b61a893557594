package extract

import (
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
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

// searchJSON reads a JSON document (RFC 8259). Of a truncated one it reads
// what is there; otherwise all of it has to be right. A document that is not
// an object holds nothing of ours.
func searchJSON(found *proof, body prefix) {
	search := jsonSearch{text: body.start(), found: found}
	if !search.document() && found.defect == "" && !body.truncated {
		found.fail(ReasonBody)
	}
}

// jsonSearch reads a document once, in place, and accepts what encoding/json
// accepts, which would hold all of it a second time. Its methods return false
// when the search is over: the document is malformed, is not JSON or ends.
type jsonSearch struct {
	text    cursor
	found   *proof
	kept    []byte    // of the string or number that was read last
	entered []*member // the objects on our paths that were there
	count   int       // of members
}

func (s *jsonSearch) document() bool {
	// RFC 8259, 8.1 lets readers pass over a byte order mark.
	const mark = "\ufeff"
	if n := s.passOver(mark); 0 < n && n < len(mark) {
		return false
	}
	var paths *member
	if s.space() == '{' {
		paths = s.found.wanted.paths
	}
	if !s.value(paths, 0) {
		return false
	}
	s.space()
	return !s.text.fill()
}

// value reads a value inside of depth others. If it is an object, m leads to
// what is ours in it; nil: nothing is.
func (s *jsonSearch) value(m *member, depth int) bool {
	switch s.space() {
	case '{':
		return s.object(m, depth)
	case '[':
		return s.array(depth)
	case '"':
		return s.string(0)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number(0)
}

func (s *jsonSearch) object(m *member, depth int) bool {
	if depth == maxDepth {
		return s.found.fail(ReasonBody)
	}
	s.step()
	if s.space() == '}' {
		s.step()
		return true
	}
	for {
		name := 0
		if m != nil {
			name = s.found.wanted.longestName + 1
		}
		if s.space() != '"' || !s.string(name) {
			return false
		}
		if s.count++; s.count > maxFields {
			return s.found.fail(ReasonBody)
		}
		var ours *member
		if m != nil {
			ours = m.members[string(s.kept)]
		}
		if s.space() != ':' {
			return false
		}
		s.step()
		if !s.member(ours, depth+1) {
			return false
		}
		c := s.space()
		s.step()
		if c == '}' {
			return true
		}
		if c != ',' {
			return false
		}
	}
}

func (s *jsonSearch) array(depth int) bool {
	if depth == maxDepth {
		return s.found.fail(ReasonBody)
	}
	s.step()
	if s.space() == ']' {
		s.step()
		return true
	}
	for {
		if !s.value(nil, depth+1) {
			return false
		}
		c := s.space()
		s.step()
		if c == ']' {
			return true
		}
		if c != ',' {
			return false
		}
	}
}

// member reads the value of a member, which is nil when it is not ours.
func (s *jsonSearch) member(m *member, depth int) bool {
	switch {
	case m == nil:
		return s.value(nil, depth)
	case m.parameter != none:
		return s.parameter(m.parameter, depth)
	case slices.Contains(s.entered, m):
		return s.found.fail(ReasonDuplicate)
	}
	s.entered = append(s.entered, m)
	if s.space() != '{' {
		return s.value(nil, depth) && s.found.fail(ReasonType)
	}
	return s.object(m, depth)
}

// parameter reads the value of parameter i.
func (s *jsonSearch) parameter(i, depth int) bool {
	wanted := &s.found.wanted.parameters[i]
	switch c := s.space(); {
	case c == '"':
		if !s.string(wanted.MaxLength + 1) {
			return false
		}
	case wanted.Integer && isDigit(c):
		// Of a number that ends with the text there may be more.
		if !s.number(wanted.MaxLength+1) || !s.text.fill() {
			return false
		}
		if slices.ContainsFunc(s.kept, func(c byte) bool { return !isDigit(c) }) {
			return s.found.fail(ReasonType) // a fraction or an exponent
		}
	default:
		return s.value(nil, depth) && s.found.fail(ReasonType)
	}
	return s.found.add(i, string(s.kept))
}

// string reads a string from its opening quote on, and keeps the first limit
// bytes of what it means, or a few more.
func (s *jsonSearch) string(limit int) bool {
	s.kept = s.kept[:0]
	s.step()
	var high rune // the surrogate that came just before, if it may be half a pair
	mark := 0     // where it is kept
	for s.text.fill() {
		n := plain(s.text.rest)
		if n > 0 {
			s.keep(s.text.rest[:n], limit)
			s.text.rest, high = s.text.rest[n:], 0
			continue
		}
		switch s.step() {
		case '"':
			return true
		case '\\':
			r, ok := s.escape()
			if !ok {
				return false
			}
			if pair := utf16.DecodeRune(high, r); pair != utf8.RuneError {
				s.kept, r = s.kept[:mark], pair
			}
			high, mark = r, len(s.kept)
			if len(s.kept) < limit {
				s.kept = utf8.AppendRune(s.kept, r) // U+FFFD for half a pair
			}
		default:
			return false // a control character
		}
	}
	return false
}

// plain returns how many bytes text begins with that mean themselves.
func plain(text []byte) int {
	for i, c := range text {
		if c < ' ' || c == '"' || c == '\\' {
			return i
		}
	}
	return len(text)
}

// escape reads what follows a backslash.
func (s *jsonSearch) escape() (rune, bool) {
	switch c := s.step(); c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		var r rune
		for range 4 {
			digit := unhex(s.step())
			if digit > 0xf {
				return 0, false
			}
			r = r<<4 | rune(digit)
		}
		return r, true
	}
	return 0, false
}

// number reads a number, and keeps its first limit bytes.
func (s *jsonSearch) number(limit int) bool {
	s.kept = s.kept[:0]
	if s.peek() == '-' {
		s.keepStep(limit)
	}
	if s.peek() == '0' {
		s.keepStep(limit)
	} else if !s.digits(limit) {
		return false
	}
	if s.peek() == '.' {
		s.keepStep(limit)
		if !s.digits(limit) {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.keepStep(limit)
		if c := s.peek(); c == '+' || c == '-' {
			s.keepStep(limit)
		}
		return s.digits(limit)
	}
	return true
}

// digits reads digits, of which there has to be one.
func (s *jsonSearch) digits(limit int) bool {
	some := false
	for isDigit(s.peek()) {
		n := 1
		for n < len(s.text.rest) && isDigit(s.text.rest[n]) {
			n++
		}
		s.keep(s.text.rest[:n], limit)
		s.text.rest, some = s.text.rest[n:], true
	}
	return some
}

func (s *jsonSearch) literal(word string) bool {
	return s.passOver(word) == len(word)
}

// passOver reads text as far as it comes next, and returns how much it was.
func (s *jsonSearch) passOver(text string) int {
	for i := range len(text) {
		if s.peek() != text[i] {
			return i
		}
		s.step()
	}
	return len(text)
}

// keep keeps text as long as no more than limit bytes are kept.
func (s *jsonSearch) keep(text []byte, limit int) {
	if room := limit - len(s.kept); room > 0 {
		s.kept = append(s.kept, text[:min(len(text), room)]...)
	}
}

// keepStep reads a byte that is there, and keeps it.
func (s *jsonSearch) keepStep(limit int) {
	s.keep(s.text.rest[:1], limit)
	s.step()
}

// peek returns the next byte, which is still to be read, or NUL at the end:
// outside of strings, NUL is an error wherever it stands.
func (s *jsonSearch) peek() byte {
	if !s.text.fill() {
		return 0
	}
	return s.text.rest[0]
}

// step reads the next byte and returns it as peek does.
func (s *jsonSearch) step() byte {
	c := s.peek()
	if len(s.text.rest) > 0 {
		s.text.rest = s.text.rest[1:]
	}
	return c
}

// space passes over white space and peeks at what follows.
func (s *jsonSearch) space() byte {
	for s.text.fill() {
		for i, c := range s.text.rest {
			if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
				s.text.rest = s.text.rest[i:]
				return c
			}
		}
		s.text.rest = nil
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
