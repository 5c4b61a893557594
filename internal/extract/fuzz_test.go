package extract

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The oracles are the readers of the standard library. Where they find exactly
// one value, a proof that is found has to have that value; where they find all
// values and nothing else is wrong, the proof has to be found.

// search extracts from the whole body and from its beginning, and checks what
// holds for any body. It returns the result for the whole body.
func search(t *testing.T, body []byte, contentType string, limit uint16) Result {
	t.Helper()
	extract := func(limit int64) Result {
		r := newRequest("", contentType, -1)
		r.Body = io.NopCloser(bytes.NewReader(body))
		result, err := New(parameters, []Source{Form, JSON}, limit).Extract(httptest.NewRecorder(), r, "", 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if after, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(after, body) {
			t.Fatalf("the body is now %q, %v", after, err)
		}
		return result
	}
	whole := extract(int64(len(body)))
	checkResult(t, whole)
	pieces := searchPieces(t, New(parameters, []Source{Form, JSON}, int64(len(body))), contentType, body)
	check(t, pieces, whole)
	if whole.Reason == ReasonBodyLimit {
		t.Fatal("a body within the limit is too long")
	}
	beginning := extract(int64(limit))
	checkResult(t, beginning)
	if beginning.Status != Missing && whole.Status != Malformed && !slices.Equal(beginning.Values, whole.Values) {
		t.Fatalf("the first %d bytes give %+v, all %+v", limit, beginning, whole)
	}
	return whole
}

// checkResult checks what holds for any result.
func checkResult(t *testing.T, result Result) {
	t.Helper()
	if (result.Status == Found) != (result.Values != nil) || (result.Status == Found) != (result.Reason == "") || (result.Status == Missing) != (result.Source == "") {
		t.Fatalf("the result is contradictory: %+v", result)
	}
	for i, value := range result.Values {
		if value == "" || len(value) > parameters[i].MaxLength || strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Fatalf("value %q", value)
		}
	}
}

// compare checks a result against the values that an oracle found for each
// parameter. certain says that these are all, and that nothing is malformed.
func compare(t *testing.T, result Result, values func(name string) []string, certain bool) {
	t.Helper()
	complete := true
	for i, parameter := range parameters {
		got := values(parameter.Fields[0])
		complete = complete && len(got) == 1 && got[0] != "" && len(got[0]) <= parameter.MaxLength && printable(got[0])
		if result.Status == Found && !slices.Equal(got, result.Values[i:i+1]) {
			t.Fatalf("%s is %q, and not %q", parameter.Name, result.Values[i], got)
		}
	}
	if certain && complete != (result.Status == Found) {
		t.Fatalf("complete is %v, the result %+v", complete, result)
	}
}

func FuzzForm(f *testing.F) {
	f.Add([]byte("user=a&ticket=t&randstr=%40r"), uint16(16))
	f.Add([]byte("ticket=t&randstr=r&tic%6bet=u"), uint16(20))
	f.Add([]byte("ticket=a+b&randstr=%zz"), uint16(0))
	f.Add([]byte("ticket=t;x&&&randstr&=&%"), uint16(9))
	f.Fuzz(func(t *testing.T, body []byte, limit uint16) {
		result := search(t, body, urlEncoded, limit)
		// url.ParseQuery leaves out pairs with a semicolon, which is a
		// character like any other (WHATWG URL, 5.1).
		values, err := url.ParseQuery(strings.ReplaceAll(string(body), ";", "%3B"))
		compare(t, result, func(name string) []string { return values[name] }, err == nil && bytes.Count(body, []byte("&")) < maxFields)
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("ticket=t&randstr=r")
	f.Add("%74icket=t&randstr=r&x=%")
	f.Add("ticket=t&randstr=r&ticket")
	f.Fuzz(func(t *testing.T, query string) {
		e := New(parameters, []Source{Query}, bodyLimit)
		r := newRequest("", "", 0)
		result, err := e.Extract(httptest.NewRecorder(), r, query, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkResult(t, result)
		values, err := url.ParseQuery(strings.ReplaceAll(query, ";", "%3B"))
		compare(t, result, func(name string) []string { return values[name] }, err == nil)

		r.URL.RawQuery = query
		e.Strip(r, []Source{Query})
		stripped, _ := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
		for _, parameter := range parameters {
			delete(values, parameter.Fields[0])
		}
		if stripped.Encode() != values.Encode() {
			t.Fatalf("%q was stripped to %q", query, r.URL.RawQuery)
		}
	})
}

func FuzzCookieHeader(f *testing.F) {
	f.Add("sid=1; ticket=t; randstr=r")
	f.Add(`ticket="t";randstr=r;;`)
	f.Add("ticket=t; ticket=t; randstr = r")
	f.Fuzz(func(t *testing.T, line string) {
		e := New(parameters, []Source{Cookie}, bodyLimit)
		r := newRequest("", "", 0)
		r.Header["Cookie"] = []string{line}
		result, err := e.Extract(httptest.NewRecorder(), r, "", 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkResult(t, result)
		cookies := r.Cookies()
		values := func(name string) []string {
			var values []string
			for _, cookie := range cookies {
				if cookie.Name == name {
					values = append(values, cookie.Value)
				}
			}
			return values
		}
		// net/http leaves out values with a quote or backslash inside.
		if !strings.ContainsAny(line, "\\\"") {
			compare(t, result, values, !slices.ContainsFunc([]byte(line), func(c byte) bool { return c < ' ' || c > '~' }))
		}

		e.Strip(r, []Source{Cookie})
		kept := slices.DeleteFunc(cookies, func(c *http.Cookie) bool { return c.Name == "ticket" || c.Name == "randstr" })
		if !slices.EqualFunc(r.Cookies(), kept, func(a, b *http.Cookie) bool { return a.String() == b.String() }) {
			t.Fatalf("%q was stripped to %q", line, r.Header["Cookie"])
		}
	})
}

func FuzzMultipart(f *testing.F) {
	proof := part("ticket", "t") + part("randstr", "r")
	f.Add([]byte(proof+"--b--\r\n"), "b", uint16(70))
	f.Add([]byte(proof+part("ticket", "")+"--b--"), "b", uint16(120))
	f.Add([]byte(strings.ReplaceAll(proof, "\r\n", "\n")+"--b--"), "b", uint16(50))
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=ticket; filename=f\r\n\r\n\r\n--b--"), "b", uint16(9))
	f.Fuzz(func(t *testing.T, body []byte, boundary string, limit uint16) {
		if strings.ContainsFunc(boundary, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"\`, c) }) {
			return
		}
		result := search(t, body, `multipart/form-data; boundary="`+boundary+`"`, limit)
		if boundary == "" || len(body) == 0 {
			return
		}
		form, err := multipart.NewReader(bytes.NewReader(body), boundary).ReadForm(1 << 20)
		if err != nil {
			if result.Status != Malformed && !errors.Is(err, multipart.ErrMessageTooLarge) {
				t.Fatalf("%+v in a form that is broken: %v", result, err)
			}
			return
		}
		defer form.RemoveAll()
		if bytes.Contains(bytes.ToLower(body), []byte("quoted-printable")) {
			return // which ReadForm decodes
		}
		compare(t, result, func(name string) []string { return form.Value[name] }, true)
	})
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"user":["a"],"ticket":"t","randstr":"r"}`), uint16(30))
	f.Add([]byte(`{"tick\u0065t":"t","randstr":"r","ticket":null}`), uint16(40))
	f.Add([]byte(`[{"ticket":"t"}]`), uint16(3))
	f.Add([]byte(`{"ticket":"\ud800","randstr":1e999}x`), uint16(99))
	f.Fuzz(func(t *testing.T, body []byte, limit uint16) {
		result := search(t, body, "application/json", limit)
		if len(body) == 0 {
			return
		}
		var document any
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		err := decoder.Decode(&document)
		if !json.Valid(body) || err != nil {
			if result.Status != Malformed {
				t.Fatalf("not JSON, and %+v", result)
			}
			return
		}
		object, _ := document.(map[string]any)
		compare(t, result, func(name string) []string {
			value, ok := object[name].(string)
			if !ok {
				return nil
			}
			return []string{value}
		}, result.Status != Malformed)
	})
}
