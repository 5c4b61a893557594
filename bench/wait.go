package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How a slow provider is measured.
const (
	waiting     = 2000 // verifications
	providers   = 200 * time.Millisecond
	hangs       = 4 * time.Second // less than the timeout, so that each is answered
	paced       = 3 * time.Second // for the waiting to come one after the other
	waitsRounds = 5
)

// measureWaiting measures what verifications cost that wait for a slow provider,
// and prints it.
func measureWaiting(p *processes, o options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	start := func(delay time.Duration, server, config string) (gate string) {
		p.start(server, self, "provider", delay.String())
		return p.start("CADDY_PORT", o.caddy, "run", "--adapter", "caddyfile", "--config", config)
	}
	slow, hung := start(providers, "PROVIDER_PORT", "wait.Caddyfile"), start(hangs, "PROVIDER_PORT", "wait.Caddyfile")
	proxy := start(hangs, "APP_PORT", "bare.Caddyfile")
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	login := load{path: "/login", withProof: true, status: http.StatusOK}
	about := load{path: "/about", withProof: true, status: http.StatusOK, requests: o.requests, connections: o.connections}

	latencies, err := login.wave(p.ctx, slow, paced, nothing, nothing)
	if err != nil {
		return fmt.Errorf("provider at %v: %w", providers, err)
	}
	memory, err := login.memory(p, hung, nothing)
	if err != nil {
		return fmt.Errorf("provider at %v: %w", hangs, err)
	}
	bare, err := login.memory(p, proxy, nothing)
	if err != nil {
		return fmt.Errorf("application at %v: %w", hangs, err)
	}
	var kept []float64
	for range waitsRounds {
		alone, err := about.run(p.ctx, hung)
		if err != nil {
			return err
		}
		_, err = login.memory(p, hung, func() error {
			beside, err := about.run(p.ctx, hung)
			kept = append(kept, beside/alone)
			return err
		})
		if err != nil {
			return fmt.Errorf("provider at %v: %w", hangs, err)
		}
	}
	fmt.Printf("\n%d verifications wait for the provider\n", waiting)
	fmt.Printf("median added to the %v of the provider's own   %.1f ms   <= 10 ms\n", providers, median(latencies)-float64(providers.Milliseconds()))
	fmt.Printf("memory that they take beside their connections  %.0f MB    <= 100 MB\n", memory)
	fmt.Printf("that of a reverse_proxy that waits for its own  %.0f MB\n", bare)
	fmt.Printf("req/s kept of paths not matched, while it hangs %.2f     >= 0.90\n", median(kept))
	return nil
}

// memory returns how many megabytes requests take that wait, all of them
// together and beside their connections, and calls meanwhile.
func (l load) memory(p *processes, address string, meanwhile func() error) (taken float64, err error) {
	var before float64
	_, err = l.wave(p.ctx, address, 0, func() (err error) {
		before, err = residentMemory(p.pids[address])
		return err
	}, func() error {
		time.Sleep(hangs / 4) // until all of them wait
		during, err := residentMemory(p.pids[address])
		taken = (during - before) / 1e6
		return errors.Join(err, meanwhile())
	})
	return taken, err
}

func nothing() error { return nil }

// wave sends one request over each of many connections, one after the other
// within a time, and returns how many milliseconds each took. It calls before
// when all are connected, and meanwhile when all requests are sent.
func (l load) wave(ctx context.Context, address string, within time.Duration, before, meanwhile func() error) (latencies []float64, err error) {
	var connected, sent, answered sync.WaitGroup
	latencies = make([]float64, waiting)
	failures := make([]error, waiting, waiting+1)
	begin := make(chan struct{})
	for i := range waiting {
		connected.Add(1)
		sent.Add(1)
		answered.Go(func() {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			connected.Done()
			<-begin
			if err == nil {
				defer conn.Close()
				time.Sleep(within * time.Duration(i) / waiting)
				latencies[i], err = l.once(conn, sent.Done)
			} else {
				sent.Done()
			}
			failures[i] = err
		})
	}
	connected.Wait()
	err = before()
	close(begin)
	sent.Wait()
	err = errors.Join(err, meanwhile())
	answered.Wait()
	return latencies, errors.Join(append(failures, err)...)
}

// once sends a request, says so, and returns how many milliseconds the answer
// took.
func (l load) once(conn net.Conn, sent func()) (float64, error) {
	start := time.Now()
	_, err := io.WriteString(conn, l.request())
	sent()
	if err != nil {
		return 0, err
	}
	var buffer []byte
	response, err := readMessage(bufio.NewReader(conn), &buffer)
	if err == nil && !strings.HasPrefix(response.start, "HTTP/1.1 "+strconv.Itoa(l.status)) {
		err = fmt.Errorf("%s: %.200s", response.start, response.body)
	}
	return float64(time.Since(start).Microseconds()) / 1000, err
}

// residentMemory returns how many bytes of a process are in memory
// (proc_pid_status(5)).
func residentMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, err := strconv.ParseFloat(strings.Fields(after + " ?")[0], 64)
	return 1024 * kilobytes, err
}
