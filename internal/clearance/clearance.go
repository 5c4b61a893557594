// Package clearance makes and checks clearances. A clearance is a signed
// cookie that says: this browser passed this policy, until then. All that the
// signature covers but the cookie does not carry comes from the configuration
// and the request, so a clearance is worth nothing to another host, policy,
// captcha or client.
package clearance

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/digest"
)

// Options are what a policy's clearances are made from.
type Options struct {
	// Purpose is what the keys are for: a clearance of one purpose is none of
	// another.
	Purpose Purpose

	Policy    string
	Provider  string // the verifier's name
	CaptchaID string
	Service   string // the URL of the service that the verifier asks

	// TTL is how long a clearance is valid.
	TTL time.Duration

	// MaxUses is how many requests a clearance lets through; 0 is any number.
	MaxUses int

	// BindIP and BindUserAgent bind a clearance to the client that got it.
	BindIP, BindUserAgent bool

	// Domain, in lower case and without a dot at either end, makes a clearance
	// that is got over https from one of its hosts good for all of them. Empty:
	// each is good for its host.
	Domain string
}

// Subject is the client of a request, and the host it asks.
type Subject struct {
	// Host is the request's Host header. Its case makes no difference; its
	// port does, because browsers send cookies to every port of a host.
	Host string

	// Secure says that the client uses https.
	Secure bool

	// Prefix is the client's. The zero Prefix is that of all clients without
	// an address, as on a Unix socket.
	Prefix netip.Prefix

	UserAgent string
}

// ID is a clearance's random id, under which its uses are counted.
type ID [16]byte

// Clearance is what a cookie says.
type Clearance struct {
	ID     ID
	Expiry time.Time
}

// State says whether a request has a clearance. Of several cookies that are
// not valid the greatest State counts, which tells most.
type State uint8

const (
	Absent  State = iota // there is no cookie
	Invalid              // this policy did not sign it, not as it is now configured
	Expired              // it is too old
	Binding              // it is another client's
	UsedUp               // it has no uses left
	Valid
)

func (s State) String() string {
	switch s {
	case Absent:
		return "absent"
	case Invalid:
		return "invalid"
	case Expired:
		return "expired"
	case Binding:
		return "binding"
	case UsedUp:
		return "used_up"
	case Valid:
		return "valid"
	}
	return "unknown"
}

// Issuer makes and checks the clearances of one policy. Its methods are safe
// for concurrent use.
type Issuer struct {
	keys    *Keys
	options Options
	names   names
	derived atomic.Pointer[[]*Key]

	// The kinds of clearances: of the domain, over https, over http.
	shared, secure, plain kind
}

// kind is a kind of clearances, which have a cookie name of their own.
type kind struct {
	name string

	// common begins the text of every MAC: what does not depend on the
	// request.
	common []byte

	// domain is what they are good for in place of the request's host.
	domain string

	// tries is how many cookies of the name are looked at.
	tries int
}

// New returns an issuer. The keys are not used yet.
func New(keys *Keys, options Options) *Issuer {
	i := &Issuer{keys: keys, options: options, names: namesOf(options.Policy)}
	i.shared = kind{i.names.shared, i.commonText(i.names.shared), options.Domain, maxSharedCookies}
	i.secure = kind{i.names.secure, i.commonText(i.names.secure), "", maxCookies}
	i.plain = kind{i.names.plain, i.commonText(i.names.plain), "", maxCookies}
	return i
}

// kindOf returns the kind of the subject's clearances.
func (i *Issuer) kindOf(s Subject) *kind {
	switch {
	case i.Shares(s):
		return &i.shared
	case s.Secure:
		return &i.secure
	default:
		return &i.plain
	}
}

// Shares reports whether the subject's clearances are good for the whole domain.
// They are not over http, where anyone on the network could set them, nor where
// the host is none of the domain's.
func (i *Issuer) Shares(s Subject) bool {
	return i.options.Domain != "" && s.Secure && isIn(i.options.Domain, s.Host)
}

// isIn reports whether a host, with or without a port, is the domain or under it.
func isIn(domain, host string) bool {
	name, _, _ := strings.Cut(host, ":")
	before := len(name) - len(domain)
	if before < 0 || before == 1 || before > 1 && name[before-1] != '.' {
		return false
	}
	for n := range len(domain) {
		if lowered(name[before+n]) != domain[n] {
			return false
		}
	}
	return true
}

func (i *Issuer) commonText(cookieName string) []byte {
	text := digest.Append(nil, []byte{version})
	for _, field := range []string{
		cookieName,
		i.options.Policy,
		i.options.Provider,
		i.options.CaptchaID,
		i.options.Service,
		strconv.Itoa(i.options.MaxUses),
	} {
		text = digest.Append(text, field)
	}
	return text
}

// Issue makes a clearance for the subject, and its cookie. With MaxUses, its
// uses must be granted under its id before the cookie is given away.
func (i *Issuer) Issue(s Subject, now time.Time) (*http.Cookie, Clearance, error) {
	keys, err := i.subkeys()
	if err != nil {
		return nil, Clearance{}, err
	}
	key := keys[0]
	t := token{key: key.id, expiry: uint64(now.Add(i.options.TTL).UnixMilli())}
	rand.Read(t.id[:]) // never fails (crypto/rand)
	i.sign(key, &t, s)
	kind := i.kindOf(s)
	return &http.Cookie{ //nolint:gosec // Secure wherever the client uses https
		Name:     kind.name,
		Value:    t.encode(),
		Path:     "/",
		Domain:   kind.domain,
		MaxAge:   int((i.options.TTL + time.Second - 1) / time.Second),
		Secure:   s.Secure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}, t.clearance(), nil
}

// Check looks for a valid clearance among the cookies in a request's header;
// the first one counts. Where uses are limited, take is called with the id of
// each valid clearance until it says that there was a use left, and a nil take
// finds none. An error is the one of the keys or of take; then nothing is
// known.
func (i *Issuer) Check(header http.Header, s Subject, now time.Time, take func(ID) (bool, error)) (Clearance, State, error) {
	found := Absent
	kind := i.kindOf(s)
	cookies := cookiesOf(header, kind.name, kind.tries)
	for value, ok := cookies.next(); ok; value, ok = cookies.next() {
		c, state, err := i.check(value, s, now)
		if state == Valid && i.options.MaxUses > 0 {
			state, err = use(c.ID, take)
		}
		if err != nil {
			return Clearance{}, Absent, err
		}
		if state == Valid {
			return c, Valid, nil
		}
		found = max(found, state)
	}
	return Clearance{}, found, nil
}

func use(id ID, take func(ID) (bool, error)) (State, error) {
	if take == nil {
		return UsedUp, nil
	}
	if taken, err := take(id); err != nil || !taken {
		return UsedUp, err
	}
	return Valid, nil
}

// check checks the value of one cookie.
func (i *Issuer) check(value string, s Subject, now time.Time) (Clearance, State, error) {
	t, ok := decode(value)
	if !ok {
		return Clearance{}, Invalid, nil
	}
	keys, err := i.subkeys()
	if err != nil {
		return Clearance{}, Absent, err
	}
	for _, key := range keys {
		if key.id != t.key {
			continue
		}
		switch signed, bound := i.verify(key, &t, s); {
		case !signed:
		case !i.current(t.clearance().Expiry, now):
			return Clearance{}, Expired, nil
		case !bound:
			return Clearance{}, Binding, nil
		default:
			return t.clearance(), Valid, nil
		}
	}
	return Clearance{}, Invalid, nil
}

// clockMargin is how far the clocks of the nodes that share a key may differ.
const clockMargin = time.Minute

// current reports whether a clearance that ends at expiry is valid now. One
// that would be valid for longer than any that is made now comes from a time
// when the ttl was longer, or from a clock that was wrong; it counts as
// expired for as long as that is so.
func (i *Issuer) current(expiry, now time.Time) bool {
	return now.Before(expiry) && !expiry.After(now.Add(i.options.TTL+clockMargin))
}

// sign sets the two signatures of t. The MAC covers everything. The tag covers
// all but the binding and the MAC: it tells a clearance of ours that another
// client sends from one that is not ours. It opens nothing.
func (i *Issuer) sign(key *Key, t *token, s Subject) {
	state := key.borrow()
	defer key.giveBack(state)
	state.text = i.appendUnbound(state.text[:0], t, s)
	t.tag = state.tag(state.text)
	state.text = i.appendBinding(state.text, t, s)
	t.mac = *state.mac(state.text)
}

// verify reports whether t was signed by key, for the subject's host, and
// whether it is bound to the subject. What is bound is signed.
func (i *Issuer) verify(key *Key, t *token, s Subject) (signed, bound bool) {
	state := key.borrow()
	defer key.giveBack(state)
	state.text = i.appendUnbound(state.text[:0], t, s)
	unbound := len(state.text)
	state.text = i.appendBinding(state.text, t, s)
	if hmac.Equal(state.mac(state.text)[:], t.mac[:]) {
		return true, true
	}
	tag := state.tag(state.text[:unbound])
	return hmac.Equal(tag[:], t.tag[:]), false
}

// appendUnbound appends what the tag covers. Every field has a length that is
// fixed or said before it, so one text is never the beginning of another.
func (i *Issuer) appendUnbound(text []byte, t *token, s Subject) []byte {
	kind := i.kindOf(s)
	host := s.Host
	if kind.domain != "" {
		host = kind.domain
	}
	text = append(text, kind.common...)
	text = digest.Append(text, t.key[:])
	text = digest.Append(text, host)
	lower(text[len(text)-len(host):])
	text = binary.BigEndian.AppendUint64(text, t.expiry)
	return append(text, t.id[:]...)
}

// lower makes the letters of a host name lower case.
func lower(host []byte) {
	for i, c := range host {
		host[i] = lowered(c)
	}
}

func lowered(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// What a clearance is bound to.
const (
	bindIP = 1 << iota
	bindUserAgent
)

// appendBinding appends what the MAC covers and the tag does not.
func (i *Issuer) appendBinding(text []byte, t *token, s Subject) []byte {
	text = append(text, t.tag[:]...)
	at := len(text)
	text = append(text, 0)
	if i.options.BindIP {
		text[at] |= bindIP
		var prefix [24]byte
		address, _ := s.Prefix.AppendBinary(prefix[:0]) // never fails
		text = digest.Append(text, address)
	}
	if i.options.BindUserAgent {
		text[at] |= bindUserAgent
		text = digest.Append(text, s.UserAgent)
	}
	return text
}

// tag returns the tag of text.
func (s *state) tag(text []byte) (tag [tagSize]byte) {
	copy(tag[:], s.mac(text)[:])
	return tag
}

func (i *Issuer) subkeys() ([]*Key, error) {
	if keys := i.derived.Load(); keys != nil {
		return *keys, nil
	}
	keys, err := i.keys.Derive(i.options.Purpose, i.options.Policy)
	if err != nil {
		return nil, err
	}
	i.derived.Store(&keys)
	return keys, nil
}
