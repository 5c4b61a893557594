package limits_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// The site has 64 slots, of which a client has 4, its prefix 8 and its network
// 16. A client may fail ten times a minute.
const options = "max_concurrent_verifications 64 4\nmax_failures 10"

// failures is how many of a client's calls may fail, or, of challenges, be.
func failures(by way) int {
	if by.name == "challenge" {
		return 600
	}
	return 10
}

// attacks are those of the tests of internal/limit, scaled down.
var attacks = []struct {
	name    string
	from    func(i int) string // the attackers, in turn
	tries   int                // how often they try at once
	held    int                // how many of these tries get a slot
	budgets int                // how many budgets of one client they may use up
	genuine []string           // others, for a number from 1 to 100
}{
	{
		name: "one client", tries: 8, held: 4, budgets: 1,
		from:    func(int) string { return "203.0.113.205" },
		genuine: []string{"203.0.113.%d", "198.51.100.%d"},
	}, {
		name: "two clients of a /24", tries: 16, held: 8, budgets: 2,
		from:    func(i int) string { return fmt.Sprintf("203.0.113.%d", 205+i%2) },
		genuine: []string{"203.0.113.%d", "203.0.%d.150", "2001:db8::%d"},
	}, {
		// Two rounds take the slots of the network, and in the third each has
		// one beyond them.
		name: "eight clients of a /16", tries: 64, held: 16 + 8, budgets: 8,
		from:    func(i int) string { return fmt.Sprintf("203.0.%d.205", 101+i%8) },
		genuine: []string{"203.0.101.%d", "203.0.%d.150", "198.51.100.%d"},
	}, {
		name: "an IPv6 /48 that rotates its /64s", tries: 64, held: 16 + 16, budgets: 4,
		from:    func(i int) string { return fmt.Sprintf("2001:db8:bad:%02x00::1", i%0x100) },
		genuine: []string{"2001:db8:%d::1", "203.0.113.%d"},
	},
}

// TestAttacks plays each attack twice. First the attackers take all the slots
// that they get, and a slow provider keeps them in there. Then they use up
// their failures. All the while genuine clients, beside them and elsewhere,
// are served: 100 of 100.
func TestAttacks(t *testing.T) {
	for _, by := range ways {
		for _, attack := range attacks {
			t.Run(by.name+"/"+attack.name, func(t *testing.T) {
				w := newWorld(t, options)
				started := time.Now()

				hold := make(chan struct{})
				release := sync.OnceFunc(func() { close(hold) })
				var waiting sync.WaitGroup
				defer waiting.Wait()
				defer release()
				w.FailNext(attack.held, simulator.Fault{Path: by.endpoint, Hold: hold})
				held := 0
				for i := range attack.tries {
					ended := make(chan string, 1)
					waiting.Go(func() { ended <- w.come(by, attack.from(i), false) })
					switch outcome, calls := w.endedOrCalled(ended, by.endpoint, held+1); {
					case calls:
						held++
					case outcome != "overloaded":
						t.Fatalf("an attacker without a slot: outcome %q", outcome)
					}
				}
				if held != attack.held {
					t.Fatalf("the attackers have %d slots, want %d", held, attack.held)
				}
				for _, format := range attack.genuine {
					w.hundred(by, "while the attackers hold their slots", format)
				}
				release()
				waiting.Wait()

				// Each attacker goes on for as long as it is let.
				before, budget := w.Calls(by.endpoint), failures(by)*attack.budgets
				for i := 0; i < 3*budget && i < 1000; i++ {
					w.come(by, attack.from(i), false)
				}
				made := held + w.Calls(by.endpoint) - before
				if most := budget * (1 + int(time.Since(started).Minutes())); made > most {
					t.Errorf("the attackers made %d calls, want at most %d", made, most)
				}
				if least := min(budget, 500); made < least {
					t.Errorf("the attackers made %d calls, want at least %d", made, least)
				}
				for _, format := range attack.genuine {
					w.hundred(by, "when the attackers may not fail any more", format)
				}
			})
		}
	}
}
