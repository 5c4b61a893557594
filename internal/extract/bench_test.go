package extract

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

func BenchmarkExtract(b *testing.B) {
	padding := strings.Repeat("x", 150)
	for _, benchmark := range []struct {
		name, contentType, body string
		header                  bool
		sources                 []Source
		want                    Status
	}{
		{"header found", "", "", true, []Source{Header, Form, JSON}, Found},
		{"missing", "", "", false, allSources, Missing},
		{"urlencoded 200 bytes", urlEncoded, "user=" + padding + "&ticket=t03ABCDEF&randstr=%40Vki", false, []Source{Header, Form, JSON}, Found},
		{"JSON 200 bytes", "application/json", `{"user":"` + padding + `","ticket":"t03ABCDEF","randstr":"@Vki"}`, false, []Source{Header, Form, JSON}, Found},
		{"multipart 200 bytes", "multipart/form-data; boundary=b", part("ticket", "t03ABCDEF") + part("randstr", "@Vki") + part("x", "y") + "--b--", false, []Source{Header, Form, JSON}, Found},
	} {
		b.Run(benchmark.name, func(b *testing.B) {
			e := New(parameters, benchmark.sources, 128<<10)
			w := httptest.NewRecorder()
			r := newRequest("", benchmark.contentType, int64(len(benchmark.body)))
			if benchmark.header {
				r.Header.Set("Captcha-Ticket", "t03ABCDEF")
				r.Header.Set("Captcha-Randstr", "@Vki")
			}
			body := strings.NewReader(benchmark.body)
			closer := io.NopCloser(body)
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(benchmark.body)
				r.Body = closer
				if result, err := e.Extract(w, r, "", 0); err != nil || result.Status != benchmark.want {
					b.Fatal(result, err)
				}
			}
		})
	}
}
