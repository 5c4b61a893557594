package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// comparisons are the ratios of interest and what we want of them.
var comparisons = []struct {
	numerator, denominator int
	target                 string
}{
	{captcha, defaultSidecar, ">= 1.80"},
	{captcha, tunedSidecar, ">= 1.40"},
	{missing, respond, ">= 0.80"},
	{cleared, bare, ">= 0.95"},
	{injected, encoded, ">= 0.70"},
	{captcha, bare, ""},
	{unmatched, bare, ""},
}

// printTable prints the median over the rounds of each set-up's requests per
// second, then the comparisons. Beside each median stand the extremes.
func printTable(w io.Writer, setups []setup, results [][]float64) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	defer table.Flush()
	fmt.Fprint(table, "set-up\treq/s\tmin .. max\n")
	for i, s := range setups {
		fmt.Fprintf(table, "%s\t%.0f\t%.0f .. %.0f\n", s.name, median(results[i]), slices.Min(results[i]), slices.Max(results[i]))
	}
	fmt.Fprint(table, "\t\t\n", "ratio\tmedian\tmin .. max\ttarget\n")
	for _, c := range comparisons {
		r := ratios(results[c.numerator], results[c.denominator])
		fmt.Fprintf(table, "%s / %s\t%.2f\t%.2f .. %.2f\t%s\n",
			setups[c.numerator].name, setups[c.denominator].name, median(r), slices.Min(r), slices.Max(r), c.target)
	}
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
