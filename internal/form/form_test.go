package form

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
)

func allBytes() string {
	var all strings.Builder
	for b := range 256 {
		if b != '\r' && b != '\n' {
			all.WriteByte(byte(b))
		}
	}
	return all.String()
}

func TestParse(t *testing.T) {
	const multipart = "multipart/form-data; boundary=----WebKitFormBoundaryAb12"
	part := func(head, value string) string {
		return "------WebKitFormBoundaryAb12\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + value + "\r\n"
	}
	const end = "------WebKitFormBoundaryAb12--\r\n"
	for name, test := range map[string]struct{ contentType, body, want string }{
		"pairs":             {URLEncoded, "a=b&c=d+e%26", `[["a","b"],["c","d e\u0026"]]`},
		"nothing":           {URLEncoded, "", `[]`},
		"empty names":       {URLEncoded, "=&=x&a=", `[["",""],["","x"],["a",""]]`},
		"duplicates":        {URLEncoded, "a=1&b=2&a=3", `[["a","1"],["b","2"],["a","3"]]`},
		"UTF-8":             {URLEncoded, "a=%C3%A4", `[["a","Ã¤"]]`},
		"other bytes":       {URLEncoded, "a=%81%8D%FF", `[["a","` + "\u0081\u008dÿ" + `"]]`},
		"line ends":         {URLEncoded, "a=1%0D%0A2", `[["a","1\r\n2"]]`},
		"unescaped":         {URLEncoded, "a=*-._", `[["a","*-._"]]`},
		"parts":             {multipart, part(`name="a"`, "1\r\n2") + part(`name="%22"`, "") + end, `[["a","1\r\n2"],["%22",""]]`},
		"no parts":          {multipart, end, `[]`},
		"no file":           {multipart, part("name=\"f\"; filename=\"\"\r\nContent-Type: application/octet-stream", "") + part(`name="a"`, "1") + end, `[["f",null],["a","1"]]`},
		"bytes in a part":   {multipart, part(`name="a"`, "\x81\xff--\r\n--") + end, `[["a","` + "\u0081ÿ" + `--\r\n--"]]`},
		"lone CR":           {URLEncoded, "a=1%0D2", ""},
		"lone LF":           {URLEncoded, "a=1%0A2", ""},
		"lower case":        {URLEncoded, "a=%c3%a4", ""},
		"needless escape":   {URLEncoded, "a=%41", ""},
		"needed escape":     {URLEncoded, "a=~", ""},
		"no sign":           {URLEncoded, "a", ""},
		"broken":            {URLEncoded, "a=%4", ""},
		"charset":           {URLEncoded + "; charset=utf-8", "a=b", ""},
		"other type":        {"text/plain", "a=b\r\n", ""},
		"JSON":              {"application/json", "{}", ""},
		"lone LF in a part": {multipart, part(`name="a"`, "1\n2") + end, ""},
		"a file":            {multipart, part("name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain", "x") + end, ""},
		"an empty file":     {multipart, part("name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain", "") + end, ""},
		"another header":    {multipart, part("name=\"a\"\r\nX-A: b", "1") + end, ""},
		"a preamble":        {multipart, "x\r\n" + part(`name="a"`, "1") + end, ""},
		"an epilogue":       {multipart, part(`name="a"`, "1") + end + "x", ""},
		"no end":            {multipart, part(`name="a"`, "1"), ""},
		"empty":             {multipart, "", ""},
		"quoted boundary":   {`multipart/form-data; boundary="AaB"`, "--AaB--\r\n", ""},
		"too many":          {URLEncoded, strings.Repeat("a=b&", 1000) + "a=b", ""},
		"raw quote":         {multipart, part(`name="a"b"`, "1") + end, ""},
	} {
		t.Run(name, func(t *testing.T) {
			form, ok := Parse(test.contentType, []byte(test.body))
			if !ok {
				if test.want != "" {
					t.Error("got nothing")
				}
				return
			}
			got, err := json.Marshal(form.Entries)
			if err != nil || string(got) != test.want {
				t.Errorf("got %s, want %s, and error %v", got, test.want, err)
			}
		})
	}
}

func TestEveryByte(t *testing.T) {
	all := allBytes()
	for contentType, body := range map[string]string{
		URLEncoded: escape(all) + "=" + escape(all),
		"multipart/form-data; boundary=X": "--X\r\nContent-Disposition: form-data; name=\"" + strings.ReplaceAll(all, `"`, "%22") + "\"\r\n\r\n" +
			all + "\r\n--X--\r\n",
	} {
		form, ok := Parse(contentType, []byte(body))
		if !ok || len(form.Entries) != 1 || len([]rune(form.Entries[0].Value)) != 254 {
			t.Errorf("%s: got %v and %v", contentType, ok, form.Entries)
		}
	}
}

// Whatever net/url makes of random pairs is either sent again as it is, or not
// at all.
func TestRandomPairs(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	taken := 0
	for range 2000 {
		values := url.Values{}
		for range random.IntN(5) {
			b := make([]byte, random.IntN(6))
			for i := range b {
				b[i] = byte(random.IntN(256))
			}
			values.Add(fmt.Sprint(random.IntN(3)), string(b))
		}
		body := []byte(values.Encode())
		form, ok := Parse(URLEncoded, body)
		if !ok {
			continue
		}
		taken++
		if again := form.pairs(0); !bytes.Equal(again, body) {
			t.Fatalf("got %q again, want %q", again, body)
		}
	}
	if taken < 1000 {
		t.Errorf("got %d of 2000 taken", taken)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(URLEncoded, []byte("a=b&c=%C3%A4+%0D%0A"))
	f.Add("multipart/form-data; boundary=X", []byte("--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--X--\r\n"))
	f.Add("multipart/form-data; boundary=X", []byte("--X\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--X--\r\n"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		form, ok := Parse(contentType, body)
		if !ok {
			return
		}
		text, err := json.Marshal(form.Entries)
		if err != nil {
			t.Fatal(err)
		}
		var entries [][2]*string
		if err := json.Unmarshal(text, &entries); err != nil || len(entries) != len(form.Entries) {
			t.Fatalf("got %s: %v", text, err)
		}
		for i, entry := range entries {
			if *entry[0] != form.Entries[i].Name || entry[1] == nil != form.Entries[i].NoFile {
				t.Errorf("got %s", text)
			}
		}
	})
}
