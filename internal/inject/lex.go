package inject

import "bytes"

// lexical is the state of reading HTML, as in its standard, less the states
// that make no difference here.
type lexical uint8

const (
	atBegin lexical = iota
	inText
	inRaw // text without markup: of a title, script, style or noscript
	inRawOpen
	inRawName

	inMarkup // after <!
	inMarkupDash
	inBogusComment // and in a doctype
	inCommentStart
	inCommentStartDash
	inComment
	inCommentDash
	inCommentEnd
	inCommentEndBang

	inOpen // after <; this and the following are in tags
	inEndOpen
	inTagName
	beforeAttribute
	inAttribute
	afterAttribute
	beforeValue
	inDoubleQuotes
	inSingleQuotes
	inUnquoted
)

func (l lexical) inTag() bool { return l >= inOpen }

// scan reads buf up to its end, or until it is done.
func (s *scanner) scan() {
	if s.state == atBegin {
		if s.begin(); s.state == atBegin {
			return
		}
	}
	for s.pos < len(s.buf) && !s.done {
		if s.state.inTag() {
			s.inTag(s.buf[s.pos])
		} else {
			s.outsideTags(s.buf[s.pos])
		}
	}
}

// outsideTags reads one byte, or as many as make no difference.
func (s *scanner) outsideTags(c byte) {
	s.pos++
	switch s.state {
	case inText:
		if c == '<' {
			s.start, s.state = s.pos-1, inOpen
		} else if !isSpace(c) {
			s.beginBody(s.pos - 1)
		}
	case inRaw:
		if c == '<' {
			s.state = inRawOpen
		} else if n := bytes.IndexByte(s.buf[s.pos:], '<'); n >= 0 {
			s.pos += n
		} else {
			s.pos = len(s.buf)
		}
	case inRawOpen:
		switch {
		case c == '/':
			s.state, s.match = inRawName, 0
		case c == '!' && s.raw == script:
			// Within what looks like a comment a script may contain a
			// script's end tag. There is too little left to find.
			s.stop("")
		default:
			s.state = inRaw
			s.pos--
		}
	case inRawName:
		name := rawNames[s.raw]
		switch {
		case s.match < len(name) && toLower(c) == name[s.match]:
			s.match++
		case s.match == len(name) && (isSpace(c) || c == '/'):
			s.state, s.endTag = beforeAttribute, true
			s.start = s.pos
		case s.match == len(name) && c == '>':
			s.state = inText
		default:
			s.state = inRaw
			s.pos--
		}
	case inBogusComment:
		if c == '>' {
			s.state = inText
		}
	case inMarkup:
		if toLower(c) == 'd' { // a doctype, for all that matters here
			s.whole = true
		}
		s.state = afterMarkup(c, inMarkupDash, inBogusComment)
	case inMarkupDash:
		s.state = afterMarkup(c, inCommentStart, inBogusComment)
	case inCommentStart:
		s.state = afterMarkup(c, inCommentStartDash, inComment)
	case inCommentStartDash:
		s.state = afterMarkup(c, inCommentEnd, inComment)
	case inComment:
		if c == '-' {
			s.state = inCommentDash
		}
	case inCommentDash:
		s.state = inComment
		if c == '-' {
			s.state = inCommentEnd
		}
	case inCommentEnd:
		if c == '!' {
			s.state = inCommentEndBang
		} else {
			s.state = afterMarkup(c, inCommentEnd, inComment)
		}
	default: // inCommentEndBang
		s.state = afterMarkup(c, inCommentDash, inComment)
	}
}

// afterMarkup is the state after c where a > ends what <! began.
func afterMarkup(c byte, dash, otherwise lexical) lexical {
	switch c {
	case '>':
		return inText
	case '-':
		return dash
	}
	return otherwise
}

// inTag reads one byte of a tag.
func (s *scanner) inTag(c byte) {
	s.pos++
	switch s.state {
	case inOpen:
		switch {
		case isLetter(c):
			s.state, s.endTag = inTagName, false
		case c == '/':
			s.state = inEndOpen
		case c == '!':
			s.state = inMarkup
		case c == '?':
			s.state = inBogusComment
		default:
			s.beginBody(s.start)
		}
	case inEndOpen:
		switch {
		case isLetter(c):
			s.state, s.endTag = inTagName, true
		case c == '>':
			s.state = inText
		default:
			s.state = inBogusComment
		}
	case inTagName:
		if isSpace(c) || c == '/' || c == '>' {
			s.named()
			s.state = beforeAttribute
			s.pos--
		}
	case beforeAttribute:
		switch {
		case c == '>':
			s.closed()
		case !isSpace(c) && c != '/':
			s.state = inAttribute
		}
	case inAttribute, afterAttribute:
		switch {
		case c == '=':
			s.state = beforeValue
		case c == '/':
			s.state = beforeAttribute
		case c == '>':
			s.closed()
		case isSpace(c):
			s.state = afterAttribute
		default:
			s.state = inAttribute
		}
	case beforeValue:
		switch {
		case c == '"':
			s.state = inDoubleQuotes
		case c == '\'':
			s.state = inSingleQuotes
		case c == '>':
			s.closed()
		case !isSpace(c):
			s.state = inUnquoted
		}
	case inDoubleQuotes:
		if c == '"' {
			s.state = beforeAttribute
		}
	case inSingleQuotes:
		if c == '\'' {
			s.state = beforeAttribute
		}
	default: // inUnquoted
		switch {
		case c == '>':
			s.closed()
		case isSpace(c):
			s.state = beforeAttribute
		}
	}
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'
}

func isLetter(c byte) bool { return 'a' <= toLower(c) && toLower(c) <= 'z' }

func toLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
