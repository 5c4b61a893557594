package extract

import (
	"mime"
	"strings"
	"testing"
)

func TestAnUnquotedBoundaryIsReadWhereAllReadersAgree(t *testing.T) {
	for parameters, want := range map[string]string{
		"; boundary=b":       "b",
		`; boundary="a b,c"`: "a b,c",
		"; boundary=----WebKitFormBoundary7MA4YWxk":  "----WebKitFormBoundary7MA4YWxk",
		"; boundary=----=_Part_1_2.3":                "----=_Part_1_2.3",
		"; boundary='()+_-./:=?":                     "'()+_-./:=?",
		";boundary=a/b; charset=utf-8":               "a/b",
		"; charset=utf-8;\tBOUNDARY=a=b":             "a=b",
		"; boundary=boundary=b":                      "boundary=b",
		"; boundary=" + strings.Repeat("=", 70):      "======================================================================",
		"; boundary=" + strings.Repeat("=", 71):      "",
		"; boundary=a=b ; charset=utf-8":             "", // PHP takes the space to it
		"; boundary=a=b c":                           "",
		"; boundary=a=b,c":                           "", // PHP ends it at the comma
		"; boundary =a=b":                            "",
		"; boundary= a=b":                            "",
		"; boundary=":                                "",
		"; boundary=a=b; boundary=c":                 "",
		"; boundary=a; boundary=c=d":                 "",
		"; boundary=a=b; BOUNDARY=c=d":               "",
		"; boundary=a=b; charset":                    "",
		"; boundary=a=b; charset=x=y":                "",
		`; x="; boundary=a=b"; boundary=c=d`:         "",
		`; boundary=a="b"`:                           "",
		`; boundary="a=b`:                            "",
		"; xboundary=a=b":                            "",
		"; x=y=z; boundary=a":                        "",
		" boundary=a=b":                              "",
		"; boundary=a=b; boundary*=utf-8''c":         "",
		"; boundary=a=b; boundary*0=c; boundary*1=d": "",
		"; boundary=a; boundary*=utf-8''c":           "", // most know one of them only
		"; boundary*=utf-8''c":                       "",
		"; boundary=a=b\n":                           "",
	} {
		if got := boundaryIn("multipart/form-data" + parameters); got != want {
			t.Errorf("%q: the boundary is %q, want %q", parameters, got, want)
		}
	}
}

func TestAnOddBoundaryInUse(t *testing.T) {
	const odd = "----=_Part(1):2/3?"
	body := strings.ReplaceAll(part("ticket", "t")+part("randstr", "r")+"--b--\r\n", "--b", "--"+odd)
	for limit := range int64(len(body)) {
		got := extractFrom(t, New(parameters, allSources, limit), newRequest(body, "multipart/form-data; boundary="+odd, -1), body)
		if want := found(Form, "t", "r"); limit+1 >= int64(len(body)-len("\r\n")) {
			check(t, got, want)
		} else if got.Status == Found {
			t.Errorf("found in the first %d bytes", limit)
		}
	}
}

// readAsPHP reads a boundary as PHP does (rfc1867.c): from the first "boundary"
// of any case to a comma or semicolon.
func readAsPHP(contentType string) string {
	at := strings.Index(strings.ToLower(contentType), "boundary")
	if at < 0 {
		return ""
	}
	_, value, ok := strings.Cut(contentType[at:], "=")
	if !ok {
		return ""
	}
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		value, _, _ = strings.Cut(quoted, `"`)
		return value
	}
	if end := strings.IndexAny(value, ",;"); end >= 0 {
		value = value[:end]
	}
	return value
}

// readAtSemicolons reads the last or first boundary between semicolons, as
// readers do that split first and trim then.
func readAtSemicolons(contentType string, last bool) (boundary string) {
	for parameter := range strings.SplitSeq(contentType, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "boundary") && (last || boundary == "") {
			boundary = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return boundary
}

// FuzzBoundary: what is right is read as mime.ParseMediaType reads it; what
// is not is read as several readers agree, or not at all.
func FuzzBoundary(f *testing.F) {
	for _, seed := range []string{
		"boundary=b", "boundary=----=_Part_1", `boundary="a=b"`, "charset=utf-8; boundary=a/b", "boundary=a=b; charset=utf-8",
		"boundary=a=b; boundary=c", `x="; boundary=a=b"; boundary=c`, "boundary=a=b,c", "boundary=a=b ", "Boundary=a:b;x=\"y\"", "xboundary=a=b;boundary=c=d", "boundary=a?;boundary*=''c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, parameters string) {
		contentType := "multipart/form-data; " + parameters
		got := boundaryIn(contentType)
		if _, strict, err := mime.ParseMediaType(contentType); err == nil {
			if got != strict["boundary"] && !strings.Contains(strings.ToLower(parameters), "boundary*") {
				t.Errorf("%q: %q is not %q", contentType, got, strict["boundary"])
			}
			return
		}
		if got == "" {
			return
		}
		for reader, other := range map[string]string{
			"PHP":   readAsPHP(contentType),
			"first": readAtSemicolons(contentType, false),
			"last":  readAtSemicolons(contentType, true),
		} {
			if other != got {
				t.Errorf("%q: %q, and as read by %s %q", contentType, got, reader, other)
			}
		}
	})
}

// TestTheHeaderOfAPartIsBounded, wherever the part is, and that of its value
// is not.
func TestTheHeaderOfAPartIsBounded(t *testing.T) {
	proof := part("ticket", "t") + part("randstr", "r")
	long := func(n int) string {
		return strings.Replace(part("x", "y"), "\r\n\r\n", "\r\nX: "+strings.Repeat("x", n)+"\r\n\r\n", 1)
	}
	for name, test := range map[string]struct {
		body  string
		limit int64
		want  Result
	}{
		"long value":                {part("x", strings.Repeat("y", 1<<20)) + proof + "--b--", 2 << 20, found(Form, "t", "r")},
		"header of 15 KiB":          {long(15<<10) + proof + "--b--", 2 << 20, found(Form, "t", "r")},
		"header of 24 KiB":          {long(24<<10) + proof + "--b--", 2 << 20, malformed(Form, ReasonBody)},
		"after a long value":        {part("x", strings.Repeat("y", 1<<20)) + proof + long(24<<10) + "--b--", 2 << 20, malformed(Form, ReasonBody)},
		"in what is read of it":     {proof + long(24<<10) + strings.Repeat("x", 1<<20), 100 << 10, malformed(Form, ReasonBody)},
		"beyond what is read":       {proof + long(1<<20), 8 << 10, found(Form, "t", "r")},
		"many headers of 15 KiB":    {strings.Repeat(long(15<<10), 20) + proof + "--b--", 2 << 20, found(Form, "t", "r")},
		"a preamble of 24 KiB":      {strings.Repeat("hello\r\n", 24<<10/7) + proof + "--b--", 2 << 20, malformed(Form, ReasonBody)},
		"an epilogue of a megabyte": {proof + "--b--\r\n" + strings.Repeat("bye\r\n", 1<<18), 2 << 20, found(Form, "t", "r")},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, extractFrom(t, New(parameters, allSources, test.limit), newRequest(test.body, "multipart/form-data; boundary=b", -1), test.body), test.want)
		})
	}
}
