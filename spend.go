package caddycaptcha

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddycaptcha/caddycaptcha/cache"
	"github.com/caddycaptcha/caddycaptcha/internal/flight"
	"github.com/caddycaptcha/caddycaptcha/internal/limit"
	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// flights are the verifications of this process that are under way. They
// outlive a config, as the claims do.
var flights flight.Table[verifier.Verdict]

// errLimit means that a limit on verifications is reached.
var errLimit = errors.New("too many verifications")

// spend uses a well-formed proof for this request: it claims it, has it
// verified and keeps or gives back the claim.
func (c *Captcha) spend(r *http.Request, proof verifier.Proof, p prover) decision {
	identity := c.identity(proof)
	if reason, ok := cache.SharedRejected().Lookup(cache.Key(identity[:16])); ok {
		return decision{outcome: Rejected, reason: reason}
	}
	ctx := r.Context()
	if p.monitors {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, monitorWait)
		defer cancel()
	}
	seat, err := flights.Join(ctx, c.attempt(r, proof, identity, p.limits))
	if err != nil {
		return c.undecided(r, err)
	}
	verdict, err := seat.Wait(ctx)
	if err != nil {
		// Monitor mode goes on without a verdict. The proof is then as unused
		// as the verdict is unknown: another handler may wait for it.
		seat.Leave(false)
		return c.undecided(r, err)
	}
	d := judge(verdict)
	forwards := d.outcome.forwards() || p.monitors
	seat.Leave(forwards)
	if forwards {
		c.rememberDecision(r, d)
	}
	return d
}

// attempt is what it takes to claim and verify the proof.
func (c *Captcha) attempt(r *http.Request, proof verifier.Proof, identity [32]byte, limits *limit.Limiter) flight.Attempt[verifier.Verdict] {
	if spoofable(r) {
		c.policy.warnSpoofable.Do(func() {
			c.logger.Warn("clients can make up the address that limits and the captcha provider go by: add trusted_proxies_strict beside trusted_proxies in the global options",
				zap.String("policy", c.Policy))
		})
	}
	client := clientOf(r)
	prefix := prefixOf(client.IP)
	failed := false
	return flight.Attempt[verifier.Verdict]{
		Key:      c.claimKey(proof),
		Identity: identity,
		Prefix:   prefix,
		Replay:   c.replay,
		Admit: func() (func(), error) {
			if !limits.Acquire(prefix) {
				return nil, errLimit
			}
			return func() { limits.Release(prefix, failed) }, nil
		},
		Verify: func(ctx context.Context) (verifier.Verdict, flight.Fate) {
			started := time.Now()
			verdict := c.verifier.Verify(ctx, proof, client)
			observeVerification(c.provider, verdict, time.Since(started))
			c.alert(verdict)
			if verdict.Result == verifier.Rejected {
				cache.SharedRejected().Add(cache.Key(identity[:16]), verdict.Reason)
			}
			failed = blames(verdict.Result)
			return verdict, fate(verdict.Result)
		},
	}
}

// judge turns a verdict into a decision.
func judge(v verifier.Verdict) decision {
	d := decision{outcome: outcomes[v.Result], reason: v.Reason}
	if v.HasScore {
		d.score = strconv.Itoa(v.Score)
	}
	return d
}

// undecided is the decision about a request that got no verdict.
func (c *Captcha) undecided(r *http.Request, err error) decision {
	switch {
	case r.Context().Err() != nil:
		return decision{outcome: Canceled, err: r.Context().Err()}
	case errors.Is(err, flight.ErrReplayed):
		return decision{outcome: Replayed, reason: "claimed"}
	case errors.Is(err, errLimit):
		return decision{outcome: Overloaded, reason: "limit"}
	case errors.Is(err, cache.ErrFull):
		c.alarm.Error("the replay cache is full, new proofs are refused: raise its capacity in the global option captcha, or find out who sends so many")
		return decision{outcome: Overloaded, reason: "cache_full"}
	}
	if c.Mode == modeMonitor && errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, cache.ErrUnavailable) {
		return decision{outcome: Outage, reason: "monitor_wait"}
	}
	c.alarm.Error("the replay cache cannot record proofs, new ones are refused: " + err.Error())
	return decision{outcome: Overloaded, reason: "cache_unavailable"}
}

// blames reports whether a result counts against the client's failures. What
// the provider or the operator got wrong does not.
func blames(result verifier.Result) bool {
	switch result {
	case verifier.Malformed, verifier.Rejected, verifier.Expired, verifier.Replayed, verifier.Risky:
		return true
	case verifier.Unknown, verifier.Passed, verifier.Overloaded, verifier.Misconfigured:
	}
	return false
}

// fate is what a result means for the claim. A proof that the provider called
// spent or too old is no use to anyone; one that it turned down for another
// reason might be a genuine one that somebody else tampered with, and must not
// be blocked for its owner.
func fate(result verifier.Result) flight.Fate {
	switch result {
	case verifier.Passed:
		return flight.Pass
	case verifier.Risky, verifier.Expired, verifier.Replayed:
		return flight.Spend
	case verifier.Unknown, verifier.Malformed, verifier.Rejected, verifier.Overloaded, verifier.Misconfigured:
	}
	return flight.GiveBack
}

// claimKey is the proof's key in the replay cache: the same for every spelling
// of the proof, every policy and every site with the captcha.
func (c *Captcha) claimKey(proof verifier.Proof) cache.Key {
	digest := digest(nil, "claim", c.provider, c.captchaID, c.verifier.Use(proof))
	return cache.Key(digest[:16])
}

// identity digests the whole proof and the credentials it is checked with.
func (c *Captcha) identity(proof verifier.Proof) [32]byte {
	return digest(c.fingerprint[:], proof...)
}

// digest hashes the prefix and each part behind its length, so that no two
// lists of parts are hashed alike.
func digest(prefix []byte, parts ...string) [32]byte {
	text := append(make([]byte, 0, 512), prefix...)
	for _, part := range parts {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	return sha256.Sum256(text)
}

// decided remembers, for the time of one request, the decision under which a
// captcha handler forwarded it. A second handler with the same credentials on
// its way would take the same proof for a replay, or not find it any more.
type decided struct {
	fingerprint [32]byte
	policy      *policy
	decision    decision
	earlier     *decided
}

// String keeps `{http.vars.captcha}` from showing anything.
func (*decided) String() string { return "" }

const decidedVar = "captcha"

func (c *Captcha) rememberDecision(r *http.Request, d decision) {
	earlier, _ := caddyhttp.GetVar(r.Context(), decidedVar).(*decided)
	caddyhttp.SetVar(r.Context(), decidedVar, &decided{c.fingerprint, c.policy, d, earlier})
}

func (c *Captcha) decidedEarlier(r *http.Request) (decision, bool) {
	known, _ := caddyhttp.GetVar(r.Context(), decidedVar).(*decided)
	for ; known != nil; known = known.earlier {
		// A proof is good for every policy with its captcha, a clearance for
		// the policy that gave it.
		if known.policy == c.policy || known.fingerprint == c.fingerprint && known.decision.outcome != Cleared {
			return known.decision, true
		}
	}
	return decision{}, false
}
