package cluster

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// outcome is what a client learned of its attempt.
type outcome string

const (
	passed  outcome = "passed"  // the application has answered
	spent   outcome = "spent"   // the proof is claimed
	unknown outcome = "unknown" // no verdict, or no answer
)

// attempt is one request with a proof.
type attempt struct {
	proof, number int
	call, end     time.Duration
	outcome       outcome
	forwarded     time.Duration // when the application saw it, or 0
}

// history is everything that clients and the application saw.
type history struct {
	mu       sync.Mutex
	attempts []attempt
	forwards map[int][]time.Duration // by the number of the attempt
}

// forward notes that the application got an attempt's request.
func (h *history) forward(number int, at time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forwards[number] = append(h.forwards[number], at)
}

func (h *history) ended(a attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts = append(h.attempts, a)
}

// A claim is what the model does with a proof: it is free, or an attempt's.
type input struct {
	proof, attempt int
	does           verb
}

type verb string

const (
	claims    verb = "claims"     // and was forwarded, so it did
	sees      verb = "sees"       // that the proof is another's
	mayClaim  verb = "may claim"  // in an attempt of which nobody knows
	mayGiveUp verb = "may let go" // the same
)

// forever is later than anything.
const forever = time.Duration(1<<62 - 1)

// operations turns the attempts into what they do to the claim of their proof.
// Of one without a known end the claim may have been made at any time after its
// beginning, and given back at any time after that: a gate whose store fails
// gives it back in the background.
func (h *history) operations() (ops []porcupine.Operation) {
	add := func(a attempt, does verb, end time.Duration) {
		ops = append(ops, porcupine.Operation{
			ClientId: a.number % 1000, Input: input{a.proof, a.number, does},
			Call: int64(a.call), Return: int64(end),
		})
	}
	for _, a := range h.attempts {
		switch {
		case a.forwarded > 0:
			add(a, claims, a.forwarded)
		case a.outcome == spent:
			add(a, sees, a.end)
		case a.outcome == unknown:
			add(a, mayClaim, forever)
			add(a, mayGiveUp, forever)
		}
	}
	return ops
}

// free is the owner of a proof that nobody has claimed.
const free = -1

// model is a proof's claim: whoever claims it first has it, and gives it back at
// most if nothing was forwarded.
var model = porcupine.NondeterministicModel{
	Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
		byProof := make(map[int][]porcupine.Operation)
		for _, op := range ops {
			proof := op.Input.(input).proof
			byProof[proof] = append(byProof[proof], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byProof {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{free} },
	Step: func(state, in, _ any) []any {
		owner, i := state.(int), in.(input)
		switch i.does {
		case claims:
			if owner == free {
				return []any{i.attempt}
			}
			return nil
		case sees:
			if owner != free {
				return []any{owner}
			}
			return nil
		case mayClaim:
			if owner == free {
				return []any{free, i.attempt}
			}
		case mayGiveUp:
			if owner == i.attempt {
				return []any{owner, free}
			}
		}
		return []any{owner}
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(in, _ any) string {
		i := in.(input)
		return fmt.Sprintf("attempt %d %s proof %d", i.attempt, i.does, i.proof)
	},
}

// check returns what is wrong with the history, and how many proofs were used.
func (h *history) check() (problems []string, used int) {
	forwards := make(map[int]int) // by proof
	known := make(map[int]bool)
	for i := range h.attempts {
		a := &h.attempts[i]
		known[a.number] = true
		seen := h.forwards[a.number]
		switch {
		case len(seen) > 1:
			problems = append(problems, fmt.Sprintf("attempt %d was forwarded %d times", a.number, len(seen)))
		case len(seen) == 1:
			a.forwarded = seen[0]
		case a.outcome == passed:
			problems = append(problems, fmt.Sprintf("attempt %d was answered, and not by the application", a.number))
		}
		if len(seen) > 0 {
			forwards[a.proof]++
			if a.outcome == spent {
				problems = append(problems, fmt.Sprintf("attempt %d was refused and forwarded", a.number))
			}
		}
	}
	for proof, n := range forwards {
		if n > 1 || proof < 0 {
			problems = append(problems, fmt.Sprintf("proof %d forwarded %d requests", proof, n))
		}
	}
	for number := range h.forwards {
		if !known[number] {
			problems = append(problems, fmt.Sprintf("the application got %d, which nobody sent", number))
		}
	}
	// A proof's claim has nothing to do with another's. All at once they would
	// not fit into memory where there are millions.
	const together = 10_000
	slices.SortStableFunc(h.attempts, func(a, b attempt) int { return a.proof - b.proof })
	upTo := func(attempts []attempt, proof int) int {
		n, _ := slices.BinarySearchFunc(attempts, proof, func(a attempt, proof int) int { return a.proof - proof })
		return n
	}
	for rest := h.attempts[upTo(h.attempts, 0):]; len(rest) > 0; { // those below are made up
		first := rest[0].proof
		n := upTo(rest, first+together)
		some := history{attempts: rest[:n]}
		rest = rest[n:]
		if !porcupine.CheckOperations(model.ToModel(), some.operations()) {
			problems = append(problems, fmt.Sprintf("the claims of the proofs from %d to %d are not linearizable", first, first+together-1))
		}
	}
	return problems, len(forwards)
}
