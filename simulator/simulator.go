// Package simulator is a look-alike of the servers of GeeTest CAPTCHA v3,
// GeeTest CAPTCHA v4 and Tencent Captcha, for demos, tests and benchmarks
// without an account at any of them.
//
// A [Simulator] is an [http.Handler] that answers under the providers' own
// paths, so that a verifier's endpoint option can name its base URL. It holds
// no client code and shares none with the verifiers: that it agrees with them,
// and with the providers' official clients, is what the tests show.
//
// Three endpoints are its own. POST /solve/<provider> plays the human and hands
// out a proof, see [Simulator.Solve]. POST /fault breaks the provider on
// purpose, see [Fault]. POST /behaviour makes the people in front of the
// widgets fail, or forge proofs, see [Behaviour].
//
// The browser's part is there too: look-alikes of gt.js, gt4.js and Tencent's
// scripts at the providers' own paths, with the global functions, options,
// methods, callbacks and errors that the providers document. They make all
// their calls to the origin they were loaded from, and in the ways that count
// for a Content-Security-Policy: GeeTest's load scripts (JSONP among them),
// style sheets and pictures, Tencent's a frame, a worker and a fetch as well,
// and all put a style element into the page. The captcha is to press a button.
// Whatever the provider, a test finds these in the page, once it is shown:
//
//	.captcha-simulator            the box, with data-provider, data-language,
//	                              data-dark, and data-state: ready, checking,
//	                              failed, error or passed
//	.captcha-simulator-open       the button that opens the box, where the
//	                              provider's widget has such a button
//	.captcha-simulator-solve      the button "I am human"
//	.captcha-simulator-close      the button that closes the box
//	.captcha-simulator-message    what the person is told
//
// The package registers the Caddy module http.handlers.captcha_simulator, see
// [Handler]. Everybody who can reach a simulator can have proofs from it; it
// must never stand behind a site that is not a demo.
package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The paths of the providers' endpoints, as their documents give them.
const (
	V3RegisterPath = "/register.php"         // api.geetest.com
	V3ValidatePath = "/validate.php"         // api.geetest.com
	V3BypassPath   = "/v1/bypass_status.php" // bypass.geetest.com
	V4ValidatePath = "/validate"             // gcaptcha4.geetest.com
	TencentPath    = "/"                     // captcha.tencentcloudapi.com
)

var providerPaths = slices.Sorted(maps.Keys(new(Simulator).providerEndpoints()))

// Config lists the captchas that a simulator knows. At least one is required.
type Config struct {
	// GeeTestV3 lists the captchas of GeeTest CAPTCHA v3.
	GeeTestV3 []GeeTestV3 `json:"geetest_v3,omitempty"`

	// GeeTestV4 lists the captchas of GeeTest CAPTCHA v4.
	GeeTestV4 []GeeTestV4 `json:"geetest_v4,omitempty"`

	// Tencent lists the captchas of Tencent Captcha.
	Tencent []Tencent `json:"tencent,omitempty"`

	// Now is the clock. Default: time.Now.
	Now func() time.Time `json:"-"`
}

// Simulator is the look-alike. Its methods are safe for concurrent use.
type Simulator struct {
	now       func() time.Time
	v3        map[string]GeeTestV3
	v4        map[string]GeeTestV4
	tencent   map[string]Tencent
	accounts  map[string]string   // SecretKey by SecretId
	endpoints map[string]endpoint // by path

	mu           sync.Mutex // guards the ledgers and what is in them
	v3Challenges *ledger[v3Challenge]
	v3Proofs     *ledger[v3Proof]
	v3Slide      bool // whether the last v3 proof was of the slide type
	v4Proofs     *ledger[v4Proof]
	v4Loads      *ledger[v4Load]
	tickets      *ledger[ticket]
	tencentShows *ledger[tencentShow]

	calls      recorder
	faults     faults
	behaviours behaviours
}

// New returns a simulator of the captchas in config. It is an error when there
// are none, when one lacks an option, and when two of a provider share an id.
func New(config Config) (*Simulator, error) {
	s := &Simulator{
		now:          config.Now,
		accounts:     make(map[string]string),
		v3Challenges: newLedger[v3Challenge](),
		v3Proofs:     newLedger[v3Proof](),
		v4Proofs:     newLedger[v4Proof](),
		v4Loads:      newLedger[v4Load](),
		tickets:      newLedger[ticket](),
		tencentShows: newLedger[tencentShow](),
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.endpoints = s.providerEndpoints()
	if len(config.GeeTestV3)+len(config.GeeTestV4)+len(config.Tencent) == 0 {
		return nil, errors.New("no captcha is configured; name at least one geetest_v3, geetest_v4 or tencent")
	}
	var errV3, errV4, errTencent error
	s.v3, errV3 = index("geetest_v3", config.GeeTestV3)
	s.v4, errV4 = index("geetest_v4", config.GeeTestV4)
	s.tencent, errTencent = index("tencent", config.Tencent)
	if err := errors.Join(errV3, errV4, errTencent); err != nil {
		return nil, err
	}
	for _, c := range config.Tencent {
		if key, ok := s.accounts[c.SecretID]; ok && key != c.SecretKey {
			return nil, fmt.Errorf("tencent: captcha_app_id %s has another secret_key for the same secret_id", c.CaptchaAppID)
		}
		s.accounts[c.SecretID] = c.SecretKey
	}
	return s, nil
}

// providerEndpoints returns the providers' endpoints by path.
func (s *Simulator) providerEndpoints() map[string]endpoint {
	endpoints := s.widgetEndpoints()
	maps.Copy(endpoints, map[string]endpoint{
		V3RegisterPath: {answer: s.registerV3, methods: []string{http.MethodGet}},
		V3ValidatePath: {answer: s.validateV3, methods: []string{http.MethodPost}},
		V3BypassPath:   {answer: s.bypassStatusV3, methods: []string{http.MethodGet, http.MethodPost}},
		V4ValidatePath: {answer: s.validateV4, methods: []string{http.MethodGet, http.MethodPost}},
		TencentPath:    {answer: s.describeCaptchaResult},
	})
	return endpoints
}

// configured is a captcha of some provider in the config.
type configured interface {
	id() string
	validate() error
}

// index returns the provider's captchas by id.
func index[T configured](provider string, captchas []T) (map[string]T, error) {
	byID := make(map[string]T)
	for _, c := range captchas {
		if err := c.validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", provider, err)
		}
		if _, ok := byID[c.id()]; ok {
			return nil, fmt.Errorf("%s: %s is configured twice", provider, c.id())
		}
		byID[c.id()] = c
	}
	return byID, nil
}

// ServeHTTP answers as the provider would whose path is asked for, after the
// fault that is set for the path, if any.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/fault" {
		s.serveFault(w, r)
		return
	}
	if r.URL.Path == "/behaviour" {
		s.serveBehaviour(w, r)
		return
	}
	if provider, ok := strings.CutPrefix(r.URL.Path, "/solve/"); ok {
		s.serveSolve(w, r, provider)
		return
	}
	call, err := readCall(w, r)
	s.calls.record(call)
	if err != nil {
		textAnswer(http.StatusRequestEntityTooLarge, "the request body is too long or broken").write(w)
		return
	}
	endpoint, ok := s.endpoints[call.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if endpoint.methods != nil && !slices.Contains(endpoint.methods, call.Method) {
		w.Header().Set("Allow", strings.Join(endpoint.methods, ", "))
		textAnswer(http.StatusMethodNotAllowed, "method not allowed").write(w)
		return
	}
	if endpoint.cors {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}
	if fault, ok := s.faults.next(call.Path); ok {
		if fault.Kind == Respond {
			fault.answer = endpoint.present(call, fault)
		}
		if fault.inject(w, r) {
			return
		}
	}
	endpoint.answer(call).write(w)
}

// endpoint is what answers at one of the providers' paths.
type endpoint struct {
	answer  func(Call) answer
	methods []string // nil: it judges the method itself
	jsonp   bool     // whether it hands its answers to a callback
	cors    bool     // whether pages of other origins may read its answers
}

// answer is what a provider's endpoint says.
type answer struct {
	status      int
	contentType string
	body        []byte
}

func jsonAnswer(value any) answer {
	body, err := json.Marshal(value)
	if err != nil {
		return textAnswer(http.StatusInternalServerError, "the answer is not JSON")
	}
	return answer{http.StatusOK, jsonType, body}
}

func textAnswer(status int, text string) answer {
	return answer{status, "text/plain; charset=utf-8", []byte(text)}
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", a.contentType)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may have left; there is nobody to tell
}
