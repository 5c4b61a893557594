package verifier

import (
	"cmp"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/internal/clock"
	"github.com/caddycaptcha/caddycaptcha/internal/digest"
)

func init() { caddy.RegisterModule(Altcha{}) }

// Altcha asks browsers for a proof of work, by the second version of ALTCHA's
// protocol (altcha.org; altcha-lib 2, altcha 3). It needs no account and no
// provider: it makes the challenges and checks the solutions itself, and the
// widget comes from this server. Browsers work on a page that came over https,
// or from a loopback address, since others have no Web Crypto.
//
// A proof of work does not tell people from programs. It makes each attempt
// cost some seconds of a processor, and rate bounds how many there are. Where
// that is not enough, use a provider.
type Altcha struct {
	// How much work a solution takes: how many keys of 2,000 iterations of
	// PBKDF2 a browser derives at least. It derives twice as many at most. From
	// 1 to 1,000,000. The default takes a phone of 2020 from 2 to 4 seconds.
	// Default: 4000.
	Difficulty int `json:"difficulty,omitempty"`

	// How long a challenge is good, from 2m to 1h. It counts from when the
	// page gets ready, perhaps long before a person has filled in the form.
	// Default: 10m.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How many solutions of one client (IPv4 address, IPv6 /64) pass per
	// minute. Its prefix and network have as many times more as of failures.
	// Default: 60.
	PerClient int `json:"rate,omitempty"`

	// How many solutions of all clients pass per minute. Their claims take a
	// tenth of the replay cache at most. Default: 3000.
	InAll int `json:"rate_total,omitempty"`

	down bool // challenges are for an outage
	now  func() time.Time
}

const (
	defaultDifficulty  = 4000
	maxDifficulty      = 1_000_000
	defaultAltchaTTL   = 10 * time.Minute
	minAltchaTTL       = 2 * time.Minute
	maxAltchaTTL       = time.Hour
	defaultAltchaRate  = 60
	defaultAltchaInAll = 3000
)

// What the challenges have in common.
const (
	altchaAlgorithm = "PBKDF2/SHA-256"

	// altchaCost is the number of iterations for each key. A challenge costs
	// us as many, and a check none. It is so high that what a browser does
	// around them counts little, or programs would have it easier.
	altchaCost = 2000

	altchaKeyLength = 32

	// altchaPrefixLength is the part of the key in bytes that a challenge
	// tells. What is left cannot be guessed.
	altchaPrefixLength = 16
)

var altchaParts = parts{
	{Parameter{Name: "altcha", Header: "Captcha-Altcha", MaxLength: 2048}, isBase64},
}

func isBase64(value string) bool {
	return only(value, func(c byte) bool {
		return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '+' || c == '/' || c == '='
	})
}

// CaddyModule returns the Caddy module information.
func (Altcha) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.captcha.verifiers.altcha",
		New: func() caddy.Module { return new(Altcha) },
	}
}

// NewForOutage returns an Altcha that stands in for a provider which is down.
// What is 0 has its default.
func NewForOutage(difficulty, perClient, inAll int) (*Altcha, error) {
	a := &Altcha{Difficulty: difficulty, PerClient: perClient, InAll: inAll, down: true}
	return a, a.Provision(caddy.Context{})
}

// Provision sets the defaults and checks the options.
func (a *Altcha) Provision(caddy.Context) error {
	a.Difficulty = cmp.Or(a.Difficulty, defaultDifficulty)
	a.TTL = cmp.Or(a.TTL, caddy.Duration(defaultAltchaTTL))
	a.InAll = cmp.Or(a.InAll, max(defaultAltchaInAll, a.PerClient))
	a.PerClient = cmp.Or(a.PerClient, min(defaultAltchaRate, a.InAll))
	a.now = clock.Now
	if err := CheckDifficulty(a.Difficulty); err != nil {
		return err
	}
	if ttl := time.Duration(a.TTL); ttl < minAltchaTTL || ttl > maxAltchaTTL {
		return fmt.Errorf("ttl must be from %v to %v", minAltchaTTL, maxAltchaTTL)
	}
	if a.PerClient < 1 || a.InAll < a.PerClient {
		return errors.New("rate must be at least 1, and in all at least as much as for one client")
	}
	return nil
}

// CheckDifficulty says whether a difficulty is one that there is.
func CheckDifficulty(difficulty int) error {
	if difficulty < 1 || difficulty > maxDifficulty {
		return fmt.Errorf("difficulty must be a number from 1 to %d", maxDifficulty)
	}
	return nil
}

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	altcha {
//		difficulty <n>                                # 4000
//		ttl        <duration>                         # 10m
//		rate       <per minute and client> [<in all>] # 60 3000
//	}
//
// All options, and so the block, may be left out.
func (a *Altcha) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, []option{
		{"difficulty", "a number from 1 to 1000000", !required, setters{func(argument string) (ok bool) {
			a.Difficulty, ok = countOf(argument)
			return ok && CheckDifficulty(a.Difficulty) == nil
		}}},
		{"ttl", "a duration from 2m to 1h", !required, setters{func(argument string) bool {
			ttl, err := caddy.ParseDuration(argument)
			a.TTL = caddy.Duration(ttl)
			return err == nil && ttl >= minAltchaTTL && ttl <= maxAltchaTTL
		}}},
		{"rate", "a number per minute and client, and perhaps one in all that is not less", !required, setters{
			func(argument string) (ok bool) {
				a.PerClient, ok = countOf(argument)
				return ok
			},
			func(argument string) (ok bool) {
				a.InAll, ok = countOf(argument)
				return ok && a.InAll >= a.PerClient
			},
		}},
	}, widgetOptions{})
}

func countOf(argument string) (n int, ok bool) {
	n, err := strconv.Atoi(argument)
	return n, err == nil && n > 0
}

// Captcha returns "altcha", and "local" for the id: there is but one.
func (a *Altcha) Captcha() (provider, id string) { return "altcha", "local" }

// Service returns nothing: there is none.
func (a *Altcha) Service() string { return "" }

// Fingerprint implements Verifier.
func (a *Altcha) Fingerprint() [32]byte {
	return fingerprint("altcha", strconv.Itoa(a.Difficulty), time.Duration(a.TTL).String())
}

// Parameters returns the one part of a proof, altcha: what the widget makes of
// a challenge and its solution.
func (a *Altcha) Parameters() []Parameter { return altchaParts.parameters() }

// Lifetime implements Local.
func (a *Altcha) Lifetime() time.Duration { return time.Duration(a.TTL) }

// Rate implements Local.
func (a *Altcha) Rate() (perClient, inAll int) { return a.PerClient, a.InAll }

// altchaChallenge and the types in it have the names of ALTCHA's protocol.
type altchaChallenge struct {
	Parameters altchaParameters `json:"parameters"`
	Signature  string           `json:"signature"`
}

type altchaParameters struct {
	Algorithm    string     `json:"algorithm"`
	Nonce        string     `json:"nonce"`
	Salt         string     `json:"salt"`
	Cost         int        `json:"cost"`
	KeyLength    int        `json:"keyLength"`
	KeyPrefix    string     `json:"keyPrefix"`
	KeySignature string     `json:"keySignature"`
	Data         altchaData `json:"data"`
}

// altchaData is the part of a challenge that the protocol leaves to the server.
// The protocol's own expiresAt is not used, because the widget goes by the
// clock of the browser's device, which may be wrong by more than a challenge
// lives.
type altchaData struct {
	Expires    int64 `json:"expires"` // Unix time in seconds
	Difficulty int   `json:"difficulty"`
}

// text is what is signed of a challenge: all of it.
func (p altchaParameters) text() []byte {
	var text []byte
	for _, field := range []string{
		"challenge", p.Algorithm, p.Nonce, p.Salt, strconv.Itoa(p.Cost), strconv.Itoa(p.KeyLength), p.KeyPrefix, p.KeySignature,
		strconv.FormatInt(p.Data.Expires, 10), strconv.Itoa(p.Data.Difficulty),
	} {
		text = digest.Append(text, field)
	}
	return text
}

// altchaKeyText is what is signed of the key that solves a challenge. The
// challenge, which is signed, holds that signature.
func altchaKeyText(key string) []byte {
	return digest.Append(digest.Append(nil, "key"), key)
}

// altchaPayload is a proof, less its base64.
type altchaPayload struct {
	Challenge altchaChallenge `json:"challenge"`
	Solution  struct {
		Counter    json.Number `json:"counter"`
		DerivedKey string      `json:"derivedKey"`
	} `json:"solution"`
}

func readAltcha(proof Proof) (altchaPayload, bool) {
	var payload altchaPayload
	raw, err := base64.StdEncoding.DecodeString(proof[0])
	if err != nil || json.Unmarshal(raw, &payload) != nil {
		return altchaPayload{}, false
	}
	return payload, true
}

// Check judges the shape of the proof and its age.
func (a *Altcha) Check(proof Proof, now time.Time, _ time.Duration) Verdict {
	if verdict := altchaParts.check(proof); verdict.Result != Unknown {
		return verdict
	}
	payload, ok := readAltcha(proof)
	if !ok {
		return malformed("altcha")
	}
	return a.checkAge(payload, now)
}

// checkAge judges the age alone. maxAhead bounds what a clock that was wrong has
// issued.
func (a *Altcha) checkAge(payload altchaPayload, now time.Time) Verdict {
	expires := time.Unix(payload.Challenge.Parameters.Data.Expires, 0)
	switch {
	case !now.Before(expires):
		return Verdict{Result: Expired, Reason: "expires"}
	case expires.After(now.Add(a.Lifetime() + maxAhead)):
		return Verdict{Result: Rejected, Reason: "expires"}
	}
	return Verdict{}
}

// ReplayKey returns the nonce, which no other challenge has.
func (a *Altcha) ReplayKey(proof Proof) string {
	payload, _ := readAltcha(proof)
	return payload.Challenge.Parameters.Nonce
}

// Verify checks that the challenge is one of ours, and the key that which
// solves it.
func (a *Altcha) Verify(_ context.Context, proof Proof, client Client) Verdict {
	payload, ok := readAltcha(proof)
	if !ok {
		return malformed("altcha")
	}
	if verdict := a.checkAge(payload, a.now()); verdict.Result != Unknown {
		return verdict
	}
	parameters := payload.Challenge.Parameters
	issued, err := client.Seal.Marked(parameters.text(), payload.Challenge.Signature)
	if err != nil {
		return Verdict{Result: Unknown, Reason: ReasonService, Err: err}
	}
	if !issued || parameters.Data.Difficulty < a.Difficulty {
		return Verdict{Result: Rejected, Reason: "challenge"}
	}
	solved, err := client.Seal.Marked(altchaKeyText(payload.Solution.DerivedKey), parameters.KeySignature)
	if err != nil {
		return Verdict{Result: Unknown, Reason: ReasonService, Err: err}
	}
	if !solved {
		return Verdict{Result: Rejected, Reason: "solution"}
	}
	return Verdict{Result: Passed}
}

// altchaWidget is a challenge with what a page needs to solve it.
type altchaWidget struct {
	widget
	Challenge altchaChallenge `json:"challenge"`
	Down      bool            `json:"down,omitempty"`
}

// Challenge returns a new challenge. The key that solves it is that of a number
// which is drawn at random: a browser tries one number after the other, and so
// derives as many keys as Difficulty says at least, and twice as many at most.
func (a *Altcha) Challenge(_ context.Context, client Client, _ string) (challenge any, failure Verdict) {
	drawn, _ := rand.Int(rand.Reader, big.NewInt(int64(a.Difficulty))) // never fails (crypto/rand)
	c, err := a.issue(client.Seal, a.Difficulty+int(drawn.Int64()))
	if err != nil {
		return nil, Verdict{Result: Unknown, Reason: ReasonService, Err: err}
	}
	return altchaWidget{widget: widget{Provider: "altcha", Script: altchaScript}, Challenge: c, Down: a.down}, Verdict{}
}

func (a *Altcha) issue(seal Seal, counter int) (c altchaChallenge, err error) {
	p := &c.Parameters
	*p = altchaParameters{
		Algorithm: altchaAlgorithm, Nonce: madeUp(16), Salt: madeUp(16), Cost: altchaCost, KeyLength: altchaKeyLength,
		Data: altchaData{Expires: a.now().Add(a.Lifetime()).Unix(), Difficulty: a.Difficulty},
	}
	key, err := altchaKey(*p, uint32(counter)) //nolint:gosec // it is less than twice maxDifficulty
	if err != nil {
		return altchaChallenge{}, err
	}
	p.KeyPrefix = hex.EncodeToString(key[:altchaPrefixLength])
	if p.KeySignature, err = seal.Mark(altchaKeyText(hex.EncodeToString(key))); err != nil {
		return altchaChallenge{}, err
	}
	c.Signature, err = seal.Mark(p.text())
	return c, err
}

// altchaKey derives the key of a number.
func altchaKey(p altchaParameters, counter uint32) ([]byte, error) {
	nonce, err := hex.DecodeString(p.Nonce)
	if err != nil {
		return nil, err
	}
	salt, err := hex.DecodeString(p.Salt)
	if err != nil {
		return nil, err
	}
	return pbkdf2.Key(sha256.New, string(binary.BigEndian.AppendUint32(nonce, counter)), salt, p.Cost, p.KeyLength)
}

// Sources implements Challenger. The widget's script has the page's nonce.
func (a *Altcha) Sources() map[string][]string {
	return map[string][]string{"worker-src": {"'self'"}}
}

//go:embed altcha.js
var altchaAdapter string

// Adapter implements Challenger.
func (a *Altcha) Adapter() string { return altchaAdapter }

// The widget and its worker are files of the npm package altcha 3.2.2, as they
// are: dist/external/altcha.min.js and dist/workers/pbkdf2.js.
var (
	//go:embed altcha/altcha.js
	altchaScriptContent []byte

	//go:embed altcha/pbkdf2.js
	altchaWorkerContent []byte
)

const (
	altchaScript = "altcha.js"
	altchaWorker = "altcha-worker.js"
)

// Files implements Hosted.
func (a *Altcha) Files() map[string][]byte {
	return map[string][]byte{altchaScript: slices.Clone(altchaScriptContent), altchaWorker: slices.Clone(altchaWorkerContent)}
}

// Interface guards
var (
	_ Local                 = (*Altcha)(nil)
	_ Hosted                = (*Altcha)(nil)
	_ caddy.Module          = (*Altcha)(nil)
	_ caddy.Provisioner     = (*Altcha)(nil)
	_ caddyfile.Unmarshaler = (*Altcha)(nil)
)
