package gate

import (
	"crypto/hmac"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/browser"
	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/digest"
	"github.com/caddycaptcha/caddycaptcha/internal/request"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// captcha is what a gate asks people for: the policy's own, and with on_outage
// pow another one that stands in for it.
type captcha struct {
	verifier.Verifier

	challenger  verifier.Challenger // nil: the verifier has no widget
	widget      *browser.Widget     // the same
	local       *local              // nil: a provider judges the proofs
	provider    string
	captchaID   string
	fingerprint [32]byte
}

// local is what a captcha has whose proofs are judged here.
type local struct {
	verifier.Local

	seals   *clearance.Keys
	purpose clearance.Purpose
	policy  string
	quota   *quota
}

// localMargin is how much longer a spent solution is remembered than its
// challenge is good. No provider knows it, so no clock may reopen it that is
// wrong by ten minutes, nor the five that a challenge may be ahead.
const localMargin = 15 * time.Minute

// newCaptcha returns the captcha of a verifier. The purpose is that of the seals
// of a Local.
func newCaptcha(o Options, v verifier.Verifier, purpose clearance.Purpose) captcha {
	c := captcha{Verifier: v, fingerprint: v.Fingerprint()}
	c.provider, c.captchaID = v.Captcha()
	if challenger, ok := v.(verifier.Challenger); ok {
		var files map[string][]byte
		if hosted, ok := challenger.(verifier.Hosted); ok {
			files = hosted.Files()
		}
		c.challenger = challenger
		c.widget = browser.NewWidget(challenger.Adapter(), challenger.Sources(), files)
	}
	if l, ok := v.(verifier.Local); ok {
		perClient, inAll := l.Rate()
		c.local = &local{
			Local: l, seals: o.Keys, purpose: purpose, policy: o.Policy,
			quota: newQuota(o, perClient, inAll, &solutions, l.Lifetime()+localMargin),
		}
		c.fingerprint = digest.With(c.fingerprint, o.Policy) // what one policy issues is no other's
	}
	return c
}

// claimKey is the proof's key in the replay cache: the same for every spelling
// of the proof, every policy and every site with the captcha.
func (c *captcha) claimKey(proof verifier.Proof) cache.Key {
	sum := digest.Of("claim", c.provider, c.captchaID, c.ReplayKey(proof))
	return cache.Key(sum[:16])
}

// claimTTL is how long a claim lives.
func (c *captcha) claimTTL(store cache.Store) time.Duration {
	if c.local != nil {
		return c.local.Lifetime() + localMargin
	}
	return store.TTL()
}

// identity digests the whole proof and what it is checked with.
func (c *captcha) identity(r *http.Request, proof verifier.Proof) [32]byte {
	sum := digest.With(c.fingerprint, proof...)
	if c.local != nil {
		sum = digest.With(sum, hostOf(r))
	}
	return sum
}

// clientOf returns what a verifier is told about the client.
func (c *captcha) clientOf(r *http.Request) verifier.Client {
	client := verifier.Client{IP: request.ClientIP(r), Type: clientType(r.UserAgent())}
	if c.local != nil {
		client.Seal = seal{c.local, hostOf(r)}
	}
	return client
}

func hostOf(r *http.Request) string { return strings.ToLower(r.Host) }

// seal implements verifier.Seal for a request's host.
type seal struct {
	*local
	host string
}

// Mark implements verifier.Seal.
func (s seal) Mark(text []byte) (string, error) {
	keys, err := s.keys()
	if err != nil {
		return "", err
	}
	return s.mark(keys[0], text), nil
}

// Marked implements verifier.Seal.
func (s seal) Marked(text []byte, mark string) (bool, error) {
	keys, err := s.keys()
	if err != nil {
		return false, err
	}
	for _, key := range keys {
		if hmac.Equal([]byte(mark), []byte(s.mark(key, text))) {
			return true, nil
		}
	}
	return false, nil
}

func (s seal) keys() ([]*clearance.Key, error) { return s.seals.Derive(s.purpose, s.policy) }

func (s seal) mark(key *clearance.Key, text []byte) string {
	mac := key.MAC(digest.Append(digest.Append(nil, s.host), text))
	return hex.EncodeToString(mac[:])
}
