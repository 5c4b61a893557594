package gate

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// TestTheReadmeHasTheTable: what the README says of the outcomes is what the
// table says.
func TestTheReadmeHasTheTable(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| outcome | status | when |\n|---|---|---|\n")
	if !found {
		t.Fatal("the README has no table of outcomes")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	row := regexp.MustCompile("^\\| `([a-z_]+)` \\| ([^|]*) \\|")
	rows := strings.Split(table, "\n")
	if len(rows) != len(outcomes) {
		t.Errorf("the README has %d outcomes, there are %d", len(rows), len(outcomes))
	}
	for i, o := range Outcomes() {
		want := "its own"
		switch {
		case o.Forwards:
			want = "forwarded"
		case o.RetryAfter > 0:
			want = fmt.Sprintf("%d, `Retry-After: %d`", o.Status, o.RetryAfter)
		case o.Status > 0:
			want = strconv.Itoa(o.Status)
		}
		cells := row.FindStringSubmatch(rows[min(i, len(rows)-1)])
		if cells == nil || cells[1] != o.Name || !strings.HasPrefix(cells[2], want) {
			t.Errorf("row %d of the README says %q, want %s, %s", i, cells, o.Name, want)
		}
	}
}

// TestNoRowIsMissing: what an outcome lacks, or says twice, shows when the
// program starts.
func TestNoRowIsMissing(t *testing.T) {
	before := outcomes
	defer func() { outcomes = before }()
	for name, o := range map[string]Outcome{
		"without a name":        {Forwards: true},
		"twice":                 {Name: "passed", Forwards: true},
		"forwards and answers":  {Name: "x", Forwards: true, Status: 200, Detail: "x"},
		"answers with no words": {Name: "x", Status: 403},
		"words and no answer":   {Name: "x", Detail: "x"},
		"curable, no answer":    {Name: "x", Curable: true},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: taken for an outcome", name)
				}
			}()
			outcome(o)
		}()
	}
	added := outcome(Outcome{Name: "x", Status: 403, Detail: "x"})
	newCounters("policy_of_a_test", "provider").count(added)
}

// TestOnlyPassedPasses: of all that a verifier can conclude, and of what it
// should not, one thing forwards.
func TestOnlyPassedPasses(t *testing.T) {
	for n := range 256 {
		result := verifier.Result(n)
		if got := outcomeOf(result); got.Forwards != (result == verifier.Passed) {
			t.Errorf("result %d is %s", n, got.Name)
		}
		if blames(result) && result == verifier.Passed || (fate(result) != 0) != (result == verifier.Passed || result == verifier.Risky || result == verifier.Expired || result == verifier.Replayed) {
			t.Errorf("result %d: blames %v, fate %v", n, blames(result), fate(result))
		}
	}
}
