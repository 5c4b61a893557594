package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// comparisons are the ratios of interest and what we want of them: of requests
// per second, where more is better, and of processor time per request, where
// less is.
var comparisons = []struct {
	numerator, denominator int
	target, cpuTarget      string
}{
	{captcha, defaultSidecar, ">= 1.80", "<= 0.55"},
	{captcha, tunedSidecar, ">= 1.40", "<= 0.65"},
	{captcha, limit, "", "<= 1.15"},
	{missing, respond, ">= 0.80", "<= 1.20"},
	{cleared, bare, ">= 0.95", "<= 1.05"},
	{injected, encoded, ">= 0.95", ""},
	{captcha, bare, "", ""},
	{unmatched, bare, "", ""},
	{manyStored, many, ">= 0.60", ""},
}

// printTable prints the median over the rounds of each set-up's requests per
// second, with the extremes beside it, and of its processor time per request;
// then the comparisons of both.
func printTable(w io.Writer, setups []setup, results [][]result) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	defer table.Flush()
	perSecond, cpu := make([][]float64, len(results)), make([][]float64, len(results))
	for i, rounds := range results {
		for _, r := range rounds {
			perSecond[i], cpu[i] = append(perSecond[i], r.perSecond), append(cpu[i], r.cpu)
		}
	}
	fmt.Fprint(table, "set-up\treq/s\tmin .. max\tCPU us/req\n")
	for i, s := range setups {
		fmt.Fprintf(table, "%s\t%.0f\t%.0f .. %.0f\t%.0f\n", s.name, median(perSecond[i]), slices.Min(perSecond[i]), slices.Max(perSecond[i]), median(cpu[i]))
	}
	fmt.Fprint(table, "\t\t\t\n", "ratio of req/s\tmedian\tmin .. max\ttarget\n")
	for _, c := range comparisons {
		printRatio(table, setups, perSecond, c.numerator, c.denominator, c.target)
	}
	// What the flood leaves of the throughput, beside what it leaves when Caddy
	// answers it itself.
	kept := func(flooded, alone int) []float64 { return ratios(perSecond[flooded], perSecond[alone]) }
	share := ratios(kept(unmatchedFlooded, unmatched), kept(elsewhereFlooded, elsewhere))
	fmt.Fprintf(table, "kept under a flood, captcha / respond 403\t%.2f\t%.2f .. %.2f\t>= 0.90\n", median(share), slices.Min(share), slices.Max(share))
	fmt.Fprint(table, "\t\t\t\n", "ratio of processor time\tmedian\tmin .. max\ttarget\n")
	for _, c := range comparisons {
		if median(cpu[c.denominator]) > 0 {
			printRatio(table, setups, cpu, c.numerator, c.denominator, c.cpuTarget)
		}
	}
}

func printRatio(w io.Writer, setups []setup, values [][]float64, numerator, denominator int, target string) {
	r := ratios(values[numerator], values[denominator])
	fmt.Fprintf(w, "%s / %s\t%.2f\t%.2f .. %.2f\t%s\n",
		setups[numerator].name, setups[denominator].name, median(r), slices.Min(r), slices.Max(r), target)
}

// ratios divides round by round: what else the machine does in one round, it
// does to both.
func ratios(numerators, denominators []float64) []float64 {
	result := make([]float64, len(numerators))
	for i := range result {
		result[i] = numerators[i] / denominators[i]
	}
	return result
}

// median returns the middle value, or the mean of the two middle values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
