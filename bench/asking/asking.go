// Package asking asks the benchmark's provider about a proof by net/http, with
// nothing that a captcha needs besides.
package asking

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The made-up account that Caddy, the sidecars and the provider look-alike
// share.
const (
	CaptchaID  = "0123456789abcdef0123456789abcdef"
	CaptchaKey = "fedcba9876543210fedcba9876543210"
)

// Sign returns GeeTest v4's sign_token for a lot_number.
func Sign(lotNumber string) string {
	mac := hmac.New(sha256.New, []byte(CaptchaKey))
	mac.Write([]byte(lotNumber))
	return hex.EncodeToString(mac.Sum(nil))
}

// TunedClient keeps a connection to the provider for each request under way,
// where net/http's default client keeps two.
func TunedClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConns = 0 // no limit
	transport.MaxIdleConnsPerHost = 256
	transport.DisableCompression = true
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}
}

// Asker asks the provider at Endpoint.
type Asker struct {
	Client   *http.Client
	Endpoint string
}

// Accepts reports whether the provider accepts the proof in a request's header.
func (a Asker) Accepts(r *http.Request) bool {
	lotNumber := r.Header.Get("Captcha-Lot-Number")
	form := url.Values{
		"lot_number":     {lotNumber},
		"captcha_output": {r.Header.Get("Captcha-Output")},
		"pass_token":     {r.Header.Get("Captcha-Pass-Token")},
		"gen_time":       {r.Header.Get("Captcha-Gen-Time")},
		"sign_token":     {Sign(lotNumber)},
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost,
		a.Endpoint+"/validate?captcha_id="+CaptchaID, strings.NewReader(form.Encode()))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := a.Client.Do(request)
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
