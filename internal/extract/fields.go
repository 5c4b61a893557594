package extract

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

func searchHeader(found *proof, header http.Header) {
	parameters := found.wanted.parameters
	for i := range parameters {
		for _, value := range header[parameters[i].Header] {
			if !found.add(i, value) {
				return
			}
		}
	}
}

// searchCookies reads cookies as net/http does (RFC 6265, 5.4): the value is
// taken without the quotes around it, and not decoded.
func searchCookies(found *proof, lines []string) {
	for _, line := range lines {
		for cookie := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(textproto.TrimString(cookie), "=")
			i := found.wanted.parameter(textproto.TrimString(name))
			if i == none {
				continue
			}
			if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			if !found.add(i, value) {
				return
			}
		}
	}
}

// searchPairs reads application/x-www-form-urlencoded text, which a query is,
// too. Where the text is open, its last pair may go on: it is left out, and
// returned. Pairs of other names are the application's, however they are
// encoded.
func searchPairs[T string | []byte](found *proof, text T, open bool) (rest T) {
	for start := 0; start < len(text); {
		end, last := next(text, start, '&')
		if last && open {
			return text[start:]
		}
		equals, noValue := next(text[:end], start, '=')
		for _, name := range found.wanted.names {
			if !decodesTo(text[start:equals], name.text) {
				continue
			}
			var value string
			if !noValue {
				raw := text[equals+1 : end]
				if len(raw) > 3*found.wanted.parameters[name.parameter].MaxLength {
					found.fail(ReasonLength) // even if all of it is percent-encoded
					return rest
				}
				var err error
				value, err = url.QueryUnescape(string(raw))
				if err != nil {
					found.fail(ReasonCharacters)
					return rest
				}
			}
			if !found.add(name.parameter, value) {
				return rest
			}
		}
		start = end + 1
	}
	return rest
}

// next returns the index of the separator in text at or after start, or the
// length of the text and true when there is none.
func next[T string | []byte](text T, start int, separator byte) (index int, last bool) {
	for i := start; i < len(text); i++ {
		if text[i] == separator {
			return i, false
		}
	}
	return len(text), true
}

// decodesTo reports whether the percent-encoded text is name. It spares the
// allocations of decoding names that are not ours.
func decodesTo[T string | []byte](text T, name string) bool {
	n := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(text) {
				return false
			}
			high, low := unhex(text[i+1]), unhex(text[i+2])
			if high > 0xf || low > 0xf {
				return false
			}
			c = high<<4 | low
			i += 2
		}
		if n == len(name) || name[n] != c {
			return false
		}
		n++
	}
	return n == len(name)
}

// unhex returns the value of a hexadecimal digit, and 255 for anything else.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
