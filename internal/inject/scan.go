package inject

import (
	"bytes"
	"slices"
	"sync"
)

// scanLimit is how much of a page is searched, and so held back at most, for
// the place where the element goes.
const scanLimit = 64 << 10

// maxTagName is longer than all names that the scanner knows.
const maxTagName = 16

// scanner finds the place in a page where the script element goes: in the head,
// as early as is safe. That is after what makes no difference to a script and
// what must come early itself, namely the doctype, comments, the tags of html
// and head, meta elements (browsers look for the charset in the first 1024
// bytes, and a policy in a meta element must be known before our nonce is) and
// the title, and before anything else. It is before a base element, too, lest
// our URL be resolved against it.
//
// After that it goes on to the end of the head, to amend policies in meta
// elements that come later. It reads tokens as browsers do, byte by byte, so
// that the result does not depend on how the page is cut into writes.
type scanner struct {
	page page

	buf    []byte   // what was read and not yet passed on
	pos    int      // buf is scanned up to here
	start  int      // of the tag that pos is in
	metas  [][2]int // the meta tags in buf that are not yet amended
	budget int      // how many bytes may still be scanned

	state  lexical
	name   tagName // of the tag that pos is in
	endTag bool
	raw    tagName // the element whose end tag ends text without markup
	match  int     // how much of that name was seen

	whole     bool // a doctype, or a tag of html or head, was seen
	wholeOnly bool // a fragment gets no element
	inserted  bool
	done      bool // nothing more is changed
	reason    Reason
}

// page is what the scanner needs of the page's response.
type page interface {
	// element returns the element. It is called when there is a place for it.
	element() string
	// amendMeta returns the tag to put in the place of this meta tag, or nil.
	amendMeta(tag []byte) []byte
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

// newScanner returns a scanner, which has to be released. With wholeOnly it
// passes on as they are the fragments of HTML that scripts put into pages.
func newScanner(p page, wholeOnly bool) *scanner {
	s := scanners.Get().(*scanner)
	*s = scanner{page: p, buf: s.buf[:0], metas: s.metas[:0], budget: scanLimit, wholeOnly: wholeOnly}
	return s
}

func (s *scanner) release() {
	s.page = nil
	scanners.Put(s)
}

// feed scans p, and returns what of it is not needed in buf since nothing there
// is changed.
func (s *scanner) feed(p []byte) (rest []byte) {
	n := min(len(p), s.budget)
	s.buf = append(s.buf, p[:n]...)
	s.budget -= n
	s.scan()
	if !s.done && s.budget == 0 {
		s.stop(NoPlace)
	}
	return p[n:]
}

// end tells the scanner that the page ends here.
func (s *scanner) end() {
	switch {
	case s.inserted || s.done:
	case s.state == inText:
		s.insert(len(s.buf))
	case s.state == atBegin:
		s.stop("") // an empty page
	default:
		s.stop(EndsUnfinished)
	}
	s.done = true
}

// stop ends the scan. The reason counts if the element was not inserted.
func (s *scanner) stop(reason Reason) {
	s.done = true
	if !s.inserted {
		s.reason = reason
	}
}

// begun reports whether what was read so far begins like a page.
func (s *scanner) begun() bool { return s.state != atBegin && (s.whole || !s.wholeOnly) }

// ready returns how much of buf will not be changed any more. The element, if
// it is still to come, will come after that.
func (s *scanner) ready() int {
	switch {
	case s.done:
		return len(s.buf)
	case !s.begun():
		return 0
	}
	s.amendMetas()
	if s.state.inTag() {
		return s.start
	}
	return len(s.buf)
}

// drop forgets the first n bytes of buf, which were passed on.
func (s *scanner) drop(n int) {
	s.buf = s.buf[:copy(s.buf, s.buf[n:])]
	s.pos -= n
	s.start -= n
}

// tagName is what the scanner has to know of an element.
type tagName uint8

const (
	other  tagName = iota // begins the body
	body                  // does so with its end tag, too
	early                 // goes before our element: html, head
	meta                  // goes before it too
	title                 // and this
	late                  // goes after our element, like the following: base, link
	script                // these contain text without markup
	style
	noscript
)

var rawNames = [...]string{title: "title", script: "script", style: "style", noscript: "noscript"}

func lookUpTag(name []byte) tagName {
	if len(name) > maxTagName {
		return other
	}
	var lower [maxTagName]byte
	for n, c := range name {
		lower[n] = toLower(c)
	}
	switch string(lower[:len(name)]) {
	case "body", "br":
		return body
	case "html", "head":
		return early
	case "meta":
		return meta
	case "title":
		return title
	case "base", "link", "basefont", "bgsound":
		return late
	case "script":
		return script
	case "style":
		return style
	case "noscript":
		return noscript
	}
	return other
}

// begin looks at how the page begins: whatever its type says, what does not
// begin with a tag, a comment or a doctype may be JSON, text or UTF-16.
func (s *scanner) begin() {
	const mark = "\xef\xbb\xbf" // U+FEFF in UTF-8
	if len(s.buf) < len(mark) && bytes.HasPrefix([]byte(mark), s.buf) {
		return
	}
	n := s.pos
	if n == 0 && bytes.HasPrefix(s.buf, []byte(mark)) {
		n = len(mark)
	}
	for n < len(s.buf) && isSpace(s.buf[n]) {
		n++
	}
	s.pos = n
	switch {
	case n == len(s.buf):
	case s.buf[n] != '<':
		s.stop(NotHTML)
	case n+1 == len(s.buf):
	case isLetter(s.buf[n+1]) || s.buf[n+1] == '!' || s.buf[n+1] == '?':
		s.state = inText
	default:
		s.stop(NotHTML)
	}
}

// named is called when the name of a tag is complete.
func (s *scanner) named() {
	from := s.start + len("<")
	if s.endTag {
		from += len("/")
	}
	s.name = lookUpTag(s.buf[from : s.pos-1])
	switch {
	case s.name == early && !s.endTag:
		s.whole = true
	case s.name == body, s.name == other && !s.endTag:
		s.beginBody(s.start)
	case s.inserted:
	case s.name == early && s.endTag, s.name >= late && !s.endTag:
		s.insert(s.start)
	}
}

// closed is called at the end of a tag.
func (s *scanner) closed() {
	s.state = inText
	if s.endTag {
		return
	}
	switch s.name {
	case meta:
		s.metas = append(s.metas, [2]int{s.start, s.pos})
		if s.inserted {
			s.amendMetas()
		}
	case title, script, style, noscript:
		s.state, s.raw = inRaw, s.name
	case other, body, early, late:
	}
}

// beginBody is called where the body begins: the element goes here at the latest.
func (s *scanner) beginBody(at int) {
	if !s.inserted {
		s.insert(at)
	}
	s.stop("")
}

func (s *scanner) insert(at int) {
	if s.wholeOnly && !s.whole {
		s.stop("")
		return
	}
	at += s.amendMetas()
	element := s.page.element()
	s.buf = slices.Insert(s.buf, at, []byte(element)...)
	s.pos += len(element)
	s.start += len(element)
	s.inserted = true
}

// amendMetas amends the meta tags in buf and returns how much longer that made
// it. Those before the element have to wait until it is known to come.
func (s *scanner) amendMetas() (grown int) {
	for _, tag := range s.metas {
		from, to := tag[0]+grown, tag[1]+grown
		if amended := s.page.amendMeta(s.buf[from:to]); amended != nil {
			s.buf = slices.Replace(s.buf, from, to, amended...)
			grown += len(amended) - (to - from)
		}
	}
	s.metas = s.metas[:0]
	s.pos += grown
	s.start += grown
	return grown
}
