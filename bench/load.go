package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is what a set-up is measured with: requests over keep-alive
// connections, on each the next one as soon as the last is answered.
type load struct {
	path        string
	withProof   bool
	header      string // more lines of each request, each with its line end
	status      int    // that every answer must have; 0: one that refuses
	requests    int
	connections int

	// junk are requests that are sent in turn in place of all that.
	junk []string
}

// run sends the requests and returns how many were answered per second. A
// single answer of another status is an error, which counts them by what they say.
func (l load) run(ctx context.Context, address string) (perSecond float64, err error) {
	var (
		workers  sync.WaitGroup
		sent     atomic.Int64
		mu       sync.Mutex
		failures = make(map[string]int) // guarded by mu
	)
	fail := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		failures[what]++
	}
	start := time.Now()
	for range l.connections {
		workers.Go(func() {
			if err := l.exchange(ctx, address, &sent, fail); err != nil {
				fail(err.Error())
			}
		})
	}
	workers.Wait()
	if len(failures) > 0 {
		return 0, fmt.Errorf("of %d requests not all were answered with %d: %v", l.requests, l.status, failures)
	}
	return float64(l.requests) / time.Since(start).Seconds(), nil
}

// exchange sends requests over one connection until all connections together
// have sent enough. It speaks HTTP itself: net/http's client would take a good
// part of the machine on which the set-ups are to be measured.
func (l load) exchange(ctx context.Context, address string, sent *atomic.Int64, fail func(what string)) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reader := bufio.NewReader(conn)
	var buffer []byte
	want := "HTTP/1.1 " + strconv.Itoa(l.status)
	if l.status == 0 {
		want = "HTTP/1.1 40"
	}
	for {
		n := sent.Add(1)
		if n > int64(l.requests) {
			return nil
		}
		var request string
		if len(l.junk) > 0 {
			request = l.junk[int(n)%len(l.junk)]
		} else {
			request = l.request()
		}
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		response, err := readMessage(reader, &buffer)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(response.start, want) {
			fail(fmt.Sprintf("%s: %.200s", response.start, response.body)) // problem details name the outcome
		}
	}
}

// underway runs load until stop is called, which returns its error.
func (l load) underway(ctx context.Context, address string) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	l.requests = math.MaxInt32
	go func() {
		_, err := l.run(ctx, address)
		done <- err
	}()
	return func() error {
		cancel()
		// Connections that are cut off are no failure, other answers are.
		if err := <-done; err != nil && strings.Contains(err.Error(), "HTTP/1.1 ") {
			return err
		}
		return nil
	}
}

// junk returns what a bot without a solver sends: a proof that cannot be one, a
// proof that was used before, and a clearance of its own making.
func junk(used proof, clearance string) []string {
	malformed := newProof()
	malformed.lotNumber = "!" + malformed.lotNumber
	forged := []byte(clearance)
	forged[len(forged)-len("\r\n")-4] ^= 1
	l := load{path: "/login"}
	return []string{l.with(malformed), l.with(used), load{path: "/login", header: string(forged)}.request()}
}

// clearance gets a clearance from the gate for the proof and returns the header
// line that carries it. It is for the Host that request names.
func clearance(address string, p proof) (string, error) {
	form := url.Values{"lot_number": {p.lotNumber}, "captcha_output": {p.captchaOutput}, "pass_token": {p.passToken}, "gen_time": {p.genTime}}
	request, err := http.NewRequest(http.MethodPost, "http://"+address+"/.captcha/default/verify", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Host = "127.0.0.1"
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if cookies := response.Cookies(); response.StatusCode == http.StatusNoContent && len(cookies) > 0 {
		return "Cookie: " + cookies[0].Name + "=" + cookies[0].Value + "\r\n", nil
	}
	return "", fmt.Errorf("verify answered %s", response.Status)
}

func (l load) request() string {
	if l.withProof {
		return l.with(newProof())
	}
	return l.head() + "\r\n"
}

// with returns the request with a proof.
func (l load) with(p proof) string {
	return l.head() + "Captcha-Lot-Number: " + p.lotNumber +
		"\r\nCaptcha-Output: " + p.captchaOutput +
		"\r\nCaptcha-Pass-Token: " + p.passToken +
		"\r\nCaptcha-Gen-Time: " + p.genTime + "\r\n\r\n"
}

func (l load) head() string {
	return "GET " + l.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n" + l.header
}
