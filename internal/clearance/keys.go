package clearance

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"

	"github.com/caddycaptcha/caddycaptcha/internal/digest"
)

// Keys holds the master keys of one config. The first signs and all verify, so
// that keys can be replaced without a break. Its methods are safe for
// concurrent use.
type Keys struct {
	load func() ([][]byte, error)

	masters atomic.Pointer[[][]byte] // the pseudorandom keys of HKDF

	mu      sync.Mutex
	loading *loading // guarded by mu; nil where nobody loads
}

// loading is one call of load. All who need the keys meanwhile wait for it,
// and share what becomes of it.
type loading struct {
	done    chan struct{}
	masters [][]byte
	err     error
}

// MinSecret is how many bytes a master secret must have. Who guesses the
// secret can make clearances, and can check guesses at home.
const MinSecret = 16

// NewKeys returns the keys that are derived from the secrets that load
// returns. It is called at the first use, by one caller at a time, and, should
// it fail, again at the next use.
func NewKeys(load func() ([][]byte, error)) *Keys {
	return &Keys{load: load}
}

// Purpose is what a derived key is for. A token made for one purpose is never
// taken for one of another.
type Purpose string

const (
	// PurposeClearance is to sign clearances.
	PurposeClearance Purpose = "clearance"

	// PurposeOutage is to sign clearances that are good in an outage only.
	PurposeOutage Purpose = "outage"

	// PurposeOffline is to sign challenges that are issued in an outage.
	PurposeOffline Purpose = "offline"

	// PurposeWork is to sign challenges for a proof of work, and
	// PurposeOutageWork those that are issued in an outage only.
	PurposeWork       Purpose = "work"
	PurposeOutageWork Purpose = "outage_work"

	// PurposeUserID is to tell a provider one client from another without
	// telling it who they are.
	PurposeUserID Purpose = "user_id"
)

// Derive returns the keys for one purpose and scope, which is a policy or a
// captcha, the signing one first. The keys of different purposes or scopes have
// nothing in common.
func (k *Keys) Derive(purpose Purpose, scope string) ([]*Key, error) {
	masters, err := k.get()
	if err != nil {
		return nil, err
	}
	keys := make([]*Key, len(masters))
	for i, master := range masters {
		if keys[i], err = newKey(master, purpose, scope); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func (k *Keys) get() ([][]byte, error) {
	if masters := k.masters.Load(); masters != nil {
		return *masters, nil
	}
	k.mu.Lock()
	if masters := k.masters.Load(); masters != nil {
		k.mu.Unlock()
		return *masters, nil
	}
	if l := k.loading; l != nil {
		k.mu.Unlock()
		<-l.done
		return l.masters, l.err
	}
	l := &loading{done: make(chan struct{}), err: errors.New("loading the keys panicked")}
	k.loading = l
	k.mu.Unlock()

	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.err == nil {
			k.masters.Store(&l.masters)
		}
		k.loading = nil
		close(l.done)
	}()
	l.masters, l.err = k.extract()
	return l.masters, l.err
}

// extract loads the secrets and turns each into a key of even strength.
func (k *Keys) extract() ([][]byte, error) {
	secrets, err := k.load()
	if err != nil {
		return nil, err
	}
	if len(secrets) == 0 {
		return nil, errors.New("there is no key to sign with")
	}
	masters := make([][]byte, len(secrets))
	for i, secret := range secrets {
		if err := CheckSecret(secret); err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i+1, len(secrets), err)
		}
		if masters[i], err = hkdf.Extract(sha256.New, secret, []byte("caddycaptcha")); err != nil {
			return nil, err
		}
	}
	return masters, nil
}

// CheckSecret says whether secret can be a master secret.
func CheckSecret(secret []byte) error {
	if len(secret) < MinSecret {
		return fmt.Errorf("it has %d bytes and must have at least %d; `openssl rand -base64 32` makes a good one", len(secret), MinSecret)
	}
	return nil
}

// KeyID tells which key a token was signed with. It is no secret.
type KeyID [8]byte

// Key signs for one purpose and scope.
type Key struct {
	id     KeyID
	states sync.Pool // of *state
}

// state is what it takes to compute a MAC, with the key's schedule done.
type state struct {
	hash hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

func newKey(master []byte, purpose Purpose, scope string) (*Key, error) {
	info := digest.Append(nil, string(purpose))
	info = digest.Append(info, scope)
	material, err := hkdf.Expand(sha256.New, master, string(info), sha256.Size+len(KeyID{}))
	if err != nil {
		return nil, err
	}
	key := &Key{id: KeyID(material[sha256.Size:])}
	key.states.New = func() any {
		return &state{hash: hmac.New(sha256.New, material[:sha256.Size])}
	}
	return key, nil
}

// MAC returns the HMAC-SHA256 of text.
func (k *Key) MAC(text []byte) [sha256.Size]byte {
	s := k.borrow()
	defer k.giveBack(s)
	return *s.mac(text)
}

func (k *Key) borrow() *state { return k.states.Get().(*state) }

// giveBack ends the use of s. Few texts are long; their memory is not kept.
func (k *Key) giveBack(s *state) {
	if cap(s.text) > 4096 {
		s.text = nil
	}
	k.states.Put(s)
}

// mac returns the MAC of text, which is overwritten by the next one.
func (s *state) mac(text []byte) *[sha256.Size]byte {
	s.hash.Reset()
	s.hash.Write(text)
	s.hash.Sum(s.sum[:0])
	return &s.sum
}
