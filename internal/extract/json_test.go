package extract

import (
	"fmt"
	"strings"
	"testing"
)

func TestJSON(t *testing.T) {
	for body, want := range map[string]Result{
		"":                             missing(ReasonNone),
		`{}`:                           missing(ReasonNone),
		`{"ticket":"t","randstr":"r"}`: found(JSON, "t", "r"),
		" {\n\"user\":{\"ticket\":1},\"randstr\":\"r\",\"x\":[{\"ticket\":2}],\"ticket\":\"t\"}\t": found(JSON, "t", "r"),
		`{"tick\u0065t":"\u0074\/","randstr":"r"}`:                                                 found(JSON, "t/", "r"),
		`{"ticket":"t","randstr":"r","big":1e999,"neg":-0.5E-2}`:                                   found(JSON, "t", "r"),
		`{"ticket":"t","randstr":"r","x":"\"}{:\\"}`:                                               found(JSON, "t", "r"),
		`{"ticket":"t"}`:              missing(ReasonIncomplete),
		`{"ticket":"t","randstr":""}`: missing(ReasonIncomplete),
		`{"Ticket":"t"}`:              missing(ReasonNone),

		// not an object: nothing of ours is in it
		`[]`:                               missing(ReasonNone),
		`[{"ticket":"t","randstr":"r"}]`:   missing(ReasonNone),
		`"ticket"`:                         missing(ReasonNone),
		`null`:                             missing(ReasonNone),
		`1`:                                missing(ReasonNone),
		`{"ticket":1,"randstr":"r"}`:       malformed(JSON, ReasonType),
		`{"ticket":1e999,"randstr":"r"}`:   malformed(JSON, ReasonType),
		`{"ticket":null,"randstr":"r"}`:    malformed(JSON, ReasonType),
		`{"ticket":true,"randstr":"r"}`:    malformed(JSON, ReasonType),
		`{"ticket":["t"],"randstr":"r"}`:   malformed(JSON, ReasonType),
		`{"ticket":{"a":1},"randstr":"r"}`: malformed(JSON, ReasonType),

		`{"ticket":"t","randstr":"r","ticket":"t"}`:                  malformed(JSON, ReasonDuplicate),
		`{"ticket":"t","randstr":"r","\u0074icket":""}`:              malformed(JSON, ReasonDuplicate),
		`{"ticket":"","ticket":""}`:                                  malformed(JSON, ReasonDuplicate),
		`{"ticket":"t t","randstr":"r"}`:                             malformed(JSON, ReasonCharacters),
		`{"ticket":"\u0000","randstr":"r"}`:                          malformed(JSON, ReasonCharacters),
		`{"ticket":"\ud800","randstr":"r"}`:                          malformed(JSON, ReasonCharacters),
		"{\"ticket\":\"\xff\",\"randstr\":\"r\"}":                    malformed(JSON, ReasonCharacters),
		`{"ticket":"` + strings.Repeat("t", 17) + `","randstr":"r"}`: malformed(JSON, ReasonLength),

		`{"ticket":"t","randstr":"r"`:                malformed(JSON, ReasonBody),
		`{"ticket":"t","randstr":"r"]`:               malformed(JSON, ReasonBody),
		`{"ticket":"t","randstr":"r",}`:              malformed(JSON, ReasonBody),
		`{"ticket":"t" "randstr":"r"}`:               malformed(JSON, ReasonBody),
		`{,"ticket":"t","randstr":"r"}`:              malformed(JSON, ReasonBody),
		`{"ticket":"t","randstr":"r"}}`:              malformed(JSON, ReasonBody),
		`{"ticket":"t","randstr":"r"}{}`:             malformed(JSON, ReasonBody),
		`{"ticket":"t","randstr":"r","x":01}`:        malformed(JSON, ReasonBody),
		`{"ticket":"t","randstr":"r",x:1}`:           malformed(JSON, ReasonBody),
		`{"ticket":"t","randstr":"r",1:1}`:           malformed(JSON, ReasonBody),
		`{'ticket':'t'}`:                             malformed(JSON, ReasonBody),
		"\ufeff{\"ticket\":\"t\",\"randstr\":\"r\"}": found(JSON, "t", "r"),
		`[1,]`:               malformed(JSON, ReasonBody),
		"ticket=t&randstr=r": malformed(JSON, ReasonBody),
		" ":                  malformed(JSON, ReasonBody),
	} {
		t.Run(body, func(t *testing.T) {
			check(t, extractFrom(t, New(parameters, allSources, bodyLimit), newRequest(body, "application/json", -1), body), want)
		})
	}
}

func TestJSONPaths(t *testing.T) {
	e := New([]Parameter{
		{Name: "ticket", Fields: []string{"captcha.t"}, MaxLength: 16},
		{Name: "randstr", Fields: []string{"captcha.more.r"}, MaxLength: 8},
	}, []Source{JSON}, bodyLimit)
	for body, want := range map[string]Result{
		`{"captcha":{"t":"t","more":{"r":"r"}},"captchas":[]}`:                          found(JSON, "t", "r"),
		`{"captcha":{"more":{"x":[[]],"r":"r"},"t":"t","more2":1}}`:                     found(JSON, "t", "r"),
		`{"captcha.t":"t","captcha.more.r":"r"}`:                                        missing(ReasonNone),
		`{"t":"t","more":{"r":"r"}}`:                                                    missing(ReasonNone),
		`{"captcha":{}}`:                                                                missing(ReasonNone),
		`{"captcha":{"t":"t"}}`:                                                         missing(ReasonIncomplete),
		`{"captcha":{"t":"t","more":{"r":"r"}},"captcha":{}}`:                           malformed(JSON, ReasonDuplicate),
		`{"captcha":{"t":"t","more":{}},"captcha":null}`:                                malformed(JSON, ReasonDuplicate),
		`{"captcha":{"t":"t","more":{},"\u006dore":{"r":"r"}}}`:                         malformed(JSON, ReasonDuplicate),
		`{"captcha":{"t":"t","t":"t"}}`:                                                 malformed(JSON, ReasonDuplicate),
		`{"captcha":[{"t":"t","more":{"r":"r"}}]}`:                                      malformed(JSON, ReasonType),
		`{"captcha":"t"}`:                                                               malformed(JSON, ReasonType),
		`{"captcha":null}`:                                                              malformed(JSON, ReasonType),
		`{"captcha":{"t":"t","more":1}}`:                                                malformed(JSON, ReasonType),
		`{"captcha":{"t":{},"more":{"r":"r"}}}`:                                         malformed(JSON, ReasonType),
		`{"captcha":{"t":"t","more":{"r":"r"}}`:                                         malformed(JSON, ReasonBody),
		`{"captcha":{"t":"t","more":{"r":"r"},"x":"` + strings.Repeat("x", 999):         found(JSON, "t", "r"),
		`{"captcha":{"t":"t","x":"` + strings.Repeat("x", 999) + `","more":{"r":"r"}}}`: missing(ReasonBodyLimit),
	} {
		t.Run(body, func(t *testing.T) {
			check(t, extractFrom(t, e, newRequest(body, "application/json", -1), body), want)
		})
	}
}

// TestOwnFieldsOfTheSameName: what an application of its own accord calls like
// a parameter is malformed, for a reason that does not change. Whether it may
// be forwarded is for others to say.
func TestOwnFieldsOfTheSameName(t *testing.T) {
	for name, test := range map[string]struct {
		contentType, body string
		want              Result
	}{
		"an object":          {"application/json", `{"ticket":{"title":"x"}}`, malformed(JSON, ReasonType)},
		"null":               {"application/json", `{"ticket":null,"user":"a"}`, malformed(JSON, ReasonType)},
		"a number":           {"application/json", `{"ticket":17}`, malformed(JSON, ReasonType)},
		"a text":             {"application/json", `{"ticket":"It does not work","id":1}`, malformed(JSON, ReasonCharacters)},
		"a long text":        {"application/json", `{"ticket":"` + strings.Repeat("x", 99) + `"}`, malformed(JSON, ReasonLength)},
		"lines of JSON":      {"application/json", "{\"user\":\"a\"}\n{\"user\":\"b\"}\n", malformed(JSON, ReasonBody)},
		"a number in a form": {urlEncoded, "ticket=17&title=x", missing(ReasonIncomplete)},
		"a text in a form":   {urlEncoded, "ticket=It+does+not+work", malformed(Form, ReasonCharacters)},
		"a list in a form":   {urlEncoded, "ticket=17&ticket=18", malformed(Form, ReasonDuplicate)},
		"1001 fields":        {urlEncoded, strings.Repeat("x=y&", 1000) + "x=y", malformed(Form, ReasonBody)},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, extractFrom(t, New(parameters, allSources, 1<<20), newRequest(test.body, test.contentType, -1), test.body), test.want)
		})
	}
}

func TestANumberIsItsDigits(t *testing.T) {
	e := New([]Parameter{{Name: "time", Fields: []string{"time"}, MaxLength: 10, Integer: true}}, allSources, bodyLimit)
	for number, want := range map[string]Result{
		"1718000000":            found(JSON, "1718000000"),
		" 1718000000 ":          found(JSON, "1718000000"),
		`"1718000000"`:          found(JSON, "1718000000"),
		`"1e3"`:                 found(JSON, "1e3"), // a text is as it is
		"0":                     found(JSON, "0"),
		"17180000000":           malformed(JSON, ReasonLength),
		"1718000000.0":          malformed(JSON, ReasonType),
		"171800000.0":           malformed(JSON, ReasonType),
		"1.718e9":               malformed(JSON, ReasonType),
		"1718E6":                malformed(JSON, ReasonType),
		"-1718000000":           malformed(JSON, ReasonType),
		"-0":                    malformed(JSON, ReasonType),
		"true":                  malformed(JSON, ReasonType),
		"[1718000000]":          malformed(JSON, ReasonType),
		"01718000000":           malformed(JSON, ReasonBody),
		"+1718000000":           malformed(JSON, ReasonBody),
		"0x66666666":            malformed(JSON, ReasonBody),
		"1718000000,\"time\":1": malformed(JSON, ReasonDuplicate),
	} {
		t.Run(number, func(t *testing.T) {
			body := `{"time":` + number + `}`
			check(t, extractFrom(t, e, newRequest(body, "application/json", -1), body), want)
		})
	}
	// Where the limit ends a number, there may be more of it.
	const body = `{"time":1718000000,"x":1}`
	for limit := range len(body) {
		want := missing(ReasonBodyLimit)
		if limit >= len(`{"time":1718000000`) {
			want = found(JSON, "1718000000")
		}
		e := New([]Parameter{{Name: "time", Fields: []string{"time"}, MaxLength: 10, Integer: true}}, allSources, int64(limit))
		check(t, extractFrom(t, e, newRequest(body, "application/json", -1), body), want)
	}
}

func TestJSONHasAtMost32LevelsAnd1000Members(t *testing.T) {
	deep := New([]Parameter{{Name: "t", Fields: []string{strings.Repeat("a.", 32) + "a"}, MaxLength: 16}}, []Source{JSON}, 1<<20)
	e := New(parameters, allSources, 1<<20)
	const proof = `{"ticket":"t","randstr":"r","x":`
	var members [1000]string
	for i := range members {
		members[i] = fmt.Sprintf("%q:1", fmt.Sprint(i))
	}
	for name, test := range map[string]struct {
		e    *Extractor
		body string
		want Result
	}{
		"32 levels of arrays":         {e, proof + strings.Repeat("[", 31) + strings.Repeat("]", 31) + "}", found(JSON, "t", "r")},
		"33 levels of arrays":         {e, proof + strings.Repeat("[", 32) + strings.Repeat("]", 32) + "}", malformed(JSON, ReasonBody)},
		"33 levels of objects":        {e, proof + strings.Repeat(`{"x":`, 32) + "1" + strings.Repeat("}", 33), malformed(JSON, ReasonBody)},
		"32 levels without an object": {e, strings.Repeat("[", 32) + strings.Repeat("]", 32), missing(ReasonNone)},
		"33 levels without an object": {e, strings.Repeat("[", 33) + strings.Repeat("]", 33), malformed(JSON, ReasonBody)},
		"33 levels on our path":       {deep, strings.Repeat(`{"a":`, 33) + `"t"` + strings.Repeat("}", 33), malformed(JSON, ReasonBody)},
		"20000 levels":                {e, proof + strings.Repeat("[", 20000), malformed(JSON, ReasonBody)},
		"1000 members":                {e, proof + "{" + strings.Join(members[:997], ",") + "}}", found(JSON, "t", "r")},
		"1001 members":                {e, proof + "{" + strings.Join(members[:998], ",") + "}}", malformed(JSON, ReasonBody)},
		"1001 members at the top":     {e, proof + "1," + strings.Join(members[:998], ",") + "}", malformed(JSON, ReasonBody)},
		"1001 members, ours last":     {e, "{" + strings.Join(members[:999], ",") + `,"ticket":"t","randstr":"r"}`, malformed(JSON, ReasonBody)},
		"5000 elements":               {e, proof + "[" + strings.Repeat("1,", 4999) + "1]}", found(JSON, "t", "r")},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, extractFrom(t, test.e, newRequest(test.body, "application/json", -1), test.body), test.want)
		})
	}
}
