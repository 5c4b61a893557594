//go:build unix

package cache_test

import (
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// listen serves connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				serve(connection)
			}()
		}
	}()
	return listener.Addr().String()
}

// answering sends the same to whatever comes.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		buffer := make([]byte, 4096)
		for {
			if _, err := c.Read(buffer); err != nil {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// redisServer is a real one.
type redisServer struct {
	address string
	process *os.Process
	ended   chan struct{}
}

// sentinelOf starts a sentinel instead, with a configuration file.
const sentinelOf = "sentinel of"

func startRedis(t *testing.T, address string, options ...string) *redisServer {
	t.Helper()
	program := testenv.Need(t, "redis-server")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--bind", host, "--port", port, "--save", "", "--dir", t.TempDir()}, options...)
	if len(options) == 2 && options[0] == sentinelOf {
		args = []string{options[1], "--sentinel", "--bind", host, "--port", port, "--dir", t.TempDir()}
	}
	command := exec.Command(program, args...) //nolint:gosec,noctx // ends with the test
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s := &redisServer{address, command.Process, make(chan struct{})}
	go func() {
		_ = command.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() { s.kill(t) })
	for {
		connection, err := net.Dial("tcp", address) //nolint:noctx // on loopback
		if err == nil {
			connection.Close()
			return s
		}
		select {
		case <-s.ended:
			t.Fatalf("%s does not start", program)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *redisServer) kill(t *testing.T) {
	t.Helper()
	_ = s.process.Kill() // it may be dead
	<-s.ended
}

// stall stops the server where it is, or lets it go on.
func (s *redisServer) stall(t *testing.T, stalled bool) {
	t.Helper()
	signal := syscall.SIGCONT
	if stalled {
		signal = syscall.SIGSTOP
	}
	if err := s.process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// command sends one to the server and returns the answer's lines.
func (s *redisServer) command(t *testing.T, words ...string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(s.address)
	output, err := exec.CommandContext(t.Context(), "redis-cli", append([]string{"-h", host, "-p", port}, words...)...).CombinedOutput() //nolint:gosec // on loopback
	if err != nil {
		t.Fatalf("redis-cli: %v\n%s", err, output)
	}
	return string(output)
}
