// Command scaling simulates fleets of gates on a sharded Redis, and says how
// many proofs a second each verifies, and what ends first. docs/scaling.md has
// the arithmetic that it checks.
package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

func main() {
	if err := report(os.Stdout, rows()); err != nil {
		fmt.Fprintln(os.Stderr, "scaling:", err)
		os.Exit(1)
	}
}

// row is what a fleet stands.
type row struct {
	fleet
	rate  float64
	wait  time.Duration
	first string
}

func rows() (all []row) {
	for _, f := range fleets {
		r := row{fleet: f}
		r.rate, r.wait, r.first = f.capacity()
		all = append(all, r)
	}
	return all
}

// report prints what docs/scaling.md shows.
func report(w io.Writer, rows []row) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "nodes\tcores\tshards\tquota/s\tproofs/s\tby arithmetic\twait\tGB a shard\tends first")
	for _, r := range rows {
		expected, _ := r.arithmetic()
		quota := "none"
		if r.quota > 0 {
			quota = fmt.Sprintf("%.0f", r.quota)
		}
		fmt.Fprintf(table, "%d\t%d\t%d\t%s\t%.0f\t%.0f\t%.1f ms\t%.1f\t%s\n", r.nodes, r.cores, r.shards, quota, r.rate, expected,
			float64(r.wait.Microseconds())/1000, r.memory(r.rate)/1e9, r.first)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(table, "\nRedis is away for\tpeople of an hour who have to press again\tpeak afterwards")
	for _, o := range outages {
		r := o.simulate()
		fmt.Fprintf(table, "%v\t%.2f %%\t%.1f of the load\n", o.away, 100*r.lost, r.peak)
	}
	return table.Flush()
}

// fleets are those of the documentation.
var fleets = []fleet{
	{nodes: 1, cores: 2, shards: 1},
	{nodes: 3, cores: 2, shards: 1},
	{nodes: 3, cores: 2, shards: 1, quota: 1000},
	{nodes: 10, cores: 4, shards: 1},
	{nodes: 30, cores: 4, shards: 1},
	{nodes: 30, cores: 4, shards: 3},
	{nodes: 100, cores: 4, shards: 3},
	{nodes: 100, cores: 4, shards: 12},
}
