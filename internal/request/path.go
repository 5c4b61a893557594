package request

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRounds is how often all transformations of a path are done one after the
// other before it is given up that anything comes to rest. Each round undoes
// one layer of encoding; nobody who is honest has more than two.
const maxRounds = 8

// readPath adds the values that an application may read a path as.
func (s *sight) readPath(v *values[path], p path) {
	v.add(p)
	if !s.oddPath(p.decoded) {
		return
	}
	raw, cleaned := p.escaped(), clean(p.decoded) // "/" where the path is empty
	v.add(path{decoded: cleaned, raw: s.ifEscapes(clean(raw))})
	for _, step := range pathSteps {
		changed := step(p.decoded)
		if changed == p.decoded {
			continue
		}
		value := path{decoded: clean(changed)}
		if s.escapes {
			value.raw = clean(step(raw))
		}
		v.add(value)
		if hasDots(changed) {
			v.add(path{decoded: inert(changed)})
		}
		if s.slashes {
			v.add(path{decoded: changed})
		}
	}
	asURL := s.asURL(raw)
	v.add(asURL)
	if hasDots(asURL.decoded) { // from encoded slashes, which divide nothing there
		v.add(path{decoded: inert(asURL.decoded)})
	}
	v.add(s.asServlet(raw))
	if hasDots(p.decoded) { // prefixes that are compared without cleaning, decoded and as sent
		v.add(path{decoded: inert(p.decoded), raw: s.ifEscapes(inert(raw))})
		v.add(path{decoded: inert(raw)})
		v.add(path{decoded: inert(decode(clean(raw)))}) // cleaned as sent, and decoded after that
		for _, step := range pathSteps {
			if sent := step(raw); sent != raw {
				v.add(path{decoded: inert(sent)})
				v.add(path{decoded: inert(decode(sent))})
			}
		}
		if s.slashes {
			v.add(path{decoded: mergeSlashes(inert(p.decoded))})
		}
	}

	all := s.allSteps(v, p.decoded, clean)
	s.allSteps(v, p.decoded, inert)
	if s.scripts {
		v.add(path{decoded: behindScript(cleaned), raw: s.ifEscapes(behindScript(clean(raw)))})
		v.add(path{decoded: behindScript(all)})
	}
	for _, extension := range s.extensions {
		v.add(path{decoded: cutExtension(cleaned, extension), raw: s.ifEscapes(cutExtension(clean(raw), extension))})
		v.add(path{decoded: cutExtension(all, extension)})
	}
	if s.cased&pathPart != 0 { // each of them in lower case, too
		for _, value := range v.list {
			v.add(path{decoded: strings.ToLower(value.decoded), raw: s.ifEscapes(strings.ToLower(value.raw))})
		}
	}
}

// pathSteps are the transformations of a decoded path, each with who does it.
// They are also done all together, in this order.
var pathSteps = [...]func(string) string{
	decode,         // applications that decode what their server has decoded
	plain,          // decoders and file systems that take other characters for ASCII
	forwardSlashes, // IIS
	cutNUL,         // what ends strings in C
	cutDelimiters,  // applications that parse the decoded path as a target
	dropAuthority,  // PHP's parse_url
	cutParameters,  // servlet containers
	trimSegments,   // Windows
}

func (s *sight) ifEscapes(raw string) string {
	if s.escapes {
		return raw
	}
	return ""
}

// allSteps adds what all transformations make of a path that are done in one
// order until nothing changes, each round ended by the last. One that does not
// come to rest has too many readings.
func (s *sight) allSteps(v *values[path], p string, last func(string) string) string {
	for range maxRounds {
		before := p
		for _, step := range pathSteps {
			p = step(p)
		}
		if s.cased&pathPart != 0 {
			p = strings.ToLower(p)
		}
		p = last(p)
		if p == before {
			v.add(path{decoded: p})
			return p
		}
	}
	v.full = true
	return p
}

// asURL reads an encoded path as a browser's URL parser does (WHATWG): it
// takes backslashes for slashes, drops an authority, ends at "#" and resolves
// dot segments, encoded ones too, before anything is decoded, and without
// merging slashes.
func (s *sight) asURL(raw string) path {
	raw, _, _ = strings.Cut(raw, "#")
	raw = resolveDots(dropAuthority(strings.ReplaceAll(forwardSlashes(raw), "%5C", "/")))
	return path{decoded: decode(raw), raw: s.ifEscapes(raw)}
}

// asServlet reads an encoded path as servlet containers do: parameters end at
// a slash that was sent as one.
func (s *sight) asServlet(raw string) path {
	raw = cutParameters(raw)
	return path{decoded: clean(forwardSlashes(decode(raw))), raw: s.ifEscapes(clean(raw))}
}

// eachSegment calls change for every segment of the path, and joins what it
// returns.
func eachSegment(p string, change func(string) string) string {
	var b strings.Builder
	b.Grow(len(p))
	for {
		segment, rest, more := strings.Cut(p, "/")
		b.WriteString(change(segment))
		if !more {
			return b.String()
		}
		b.WriteByte('/')
		p = rest
	}
}

// cutParameters cuts ";parameters" from every segment.
func cutParameters(p string) string {
	if strings.IndexByte(p, ';') < 0 {
		return p
	}
	return eachSegment(p, func(segment string) string {
		segment, _, _ = strings.Cut(segment, ";")
		return segment
	})
}

// forwardSlashes turns backslashes into slashes.
func forwardSlashes(p string) string {
	return strings.ReplaceAll(p, `\`, "/")
}

// dropAuthority drops the authority that a path of two slashes begins with.
func dropAuthority(p string) string {
	if !strings.HasPrefix(p, "//") {
		return p
	}
	p = strings.TrimLeft(p, "/")
	if slash := strings.IndexByte(p, '/'); slash >= 0 {
		return p[slash:]
	}
	return "/"
}

// decode undoes percent-encoding. What cannot be decoded stays as it is.
func decode(p string) string {
	if strings.IndexByte(p, '%') < 0 {
		return p
	}
	decoded := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] == '%' && i+2 < len(p) {
			high, low := unhex(p[i+1]), unhex(p[i+2])
			if high >= 0 && low >= 0 {
				decoded = append(decoded, byte(high<<4|low))
				i += 2
				continue
			}
		}
		decoded = append(decoded, p[i])
	}
	return string(decoded)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}

// cutNUL ends a text at the first NUL.
func cutNUL(text string) string {
	text, _, _ = strings.Cut(text, "\x00")
	return text
}

// cutDelimiters ends a path where a query or fragment would begin.
func cutDelimiters(p string) string {
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		return p[:i]
	}
	return p
}

// plain replaces the characters that some take for ASCII: overlong UTF-8,
// fullwidth forms, and letters whose other case is an ASCII letter.
func plain(p string) string {
	if !mayBePlain(p) {
		return p
	}
	var b strings.Builder
	b.Grow(len(p))
	for i := 0; i < len(p); {
		if c, size := overlong(p[i:]); size > 0 {
			b.WriteByte(c)
			i += size
			continue
		}
		c, size := utf8.DecodeRuneInString(p[i:])
		switch other := unicode.ToLower(unicode.ToUpper(c)); {
		case 0xFF01 <= c && c <= 0xFF5E:
			b.WriteByte(byte(c - 0xFF00 + ' '))
		case c >= utf8.RuneSelf && other < utf8.RuneSelf:
			b.WriteByte(byte(other))
		default:
			b.WriteString(p[i : i+size])
		}
		i += size
	}
	return b.String()
}

// mayBePlain reports whether a byte begins one of the sequences that plain
// replaces.
func mayBePlain(p string) bool {
	for i := range len(p) {
		if classes[p[i]]&foreign != 0 {
			return true
		}
	}
	return false
}

// overlong returns the ASCII character that p begins with if it is encoded in
// more bytes than UTF-8 allows, and how many these are.
func overlong(p string) (byte, int) {
	continues := func(i int) bool { return i < len(p) && p[i]&0xC0 == 0x80 }
	switch {
	case (p[0] == 0xC0 || p[0] == 0xC1) && continues(1):
		return p[0]&1<<6 | p[1]&0x3F, 2
	case p[0] == 0xE0 && continues(1) && p[1] <= 0x81 && continues(2):
		return p[1]&1<<6 | p[2]&0x3F, 3
	case p[0] == 0xF0 && continues(1) && p[1] == 0x80 && continues(2) && p[2] <= 0x81 && continues(3):
		return p[2]&1<<6 | p[3]&0x3F, 4
	default:
		return 0, 0
	}
}

// trimSegments cuts the dots and spaces that Windows ignores at the end of
// every name.
func trimSegments(p string) string {
	if !strings.Contains(p, "./") && !strings.Contains(p, " /") && !strings.HasSuffix(p, ".") && !strings.HasSuffix(p, " ") {
		return p
	}
	return eachSegment(p, func(segment string) string {
		if isDots(segment) {
			return segment
		}
		return strings.TrimRight(segment, ". ")
	})
}

// cutExtension cuts behind the first segment that ends in the extension: what
// follows is the script's PATH_INFO.
func cutExtension(p, extension string) string {
	for end := range len(p) {
		if p[end] == '/' && end >= len(extension) && strings.EqualFold(p[end-len(extension):end], extension) {
			return p[:end]
		}
	}
	return p
}

// scripts are the extensions of what a server runs and hands the rest of the
// path to, as PATH_INFO (RFC 3875, section 4.1.5). Front controllers route by
// it: to many of them /index.php/login is /login.
var scripts = [...]string{".php", ".php5", ".phtml", ".cgi", ".fcgi", ".pl", ".py", ".asp", ".aspx", ".ashx", ".cfm"}

// behindScript returns what follows on the first segment that may be a script,
// or the path itself where there is none.
func behindScript(p string) string {
	for i := range len(p) {
		if p[i] == '/' && isScript(p[:i]) {
			return p[i:]
		}
	}
	return p
}

// isScript reports whether a path ends in the extension of a script.
func isScript(p string) bool {
	dot := strings.LastIndexByte(p[max(0, len(p)-len(".phtml")):], '.')
	if dot < 0 {
		return false
	}
	extension := p[max(0, len(p)-len(".phtml"))+dot:]
	for _, script := range scripts {
		if strings.EqualFold(extension, script) {
			return true
		}
	}
	return false
}

// mergeSlashes makes one slash of several.
func mergeSlashes(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}
