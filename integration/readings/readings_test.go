package readings_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// run is a run of the fuzzer.
type run struct {
	t       *testing.T
	gates   gates
	servers []*server
	counts
	mu    sync.Mutex
	found map[string]*bypass // by kind and server
}

// counts say what a run did.
type counts struct {
	made, parsed, ran, asked, evaluated, gated, bypasses, mute atomic.Int64
}

// bypass is a request that ran a login through a gate without a proof.
type bypass struct {
	kind    kind
	server  *server
	request request
	logins  []string
	times   int
}

func newRun(t *testing.T) *run {
	return &run{t: t, gates: newGates(t), servers: servers(t), found: map[string]*bypass{}}
}

// worker holds the connections of one goroutine: one to each server, and one
// to the gates.
type worker struct {
	*run
	direct map[string]*client
	gate   *client
}

func (r *run) newWorker() *worker {
	w := &worker{run: r, direct: map[string]*client{}, gate: &client{address: r.gates.address()}}
	for _, s := range r.servers {
		w.direct[s.name] = &client{address: s.address}
	}
	return w
}

func (w *worker) close() {
	for _, c := range w.direct {
		c.close()
	}
	w.gate.close()
}

// TestReadings is the fuzzer (see the package's documentation).
func TestReadings(t *testing.T) {
	seed, n := seed(t), targets(t)
	t.Logf("READINGS_SEED=%d READINGS_TARGETS=%d", seed, n)
	fmt.Printf("integration/readings: READINGS_SEED=%d READINGS_TARGETS=%d\n", seed, n)
	r := newRun(t)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			w := r.newWorker()
			defer w.close()
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				w.try(newGrammar(seed, uint64(i)).next())
				if made := r.made.Add(1); made%100000 == 0 {
					fmt.Printf("integration/readings: %d of %d, %d bypasses\n", made, n, r.bypasses.Load())
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d requests, %d that Caddy parses, %d ran a login somewhere; %d asked of servers directly, %d evaluated, %d sent through gates, %d servers closed without an answer",
		r.made.Load(), r.parsed.Load(), r.ran.Load(), r.asked.Load(), r.evaluated.Load(), r.gated.Load(), r.mute.Load())
	if r.ran.Load()*5 < r.made.Load() {
		t.Errorf("only %d of %d requests ran a login: the grammar has to make more that do", r.ran.Load(), r.made.Load())
	}
	r.report()
}

// try asks a request of every server, and sends it through the gates that mean
// a login that ran.
func (w *worker) try(generated request) {
	plain := w.gates.evaluate(kinds[0].bare(), generated)
	if plain == nil {
		return
	}
	w.parsed.Add(1)
	ran := w.ask(*plain, w.servers)
	anything := needs{append([]string{"php", "jsp", "action", "do_action", "host"}, paths...)}
	for _, known := range ran {
		if anything.met(known) != nil {
			w.ran.Add(1)
			break
		}
	}
	for _, k := range kinds {
		for _, r := range k.requests(generated) {
			w.tryKind(k, r, *plain, ran)
		}
	}
}

// ask asks a request of servers, directly.
func (w *worker) ask(r request, servers []*server) map[*server]facts {
	ran := map[*server]facts{}
	for _, s := range servers {
		w.asked.Add(1)
		answer, err := w.direct[s.name].ask(r.method, r.bytes())
		if err != nil {
			w.t.Errorf("%q asked of %s: %v", r, s.name, err)
			continue
		}
		if answer.status == 0 {
			w.mute.Add(1)
		}
		ran[s] = answer.facts()
	}
	return ran
}

// tryKind sends a request through the gate of a kind, in front of each server
// whose login ran and is meant. Of what plain ran is known what ran; where the
// kind's site makes another request of this one, the servers are asked again.
func (w *worker) tryKind(k kind, r, plain request, ran map[*server]facts) {
	servers := k.inFrontOf(w.servers)
	if k.before != "" {
		arrived := w.gates.evaluate(k.bare(), r)
		if arrived == nil {
			return
		}
		if arrived.String() != plain.String() {
			ran = w.ask(*arrived, servers)
		}
	}
	if !slices.ContainsFunc(servers, func(s *server) bool { return k.needs.met(ran[s]) != nil }) {
		return
	}
	w.evaluated.Add(1)
	if w.gates.evaluate(k.guarded(), r) == nil {
		return
	}
	for _, s := range servers {
		if k.needs.met(ran[s]) == nil {
			continue
		}
		if logins := w.passes(k, s, r); len(logins) > 0 {
			w.bypasses.Add(1)
			w.keep(k, s, r, logins)
		}
	}
}

// passes sends a request through a gate, and returns the logins that it ran and
// the kind means.
func (w *worker) passes(k kind, s *server, r request) []string {
	w.gated.Add(1)
	answer, err := throughGate(w.gate, k.guarded(), s, r)
	if err != nil {
		w.t.Error(err)
		return nil
	}
	return k.needs.met(answer.facts())
}

// keep keeps the first bypass of a kind and server, made as small as it gets.
func (w *worker) keep(k kind, s *server, r request, logins []string) {
	key := k.name + "\x00" + s.name
	w.mu.Lock()
	known, ok := w.found[key]
	if ok {
		known.times++
		w.mu.Unlock()
		return
	}
	b := &bypass{kind: k, server: s, request: r, logins: logins, times: 1}
	w.found[key] = b
	w.mu.Unlock()
	small := shrink(r, func(r request) bool { return (k.means == nil || k.means(r)) && len(w.passes(k, s, r)) > 0 })
	logins = w.passes(k, s, small)
	w.mu.Lock()
	defer w.mu.Unlock()
	b.request, b.logins = small, logins
}

// report fails the test for each bypass, and writes them into the corpus.
func (r *run) report() {
	for _, key := range slices.Sorted(maps.Keys(r.found)) {
		b := r.found[key]
		r.t.Errorf("%d requests passed the matcher\n\t%s\nand ran a login of %s; the first, made small:\n\t%s\nran %s",
			b.times, strings.ReplaceAll(b.kind.matcher, "\n", "\n\t"), b.server.name, finding{b.kind.name, b.server.name, b.request}, strings.Join(b.logins, ", "))
		if err := addFinding(finding{b.kind.name, b.server.name, b.request}); err != nil {
			r.t.Error(err)
		}
	}
}
