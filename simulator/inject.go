package simulator

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// maxFault bounds the time that a fault keeps a connection open after its
	// delay. A client that leaves ends it at once.
	maxFault = time.Minute

	// maxEndless bounds an endless body, in bytes.
	maxEndless = 64 << 20
)

// inject does what the fault says, but for being the genuine answer: then it
// returns false and the answer is to follow.
func (f Fault) inject(w http.ResponseWriter, r *http.Request) bool {
	select {
	case <-time.After(f.Delay):
	case <-r.Context().Done():
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxFault)
	defer cancel()
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		panic(http.ErrAbortHandler)
	}
	switch f.Kind {
	case Answer:
		return false
	case Respond:
		f.respond(w)
		return true
	case StallInHeaders:
		if stallInHeaders(w) {
			return true
		}
		<-ctx.Done()
	case StallInBody:
		stallInBody(ctx, w)
	case Stall:
		<-ctx.Done()
	case Endless:
		endless(ctx, w)
	case Reset:
		if reset(w) {
			return true
		}
	}
	panic(http.ErrAbortHandler) // breaks the answer off
}

func (f Fault) respond(w http.ResponseWriter) {
	if f.Location != "" {
		w.Header().Set("Location", f.Location)
	}
	f.answer.write(w)
}

// stallInHeaders takes the connection over, because net/http sends the header
// section as a whole. It returns false when there is no connection to take,
// as on HTTP/2.
func stallInHeaders(w http.ResponseWriter) bool {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: appl"); err != nil {
		return true
	}
	// The end of what the client sends tells that it left; nothing else does
	// on a connection that was taken over.
	if err := conn.SetReadDeadline(time.Now().Add(maxFault)); err != nil {
		return true
	}
	_, _ = io.Copy(io.Discard, conn)
	return true
}

func stallInBody(ctx context.Context, w http.ResponseWriter) {
	const half = `{"status":"success","result":`
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "64")
	if _, err := io.WriteString(w, half); err != nil {
		return
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	<-ctx.Done()
}

func endless(ctx context.Context, w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	chunk := bytes.Repeat([]byte(" "), 32<<10)
	chunk[0] = '{'
	for sent := 0; sent < maxEndless && ctx.Err() == nil; sent += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
		chunk[0] = ' '
	}
}

// reset closes the connection so that the client's kernel reports a reset
// where there is TCP. It returns false when there is no connection to take.
func reset(w http.ResponseWriter) bool {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	// Under TLS the close of the inner connection leaves out the goodbye.
	for {
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapper.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // without it the close is an orderly one
	}
	_ = conn.Close()
	return true
}
