package extract

import (
	"strings"
	"testing"
)

func TestURLEncodedForm(t *testing.T) {
	const contentType = "application/x-www-form-urlencoded"
	for body, want := range map[string]Result{
		"":                                      missing(ReasonNone),
		"user=a&ticket=t&pass=%C3%A9&randstr=r": found(Form, "t", "r"),
		"ticket=a%2bb&randstr=r":                found(Form, "a+b", "r"),
		"ticket=a+b&randstr=r":                  malformed(Form, ReasonCharacters),
		"ticket=%&randstr=r":                    malformed(Form, ReasonCharacters),
		"ticket=t&randstr=r&x=%&%=%":            found(Form, "t", "r"),
		"ticket=t&randstr=r&tic%6bet=t":         malformed(Form, ReasonDuplicate),
		"ticket=&ticket=":                       malformed(Form, ReasonDuplicate),
		"ticket=t\r\nrandstr=r":                 malformed(Form, ReasonCharacters),
		"ticket=\xff&randstr=r":                 malformed(Form, ReasonCharacters),
		"ticket=" + strings.Repeat("t", 17) + "&randstr=r": malformed(Form, ReasonLength),
		"ticket=t":                     missing(ReasonIncomplete),
		`{"ticket":"t","randstr":"r"}`: missing(ReasonNone),
	} {
		t.Run(body, func(t *testing.T) {
			check(t, extractFrom(t, New(parameters, allSources, bodyLimit), newRequest(body, contentType, -1), body), want)
		})
	}
}

func TestFormsHaveAtMost1000Fields(t *testing.T) {
	e := New(parameters, allSources, 1<<20)
	proof := part("ticket", "t") + part("randstr", "r")
	for name, test := range map[string]struct {
		contentType, body string
		want              Result
	}{
		"1000 pairs": {"application/x-www-form-urlencoded", strings.Repeat("x=y&", 998) + "ticket=t&randstr=r", found(Form, "t", "r")},
		"1001 pairs": {"application/x-www-form-urlencoded", "ticket=t&randstr=r" + strings.Repeat("&x=y", 999), malformed(Form, ReasonBody)},
		"1000 parts": {"multipart/form-data; boundary=b", strings.Repeat(part("x", "y"), 998) + proof + "--b--", found(Form, "t", "r")},
		"1001 parts": {"multipart/form-data; boundary=b", proof + strings.Repeat(part("x", "y"), 999) + "--b--", malformed(Form, ReasonBody)},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, extractFrom(t, e, newRequest(test.body, test.contentType, -1), test.body), test.want)
		})
	}
}

// part is a part of a form with the boundary b: its boundary line, its header
// and its value.
func part(name, value string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

func TestMultipartForm(t *testing.T) {
	const (
		contentType = "multipart/form-data; boundary=b"
		end         = "--b--\r\n"
		file        = "--b\r\nContent-Disposition: form-data; name=\"ticket\"; filename=\"t.txt\"\r\nContent-Type: text/plain\r\n\r\nnot the ticket\r\n"
	)
	proof := part("ticket", "t") + part("randstr", "r")
	for name, test := range map[string]struct {
		contentType, body string
		want              Result
	}{
		"proof":                      {contentType, part("user", "é") + proof + end, found(Form, "t", "r")},
		"empty body":                 {contentType, "", missing(ReasonNone)},
		"no part":                    {contentType, end, missing(ReasonNone)},
		"preamble and epilogue":      {contentType, "hello\r\n" + proof + end + "bye", found(Form, "t", "r")},
		"lines end with LF":          {contentType, strings.ReplaceAll(proof+end, "\r\n", "\n"), found(Form, "t", "r")},
		"no CRLF at the end":         {contentType, proof + "--b--", found(Form, "t", "r")},
		"quoted boundary":            {`Multipart/Form-Data; charset=utf-8; Boundary="b"`, proof + end, found(Form, "t", "r")},
		"file of our name":           {contentType, file + proof + end, found(Form, "t", "r")},
		"only a file of our name":    {contentType, file + part("randstr", "r") + end, missing(ReasonIncomplete)},
		"one":                        {contentType, part("ticket", "t") + end, missing(ReasonIncomplete)},
		"empty":                      {contentType, part("ticket", "") + part("randstr", "r") + end, missing(ReasonIncomplete)},
		"twice":                      {contentType, proof + part("ticket", "t") + end, malformed(Form, ReasonDuplicate)},
		"twice empty":                {contentType, part("ticket", "") + part("ticket", "") + end, malformed(Form, ReasonDuplicate)},
		"longest":                    {contentType, part("ticket", strings.Repeat("t", 16)) + part("randstr", "r") + end, found(Form, strings.Repeat("t", 16), "r")},
		"too long":                   {contentType, part("ticket", strings.Repeat("t", 17)) + part("randstr", "r") + end, malformed(Form, ReasonLength)},
		"line break":                 {contentType, part("ticket", "t\r\n") + part("randstr", "r") + end, malformed(Form, ReasonCharacters)},
		"not percent-decoded":        {contentType, part("ticket", "%74+") + part("randstr", "r") + end, found(Form, "%74+", "r")},
		"quoted-printable stays raw": {contentType, strings.Replace(part("ticket", "=74"), "\r\n\r\n", "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", 1) + part("randstr", "r") + end, found(Form, "=74", "r")},
		"not form-data":              {contentType, strings.ReplaceAll(proof, "form-data", "attachment") + end, missing(ReasonNone)},
		"two names":                  {contentType, strings.ReplaceAll(proof, `name="ticket"`, `name="ticket"; name="x"`) + end, missing(ReasonIncomplete)},
		"no boundary":                {"multipart/form-data", proof + end, malformed(Form, ReasonBody)},
		"empty boundary":             {`multipart/form-data; boundary=""`, proof + end, malformed(Form, ReasonBody)},
		"two boundaries":             {"multipart/form-data; boundary=a; boundary=b", proof + end, malformed(Form, ReasonBody)},
		"another boundary":           {"multipart/form-data; boundary=c", proof + end, malformed(Form, ReasonBody)},
		"no end":                     {contentType, proof, malformed(Form, ReasonBody)},
		"cut off in a value":         {contentType, part("ticket", "t") + strings.TrimSuffix(part("randstr", "r"), "\r\n"), malformed(Form, ReasonBody)},
		"broken header":              {contentType, "--b\r\nnonsense\r\n\r\nt\r\n" + end, malformed(Form, ReasonBody)},
		"urlencoded":                 {contentType, "ticket=t&randstr=r", malformed(Form, ReasonBody)},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, extractFrom(t, New(parameters, allSources, bodyLimit), newRequest(test.body, test.contentType, -1), test.body), test.want)
		})
	}
}
