package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
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
	status      int    // that every answer must have
	requests    int
	connections int
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
	for sent.Add(1) <= int64(l.requests) {
		if _, err := io.WriteString(conn, l.request()); err != nil {
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
	return nil
}

// clearance gets a clearance from the gate and returns the header line that
// carries it. It is for the Host that request names.
func clearance(address string) (string, error) {
	p := newProof()
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
	if cookies := response.Cookies(); response.StatusCode == http.StatusNoContent && len(cookies) == 1 {
		return "Cookie: " + cookies[0].Name + "=" + cookies[0].Value + "\r\n", nil
	}
	return "", fmt.Errorf("verify answered %s", response.Status)
}

func (l load) request() string {
	head := "GET " + l.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n" + l.header
	if l.withProof {
		p := newProof()
		head += "Captcha-Lot-Number: " + p.lotNumber +
			"\r\nCaptcha-Output: " + p.captchaOutput +
			"\r\nCaptcha-Pass-Token: " + p.passToken +
			"\r\nCaptcha-Gen-Time: " + p.genTime + "\r\n"
	}
	return head + "\r\n"
}
