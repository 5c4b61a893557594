package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// processes are the servers of a run. They end together, with ctx; the first
// thing that goes wrong with one of them ends ctx and is its cause.
type processes struct {
	ctx         context.Context
	fail        context.CancelCauseFunc
	dir         string // for what they write
	environment []string
	pids        map[string]int // by address
	ended       sync.WaitGroup
}

// start starts a server on a free loopback port and waits until it answers.
// The server finds the port as PORT in its environment, those started later
// find it as portName.
func (p *processes) start(portName, program string, args ...string) (address string) {
	address, err := p.tryStart(portName, program, args)
	if err != nil {
		p.fail(fmt.Errorf("%s %s: %w", filepath.Base(program), args, err))
	}
	return address
}

func (p *processes) tryStart(portName, program string, args []string) (address string, err error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	log, err := os.CreateTemp(p.dir, "log")
	if err != nil {
		return "", err
	}
	defer log.Close() // the process has a descriptor of its own
	cmd := exec.CommandContext(p.ctx, program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(p.environment, "PORT="+port)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	p.environment = append(p.environment, portName+"="+port)
	p.ended.Go(func() {
		err := cmd.Wait()
		output, _ := os.ReadFile(log.Name()) //nolint:errcheck // then there is none to show
		p.fail(fmt.Errorf("%s ended: %w\n%s", cmd, err, output[max(0, len(output)-2000):]))
	})
	address = "127.0.0.1:" + port
	if p.pids == nil {
		p.pids = make(map[string]int)
	}
	p.pids[address] = cmd.Process.Pid
	return address, p.await(address)
}

// await waits until a server accepts connections.
func (p *processes) await(address string) error {
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-retry.C:
		}
	}
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}
