package gate

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// line is a client's connection: what it sends of its body comes every so often.
type line struct {
	http.ResponseWriter
	every    time.Duration
	deadline time.Time
	reads    int
}

func (l *line) FlushError() error { return nil }

func (l *line) SetReadDeadline(t time.Time) error {
	l.deadline = t
	return nil
}

func (l *line) Read(p []byte) (int, error) {
	l.reads++
	if next := time.Now().Add(l.every); next.After(l.deadline) {
		time.Sleep(time.Until(l.deadline))
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(l.every)
	return copy(p, "x"), nil
}

// TestLinger ends, whatever a client does that has its answer.
func TestLinger(t *testing.T) {
	for name, test := range map[string]struct {
		every time.Duration
		field string
		want  time.Duration
	}{
		"sends now and then":             {time.Second, "X-Other", 30 * time.Second},
		"sends seldom":                   {4 * time.Second, "X-Other", 30 * time.Second},
		"sends no more":                  {time.Hour, "X-Other", 5 * time.Second},
		"has not been asked for its own": {time.Hour, "Expect", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &line{ResponseWriter: httptest.NewRecorder(), every: test.every}
				request := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(client))
				request.Header.Set(test.field, "100-continue")
				start := time.Now()
				linger(client, request)
				if took := time.Since(start); took != test.want || (test.want == 0) != (client.reads == 0) {
					t.Errorf("it took %v and %d reads, want %v", took, client.reads, test.want)
				}
			})
		})
	}
}
