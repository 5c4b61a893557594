package simulator

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

func TestMain(m *testing.M) {
	browsertest.Main(m)
}

// GeeTest's public demo captchas, and made-up ones.
var (
	testV3 = GeeTestV3{
		CaptchaID:  "c9c4facd1a6feeb80802222cbb74ca8e",
		CaptchaKey: "e4e298788aa8c768397639deb9b249a9",
		Digest:     "sha256",
	}
	otherV3 = GeeTestV3{
		CaptchaID:  "002bc30ff1eef93e912f45814945e752",
		CaptchaKey: "4193a0e3247b82a26f563d595c447b1a",
	}
	testV4 = GeeTestV4{
		CaptchaID:  "647f5ed2ed8acb4be36784e01556bb71",
		CaptchaKey: "b09a7aafbfd83f73b35a9b530d0337bf",
	}
	otherV4 = GeeTestV4{
		CaptchaID:  "00000000000000000000000000000004",
		CaptchaKey: "00000000000000000000000000000044",
	}
	testTencent = Tencent{
		CaptchaAppID: "2000000001",
		AppSecretKey: "APP-SECRET-KEY-VISIBLE",
		SecretID:     "AKIDEXAMPLE",
		SecretKey:    "SKEXAMPLE",
	}
	siblingTencent = Tencent{ // of the same account
		CaptchaAppID: "2000000002",
		AppSecretKey: "APP-SECRET-KEY-OF-THE-SIBLING",
		SecretID:     "AKIDEXAMPLE",
		SecretKey:    "SKEXAMPLE",
	}
	otherTencent = Tencent{ // of another account
		CaptchaAppID: "2000000003",
		AppSecretKey: "APP-SECRET-KEY-OF-THE-OTHER",
		SecretID:     "AKIDOTHER",
		SecretKey:    "SKOTHER",
	}
)

// clock is a clock that only a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// newTestSimulator returns a simulator of all the captchas above.
func newTestSimulator(t *testing.T) (*Simulator, *clock) {
	t.Helper()
	clock := &clock{at: time.Unix(1795237325, 0)}
	sim, err := New(Config{
		GeeTestV3: []GeeTestV3{testV3, otherV3},
		GeeTestV4: []GeeTestV4{testV4, otherV4},
		Tencent:   []Tencent{testTencent, siblingTencent, otherTencent},
		Now:       clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return sim, clock
}

// do serves one request without a connection.
func do(handler http.Handler, method, target, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

const formType = "application/x-www-form-urlencoded"

// get serves a GET and returns the body of a 200.
func get(t *testing.T, handler http.Handler, target string) string {
	t.Helper()
	w := do(handler, http.MethodGet, target, "", "")
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s: status %d: %s", target, w.Code, w.Body)
	}
	return w.Body.String()
}

// post serves a POST of a form and returns the body of a 200.
func post(t *testing.T, handler http.Handler, target string, form url.Values) string {
	t.Helper()
	w := do(handler, http.MethodPost, target, formType, form.Encode())
	if w.Code != http.StatusOK {
		t.Fatalf("POST %s: status %d: %s", target, w.Code, w.Body)
	}
	return w.Body.String()
}

// solve returns a proof, as its parameters.
func solve(t *testing.T, sim *Simulator, provider string, options SolveOptions) url.Values {
	t.Helper()
	proof, err := sim.Solve(provider, options)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// with returns a copy of values with the names set to the values that follow
// them; a value "-" removes the name.
func with(values url.Values, pairs ...string) url.Values {
	copied := cloneValues(values)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			copied.Del(pairs[i])
		} else {
			copied.Set(pairs[i], pairs[i+1])
		}
	}
	return copied
}

func TestNewRefusesConfigsThatMakeNoSense(t *testing.T) {
	bad := func(change func(*Tencent)) Config {
		c := testTencent
		change(&c)
		return Config{Tencent: []Tencent{c}}
	}
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"no captcha":        {Config{}, "no captcha is configured"},
		"v3 without id":     {Config{GeeTestV3: []GeeTestV3{{CaptchaKey: "k"}}}, "geetest_v3: captcha_id is required"},
		"v3 without key":    {Config{GeeTestV3: []GeeTestV3{{CaptchaID: "i"}}}, "geetest_v3: captcha_key is required"},
		"v3 digest":         {Config{GeeTestV3: []GeeTestV3{{CaptchaID: "i", CaptchaKey: "k", Digest: "sha1"}}}, "geetest_v3: digest must be md5, sha256 or hmac-sha256"},
		"v3 twice":          {Config{GeeTestV3: []GeeTestV3{testV3, testV3}}, "geetest_v3: " + testV3.CaptchaID + " is configured twice"},
		"v4 without id":     {Config{GeeTestV4: []GeeTestV4{{CaptchaKey: "k"}}}, "geetest_v4: captcha_id is required"},
		"v4 without key":    {Config{GeeTestV4: []GeeTestV4{{CaptchaID: "i"}}}, "geetest_v4: captcha_key is required"},
		"v4 twice":          {Config{GeeTestV4: []GeeTestV4{testV4, testV4}}, "geetest_v4: " + testV4.CaptchaID + " is configured twice"},
		"app id no number":  {bad(func(c *Tencent) { c.CaptchaAppID = "12a" }), "tencent: captcha_app_id must be a number"},
		"app id with zero":  {bad(func(c *Tencent) { c.CaptchaAppID = "012" }), "tencent: captcha_app_id must be a number"},
		"no app secret":     {bad(func(c *Tencent) { c.AppSecretKey = "" }), "tencent: app_secret_key is required"},
		"no secret id":      {bad(func(c *Tencent) { c.SecretID = "" }), "tencent: secret_id is required"},
		"unusable secretid": {bad(func(c *Tencent) { c.SecretID = "a/b" }), "tencent: secret_id is required and holds no slash"},
		"no secret key":     {bad(func(c *Tencent) { c.SecretKey = "" }), "tencent: secret_key is required"},
		"tencent twice":     {Config{Tencent: []Tencent{testTencent, testTencent}}, "tencent: 2000000001 is configured twice"},
		"two keys": {Config{Tencent: []Tencent{testTencent, {
			CaptchaAppID: "5", AppSecretKey: "x", SecretID: testTencent.SecretID, SecretKey: "another",
		}}}, "tencent: captcha_app_id 5 has another secret_key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestUnknownPathsAndWrongMethodsAreRefused(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/nothing", 404, ""},
		{"GET", "/register.php/", 404, ""},
		{"POST", V3RegisterPath, 405, "GET"},
		{"GET", V3ValidatePath, 405, "POST"},
		{"PUT", V3BypassPath, 405, "GET, POST"},
		{"DELETE", V4ValidatePath, 405, "GET, POST"},
		{"GET", "/solve/geetest_v3", 405, "POST"},
		{"GET", "/fault", 405, "POST"},
	} {
		w := do(sim, test.method, test.path, "", "")
		if w.Code != test.status || w.Header().Get("Allow") != test.allow {
			t.Errorf("%s %s: status %d, Allow %q, want %d, %q", test.method, test.path, w.Code, w.Header().Get("Allow"), test.status, test.allow)
		}
	}
}

func TestTooLongABodyIsRefused(t *testing.T) {
	sim, _ := newTestSimulator(t)
	w := do(sim, http.MethodPost, V4ValidatePath, formType, strings.Repeat("a", maxBody+1))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Fatalf("status %d", w.Code)
	}
	if n := sim.Calls(V4ValidatePath); n != 1 {
		t.Fatalf("%d calls counted, want 1", n)
	}
}
