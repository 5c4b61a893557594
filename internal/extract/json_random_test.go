package extract

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestRandomJSONAgainstAModel makes documents that hold the parameters, what
// looks like them and everything else, breaks some, and compares.
func TestRandomJSONAgainstAModel(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 19))
	came := make(map[string]int)
	for range 20_000 {
		document := randomJSON{Rand: random}
		document.object(0)
		body := []byte(document.String())
		if random.IntN(8) == 0 {
			body = append([]byte("\ufeff"), body...)
		}
		for range max(0, random.IntN(6)-3) {
			at := random.IntN(len(body))
			switch random.IntN(3) {
			case 0:
				body[at] = "{}[]:,\"\\0-.e nul"[random.IntN(16)]
			case 1:
				body = append(body[:at], body[at+1:]...)
			case 2:
				body = slices.Insert(body, at, body[at])
			}
			if len(body) == 0 {
				body = []byte(" ")
			}
		}
		got := searchPieces(t, named, "application/json", body)
		text := bytes.TrimPrefix(body, []byte("\ufeff"))
		want := malformed(JSON, got.Reason)
		if json.Valid(text) {
			want = (&model{e: named, body: text}).read()
		}
		if check(t, got, want); t.Failed() {
			t.Fatalf("in %q", body)
		}
		came[got.Reason]++
	}
	for _, reason := range []string{"", ReasonNone, ReasonIncomplete, ReasonDuplicate, ReasonType, ReasonLength, ReasonCharacters, ReasonBody} {
		if came[reason] < 50 {
			t.Errorf("the reason %q came %d times", reason, came[reason])
		}
	}
}

type randomJSON struct {
	strings.Builder
	*rand.Rand
}

func (r *randomJSON) one(texts ...string) { r.WriteString(texts[r.IntN(len(texts))]) }

func (r *randomJSON) space() { r.one("", "", "", "", " ", "\n", "\r\n\t") }

func (r *randomJSON) object(depth int) {
	r.WriteByte('{')
	whole := depth == 0 && r.IntN(4) == 0
	if whole {
		r.one(`"captcha":{"lot":"l","time":17}`, `"lotNumber":"l","t":"17"`, `"é":{"🎫":"l"},"t":0`)
	}
	for i := range r.IntN(4) {
		if i > 0 || whole {
			r.WriteByte(',')
		}
		r.space()
		r.one(`"captcha"`, `"captcha"`, `"lot"`, `"time"`, `"lotNumber"`, `"t"`, `"\u0074"`, `"captcha.lot"`, `"é"`, `"\u00e9"`, `"🎫"`, `"\ud83c\udfab"`, `"\ud83c"`, `"x"`, `""`, `"lotNumberX"`)
		r.space()
		r.WriteByte(':')
		r.value(depth + 1)
	}
	r.space()
	r.WriteByte('}')
	r.space()
}

func (r *randomJSON) value(depth int) {
	r.space()
	defer r.space()
	switch r.IntN(12) {
	case 0, 1, 2:
		if depth < 6 {
			r.object(depth)
			return
		}
	case 3:
		if depth < 6 {
			r.WriteByte('[')
			for i := range r.IntN(3) {
				if i > 0 {
					r.WriteByte(',')
				}
				r.value(depth + 1)
			}
			r.WriteByte(']')
			return
		}
	case 4, 5:
		r.one("0", "17", "1234", "12345", "-1", "1.0", "1e3", "1E+3", "-0.5e-7", "10000000000000000000000", "123456.5")
		return
	case 6:
		r.one("true", "false", "null")
		return
	}
	r.one(`"l"`, `"17"`, `"12345678"`, `"123456789"`, `""`, `"\u006c\/"`, `"a b"`, `"é"`, `"\"\\"`, `"\n"`, "\"\xff\"")
}
