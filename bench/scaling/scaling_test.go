package main

import (
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

var simulatedRows = sync.OnceValue(rows)

// TestDocumentation: docs/scaling.md shows what comes out.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if err := report(&printed, simulatedRows()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "```\n"+printed.String()+"```\n") {
		t.Errorf("docs/scaling.md is to hold what `go run ./bench/scaling` prints:\n%s", printed.String())
	}
}

// TestArithmetic: the simulated fleets stand what the arithmetic says, and the
// same ends first.
func TestArithmetic(t *testing.T) {
	for _, r := range simulatedRows() {
		expected, first := r.arithmetic()
		if r.first != first || math.Abs(r.rate/expected-1) > 0.05 {
			t.Errorf("%+v, want %.0f (%s)", r, expected, first)
		}
	}
}

// TestTheSimulationSeesQueues: near its end a fleet keeps proofs waiting, far
// from it none.
func TestTheSimulationSeesQueues(t *testing.T) {
	f := fleet{nodes: 3, cores: 2, shards: 1}
	most, _ := f.arithmetic()
	if quiet := f.simulate(most / 2); quiet.wait > 5*time.Millisecond || math.Abs(quiet.nodes-0.5) > 0.05 {
		t.Errorf("at half its rate: %+v", quiet)
	}
	if busy := f.simulate(1.2 * most); busy.wait < 100*time.Millisecond {
		t.Errorf("beyond its rate: %+v", busy)
	}
	if limited := (fleet{nodes: 3, cores: 2, shards: 1, quota: 1000}).simulate(2000); math.Abs(limited.refused-0.5) > 0.05 {
		t.Errorf("at twice the quota: %+v", limited)
	}
}

// TestOutage: a short one costs nobody anything, and no outage brings a rush
// that a fleet at half its load could not stand.
func TestOutage(t *testing.T) {
	short := outage{away: 2 * time.Second}.simulate()
	if short.lost > 0 || short.peak < 1 || short.peak > 4 {
		t.Errorf("2 s: %+v", short)
	}
	long := outage{away: 5 * time.Minute}.simulate()
	if want := 296.0 / 3600; math.Abs(long.lost-want) > 0.001 {
		t.Errorf("5 min: %+v, want about %.4f lost", long, want)
	}
}
