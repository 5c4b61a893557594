package harness

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// App is an application that remembers the requests that reached it.
type App struct {
	*httptest.Server

	mu         sync.Mutex
	requests   []string
	LastHeader http.Header // of the last one
}

// NewApp starts an application that runs until the test ends.
func NewApp(t *testing.T) *App {
	t.Helper()
	a := new(App)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.requests = append(a.requests, r.Method+" "+r.RequestURI)
		a.LastHeader = r.Header
	}))
	t.Cleanup(a.Close)
	return a
}

// Seen returns the requests that reached the app since the last call.
func (a *App) Seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.requests
	a.requests = nil
	return seen
}
