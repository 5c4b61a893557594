package simulator

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// SolveOptions says which captcha to solve, and how the proof is to be odd.
type SolveOptions struct {
	// ID is the captcha id or CaptchaAppId. It may be left out when the
	// simulator knows one captcha of the provider.
	ID string

	// Age is how long ago the captcha was solved. Default: 0.
	Age time.Duration

	// Challenge is the geetest_v3 challenge to solve, as the browser would
	// have been given it. Each can be solved once. Default: a new one.
	Challenge string

	// EvilLevel is what Tencent is to say of the client: 0 is harmless, 100
	// malicious. Default: 0.
	EvilLevel int

	// Score is Tencent's score of the client, from 0 to 100. Default: 0.
	Score int

	// Forge makes up the proof: it has the form of a good one, and for
	// geetest_v3 a validate that fits its challenge, but the provider never
	// heard of it. Default: false.
	Forge bool
}

// validate checks what makes sense for the provider.
func (o SolveOptions) validate(provider string) error {
	if o.Age < 0 {
		return errors.New("age must not be negative")
	}
	if o.Challenge != "" && provider != "geetest_v3" {
		return errors.New("only geetest_v3 has a challenge")
	}
	if (o.EvilLevel != 0 || o.Score != 0) && provider != "tencent" {
		return errors.New("only tencent has evil_level and score")
	}
	if outside(o.EvilLevel) || outside(o.Score) {
		return errors.New("evil_level and score go from 0 to 100")
	}
	return nil
}

// Solve plays the human: it returns a proof of the provider ("geetest_v3",
// "geetest_v4" or "tencent") under the provider's own parameter names. The
// proof is good for one verification, unless the options say otherwise. It is
// remembered for an hour, among the last 100,000.
//
// POST /solve/<provider> does the same over HTTP. It takes the options as the
// parameters id, age (such as 10m), challenge, evil_level, score and forge
// (true), from an urlencoded body or the URL, and answers with a JSON object, or with
// format=form with an urlencoded form:
//
//	curl -X POST "localhost:9000/solve/geetest_v4?format=form"
func (s *Simulator) Solve(provider string, options SolveOptions) (url.Values, error) {
	if err := options.validate(provider); err != nil {
		return nil, err
	}
	switch provider {
	case "geetest_v3":
		captcha, err := choose(s.v3, options.ID)
		if err != nil {
			return nil, err
		}
		return s.solveV3(captcha, options)
	case "geetest_v4":
		captcha, err := choose(s.v4, options.ID)
		if err != nil {
			return nil, err
		}
		return s.solveV4(captcha, options), nil
	case "tencent":
		captcha, err := choose(s.tencent, options.ID)
		if err != nil {
			return nil, err
		}
		return s.solveTencent(captcha, options), nil
	}
	return nil, errors.New("the provider must be geetest_v3, geetest_v4 or tencent")
}

func outside(percent int) bool {
	return percent < 0 || percent > 100
}

// choose returns the captcha with the id; without an id, the only one.
func choose[T any](captchas map[string]T, id string) (T, error) {
	captcha, ok := captchas[id]
	switch {
	case ok:
		return captcha, nil
	case id != "":
		return captcha, errors.New("no captcha of this provider has this id")
	case len(captchas) == 0:
		return captcha, errors.New("no captcha of this provider is configured")
	case len(captchas) > 1:
		return captcha, errors.New("several captchas of this provider are configured; say which with id")
	}
	for _, captcha = range captchas {
	}
	return captcha, nil
}

// serveSolve serves POST /solve/<provider>.
func (s *Simulator) serveSolve(w http.ResponseWriter, r *http.Request, provider string) {
	form, ok := controlForm(w, r, "id", "age", "challenge", "evil_level", "score", "forge", "format")
	if !ok {
		return
	}
	options := SolveOptions{ID: form.Get("id"), Challenge: form.Get("challenge")}
	err := errors.Join(
		parse(form, "age", &options.Age, time.ParseDuration),
		parse(form, "evil_level", &options.EvilLevel, strconv.Atoi),
		parse(form, "score", &options.Score, strconv.Atoi),
		parse(form, "forge", &options.Forge, strconv.ParseBool),
	)
	format := form.Get("format")
	if format != "" && format != "json" && format != "form" {
		err = errors.Join(err, errors.New("format must be json or form"))
	}
	var proof url.Values
	if err == nil {
		proof, err = s.Solve(provider, options)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if format == "form" {
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
		_, _ = w.Write([]byte(proof.Encode()))
		return
	}
	members := make(map[string]string, len(proof))
	for name := range proof {
		members[name] = proof.Get(name)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(members)
}

// controlForm returns the parameters of a POST to one of the simulator's own
// endpoints, from the URL and an urlencoded body. When it returns false it has
// answered the request.
func controlForm(w http.ResponseWriter, r *http.Request, known ...string) (url.Values, bool) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "the method must be POST", http.StatusMethodNotAllowed)
		return nil, false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the parameters are not urlencoded", http.StatusBadRequest)
		return nil, false
	}
	for name, values := range r.Form {
		if !slices.Contains(known, name) || len(values) != 1 {
			http.Error(w, fmt.Sprintf("unknown or repeated parameter %q; known are %q", name, known), http.StatusBadRequest)
			return nil, false
		}
	}
	return r.Form, true
}

// parse sets *value to what the parameter says, if it is there.
func parse[T any](form url.Values, name string, value *T, parser func(string) (T, error)) error {
	if !form.Has(name) {
		return nil
	}
	parsed, err := parser(form.Get(name))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	*value = parsed
	return nil
}

// randomHex returns n random bytes as 2n lower-case hexadecimal digits.
func randomHex(n int) string {
	return hex.EncodeToString(randomBytes(n))
}

// randomString returns n random characters of the alphabet.
func randomString(alphabet string, n int) string {
	b := randomBytes(n)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)] // uneven, which is no matter here
	}
	return string(b)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
