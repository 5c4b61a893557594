package main

import (
	"crypto/hmac"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/caddycaptcha/caddycaptcha/bench/asking"
)

// app is the protected application: a short answer, and a page of 100 KB.
func app(target string, _ []byte) (contentType, text string) {
	if target == "/page" {
		return "text/html; charset=utf-8", page
	}
	return "text/plain; charset=utf-8", "hello\n"
}

// page compresses about as well as a page of a real application.
var page = func() string {
	var text strings.Builder
	text.WriteString("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Login</title>\n</head>\n<body>\n")
	random := rand.New(rand.NewPCG(1, 2))
	for text.Len() < 100<<10 {
		fmt.Fprintf(&text, "<p class=\"item\"><a href=\"/item/%d\">%x</a></p>\n", random.IntN(1e6), random.Uint64())
	}
	text.WriteString("</body>\n</html>\n")
	return text.String()
}()

// provider looks like GeeTest v4's secondary validation (GeeTest v4 docs,
// "Deploy server") and is the same for all set-ups. It verifies the signature
// and counts the proofs it accepts, so that no set-up is fast by not asking.
func provider() func(target string, body []byte) (contentType, text string) {
	var accepted atomic.Int64
	return func(target string, body []byte) (contentType, text string) {
		contentType = "application/json"
		if target == "/accepted" {
			return contentType, strconv.FormatInt(accepted.Load(), 10)
		}
		form, err := url.ParseQuery(string(body))
		lotNumber := form.Get("lot_number")
		if err != nil || target != "/validate?captcha_id="+asking.CaptchaID ||
			!hmac.Equal([]byte(asking.Sign(lotNumber)), []byte(form.Get("sign_token"))) {
			return contentType, `{"status":"success","result":"fail","reason":"sign_token error","captcha_args":{}}`
		}
		if form.Get("captcha_output") == "" || form.Get("pass_token") == "" || form.Get("gen_time") == "" {
			return contentType, `{"status":"success","result":"fail","reason":"pass_token error","captcha_args":{}}`
		}
		accepted.Add(1)
		return contentType, `{"status":"success","result":"success","reason":"","captcha_args":{"used_type":"slide","user_ip":"127.0.0.1","lot_number":"` +
			lotNumber + `","scene":"login","referer":"https://example.com/login"}}`
	}
}

// sidecar is what one writes today to verify captchas by forward_auth: it
// answers 200 when the provider accepts the proof in the request headers, else
// 403. It has no protection against replays and no limits.
type sidecar struct{ asking.Asker }

func (s sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Accepts(r) {
		w.WriteHeader(http.StatusForbidden)
	}
}
