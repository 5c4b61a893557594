package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"

	"github.com/caddycaptcha/caddycaptcha/bench/asking"
)

type options struct {
	caddy, limit, redis           string
	rounds, requests, connections int
}

// setup is one way to guard the application, and its load.
type setup struct {
	name     string
	address  string
	load     load
	verifies bool   // asks the provider about each request
	pids     []int  // of its own processes: Caddy, and a sidecar where there is one
	flood    load   // that is under way meanwhile, if it has connections
	redis    string // where its replay cache is, if that is Redis
}

// result is what one round measured of a set-up.
type result struct {
	perSecond float64 // requests
	cpu       float64 // processor time of its processes per request, in microseconds; 0 where it is not known
}

// The set-ups, in the order of the table.
const (
	bare = iota
	captcha
	defaultSidecar
	tunedSidecar
	unmatched
	respond
	missing
	cleared
	encoded
	injected
	limit
	elsewhere
	unmatchedFlooded
	elsewhereFlooded
	many
	manyStored
)

// run starts all servers, measures the set-ups in turn and prints the results.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "captcha-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	ctx, fail := context.WithCancelCause(ctx)
	servers := &processes{ctx: ctx, fail: fail, dir: dir, environment: append(os.Environ(),
		"CAPTCHA_ID="+asking.CaptchaID, "CAPTCHA_KEY="+asking.CaptchaKey,
		"XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)} // where Caddy keeps its data
	defer servers.ended.Wait()
	defer fail(nil)

	setups, provider, err := startAll(servers, o)
	if err != nil {
		return err
	}
	results := make([][]result, len(setups))
	verifications := 1                // for the clearance
	for round := range o.rounds + 1 { // the first warms up
		for i := range setups {
			i = (i + round) % len(setups) // no set-up is always the first
			s := setups[i]
			stop := func() error { return nil }
			if s.flood.connections > 0 {
				stop = s.flood.underway(ctx, s.address)
			}
			before, unknown := processorTime(s.pids)
			perSecond, err := s.load.run(ctx, s.address)
			err = errors.Join(err, stop())
			if ctx.Err() != nil {
				return context.Cause(ctx) // the load failed in consequence
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if s.verifies {
				verifications += s.load.requests
			}
			measured := result{perSecond: perSecond}
			// Under a flood the processes do not work for this load alone.
			if after, err := processorTime(s.pids); err == nil && unknown == nil && s.flood.connections == 0 {
				measured.cpu = float64((after - before).Microseconds()) / float64(s.load.requests)
			}
			if round > 0 {
				results[i] = append(results[i], measured)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round, o.rounds)
	}
	if err := checkAccepted(provider, verifications); err != nil {
		return err
	}
	fmt.Printf("%d CPUs, %d connections, medians of %d rounds of %d requests\n\n", runtime.NumCPU(), o.connections, o.rounds, o.requests)
	printTable(os.Stdout, setups, results)
	pipelined, err := commandsPerRead(setups[manyStored].redis)
	if err != nil {
		return err
	}
	fmt.Printf("\nRedis got %.1f commands with each read from a connection\n", pipelined)
	return measureWaiting(servers, o)
}

// startAll starts the servers of all set-ups, each a process of its own.
func startAll(p *processes, o options) (setups []setup, providerAddress string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	caddy := func(config string) (address string) {
		return p.start("CADDY_PORT", o.caddy, "run", "--adapter", "caddyfile", "--config", config)
	}
	p.start("APP_PORT", self, "app")
	providerAddress = p.start("PROVIDER_PORT", self, "provider")
	direct := caddy("bare.Caddyfile")
	guarded := caddy("captcha.Caddyfile")
	untuned := p.start("SIDECAR_PORT", self, "sidecar", "default")
	withDefault := caddy("forward_auth.Caddyfile")
	tuned := p.start("SIDECAR_PORT", self, "sidecar", "tuned")
	withTuned := caddy("forward_auth.Caddyfile")
	fixed := caddy("respond.Caddyfile")
	plain := caddy("encode.Caddyfile")
	injecting := caddy("inject.Caddyfile")
	asking := p.start("CADDY_PORT", o.limit, "run", "--adapter", "caddyfile", "--config", "limit.Caddyfile")
	refusing := caddy("flood.Caddyfile")
	redis := p.start("REDIS_PORT", "sh", "-c", `exec "$0" --port "$PORT" --bind 127.0.0.1 --save ""`, o.redis)
	stored := caddy("redis.Caddyfile")
	if p.ctx.Err() != nil {
		return nil, "", context.Cause(p.ctx)
	}

	proofs := load{path: "/login", withProof: true, status: http.StatusOK, requests: o.requests, connections: o.connections}
	many64 := proofs
	many64.connections = 64
	about := load{path: "/about", withProof: true, status: http.StatusOK, requests: o.requests, connections: o.connections}
	noProofs := load{path: "/login", status: http.StatusForbidden, requests: o.requests, connections: o.connections}
	used := newProof()
	cookie, err := clearance(guarded, used)
	if err != nil {
		return nil, "", err
	}
	withClearance := load{path: "/login", header: cookie, status: http.StatusOK, requests: o.requests, connections: o.connections}
	// A page of 100 KB takes as long as many other requests.
	pages := load{path: "/page", header: "Accept-Encoding: gzip\r\nSec-Fetch-Mode: navigate\r\n", status: http.StatusOK, requests: max(1, o.requests/10), connections: o.connections}
	flood := load{junk: junk(used, cookie), connections: 64}
	of := func(addresses ...string) (pids []int) {
		for _, address := range addresses {
			pids = append(pids, p.pids[address])
		}
		return pids
	}
	return []setup{
		bare:             {name: "bare reverse_proxy", address: direct, load: proofs, pids: of(direct)},
		captcha:          {name: "captcha", address: guarded, load: proofs, verifies: true, pids: of(guarded)},
		defaultSidecar:   {name: "forward_auth, default client", address: withDefault, load: proofs, verifies: true, pids: of(withDefault, untuned)},
		tunedSidecar:     {name: "forward_auth, tuned client", address: withTuned, load: proofs, verifies: true, pids: of(withTuned, tuned)},
		unmatched:        {name: "captcha, path not matched", address: guarded, load: about, pids: of(guarded)},
		respond:          {name: "respond 403", address: fixed, load: noProofs, pids: of(fixed)},
		missing:          {name: "captcha, proof missing", address: guarded, load: noProofs, pids: of(guarded)},
		cleared:          {name: "captcha, with clearance", address: guarded, load: withClearance, pids: of(guarded)},
		encoded:          {name: "encode", address: plain, load: pages, pids: of(plain)},
		injected:         {name: "encode and captcha_inject", address: injecting, load: pages, pids: of(injecting)},
		limit:            {name: "limit: the POST alone", address: asking, load: proofs, verifies: true, pids: of(asking)},
		elsewhere:        {name: "respond, another path", address: refusing, load: about, pids: of(refusing)},
		unmatchedFlooded: {name: "captcha, not matched, flood", address: guarded, load: about, flood: flood},
		elsewhereFlooded: {name: "respond, another path, flood", address: refusing, load: about, flood: flood},
		many:             {name: "captcha, 64 connections", address: guarded, load: many64, verifies: true, pids: of(guarded)},
		manyStored:       {name: "captcha with Redis, 64 connections", address: stored, load: many64, verifies: true, pids: of(stored, redis), redis: redis},
	}, providerAddress, context.Cause(p.ctx)
}

// checkAccepted proves that the provider was asked as often as it had to be.
func checkAccepted(provider string, want int) error {
	response, err := http.Get("http://" + provider + "/accepted") //nolint:gosec // our own server
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && string(text) != strconv.Itoa(want) {
		err = fmt.Errorf("the provider accepted %s proofs instead of %d", text, want)
	}
	return err
}
