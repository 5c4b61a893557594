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
// domain nor someone on the network can set it. One whose name begins with
// __Secure- they take only over https, from every host of its domain.
type names struct{ shared, secure, plain, hint string }

func namesOf(policy string) names {
	return names{
		shared: "__Secure-captcha-" + policy,
		secure: "__Host-captcha-" + policy,
		plain:  "captcha-" + policy,
		hint:   "captcha_until_" + policy,
	}
}

// IsCookie reports whether name is that of a clearance of this policy, or of the
// hint beside it.
func (i *Issuer) IsCookie(name string) bool {
	switch name {
	case i.names.shared, i.names.secure, i.names.plain, i.names.hint:
		return true
	}
	return false
}

// Hint returns the cookie that lies beside a clearance, and lasts as long, for
// scripts: a clearance they cannot see. Being there is all it says, and it
// decides nothing on the server. A clearance that is good for a number of
// requests has none, as nobody could say when it is used up.
func (i *Issuer) Hint(beside *http.Cookie) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // it says nothing, and scripts have to see it
		Name: i.names.hint, Value: "1", Path: "/", Domain: beside.Domain, MaxAge: beside.MaxAge,
		Secure: beside.Secure, SameSite: http.SameSiteLaxMode,
	}
}

// NoHint returns the cookie that removes the hint beside a clearance of the
// subject's.
func (i *Issuer) NoHint(s Subject) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // it says nothing, and scripts have to see it
		Name: i.names.hint, Path: "/", Domain: i.kindOf(s).domain, MaxAge: -1,
		Secure: s.Secure, SameSite: http.SameSiteLaxMode,
	}
}

// HasHint reports whether a request brings the hint.
func (i *Issuer) HasHint(header http.Header) bool {
	hints := cookiesOf(header, i.names.hint, 1)
	_, ok := hints.next()
	return ok
}

// How many cookies of the name are tried. Some may be junk that others set; a
// browser's own is seldom behind many of them. More are tried where every host
// of the domain can set them, and so have them stand before the browser's own.
const (
	maxCookies       = 8
	maxSharedCookies = 32
)

// cookies walks through the cookies of one name, without a copy.
type cookies struct {
	lines []string
	line  string // what is left of the current one
	name  string
	tries int // left
}

func cookiesOf(header http.Header, name string, tries int) cookies {
	return cookies{lines: header["Cookie"], name: name, tries: tries}
}

// next returns the value of the next cookie.
func (c *cookies) next() (value string, ok bool) {
	for c.tries > 0 {
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
			c.tries--
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
