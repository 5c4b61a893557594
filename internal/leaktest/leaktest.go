// Package leaktest fails a package whose tests leave goroutines behind.
package leaktest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package and fails if a goroutine is left. Call it
// from TestMain; it does not return.
func Main(m *testing.M, options ...goleak.Option) {
	os.Exit(Check(m.Run(), options...))
}

// Check returns the code to exit with, after tests that ended with that one.
func Check(code int, options ...goleak.Option) int {
	err := find(time.Minute, options...)
	if err == nil || code != 0 {
		return code
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// find gives goroutines time to end that are about to: goleak alone gives them
// less than half a second, in which a slow machine may not get to them.
func find(patience time.Duration, options ...goleak.Option) error {
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := goleak.Find(options...)
		if err == nil || time.Since(start) > patience {
			return err
		}
	}
}
