package bucket

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain: no test leaves a goroutine, and so no connection.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
