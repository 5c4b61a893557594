package main

import (
	"math/rand/v2"
	"time"
)

// outage is a time in which a fleet's Redis is not there. Proofs are refused
// then, with Retry-After: 1, and what a page does about that is in widget.js:
// it sends the proof again after 1 to 1.5 times as long, three times, and then
// asks the person to press.
type outage struct {
	away time.Duration
}

var outages = []outage{
	{2 * time.Second},
	{5 * time.Second},
	{30 * time.Second},
	{5 * time.Minute},
}

// aftermath is what an outage does to people, and to the fleet when it is over.
type aftermath struct {
	lost float64 // share of an hour's people who have to press again
	peak float64 // the busiest second afterwards, over the load as it is always
}

const (
	perSecond = 1000 // people, whatever the fleet is like
	retries   = 3
)

func (o outage) simulate() aftermath {
	random := rand.New(rand.NewPCG(seed, uint64(o.away))) //nolint:gosec // a simulation
	const begins = 10 * time.Second
	ends := begins + o.away
	verified := make(map[int]int) // by the second
	lost := 0
	last := ends + 10*time.Second
	for n := 0; ; n++ {
		at := time.Duration(n) * time.Second / perSecond
		if at > last {
			break
		}
		tries := 0
		for at >= begins && at < ends && tries < retries {
			at += time.Duration((1 + random.Float64()/2) * float64(time.Second))
			tries++
		}
		if at >= begins && at < ends {
			lost++
			continue
		}
		verified[int(at/time.Second)]++
	}
	peak := 0
	for second, n := range verified {
		if time.Duration(second)*time.Second >= ends-time.Second {
			peak = max(peak, n)
		}
	}
	return aftermath{lost: float64(lost) / (3600 * perSecond), peak: float64(peak) / perSecond}
}
