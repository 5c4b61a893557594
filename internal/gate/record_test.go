package gate

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestRefusalsAreLoggedWithinBounds: a flood brings a part of its lines, and
// whatever there is at other times is there.
func TestRefusalsAreLoggedWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zapcore.InfoLevel)
		logger := bounded(zap.New(core))
		for second := range 3 {
			for range linesPerSecond {
				logger.Info("captcha refused")
			}
			if n := logged.Len(); n != linesPerSecond {
				t.Errorf("second %d: %d of %d lines", second, n, linesPerSecond)
			}
			for range 10 * oneIn {
				logger.Info("captcha refused")
			}
			if n := logged.Len(); n != linesPerSecond+10 {
				t.Errorf("second %d: %d lines of a flood of %d", second, n, linesPerSecond+10*oneIn)
			}
			logged.TakeAll()
			time.Sleep(time.Second)
		}
	})
}
