package leaktest

import (
	"testing"
	"time"
)

func TestFind(t *testing.T) {
	end := make(chan struct{})
	go func() { <-end }()
	if find(0) == nil {
		t.Error("a goroutine that stays is not found")
	}
	time.AfterFunc(time.Second, func() { close(end) })
	if err := find(time.Minute); err != nil {
		t.Errorf("one that ends is found: %v", err)
	}
}
