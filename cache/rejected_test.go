package cache

import (
	"testing"
	"testing/synctest"
	"time"
)

// settle waits until what was added is there, or was dropped.
func (r *Rejected) settle() { r.reasons.Wait() }

func TestRejectedProofIsRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRejected()
		defer r.reasons.Close()
		r.Add(testKey(1), "token_mismatch")
		r.settle()
		time.Sleep(rejectedFor)
		if reason, ok := r.Lookup(testKey(1)); !ok || reason != "token_mismatch" {
			t.Errorf("Lookup = %q, %t; want the reason", reason, ok)
		}
		if reason, ok := r.Lookup(testKey(2)); ok {
			t.Errorf("Lookup of a proof that was never added = %q, true", reason)
		}
		time.Sleep(time.Nanosecond)
		if reason, ok := r.Lookup(testKey(1)); ok {
			t.Errorf("Lookup after a minute = %q, true", reason)
		}
	})
}

func TestRejectedProofsAreBounded(t *testing.T) {
	r := newRejected()
	defer r.reasons.Close()
	for n := range maxRejected + maxRejected/10 {
		r.Add(testKey(n), "reason")
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
	first := SharedRejected()
	if first != SharedRejected() {
		t.Error("two memories of rejected proofs")
	}
}
