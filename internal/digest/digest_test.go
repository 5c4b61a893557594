package digest

import (
	"crypto/sha256"
	"strings"
	"testing"
	"testing/quick"
)

// TestListsAreToldApart: two lists of parts have one digest only if they are
// one list.
func TestListsAreToldApart(t *testing.T) {
	apart := func(text string, at, other uint8) bool {
		a, b := int(at)%(len(text)+1), int(other)%(len(text)+1)
		same := a == b
		return (Of(text[:a], text[a:]) == Of(text[:b], text[b:])) == same &&
			Of(text) != Of(text, "") && Of(text, "") != Of("", text) == (text != "")
	}
	if err := quick.Check(apart, nil); err != nil {
		t.Error(err)
	}
	if With(Of("a"), "b") == With(Of("ab")) || With(Of("a"), "b") == With(Of("b"), "a") {
		t.Error("a digest and its parts are not told apart")
	}
}

// TestVector pins the encoding: a claim's key must be the same on every node.
func TestVector(t *testing.T) {
	want := sha256.Sum256([]byte("\x00\x00\x00\x05claim\x00\x00\x00\x00\x00\x00\x00\x01x"))
	if got := Of("claim", "", "x"); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	long := strings.Repeat("x", 10_000)
	if Of(long) != sha256.Sum256(Append(nil, long)) {
		t.Error("a long part is hashed in another way")
	}
}

func BenchmarkOf(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Of("claim", "geetest_v4", "647f5ed2ed8acb4be36784e01556bb71", "0123456789abcdef0123456789abcdef")
	}
}
