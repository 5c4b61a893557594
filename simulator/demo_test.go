package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// demo serves the demo application as Caddy does.
func demo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := (DemoApp{}).ServeHTTP(w, r, nil); err != nil {
			var coded caddyhttp.HandlerError
			if !errors.As(err, &coded) {
				panic(err)
			}
			w.WriteHeader(coded.StatusCode)
		}
	})
}

// sendDemo makes a request of the demo that asks for JSON.
func sendDemo(t *testing.T, method, path, contentType, body string) echo {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Cookie", "b=1; a=2")
	w := httptest.NewRecorder()
	demo().ServeHTTP(w, r)
	var got echo
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s, error %v", w.Code, w.Body, err)
	}
	return got
}

func TestDemoShowsWhatItWasSent(t *testing.T) {
	var upload bytes.Buffer
	writer := multipart.NewWriter(&upload)
	part, err := writer.CreateFormFile("file", "a.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writer.WriteField("title", "x"), writer.Close()); err != nil {
		t.Fatal(err)
	}
	cookies := []string{"a", "b"}
	for name, test := range map[string]struct {
		contentType, body string
		want              echo
	}{
		"form": {formType, "user=a%26b&user=c&p=", echo{"POST", "/v4/login", formType, map[string][]string{"user": {"a&b", "c"}, "p": {""}}, nil, cookies}},
		"JSON": {"application/json; charset=utf-8", `{"user":"<b>","n":1}`, echo{"POST", "/v4/login", "application/json", map[string][]string{"user": {"<b>"}, "n": {"1"}}, nil, cookies}},
		"upload": {writer.FormDataContentType(), upload.String(), echo{
			"POST", "/v4/login", "multipart/form-data",
			map[string][]string{"title": {"x"}},
			[]echoFile{{"file", "a.txt", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}},
			cookies,
		}},
	} {
		if got := sendDemo(t, http.MethodPost, "/v4/login", test.contentType, test.body); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
	for contentType, body := range map[string]string{"application/json": "{", "multipart/form-data": "x", formType: "%zz"} {
		if w := do(demo(), http.MethodPost, "/", contentType, body); w.Code != http.StatusBadRequest {
			t.Errorf("%s %q: %d", contentType, body, w.Code)
		}
	}
	w := do(demo(), http.MethodPut, "/%3Cb%3E", formType, "user=%3Cscript%3E")
	if got := w.Body.String(); !strings.Contains(got, "&lt;script&gt;") || strings.Contains(got, "<script>") || strings.Contains(got, "<b>") {
		t.Errorf("the page is %s", got)
	}
}

func TestDemoHasACookieAndAPolicyOfItsOwn(t *testing.T) {
	w := do(demo(), http.MethodGet, "/login", "", "")
	if got := w.Header().Get("Set-Cookie"); !strings.HasPrefix(got, "demo_session=") || !strings.Contains(got, "HttpOnly") || w.Header().Get("Content-Security-Policy") != "" {
		t.Errorf("got %v", w.Header())
	}
	w = do(demo(), http.MethodPost, "/login?csp=strict", formType, "")
	if got := w.Header().Get("Content-Security-Policy"); got != demoPolicy {
		t.Errorf("the policy is %q", got)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "demo_session=1")
	again := httptest.NewRecorder()
	demo().ServeHTTP(again, r)
	if got := again.Header().Get("Set-Cookie"); got != "" {
		t.Errorf("who has a cookie gets %s", got)
	}
}

func TestDemoUnderCaddy(t *testing.T) {
	client, _ := startCaddy(t, "\tcaptcha_demo_app /login\n\trespond nothing")
	if got := send(t, client, "/login", "user=alice"); !strings.Contains(got, "<dt>user</dt><dd>alice</dd>") {
		t.Errorf("got %s", got)
	}
	if got := send(t, client, "/", ""); got != "nothing" {
		t.Errorf("beside it: %s", got)
	}
	for _, directive := range []string{"captcha_demo_app /login x", "captcha_demo_app {\n\t\tx\n\t}"} {
		if _, err := adapt("http://localhost:9000 {\n\t" + directive + "\n}\n"); err == nil || !strings.Contains(err.Error(), "Caddyfile:") {
			t.Errorf("%s: got error %v", directive, err)
		}
	}
}

// TestDemoForms sends every form of the page, in a browser and under the
// strict policy.
func TestDemoForms(t *testing.T) {
	server := httptest.NewServer(demo())
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(file, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	const fields = "Array.from(document.querySelectorAll('#fields > *'), (e) => e.textContent).join() === "
	for form, want := range map[string]string{
		"plain":  "document.title === 'Welcome' && " + fields + "'button,login,password,secret,user,alice' && document.querySelector('#method').textContent === 'POST'",
		"fetch":  `document.querySelector('#fetch output').textContent.match(/^Status 200\n.*"content_type":"application\/x-www-form-urlencoded".*"user":\["alice"\].*"cookies":\["demo_session"\]/)`,
		"xhr":    `document.querySelector('#xhr output').textContent.match(/^Status 200\n.*"path":"\/login".*"content_type":"application\/json".*"user":\["alice"\]/)`,
		"upload": "document.title === 'Welcome' && " + fields + "'title,My file' && document.querySelector('#files').textContent.includes('file: a.txt, 3 bytes, SHA-256 ba7816bf')",
	} {
		t.Run(form, func(t *testing.T) {
			ctx := browsertest.New(t)
			steps := []chromedp.Action[chromedp.Void]{browsertest.Open(server.URL + "/login?csp=strict")}
			if form == "upload" {
				steps = append(steps, chromedp.SetUploadFiles("#upload input[type=file]", []string{file}))
			}
			steps = append(steps, chromedp.Click("#"+form+" button"), browsertest.Await(want))
			if err := chromedp.Do(ctx, steps...); err != nil {
				t.Fatal(err)
			}
			if got := browsertest.Problems(ctx); len(got) > 0 {
				t.Errorf("the browser reports %q", got)
			}
		})
	}
}
