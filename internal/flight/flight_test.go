package flight

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddycaptcha/caddycaptcha/cache"
)

func TestIdenticalRequestsShareOneCallAndOneIsForwarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.send(w.attempt, false)
		second := w.send(w.attempt, false)
		third := w.send(w.attempt, false)
		third.expect(t, "replayed")
		first.expect(t, "")
		w.answers(Pass)
		results := []string{<-first.result, <-second.result}
		if got := strings.Join(results, " "); got != "passed replayed" && got != "replayed passed" {
			t.Errorf("got %s, want one passed and one replayed", got)
		}
		w.send(w.attempt, false).expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestWaiterIsForwardedWhenTheFirstClientLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.send(w.attempt, false)
		second := w.send(w.attempt, false)
		first.drop()
		first.expect(t, "canceled")
		w.send(w.attempt, false).expect(t, "replayed") // the waiter's seat is taken
		w.answers(Pass)
		second.expect(t, "passed")
		w.expect(t, true, 1, 0)
	})
}

func TestPatientRequestFliesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.sendPatient(w.attempt)
		w.send(w.attempt, false).drop()
		first.expect(t, "")
		w.answers(Pass)
		first.expect(t, "passed")
		w.send(w.attempt, false).expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestPatientClientThatLeavesKeepsItsProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.sendPatient(w.attempt)
		first.drop()
		first.expect(t, "") // the verification goes on
		w.answers(Pass)
		first.expect(t, "canceled")
		w.send(w.attempt, false).expect(t, "passed")
		w.expect(t, true, 1, 0)
	})
}

func TestWaiterTakesThePlaceOfAPatientClientThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first, second := w.sendPatient(w.attempt), w.sendPatient(w.attempt)
		first.drop()
		w.answers(Pass)
		first.expect(t, "canceled")
		second.expect(t, "passed")
		w.expect(t, true, 1, 0)
	})
}

func TestSeatOfAWaiterThatLeftIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.send(w.attempt, false)
		for range 3 {
			waiter := w.send(w.attempt, false)
			waiter.expect(t, "")
			waiter.drop()
			waiter.expect(t, "canceled")
		}
		w.answers(Pass)
		first.expect(t, "passed")
		w.expect(t, true, 1, 0)
	})
}

func TestUnusedProofIsTakenOnceWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first, second := w.send(w.attempt, false), w.send(w.attempt, false)
		first.drop()
		second.drop()
		w.answers(Pass)
		time.Sleep(unusedFor - time.Nanosecond)
		w.send(variant(w.attempt, func(a *Attempt[string]) { a.Identity[31]++ }), false).expect(t, "replayed")
		w.send(variant(w.attempt, func(a *Attempt[string]) { a.Prefix = other }), false).expect(t, "replayed")

		var wg sync.WaitGroup
		var passed atomic.Int32
		for range 64 {
			wg.Go(func() {
				seat, err := w.table.Join(hurried(t), w.attempt)
				if err != nil {
					return
				}
				defer seat.Leave(false)
				if _, err := seat.Wait(t.Context()); err == nil {
					passed.Add(1)
				}
			})
		}
		wg.Wait()
		if passed.Load() != 1 {
			t.Errorf("%d requests took the unused proof, want 1", passed.Load())
		}
		w.send(w.attempt, false).expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestUnusedProofIsSpentAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.send(w.attempt, false)
		first.drop()
		w.answers(Pass)
		time.Sleep(unusedFor)
		synctest.Wait()
		w.send(w.attempt, false).expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestLateUserOfAFlightLeavesTheNextOneAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		late, _ := w.table.Join(hurried(t), w.attempt)
		w.answers(Pass)
		time.Sleep(unusedFor)
		synctest.Wait()
		w.replays.gate = make(chan struct{})
		next := w.send(w.attempt, false)
		if _, err := late.Wait(t.Context()); err != nil {
			t.Errorf("Wait returned %v", err)
		}
		late.Leave(false)
		if w.table.size() != 1 {
			t.Error("the next flight is gone")
		}
		close(w.replays.gate)
		next.expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestOnlyIdenticalRequestsOfOneClientShare(t *testing.T) {
	for _, gated := range []bool{false, true} { // verifying, and still claiming
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			if gated {
				w.replays.gate = make(chan struct{})
			}
			first := w.send(w.attempt, false)
			w.send(variant(w.attempt, func(a *Attempt[string]) { a.Identity[0]++ }), false).expect(t, "replayed")
			w.send(variant(w.attempt, func(a *Attempt[string]) { a.Prefix = other }), false).expect(t, "replayed")
			second := w.send(w.attempt, false)
			second.expect(t, "")
			if gated {
				close(w.replays.gate)
			}
			w.answers(Spend)
			first.expect(t, "risky")
			second.expect(t, "risky")
			w.expect(t, true, 1, 0)
		})
	}
}

func TestRejectedProofIsReleasedWhenAllHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, _ := w.table.Join(hurried(t), w.attempt)
		b, _ := w.table.Join(hurried(t), w.attempt)
		w.answers(GiveBack)
		a.Leave(false)
		a.Leave(false) // counts once
		if !w.replays.claimed(w.attempt.Key) {
			t.Fatal("released while a request was still undecided")
		}
		b.Leave(false)
		w.expect(t, false, 1, 1)

		retry := w.send(w.attempt, false)
		w.answers(Pass)
		retry.expect(t, "passed")
		w.expect(t, true, 2, 1)
	})
}

func TestProofForwardedOnARefusalStaysSpent(t *testing.T) {
	for name, leave := range map[string]func(w *world, a, b *Seat[string]){
		"by the first":       func(w *world, a, b *Seat[string]) { w.answers(GiveBack); a.Leave(true); b.Leave(false) },
		"by the waiter":      func(w *world, a, b *Seat[string]) { w.answers(GiveBack); a.Leave(false); b.Leave(true) },
		"before the verdict": func(w *world, a, b *Seat[string]) { a.Leave(true); w.answers(GiveBack); b.Leave(false) },
		"by both":            func(w *world, a, b *Seat[string]) { b.Leave(true); a.Leave(true); w.answers(GiveBack) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				a, _ := w.table.Join(hurried(t), w.attempt)
				b, _ := w.table.Join(hurried(t), w.attempt)
				leave(w, a, b)
				w.expect(t, true, 1, 0)
			})
		})
	}
}

func TestProofForwardedBeforeItPassedIsNotForwardedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		impatient, _ := w.table.Join(hurried(t), w.attempt)
		waiter := w.send(w.attempt, false)
		impatient.Leave(true)
		w.answers(Pass)
		waiter.expect(t, "replayed")
		w.send(w.attempt, false).expect(t, "replayed")
		w.expect(t, true, 1, 0)
	})
}

func TestClientThatLeftIsNeverForwarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithCancel(hurried(t))
		seat, _ := w.table.Join(ctx, w.attempt)
		w.answers(Pass)
		cancel()
		if _, err := seat.Wait(ctx); err != context.Canceled {
			t.Errorf("Wait returned %v, want context.Canceled", err)
		}
		seat.Leave(false)
		w.send(w.attempt, false).expect(t, "passed")
		w.expect(t, true, 1, 0)
	})
}

func TestVerificationThatDoesNotReturnIsUnknown(t *testing.T) {
	for name, verify := range map[string]func(){
		"panic":         func() { panic("secret-proof") },
		"runtime error": func() { _ = []int{}[len(verdicts)] },
		"exit":          runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				genuine := w.attempt.Verification
				failing := genuine.(verification[string])
				failing.verify = func(context.Context) (string, Fate) {
					<-w.answer
					verify()
					return "passed", Pass
				}
				w.attempt.Verification = failing
				first, second := w.send(w.attempt, false), w.send(w.attempt, false)
				w.answers(Pass)
				first.expect(t, "unknown")
				second.expect(t, "unknown")
				w.expect(t, false, 0, 1)

				w.attempt.Verification = genuine
				retry := w.send(w.attempt, false)
				w.answers(Pass)
				retry.expect(t, "passed")
				w.expect(t, true, 1, 1)
			})
		})
	}
}

func TestPanicValueIsNotLogged(t *testing.T) {
	if got := describe("proof: secret"); got != "string" {
		t.Errorf("describe(string) = %q", got)
	}
	if got := describe(errors.New("proof: secret")); got != "*errors.errorString" {
		t.Errorf("describe(error) = %q", got)
	}
}

func TestRequestThatIsNotAdmittedClaimsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.attempt.Verification = verification[string]{begin: func() error { return errors.New("no slot") }}
		w.send(w.attempt, false).expect(t, "no slot")
		w.expect(t, false, 0, 0)
	})
}

func TestSlotIsFreeWhenTheVerdictIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		seat, _ := w.table.Join(hurried(t), w.attempt)
		go func() { w.answer <- Pass }()
		seat.Wait(t.Context())
		if w.admitted.Load() != 0 {
			t.Error("the slot is still taken")
		}
		seat.Leave(false)
	})
}

func TestProofClaimedElsewhereIsReplayedWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.replays.Claim(t.Context(), w.attempt.Key, cache.NewOwner(), cache.DefaultTTL)
		w.send(w.attempt, false).expect(t, "replayed")
		w.send(w.attempt, true).expect(t, "replayed")
		w.expect(t, true, 0, 0)
	})
}

func TestErrorOfTheReplayCacheIsForAllAndForwardsNobody(t *testing.T) {
	for _, test := range []struct {
		err      error
		releases int // a claim that may have been recorded
	}{{cache.ErrFull, 0}, {cache.ErrUnavailable, 1}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.replays.fail, w.replays.gate = test.err, make(chan struct{})
			first, second := w.send(w.attempt, false), w.send(w.attempt, false)
			close(w.replays.gate)
			first.expect(t, test.err.Error())
			second.expect(t, test.err.Error())
			w.expect(t, false, 0, test.releases)
		})
	}
}
