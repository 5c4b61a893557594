package main

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"
)

// What one proof costs, as bench/run.sh and redis-benchmark measured it on a
// virtual machine with 2 shared cores.
const (
	nodeTime  = 290 * time.Microsecond // of a core, the proxying included
	redisTime = 6 * time.Microsecond   // of Redis' one thread, with 2 commands in each read
	toRedis   = 500 * time.Microsecond // there and back, within a region
	claimSize = 209                    // bytes that a claim takes in Redis
	claimTime = 30 * time.Minute       // for which it lives
)

// A fleet is too small for a rate at which more proofs than this are refused, or
// one of its parts works more than that share of the time.
const (
	mostRefused = 0.001
	busiest     = 0.95
)

// fleet is a number of gates, which share the claims on a Redis cluster.
type fleet struct {
	nodes, cores, shards int
	quota                float64 // of the provider, a second; 0: none
}

// The stages that a proof goes through.
type stage int

const (
	arrives stage = iota // at a node, which reads it
	claims               // at a shard
	asks                 // the provider
	leaves               // to the application, by the node
)

const (
	endsNodes = "the nodes' processors"
	endsRedis = "Redis' thread"
	endsQuota = "the provider's quota"
)

// arithmetic returns what can be verified a second, and what ends first.
func (f fleet) arithmetic() (rate float64, first string) {
	rate, first = busiest*float64(f.nodes*f.cores)/nodeTime.Seconds(), endsNodes
	if redis := busiest * float64(f.shards) / redisTime.Seconds(); redis < rate {
		rate, first = redis, endsRedis
	}
	if f.quota > 0 && f.quota < rate {
		rate, first = f.quota, endsQuota
	}
	return rate, first
}

// memory returns how many bytes a shard's claims take at a rate.
func (f fleet) memory(rate float64) float64 {
	return rate * claimTime.Seconds() * claimSize / float64(f.shards)
}

// capacity returns the highest rate that the fleet stands, how long 99 of 100
// proofs wait at most then for its parts, and what ends first.
func (f fleet) capacity() (rate float64, wait time.Duration, first string) {
	low, high := 0.0, 2*float64(f.nodes*f.cores)/nodeTime.Seconds()
	for high-low > high/100 {
		middle := (low + high) / 2
		if r := f.simulate(middle); r.refused > mostRefused || max(r.nodes, r.redis) > busiest {
			high = middle
		} else {
			low = middle
		}
	}
	r := f.simulate(low)
	switch {
	case max(r.redis, r.nodes) < 0.9*busiest:
		return low, r.wait, endsQuota
	case r.redis > r.nodes:
		return low, r.wait, endsRedis
	}
	return low, r.wait, endsNodes
}

// result is what became of the proofs of a simulation.
type result struct {
	refused      float64       // share
	wait         time.Duration // for the fleet's parts, of 99 of 100
	nodes, redis float64       // the share of the time that the busiest one works
}

// event is a proof at a stage.
type event struct {
	at    time.Duration
	proof int
	stage stage
}

type queue []event

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// server works off what comes to it, in order, on its threads.
type server struct {
	free []time.Duration // when each thread is
	busy time.Duration
}

// serve returns when work is done that comes at a time, and how long it waits.
func (s *server) serve(at, work time.Duration) (done, waited time.Duration) {
	thread := 0
	for i, free := range s.free {
		if free < s.free[thread] {
			thread = i
		}
	}
	start := max(at, s.free[thread])
	s.free[thread] = start + work
	s.busy += work
	return start + work, start - at
}

func (s *server) load(over time.Duration) float64 {
	return s.busy.Seconds() / float64(len(s.free)) / over.Seconds()
}

func servers(n, threads int) []server {
	all := make([]server, n)
	for i := range all {
		all[i].free = make([]time.Duration, threads)
	}
	return all
}

const (
	simulated = 20_000 // proofs of one simulation
	seed      = 7
)

// simulate sends proofs to the fleet at a rate, at random times, to one node
// after the other, each with a key of a shard by chance. How long the provider
// takes is left out: it moves the work, and makes it no more and no less.
func (f fleet) simulate(rate float64) result {
	random := rand.New(rand.NewPCG(seed, uint64(rate))) //nolint:gosec // a simulation
	nodes, shards := servers(f.nodes, f.cores), servers(f.shards, 1)
	waits := make([]time.Duration, simulated)
	events := make(queue, 0, simulated)
	var clock time.Duration
	for proof := range simulated {
		clock += time.Duration(random.ExpFloat64() / rate * float64(time.Second))
		events = append(events, event{clock, proof, arrives})
	}
	heap.Init(&events)
	refused, tokens, filled := 0, f.quota/8, time.Duration(0)
	for len(events) > 0 {
		e := heap.Pop(&events).(event)
		var waited time.Duration
		switch e.stage {
		case arrives:
			e.at, waited = nodes[e.proof%f.nodes].serve(e.at, nodeTime/2)
		case claims:
			e.at, waited = shards[random.IntN(f.shards)].serve(e.at+toRedis/2, redisTime)
			e.at += toRedis / 2
		case asks:
			if f.quota > 0 {
				tokens, filled = min(f.quota/8, tokens+f.quota*(e.at-filled).Seconds()), e.at
				if tokens < 1 {
					refused++
					continue
				}
				tokens--
			}
		case leaves:
			_, waited = nodes[e.proof%f.nodes].serve(e.at, nodeTime/2)
		}
		waits[e.proof] += waited
		if e.stage++; e.stage <= leaves {
			heap.Push(&events, e)
		}
	}
	slices.Sort(waits)
	r := result{refused: float64(refused) / simulated, wait: waits[simulated*99/100]}
	for i := range nodes {
		r.nodes = max(r.nodes, nodes[i].load(clock))
	}
	for i := range shards {
		r.redis = max(r.redis, shards[i].load(clock))
	}
	return r
}
