package verifier

import (
	"errors"
	"strings"
	"testing"
)

func TestAnAnswerIsExactlyOneObject(t *testing.T) {
	nested := func(depth int) string {
		return `{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "}"
	}
	for answer, want := range map[string]error{
		`{}`:                                  nil,
		" \t\r\n{ \"a\" : 1 } \n":             nil,
		`{"a":1,"b":[1,{"a":2}],"c":{"a":1}}`: nil,
		nested(maxDepth):                      nil,

		"":                        errNotJSON,
		`null`:                    errNotJSON,
		`true`:                    errNotJSON,
		`1`:                       errNotJSON,
		`"a"`:                     errNotJSON,
		`[]`:                      errNotJSON,
		`[{}]`:                    errNotJSON,
		`{}{}`:                    errNotJSON,
		`{} {}`:                   errNotJSON,
		`{},`:                     errNotJSON,
		`{}]`:                     errNotJSON,
		"{}\x00":                  errNotJSON,
		"\ufeff{}":                errNotJSON,
		`{"a":1,}`:                errNotJSON,
		`{"a":[1,]}`:              errNotJSON,
		`{"a"}`:                   errNotJSON,
		`{a:1}`:                   errNotJSON,
		`{'a':1}`:                 errNotJSON,
		`{"a":01}`:                errNotJSON,
		`{"a":+1}`:                errNotJSON,
		`{"a":NaN}`:               errNotJSON,
		`{"a":1}//`:               errNotJSON,
		"{\"a\":\"\n\"}":          errNotJSON,
		"{\"a\":\"\xff\"}":        errNotJSON,
		"{\"a\xc3\":1}":           errNotJSON,
		`{"a":1`:                  errNotJSON,
		`{"a":1,"a":1}`:           errDuplicate,
		`{"a":1,"b":2,"a":3}`:     errDuplicate,
		`{"a":1,"A":1}`:           errDuplicate,
		`{"a":1,"\u0061":1}`:      errDuplicate,
		`{"result":1,"reſult":1}`: errDuplicate, // ſ is an s to encoding/json
		`{"k":1,"\u212a":1}`:      errDuplicate, // so is the Kelvin sign a k
		`{"a":{"b":1,"B":1}}`:     errDuplicate,
		`{"a":[{"b":1,"b":1}]}`:   errDuplicate,
		nested(maxDepth + 1):      errTooDeep,
		nested(20000):             errNotJSON, // deeper than encoding/json reads
		strings.Repeat(`{"a":`, 33) + `1` + strings.Repeat("}", 33): errTooDeep,
	} {
		if _, err := parseObject([]byte(answer)); !errors.Is(err, want) {
			t.Errorf("%.60q: %v, want %v", answer, err, want)
		}
	}
}

func TestNamesAreExact(t *testing.T) {
	answer, err := parseObject([]byte(`{"Result":"success"}`))
	if err != nil || answer["result"] != nil || answer["Result"] != "success" {
		t.Errorf("decoded to %v (%v)", answer, err)
	}
}

func TestAnIntegerIsWrittenAsOne(t *testing.T) {
	for text, want := range map[string]bool{
		`1`: true, `0`: true, `-1`: true, `100`: true, `9223372036854775807`: true,
		`1.0`: false, `1e0`: false, `1E2`: false, `9223372036854775808`: false,
		`"1"`: false, `true`: false, `null`: false, `[1]`: false, `{}`: false,
	} {
		answer, err := parseObject([]byte(`{"n":` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := integer(answer["n"]); ok != want {
			t.Errorf("%s is an integer: %v", text, ok)
		}
	}
}
