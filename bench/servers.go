package main

import (
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// app is the protected application.
func app(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "hello")
}

// provider looks like GeeTest v4's secondary validation (GeeTest v4 docs,
// "Deploy server") and is the same for all set-ups. It verifies the signature
// and counts the proofs it accepts, so that no set-up is fast by not asking.
func provider() http.Handler {
	var accepted atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /validate", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		lotNumber := r.PostFormValue("lot_number")
		if r.URL.Query().Get("captcha_id") != captchaID ||
			!hmac.Equal([]byte(sign(lotNumber)), []byte(r.PostFormValue("sign_token"))) {
			fmt.Fprint(w, `{"status":"success","result":"fail","reason":"sign_token error","captcha_args":{}}`)
			return
		}
		if r.PostFormValue("captcha_output") == "" || r.PostFormValue("pass_token") == "" || r.PostFormValue("gen_time") == "" {
			fmt.Fprint(w, `{"status":"success","result":"fail","reason":"pass_token error","captcha_args":{}}`)
			return
		}
		accepted.Add(1)
		fmt.Fprintf(w, `{"status":"success","result":"success","reason":"","captcha_args":{"used_type":"slide","user_ip":"127.0.0.1","lot_number":%q,"scene":"login","referer":"https://example.com/login"}}`, lotNumber)
	})
	mux.HandleFunc("GET /accepted", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, accepted.Load())
	})
	return mux
}

// sidecar is what one writes today to verify captchas by forward_auth: it
// answers 200 when the provider accepts the proof in the request headers, else
// 403. It has no protection against replays and no limits.
type sidecar struct {
	client   *http.Client
	endpoint string
}

func (s sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.accepts(r) {
		w.WriteHeader(http.StatusForbidden)
	}
}

func (s sidecar) accepts(r *http.Request) bool {
	lotNumber := r.Header.Get("Captcha-Lot-Number")
	form := url.Values{
		"lot_number":     {lotNumber},
		"captcha_output": {r.Header.Get("Captcha-Output")},
		"pass_token":     {r.Header.Get("Captcha-Pass-Token")},
		"gen_time":       {r.Header.Get("Captcha-Gen-Time")},
		"sign_token":     {sign(lotNumber)},
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost,
		s.endpoint+"/validate?captcha_id="+captchaID, strings.NewReader(form.Encode()))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := s.client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body) // to its end, or the connection is not used again
	if err != nil {
		return false
	}
	var answer struct {
		Result string `json:"result"`
	}
	return json.Unmarshal(body, &answer) == nil && answer.Result == "success"
}

// tunedClient keeps a connection to the provider for each request under way,
// where net/http's default client keeps two.
func tunedClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConns = 0 // no limit
	transport.MaxIdleConnsPerHost = 256
	transport.DisableCompression = true
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}
}
