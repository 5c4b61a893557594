package extract

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// named is a proof whose parameters have several names, and one a number.
var named = New([]Parameter{
	{Name: "lot", Fields: []string{"captcha.lot", "lotNumber", "é.🎫"}, MaxLength: 8},
	{Name: "time", Fields: []string{"captcha.time", "t"}, MaxLength: 4, Integer: true},
}, []Source{JSON}, 1<<20)

// model reads JSON with encoding/json, token by token.
type model struct {
	e       *Extractor
	body    []byte
	decoder *json.Decoder
	values  []string
	seen    map[string]bool // paths, and the names of parameters
	members int
}

// value reads a value that lies at path inside of depth others, and returns
// what is malformed about it. ours says that an object may hold ours.
func (m *model) value(path string, ours bool, depth int) (defect string) {
	token, _ := m.decoder.Token()
	switch token {
	case json.Delim('['):
		if depth == maxDepth {
			return ReasonBody
		}
		for m.decoder.More() {
			if defect := m.value("", false, depth+1); defect != "" {
				return defect
			}
		}
		m.decoder.Token()
	case json.Delim('{'):
		if depth == maxDepth {
			return ReasonBody
		}
		for m.decoder.More() {
			name, _ := m.decoder.Token()
			if m.members++; m.members > maxFields {
				return ReasonBody
			}
			if defect := m.member(path+name.(string), ours, depth+1); defect != "" {
				return defect
			}
		}
		m.decoder.Token()
	}
	return ""
}

func (m *model) member(path string, ours bool, depth int) (defect string) {
	// A name with a dot in it is no path.
	ours = ours && strings.Count(path, ".") == strings.Count(path, "\x00.")
	path = strings.ReplaceAll(path, "\x00.", ".")
	parameter, leads := none, false
	for _, name := range m.e.names {
		if ours && name.text == path {
			parameter = name.parameter
		}
		leads = leads || ours && strings.HasPrefix(name.text, path+".")
	}
	start := m.next()
	switch {
	case leads && m.seen[path]:
		return ReasonDuplicate
	case leads:
		m.seen[path] = true
		if defect := m.value(path+"\x00.", true, depth); defect != "" || start == '{' {
			return defect
		}
		return ReasonType
	case parameter == none:
		return m.value("", false, depth)
	case start == '{' || start == '[':
		if defect := m.value("", false, depth); defect != "" {
			return defect
		}
		return ReasonType
	}
	token, _ := m.decoder.Token()
	value, text := token.(string)
	number, numeric := token.(json.Number)
	wanted := m.e.parameters[parameter]
	if numeric && wanted.Integer && !strings.ContainsAny(string(number)[:min(len(number), wanted.MaxLength+1)], "-.eE") {
		value, text = string(number), true
	}
	switch {
	case !text:
		return ReasonType
	case m.seen["="+wanted.Name]:
		return ReasonDuplicate
	case len(value) > wanted.MaxLength:
		return ReasonLength
	case strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }):
		return ReasonCharacters
	}
	m.seen["="+wanted.Name] = true
	m.values[parameter] = value
	return ""
}

// next returns the first byte of the value that comes next.
func (m *model) next() byte {
	return bytes.TrimLeft(m.body[m.decoder.InputOffset():], ": \t\r\n")[0]
}

// read returns what the model finds in its body, which is JSON.
func (m *model) read() Result {
	m.decoder = json.NewDecoder(bytes.NewReader(m.body))
	m.decoder.UseNumber()
	m.values, m.seen = make([]string, len(m.e.parameters)), make(map[string]bool)
	defect := m.value("", bytes.HasPrefix(bytes.TrimLeft(m.body, " \t\r\n"), []byte("{")), 0)
	switch begun := slices.ContainsFunc(m.values, func(s string) bool { return s != "" }); {
	case defect != "":
		return malformed(JSON, defect)
	case !slices.Contains(m.values, ""):
		return found(JSON, m.values...)
	case begun:
		return missing(ReasonIncomplete)
	}
	return missing(ReasonNone)
}

// FuzzJSONAgainstAModel: the search accepts exactly what encoding/json does,
// and what it says about it is what a reader of its tokens says.
func FuzzJSONAgainstAModel(f *testing.F) {
	for _, seed := range []string{
		`{"captcha":{"lot":"l","time":17}}`, `{"lotNumber":"l","t":"17","x":[1,-0.5e+7,true,false,null,{}]}`,
		`{"\u00e9":{"\ud83c\udfab":"l"},"t":0}`, `{"t":-1}`, `{"t":1e3}`, `{"t":1.0}`, `{"t":12345}`, `{"t":01}`, `{"t":1`,
		`{"captcha":{"lot":"l"},"lotNumber":"l"}`, `{"captcha":null}`, `{"captcha":{"lot":{"title":"x"}}}`, `{"lotNumber":null}`,
		"\ufeff{\"t\":1}", "\ufeff\ufeff{}", "\xef\xbb{}", "{\"t\":1}\n{\"t\":2}\n", `{"captcha.lot":"l","t":1}`, `{"t":1 , "lotNumber" : "l" }`,
		`{"a":"\ud800\ud83c\udfab\ud800"}`, `{"a":"\ud83c\u0041"}`, `{"x":"\`, `{"x":"\u12`, `[nul]`, `[tru`, `[1.]`, `[1e]`, `[-]`, `{"x":"` + "\x00" + `"}`, "[1]\x00", "\x00", " ", `{"x":"` + "\xff\xed\xa0\x80" + `"}`,
		strings.Repeat("[", 32) + strings.Repeat("]", 32), strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32), strings.Repeat("[", 33),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
			return
		}
		got := searchPieces(t, named, "application/json", body)
		body = bytes.TrimPrefix(body, []byte("\ufeff"))
		if !json.Valid(body) {
			if got.Status != Malformed {
				t.Errorf("not JSON, and %+v", got)
			}
			return
		}
		check(t, got, (&model{e: named, body: body}).read())
	})
}

// searchPieces searches a body whole, and in chunks of all small sizes and
// some others, which has to come to the same.
func searchPieces(t *testing.T, e *Extractor, contentType string, body []byte) Result {
	t.Helper()
	mediaType, _, _ := strings.Cut(contentType, ";")
	var whole proof
	for _, truncated := range []bool{true, false} {
		for i, size := range []int{len(body), 1, 2, 3, 5, 8, 13, max(1, len(body)/2), max(1, len(body)-1)} {
			if size == 0 {
				return missing(ReasonNone)
			}
			read := prefix{length: len(body), truncated: truncated}
			last := &read.first
			for piece := range slices.Chunk(body, size) {
				*last = &chunk{bytes: piece}
				last = &(*last).next
			}
			if size == 3 {
				*last = &chunk{} // as when a body ends with a chunk
			}
			found := e.searchBody(mediaType, contentType, read)
			if i == 0 {
				whole = found
			} else if found.defect != whole.defect || found.defect == "" && !slices.Equal(found.values, whole.values) {
				t.Fatalf("truncated %v: pieces of %d give %q, %q, and all at once %q, %q", truncated, size, found.values, found.defect, whole.values, whole.defect)
			}
		}
	}
	source := Form
	if JSON.carriedBy(mediaType) {
		source = JSON
	}
	switch {
	case whole.defect != "":
		return malformed(source, whole.defect)
	case whole.complete():
		return found(source, whole.values...)
	case whole.begun():
		return missing(ReasonIncomplete)
	}
	return missing(ReasonNone)
}
