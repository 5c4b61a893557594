package harness

import (
	"runtime"
	"strings"
	"testing"
)

// Stacks returns the stacks of all goroutines.
func Stacks() string {
	for size := 1 << 20; ; size *= 2 {
		if text := make([]byte, size); runtime.Stack(text, true) < size {
			return string(text)
		}
	}
}

// AwaitRest waits until nothing in Caddy is busy with a request.
func AwaitRest(t *testing.T) {
	t.Helper()
	Await(t, "the requests to leave no goroutine", func() bool {
		text := Stacks()
		return !strings.Contains(text, "caddyhttp.(*Server).ServeHTTP") && // a handler
			!strings.Contains(text, "caddyhttp.(*IdleTimeoutReader).Read") && // who reads a body
			!strings.Contains(text, "caddycaptcha/internal/") && !strings.Contains(text, "caddycaptcha/verifier")
	})
}
