package gate

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPatience is one for all waits together.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := (&Gate{Options: Options{Monitor: true}}).patience()
		start := time.Now()
		_, over := p.wait(t.Context())
		time.Sleep(700 * time.Millisecond)
		over()
		time.Sleep(time.Hour) // of the body, say, which is not waited for here
		start = start.Add(time.Hour)
		second, over := p.wait(t.Context())
		<-second.Done()
		over()
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("the waits took %v", waited)
		}
		if third, _ := p.wait(t.Context()); third.Err() == nil {
			t.Error("there is patience after its end")
		}
		endless := (&Gate{}).patience()
		if ctx, over := endless.wait(t.Context()); ctx != t.Context() {
			t.Error("without an end there is one")
		} else {
			over()
		}
	})
}
