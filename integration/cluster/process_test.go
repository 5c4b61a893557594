package cluster

import (
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test kills, stops and starts again.
type process struct {
	t    *testing.T
	args []string
	env  []string
	mu   sync.Mutex
	cmd  *exec.Cmd
}

func (p *process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command(p.args[0], p.args[1:]...) //nolint:gosec,noctx // ours
	p.cmd.Env = append(os.Environ(), p.env...)
	if err := p.cmd.Start(); err != nil {
		p.t.Error(err)
	}
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
	p.cmd = nil
}

// stall stops the process for a while.
func (p *process) stall(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(d)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
}

// line is what is between a node and Redis: a proxy that breaks.
type line struct {
	net.Listener
	to    string
	mode  atomic.Int32
	delay atomic.Int64
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// What a line does.
const (
	carries int32 = iota
	loses         // commands arrive and answers do not: the connection is cut in between
	cut           // nothing goes
)

func newLine(t *testing.T, to string) *line {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{Listener: listener, to: to, conns: make(map[net.Conn]bool)}
	t.Cleanup(func() {
		listener.Close()
		l.breaks(cut)
	})
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil || l.mode.Load() == cut {
				here.Close()
				if err == nil {
					there.Close()
				}
				continue
			}
			l.mu.Lock()
			l.conns[here], l.conns[there] = true, true
			l.mu.Unlock()
			go l.carry(there, here, false)
			go l.carry(here, there, true)
		}
	}()
	return l
}

func (l *line) carry(to, from net.Conn, answers bool) {
	defer func() {
		to.Close()
		from.Close()
		l.mu.Lock()
		delete(l.conns, from)
		l.mu.Unlock()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || l.mode.Load() == cut || answers && l.mode.Load() == loses {
			return
		}
		time.Sleep(time.Duration(l.delay.Load()))
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (l *line) breaks(mode int32) {
	l.mode.Store(mode)
	if mode != cut {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.Close()
	}
}
