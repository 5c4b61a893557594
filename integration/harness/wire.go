package harness

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Wire is what is between a gate and a server of its own: a proxy that breaks.
type Wire struct {
	net.Listener
	// Delay is how many nanoseconds each read is held back, either way.
	Delay atomic.Int64

	mode  atomic.Int32
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// What a wire does.
const (
	Carries int32 = iota
	Loses         // commands arrive and answers do not: the connection is cut in between
	Cut           // nothing goes
)

// NewWire makes one to the address.
func NewWire(t *testing.T, to string) *Wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{Listener: listener, conns: make(map[net.Conn]bool)}
	t.Cleanup(func() {
		listener.Close()
		w.Breaks(Cut)
	})
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil || w.mode.Load() == Cut {
				here.Close()
				if err == nil {
					there.Close()
				}
				continue
			}
			w.mu.Lock()
			w.conns[here], w.conns[there] = true, true
			w.mu.Unlock()
			go w.carry(there, here, false)
			go w.carry(here, there, true)
		}
	}()
	return w
}

func (w *Wire) carry(to, from net.Conn, answers bool) {
	defer func() {
		to.Close()
		from.Close()
		w.mu.Lock()
		delete(w.conns, from)
		w.mu.Unlock()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || w.mode.Load() == Cut || answers && w.mode.Load() == Loses {
			return
		}
		time.Sleep(time.Duration(w.Delay.Load()))
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Breaks has the wire do something else from now on: Carries, Loses or Cut.
func (w *Wire) Breaks(mode int32) {
	w.mode.Store(mode)
	if mode != Cut {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn := range w.conns {
		conn.Close()
	}
}
