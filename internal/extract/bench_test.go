package extract

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

func BenchmarkExtract(b *testing.B) {
	padding, long := strings.Repeat("x", 150), strings.Repeat("0123456789abcdef", 1<<16)
	for _, benchmark := range []struct {
		name, contentType, body string
		header                  bool
		sources                 []Source
		want                    Status
	}{
		{"header found", "", "", true, []Source{Header, Form, JSON}, Found},
		{"missing", "", "", false, allSources, Missing},
		{"query found", "", "", false, []Source{Query}, Found},
		{"cookie found", "", "", false, []Source{Cookie}, Found},
		{"urlencoded 200 bytes", urlEncoded, "user=" + padding + "&ticket=t03ABCDEF&randstr=%40Vki", false, []Source{Header, Form, JSON}, Found},
		{"JSON 200 bytes", "application/json", `{"user":"` + padding + `","ticket":"t03ABCDEF","randstr":"@Vki"}`, false, []Source{Header, Form, JSON}, Found},
		{"multipart 200 bytes", "multipart/form-data; boundary=b", part("ticket", "t03ABCDEF") + part("randstr", "@Vki") + part("x", "y") + "--b--", false, []Source{Header, Form, JSON}, Found},
		{"urlencoded 1 MiB", urlEncoded, "ticket=t03ABCDEF&randstr=%40Vki&x=" + long, false, []Source{Form}, Found},
		{"JSON 1 MiB", "application/json", `{"ticket":"t03ABCDEF","randstr":"@Vki","x":"` + long + `"}`, false, []Source{JSON}, Found},
		{"multipart 1 MiB", "multipart/form-data; boundary=b", part("ticket", "t03ABCDEF") + part("randstr", "@Vki") + part("x", long) + "--b--", false, []Source{Form}, Found},
	} {
		b.Run(benchmark.name, func(b *testing.B) {
			e := New(parameters, benchmark.sources, 2<<20)
			w := httptest.NewRecorder()
			r := newRequest("", benchmark.contentType, int64(len(benchmark.body)))
			if benchmark.header {
				r.Header.Set("Captcha-Ticket", "t03ABCDEF")
				r.Header.Set("Captcha-Randstr", "@Vki")
			}
			query := ""
			switch benchmark.name {
			case "query found":
				query = "page=2&ticket=t03ABCDEF&sort=name&randstr=%40Vki"
			case "cookie found":
				r.Header.Set("Cookie", "sid=0123456789abcdef; ticket=t03ABCDEF; theme=dark; randstr=@Vki")
			}
			body := strings.NewReader(benchmark.body)
			closer := io.NopCloser(body)
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(benchmark.body)
				r.Body = closer
				if result, err := e.Extract(w, r, query, 0, nil); err != nil || result.Status != benchmark.want {
					b.Fatal(result, err)
				}
			}
		})
	}
}
