package gate

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/digest"
)

// settle waits until what was added is there, or was dropped.
func (r rejected) settle() { r.reasons.Wait() }

func TestRejectedProofIsRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRejected()
		defer r.reasons.Close()
		r.add(digest.Of("1"), "token_mismatch")
		r.settle()
		time.Sleep(rejectedFor)
		if reason, ok := r.reason(digest.Of("1")); !ok || reason != "token_mismatch" {
			t.Errorf("reason = %q, %t; want the reason", reason, ok)
		}
		if reason, ok := r.reason(digest.Of("2")); ok {
			t.Errorf("reason of a proof that was never added = %q, true", reason)
		}
		time.Sleep(time.Nanosecond)
		if reason, ok := r.reason(digest.Of("1")); ok {
			t.Errorf("reason after a minute = %q, true", reason)
		}
	})
}

func TestRejectedProofsAreBounded(t *testing.T) {
	r := newRejected()
	defer r.reasons.Close()
	for n := range maxRejected + maxRejected/10 {
		r.add(digest.Of(strconv.Itoa(n)), "reason")
		if n%1000 == 0 {
			r.settle()
		}
	}
	r.settle()
	held := 0
	r.reasons.IterValues(func(string) bool { held++; return false })
	if held > maxRejected {
		t.Errorf("%d rejected proofs in memory, want at most %d", held, maxRejected)
	}
	if held < maxRejected/2 {
		t.Errorf("only %d rejected proofs in memory", held)
	}
}

func TestRejectedMemoryIsTheProcesss(t *testing.T) {
	if first := rejectedProofs(); first != rejectedProofs() {
		t.Error("two memories of rejected proofs")
	}
}

// TestWithoutMemoryNothingIsRejected: what could not be made costs a call, and
// decides nothing.
func TestWithoutMemoryNothingIsRejected(t *testing.T) {
	var none rejected
	none.add(digest.Of("1"), "reason")
	if reason, ok := none.reason(digest.Of("1")); ok {
		t.Errorf("reason = %q, true", reason)
	}
}

func BenchmarkRejectedReason(b *testing.B) {
	r := rejectedProofs()
	r.add(digest.Of("1"), "reason")
	r.settle()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		identity := digest.Of("1")
		for pb.Next() {
			r.reason(identity)
		}
	})
}
