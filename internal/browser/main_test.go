package browser

import (
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

func TestMain(m *testing.M) { browsertest.Main(m) }
