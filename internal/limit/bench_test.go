package limit

import (
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

var benchmarkRules = Rules{Slots: 256, PerClient: 16, Failures: 60}

// BenchmarkCall is a call of a genuine client while nothing else happens.
func BenchmarkCall(b *testing.B) {
	l, c := New(benchmarkRules), client("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		call, _ := l.Acquire(c)
		call.Release(false)
	}
}

// BenchmarkRefusedCall is a call of a client whose failures are used up.
func BenchmarkRefusedCall(b *testing.B) {
	l, c := New(benchmarkRules), client("192.0.2.1")
	for range benchmarkRules.Failures {
		call, _ := l.Acquire(c)
		call.Release(true)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := l.Acquire(c); ok {
			b.Fatal("allowed")
		}
	}
}

// BenchmarkParallelCalls shows what the one lock costs when all processors do
// nothing but take it.
func BenchmarkParallelCalls(b *testing.B) {
	l := New(benchmarkRules)
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := NewClient(netip.AddrFrom4([4]byte{192, 0, byte(next.Add(1)), 1}))
		for pb.Next() {
			call, _ := l.Acquire(c)
			call.Release(false)
		}
	})
}

// BenchmarkRotation is a failing call of one of a million clients, while as
// many failures are remembered as can be, and shows how many bytes they take.
func BenchmarkRotation(b *testing.B) {
	for name, addr := range rotations {
		b.Run(name, func(b *testing.B) {
			before := heapInUse()
			l, now := at(benchmarkRules)
			fail := func(i int) {
				*now += time.Microsecond
				call, ok := l.Acquire(NewClient(addr(i)))
				if ok {
					call.Release(true)
				}
			}
			i := 0
			for ; i < 200_000; i++ {
				fail(i)
			}
			b.ReportAllocs()
			for b.Loop() {
				fail(i % 1_000_000)
				i++
			}
			b.ReportMetric(float64(heapInUse()-before), "heap-bytes")
			b.ReportMetric(float64(entries(l)), "entries")
		})
	}
}

// BenchmarkAfterSilence is a call in the time after a minute of silence that
// followed on as many failures as are remembered, each of another network.
func BenchmarkAfterSilence(b *testing.B) {
	addr, c := rotations["IPv6 /48s"], client("192.0.2.1")
	l, now := at(benchmarkRules)
	for b.Loop() {
		if len(l.failures) == 0 {
			b.StopTimer()
			for i := range maxRemembered {
				call, _ := l.Acquire(NewClient(addr(i)))
				call.Release(true)
			}
			*now += time.Minute
			b.StartTimer()
		}
		call, _ := l.Acquire(c)
		call.Release(false)
	}
}

// BenchmarkMemory is a body that arrives in one piece.
func BenchmarkMemory(b *testing.B) {
	m, c := NewMemory(256<<20), client("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		s := m.For(c)
		s.Take(4096)
		s.Return(4096)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
