package verifier

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"time"
)

// Prober is a Verifier whose provider can be found to be down. One unknown
// verdict does not show that: clients can bring it about. A probe does, in
// which no client has a part.
type Prober interface {
	Verifier

	// Probe makes a proof up, asks the provider about it as Verify would, over
	// connections of its own, and says what the answer tells of the provider.
	// It returns within the configured timeout.
	Probe(ctx context.Context) Health
}

// Health is what a probe says of a provider.
type Health uint8

const (
	// HealthUnknown means that the probe says nothing: the answer may be a
	// firewall's or a rate limit's.
	HealthUnknown Health = iota
	// HealthGood means that the provider answered in its protocol. It may well
	// have refused our credentials, or an unpaid bill.
	HealthGood
	// HealthFailed means that the provider cannot be reached, or says that it
	// does not work.
	HealthFailed
)

// String returns the lower-case name of the value.
func (h Health) String() string {
	switch h {
	case HealthGood:
		return "good"
	case HealthFailed:
		return "failed"
	case HealthUnknown:
	}
	return "unknown"
}

// serviceError is what a provider says of itself. Only where it is down is it
// more than the answer to one proof, which a client may have chosen for it.
type serviceError struct {
	says string
	down bool
}

func (e serviceError) Error() string { return e.says }

// healthOf is what the verdict on a made-up proof says of the provider.
func healthOf(v Verdict) Health {
	var status statusError
	var service serviceError
	var proxy proxyError
	switch {
	case v.Result == Overloaded:
		return HealthUnknown
	case v.Result != Unknown:
		return HealthGood
	case errors.As(v.Err, &status) && status < http.StatusInternalServerError,
		errors.As(v.Err, &proxy) && proxy < http.StatusInternalServerError:
		return HealthUnknown
	case errors.As(v.Err, &service) && !service.down:
		return HealthGood
	}
	return HealthFailed
}

// worst is what the answers to one probe say together. One failed answer
// outweighs all others.
func worst(of ...Health) Health {
	health := HealthGood
	for _, h := range of {
		switch h {
		case HealthFailed:
			return HealthFailed
		case HealthUnknown:
			health = HealthUnknown
		case HealthGood:
		}
	}
	return health
}

// madeUp returns n random bytes as hexadecimal digits.
func madeUp(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// Fallback is a Challenger whose provider has a way on for people while it is
// down: a proof that its widget makes by itself, or that the site does. Everyone
// can make one, so it opens nothing but in an outage that was found by probes,
// where the operator wants that.
type Fallback interface {
	Challenger

	// OutageChallenge is Challenge while the provider is down, and asks nobody.
	// Its member "down" is true. issued is a challenge of ours, 32 characters
	// of 0-9 and a-z, for a provider whose challenges come from a server.
	OutageChallenge(issued string) any

	// OutageProof reports whether a proof that Check turned down with
	// ReasonOffline is one for an outage, and if so, what makes it single-use,
	// as ReplayKey does. Where the proof has to be for a challenge that
	// OutageChallenge was given, issued is that, and otherwise empty. now and
	// maxAge are those of Check.
	OutageProof(proof Proof, now time.Time, maxAge time.Duration) (key, issued string, ok bool)
}
