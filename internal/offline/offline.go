// Package offline makes the challenges that a captcha handler issues itself
// while a provider is down whose challenges otherwise come from its server
// (GeeTest v3, "failback"). They carry their own state, so that there is
// nothing to store and nothing to forge.
package offline

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"math/big"
	"strings"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/digest"
)

// lifetime is how long a challenge is good, as long as one of GeeTest's.
const lifetime = 10 * time.Minute

// ahead is how much longer than that a challenge may still have, because the
// clocks of nodes differ. It bounds what a clock that was wrong has issued.
const ahead = time.Minute

// Challenges makes and checks the challenges of one captcha. All policies with
// the captcha, and all nodes with the keys, take each other's.
type Challenges struct {
	keys              *clearance.Keys
	provider, captcha string
}

// New returns the challenges of a captcha. The keys are not used yet.
func New(keys *clearance.Keys, provider, captcha string) *Challenges {
	return &Challenges{keys, provider, captcha}
}

// A challenge is a number of 20 bytes, written in the alphabet of GeeTest's
// challenges: the expiry (Unix time in seconds), a nonce and a MAC of 80 bits.
const (
	expirySize = 4
	nonceSize  = 6
	macSize    = 10
	size       = expirySize + nonceSize + macSize

	textSize = 32
	base     = 36
)

// Issue returns a challenge for the host: 32 characters of 0-9 and a-z. An
// error is one of the keys.
func (c *Challenges) Issue(host string, now time.Time) (string, error) {
	keys, err := c.derive()
	if err != nil {
		return "", err
	}
	raw := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(now.Add(lifetime).Unix())) //nolint:gosec // until 2106
	raw = raw[:expirySize+nonceSize]
	rand.Read(raw[expirySize:]) // never fails (crypto/rand)
	raw = append(raw, c.mac(keys[0], host, raw)...)
	return encode(raw), nil
}

func encode(raw []byte) string {
	text := new(big.Int).SetBytes(raw).Text(base)
	return strings.Repeat("0", textSize-len(text)) + text
}

// decode returns what encode was given. Of each there is one text only, or else
// one challenge could be used in two spellings.
func decode(text string) (raw []byte, ok bool) {
	number, ok := new(big.Int).SetString(text, base)
	if !ok || number.Sign() < 0 || number.BitLen() > 8*size {
		return nil, false
	}
	raw = number.FillBytes(make([]byte, size))
	return raw, encode(raw) == text
}

// Check reports whether a challenge was issued here for the host, and is still
// good.
func (c *Challenges) Check(challenge, host string, now time.Time) (bool, error) {
	raw, ok := decode(challenge)
	if !ok {
		return false, nil
	}
	expiry := time.Unix(int64(binary.BigEndian.Uint32(raw)), 0)
	if !now.Before(expiry) || expiry.After(now.Add(lifetime+ahead)) {
		return false, nil
	}
	keys, err := c.derive()
	if err != nil {
		return false, err
	}
	said, mac := raw[:expirySize+nonceSize], raw[expirySize+nonceSize:]
	for _, key := range keys {
		if hmac.Equal(mac, c.mac(key, host, said)) {
			return true, nil
		}
	}
	return false, nil
}

func (c *Challenges) derive() ([]*clearance.Key, error) {
	return c.keys.Derive(clearance.PurposeOffline, c.provider+" "+c.captcha)
}

func (c *Challenges) mac(key *clearance.Key, host string, said []byte) []byte {
	text := digest.Append(nil, c.provider)
	text = digest.Append(text, c.captcha)
	text = digest.Append(text, strings.ToLower(host))
	text = digest.Append(text, said)
	mac := key.MAC(text)
	return mac[:macSize]
}
