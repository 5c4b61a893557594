// Package flight lets requests with one proof share its claim and its verdict.
package flight

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/cache"
)

// ErrReplayed means that the proof is spent, or that another request is about
// to spend it.
var ErrReplayed = errors.New("the proof was used before")

// Fate is what a verdict means for the claim on the proof.
type Fate uint8

const (
	// GiveBack releases the claim, unless the request was forwarded all the
	// same.
	GiveBack Fate = iota
	// Spend keeps the claim.
	Spend
	// Pass keeps the claim and entitles one request to be forwarded.
	Pass
)

// Attempt is a request's attempt to use a proof.
type Attempt[V any] struct {
	// Key is the proof's key in the replay cache.
	Key cache.Key

	// Identity is a digest of the whole proof and of the verifier's
	// fingerprint, and Prefix the client's. Only where both are the same may
	// one request take the place of another.
	Identity [32]byte
	Prefix   netip.Prefix

	// Store is where the proof is claimed, and TTL for how long.
	Store Claims
	TTL   time.Duration

	// Verification is what the request does if it starts a flight.
	Verification Verification[V]
}

// Claims is the part of a cache.Store that flights need.
type Claims interface {
	Claim(ctx context.Context, key cache.Key, owner cache.Owner, ttl time.Duration) (bool, error)
	Release(ctx context.Context, key cache.Key, owner cache.Owner) error
}

// Verification is the verification of one proof. Of its methods each is called
// once at most, one after the other, and only for the request that starts a
// flight.
type Verification[V any] interface {
	// Begin reserves what the verification takes up. It is called before the
	// proof is claimed; its error ends the flight.
	Begin() error

	// Verify asks the provider, and only if the proof was claimed. It runs to
	// its own timeout; its context is not the client's. Should it panic, the
	// verdict is the zero V and the fate GiveBack.
	Verify(context.Context) (V, Fate)

	// End gives back what Begin reserved, when the verification has ended or
	// proved unnecessary.
	End()
}

// Table holds the flights of this process: one for each proof whose verdict is
// open, or passed but not yet used. Its zero value is ready for use. V is the
// type of a verdict; its zero value must mean that nothing is known.
//
//	            Join             claimed, Pass              Wait
//	(no flight) ────▶  open  ───────────────────▶ passed ────────▶ (no flight)
//	                    │                           │
//	                    │ any other verdict,        │ a minute unused
//	                    ▼ not claimed, error        ▼
//	               (no flight)                 (no flight)
//
// A request that joins gets a seat: the leader's, if there was no flight, or
// the one seat for an identical request. All others are replays. A flight
// without a seated request goes on, since a double click or a dropped
// connection must not cost a person their proof.
//
// Each seated request waits for the verdict. Of a verdict that passed, Wait
// makes one request the user, in the same step in which it looks whether there
// is one already. While there is none the seats stay open, for a minute.
// Without a flight the replay cache alone decides, and there the proof is
// spent, unless the claim was released: that happens once, when the verdict is
// in, its fate is GiveBack, all requests have left and none was forwarded.
type Table[V any] struct {
	mu      sync.Mutex
	flights map[cache.Key]*flight[V]
}

// unusedFor is how long a proof that passed waits for a request to use it.
const unusedFor = time.Minute

// flight is one claim and its verdict.
type flight[V any] struct {
	key      cache.Key
	owner    cache.Owner
	identity [32]byte
	prefix   netip.Prefix
	store    Claims
	ttl      time.Duration

	// landed is closed when the four fields below it are final.
	landed  chan struct{}
	claimed bool // or, after an error, perhaps claimed
	verdict V
	fate    Fate
	err     error

	// These are guarded by the table's lock.
	used   bool        // a request was, or is about to be, forwarded
	aboard int         // the verification and the seated requests
	second *Seat[V]    // of the identical request, while it is there
	expiry *time.Timer // of a verdict that passed
}

// Seat is a request's place in a flight.
type Seat[V any] struct {
	table  *Table[V]
	flight *flight[V]
	left   bool
}

// Join gives the request a seat in the flight of its proof; the first one
// starts it. It returns ErrReplayed when there is no seat. The caller must
// Leave the seat.
//
// Without a deadline of ctx the request that starts the flight flies it: Join
// returns when the verdict is in, whether or not the client is still there.
// That saves a goroutine and two hand-offs for nearly every proof. A request
// that has a deadline must be able to leave before the verdict.
func (t *Table[V]) Join(ctx context.Context, a Attempt[V]) (*Seat[V], error) {
	seat, leads, err := t.seat(a)
	if !leads {
		return seat, err
	}
	uncancelled := context.WithoutCancel(ctx)
	if _, hurried := ctx.Deadline(); hurried {
		go t.fly(uncancelled, seat.flight, a)
	} else {
		t.fly(uncancelled, seat.flight, a)
	}
	return seat, nil
}

// seat finds a seat, and says whether it is the leader's.
func (t *Table[V]) seat(a Attempt[V]) (seat *Seat[V], leads bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.flights[a.Key]; f != nil {
		if f.identity != a.Identity || f.prefix != a.Prefix || f.second != nil || f.used {
			return nil, false, ErrReplayed
		}
		f.aboard++
		f.second = &Seat[V]{table: t, flight: f}
		return f.second, false, nil
	}
	f := &flight[V]{
		key:      a.Key,
		owner:    cache.NewOwner(),
		identity: a.Identity,
		prefix:   a.Prefix,
		store:    a.Store,
		ttl:      a.TTL,
		landed:   make(chan struct{}),
		aboard:   2, // the verification and the leader
	}
	if t.flights == nil {
		t.flights = make(map[cache.Key]*flight[V])
	}
	t.flights[a.Key] = f
	return &Seat[V]{table: t, flight: f}, true, nil
}

// Wait returns the verdict. For one request at most, whose ctx is not done,
// that is a verdict with the fate Pass: this request may be forwarded, and must
// be taken to have been. The other one gets ErrReplayed. Any other verdict is
// for both. Other errors are those of ctx, Begin and the replay cache.
func (s *Seat[V]) Wait(ctx context.Context) (V, error) {
	t, f := s.table, s.flight
	select {
	case <-f.landed:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var none V
	switch {
	case ctx.Err() != nil:
		return none, ctx.Err()
	case f.err != nil:
		return none, f.err
	case f.fate != Pass:
		return f.verdict, nil
	case f.used:
		return none, ErrReplayed
	}
	t.use(f)
	return f.verdict, nil
}

// Leave gives up the seat. The caller says whether it forwards the request,
// and says so before it does; if Wait returned a verdict that passed, it need
// not. When Leave returns and no other request is seated, a claim that is to be
// given back has been. Only the first call counts.
func (s *Seat[V]) Leave(forwarded bool) {
	t, f := s.table, s.flight
	t.mu.Lock()
	if s.left {
		t.mu.Unlock()
		return
	}
	s.left = true
	if f.second == s {
		f.second = nil
	}
	if forwarded {
		t.use(f)
	}
	giveBack := f.leave()
	t.mu.Unlock()
	if giveBack {
		f.giveBack()
	}
}

// fly claims and verifies the proof. Whatever happens, the flight lands.
func (t *Table[V]) fly(ctx context.Context, f *flight[V], a Attempt[V]) {
	defer t.land(f)
	defer func() {
		if p := recover(); p != nil {
			logger().Error("panic while a proof was verified",
				zap.String("panic", describe(p)), zap.Stack("stack"))
		}
	}()
	if f.err = a.Verification.Begin(); f.err != nil {
		return
	}
	defer a.Verification.End()
	f.claimed, f.err = f.store.Claim(ctx, f.key, f.owner, a.TTL)
	switch {
	case f.err != nil:
		f.claimed = !errors.Is(f.err, cache.ErrFull)
	case f.claimed:
		f.verdict, f.fate = a.Verification.Verify(ctx)
	default:
		f.err = ErrReplayed
	}
}

// land makes the verdict known.
func (t *Table[V]) land(f *flight[V]) {
	t.mu.Lock()
	close(f.landed)
	if f.fate == Pass && !f.used {
		f.expiry = time.AfterFunc(unusedFor, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.remove(f)
		})
	} else {
		t.remove(f)
	}
	giveBack := f.leave()
	t.mu.Unlock()
	if giveBack {
		f.giveBack()
	}
}

// use marks the proof as used by a request that is forwarded.
func (t *Table[V]) use(f *flight[V]) {
	f.used = true
	if f.expiry != nil {
		f.expiry.Stop()
		t.remove(f)
	}
}

func (t *Table[V]) remove(f *flight[V]) {
	if t.flights[f.key] == f {
		delete(t.flights, f.key)
	}
}

// leave lets one go from aboard and returns whether the claim is to be given
// back now.
func (f *flight[V]) leave() bool {
	f.aboard--
	return f.aboard == 0 && f.claimed && f.fate == GiveBack && !f.used
}

// giveBack releases the claim. The cache has its own timeout.
func (f *flight[V]) giveBack() {
	if f.err != nil {
		// An answer that got lost. Whoever waited for the cache to fail should
		// not have to wait for it again.
		go func() { _ = f.store.Release(context.Background(), f.key, f.owner) }()
		return
	}
	if err := f.store.Release(context.Background(), f.key, f.owner); err != nil {
		logger().Error("a claim could not be released: the proof counts as spent until the claim ends",
			zap.Duration("ttl", f.ttl), zap.Error(err))
	}
}

// describe says what a panic was about, without a value that might repeat the
// proof.
func describe(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// logger is Caddy's current one: a flight outlives the config that started it.
func logger() *zap.Logger { return caddy.Log().Named("http.handlers.captcha") }
