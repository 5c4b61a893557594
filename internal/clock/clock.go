//go:build !testclock

// Package clock tells the time by which proofs, challenges and clearances are
// judged. A Caddy that is built with the tag testclock can be given a wrong one.
package clock

import "time"

// Now returns the time.
func Now() time.Time { return time.Now() }
