// Package form takes the body of a form apart so that a browser can send it
// again byte for byte.
package form

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// The values of a form's enctype attribute of which this package knows the
// encoding, which are media types, too.
const (
	URLEncoded = "application/x-www-form-urlencoded"
	Multipart  = "multipart/form-data"
)

// Form is what a form sends.
type Form struct {
	// Enctype is URLEncoded or Multipart.
	Enctype string

	Entries []Entry
}

// Entry is a name and a value. Each byte of them is the character that
// windows-1252 has for it (https://encoding.spec.whatwg.org/#windows-1252),
// which has one for every byte: a form with accept-charset="windows-1252" sends
// the bytes that the first one sent, whatever its charset was.
type Entry struct {
	Name, Value string

	// NoFile says that the entry is a file input in which no file was chosen.
	NoFile bool
}

// MarshalJSON returns [name, value], where the value is null for NoFile.
func (e Entry) MarshalJSON() ([]byte, error) {
	if e.NoFile {
		return json.Marshal([2]any{e.Name, nil})
	}
	return json.Marshal([2]any{e.Name, e.Value})
}

// maxEntries is how many a form may have, to be parsed.
const maxEntries = 1000

// Parse takes a body apart. It reports false for one that a browser would not
// send again as it is, but for a boundary: it encodes what it has parsed as the
// HTML standard says ("constructing the form data set" and "form submission
// algorithm") and compares. A file can never be sent again.
func Parse(contentType string, body []byte) (Form, bool) {
	form := Form{Entries: []Entry{}}
	var encoded []byte
	var ok bool
	if contentType == URLEncoded {
		form.Enctype = URLEncoded
		ok = form.parsePairs(body)
		encoded = form.pairs(len(body))
	} else if boundary, isMultipart := strings.CutPrefix(contentType, Multipart+"; boundary="); isMultipart && isBoundary(boundary) {
		form.Enctype = Multipart
		ok = form.parseParts(body, boundary)
		encoded = form.parts(boundary, len(body))
	}
	if !ok || !bytes.Equal(encoded, body) {
		return Form{}, false
	}
	return form, true
}

func (f *Form) add(name, value string, noFile bool) bool {
	f.Entries = append(f.Entries, Entry{decoded(name), decoded(value), noFile})
	return len(f.Entries) <= maxEntries
}

// characters are those of the bytes, and encoding their bytes. Where the
// standard takes a byte that windows-1252 has no character for as the control
// character of that number, charmap has none.
var characters, encoding = windows1252()

func windows1252() (characters [256]rune, encoding map[rune]byte) {
	encoding = map[rune]byte{}
	for i := range characters {
		b := byte(i)
		r := charmap.Windows1252.DecodeByte(b)
		if r == utf8.RuneError {
			r = rune(b)
		}
		characters[b], encoding[r] = r, b
	}
	return characters, encoding
}

func decoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		b.WriteRune(characters[text[i]])
	}
	return b.String()
}

// bytesOf returns the bytes that a browser sends for a name or value: those of
// its characters, and CR LF for each end of a line.
func bytesOf(text string) string {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		b = append(b, encoding[r])
	}
	return lineEnds.Replace(string(b))
}

var lineEnds = strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n")

func (f *Form) parsePairs(body []byte) bool {
	if len(body) == 0 {
		return true
	}
	for pair := range strings.SplitSeq(string(body), "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, nameErr := url.QueryUnescape(name)
		value, valueErr := url.QueryUnescape(value)
		if nameErr != nil || valueErr != nil || !f.add(name, value, false) {
			return false
		}
	}
	return true
}

func (f *Form) pairs(size int) []byte {
	encoded := make([]byte, 0, size)
	for i, entry := range f.Entries {
		if i > 0 {
			encoded = append(encoded, '&')
		}
		encoded = append(encoded, escape(bytesOf(entry.Name))...)
		encoded = append(encoded, '=')
		encoded = append(encoded, escape(bytesOf(entry.Value))...)
	}
	return encoded
}

// escape is the serializer of https://url.spec.whatwg.org/#urlencoded-serializing,
// which differs from net/url in two characters.
func escape(text string) string {
	return strings.NewReplacer("~", "%7E", "%2A", "*").Replace(url.QueryEscape(text))
}

// isBoundary reports whether text is a boundary as browsers make them.
func isBoundary(text string) bool {
	return text != "" && len(text) <= 70 && strings.Trim(text, "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

const (
	partHead = "\r\nContent-Disposition: form-data; name=\""
	noFile   = "\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n"
	noType   = "\"\r\n\r\n"
)

// parseParts reads parts as browsers write them, and no others: whatever else
// is allowed would not be the same again. A name is taken as it is written,
// since what escapes a quotation mark in it (%22) is not escaped itself.
func (f *Form) parseParts(body []byte, boundary string) bool {
	delimiter := []byte("--" + boundary)
	if !bytes.HasPrefix(body, delimiter) {
		return false
	}
	pieces := bytes.Split(body[len(delimiter):], append([]byte("\r\n"), delimiter...))
	for _, piece := range pieces[:len(pieces)-1] {
		head, value, ok := strings.Cut(string(piece), "\r\n\r\n")
		name, found := strings.CutPrefix(head, partHead)
		name, rest, closed := strings.Cut(name, `"`)
		isFile := rest != ""
		if !ok || !found || !closed || isFile && value != "" || !f.add(name, value, isFile) {
			return false
		}
	}
	return true
}

func (f *Form) parts(boundary string, size int) []byte {
	encoded := make([]byte, 0, size)
	for _, entry := range f.Entries {
		encoded = append(encoded, "--"+boundary+partHead...)
		encoded = append(encoded, quoted.Replace(bytesOf(entry.Name))...)
		if entry.NoFile {
			encoded = append(encoded, noFile...)
		} else {
			encoded = append(encoded, noType...)
			encoded = append(encoded, bytesOf(entry.Value)...)
		}
		encoded = append(encoded, "\r\n"...)
	}
	return append(encoded, "--"+boundary+"--\r\n"...)
}

// quoted escapes a name for a part's header.
var quoted = strings.NewReplacer("\n", "%0A", "\r", "%0D", `"`, "%22")
