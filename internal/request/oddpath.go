package request

// What a byte of a path may mean.
const (
	odd     = 1 << iota // reads differently wherever it is
	edge                // a slash, a dot or a space: it depends on what is beside it
	upper               // differs where upper and lower case do
	foreign             // begins a sequence that plain may replace
)

var classes = func() (classes [256]uint8) {
	for _, c := range ";\\%\x00?#" {
		classes[c] = odd
	}
	for _, c := range "/. " {
		classes[c] = edge
	}
	for c := 'A'; c <= 'Z'; c++ {
		classes[c] = upper
	}
	for c := 0x80; c < 0x100; c++ {
		classes[c] = upper // one may have a lower case
	}
	for _, c := range []byte{0xC0, 0xC1, 0xC4, 0xC5, 0xE0, 0xE2, 0xEF, 0xF0} {
		classes[c] |= foreign
	}
	return classes
}()

// oddPath reports whether a decoded path may have a second reading. What is
// written with percent-encodings but decodes to nothing odd has none: every
// reader that does not decode it misses the protected path, too.
func (s *sight) oddPath(p string) bool {
	if p == "" || p[0] != '/' {
		return true
	}
	mask := uint8(odd | edge | foreign)
	if s.cased&pathPart != 0 {
		mask |= upper
	}
	dot := false
	for i := range len(p) {
		class := classes[p[i]] & mask
		if class == 0 {
			continue
		}
		if class != edge {
			return true
		}
		switch p[i] {
		case '/':
			if i > 0 && (classes[p[i-1]]&edge != 0 || dot && (len(s.extensions) > 0 || s.scripts && isScript(p[:i]))) {
				return true // two slashes, or a segment that ends in a dot, a space, or the extension of a script
			}
		case '.':
			dot = true
		}
	}
	last := p[len(p)-1]
	return last == '.' || last == ' '
}
