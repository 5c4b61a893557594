package clearance

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"time"
)

// names are the cookie's names. Browsers take a cookie whose name begins with
// __Host- only over https and from the host itself, so that neither a sibling
// domain nor someone on the network can set it.
type names struct{ secure, plain, hint string }

func namesOf(policy string) names {
	return names{secure: "__Host-captcha-" + policy, plain: "captcha-" + policy, hint: "captcha_until_" + policy}
}

func (n names) of(secure bool) string {
	if secure {
		return n.secure
	}
	return n.plain
}

// IsCookie reports whether name is that of a clearance of this policy, or of the
// hint beside it.
func (i *Issuer) IsCookie(name string) bool {
	return name == i.names.secure || name == i.names.plain || name == i.names.hint
}

// Hint returns the cookie that lies beside a clearance, and lasts as long, for
// scripts: a clearance they cannot see. Being there is all it says, and it
// decides nothing on the server. A clearance that is good for a number of
// requests has none, as nobody could say when it is used up.
func (i *Issuer) Hint(beside *http.Cookie) *http.Cookie {
	hint := i.NoHint(beside.Secure) //nolint:gosec // as secure as the clearance; scripts have to see it
	hint.Value, hint.MaxAge = "1", beside.MaxAge
	return hint
}

// NoHint returns the cookie that removes the hint.
func (i *Issuer) NoHint(secure bool) *http.Cookie {
	//nolint:gosec // it says nothing, and scripts have to see it
	return &http.Cookie{Name: i.names.hint, Path: "/", MaxAge: -1, Secure: secure, SameSite: http.SameSiteLaxMode}
}

// HasHint reports whether a request brings the hint.
func (i *Issuer) HasHint(header http.Header) bool {
	hints := cookiesOf(header, i.names.hint)
	_, ok := hints.next()
	return ok
}

// maxCookies is how many cookies of the name are tried. Some may be junk that
// others set; a browser's own is seldom behind many of them.
const maxCookies = 8

// cookies walks through the cookies of one name, without a copy.
type cookies struct {
	lines []string
	line  string // what is left of the current one
	name  string
	tried int
}

func cookiesOf(header http.Header, name string) cookies {
	return cookies{lines: header["Cookie"], name: name}
}

// next returns the value of the next cookie.
func (c *cookies) next() (value string, ok bool) {
	for c.tried < maxCookies {
		if c.line == "" {
			if len(c.lines) == 0 {
				break
			}
			c.line, c.lines = c.lines[0], c.lines[1:]
			continue
		}
		var pair string
		pair, c.line, _ = strings.Cut(c.line, ";")
		name, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if ok && name == c.name {
			c.tried++
			return value, true
		}
	}
	return "", false
}

// version is the format of a token. Change it with anything that a token
// carries or its signatures cover.
const version = 1

// token is what the cookie carries.
type token struct {
	key    KeyID
	expiry uint64 // Unix time in milliseconds
	id     ID
	mac    [sha256.Size]byte
	tag    [tagSize]byte
}

const (
	tagSize   = 16
	tokenSize = 1 + len(KeyID{}) + 8 + len(ID{}) + sha256.Size + tagSize
	textSize  = tokenSize / 3 * 4
)

// encoding leaves no bit unused, because tokenSize is a multiple of three: of
// textSize characters, each token has one text.
var encoding = base64.RawURLEncoding

func (t *token) encode() string {
	raw := make([]byte, 0, tokenSize)
	raw = append(raw, version)
	raw = append(raw, t.key[:]...)
	raw = binary.BigEndian.AppendUint64(raw, t.expiry)
	raw = append(raw, t.id[:]...)
	raw = append(raw, t.mac[:]...)
	raw = append(raw, t.tag[:]...)
	return encoding.EncodeToString(raw)
}

// decode returns the token that text carries, which nobody may have signed.
func decode(text string) (t token, ok bool) {
	if len(text) != textSize {
		return token{}, false
	}
	var copied [textSize]byte
	var decoded [tokenSize]byte
	copy(copied[:], text)
	if n, err := encoding.Decode(decoded[:], copied[:]); err != nil || n != tokenSize || decoded[0] != version {
		return token{}, false
	}
	raw := decoded[1:]
	raw = raw[copy(t.key[:], raw):]
	t.expiry, raw = binary.BigEndian.Uint64(raw), raw[8:]
	raw = raw[copy(t.id[:], raw):]
	raw = raw[copy(t.mac[:], raw):]
	copy(t.tag[:], raw)
	return t, true
}

func (t *token) clearance() Clearance {
	return Clearance{ID: t.id, Expiry: time.UnixMilli(int64(t.expiry))}
}
