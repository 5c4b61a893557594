// Package harness is what the tests under integration share: a Caddy that runs
// in the test's process, the applications and simulated providers around it,
// and the clients in front of it. It tests nothing by itself.
package harness
