package main

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/bench/asking"
)

func TestMedianIsTheMiddleWhateverTheOrder(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{8, 2, 100, 4}, 6},
	} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("median reordered %v to %v", before, c.values)
		}
	}
}

func TestRatiosDivideRoundByRound(t *testing.T) {
	got := ratios([]float64{10, 30, 8}, []float64{5, 10, 16})
	if want := []float64{2, 3, 0.5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestProofsHaveTheShapeOfRealOnesAndAreFresh(t *testing.T) {
	a, b := newProof(), newProof()
	for _, c := range []struct{ name, value, pattern string }{
		{"lot_number", a.lotNumber, `^[0-9a-f]{32}$`},
		{"captcha_output", a.captchaOutput, `^[0-9A-Za-z_-]{236}$`},
		{"pass_token", a.passToken, `^[0-9a-f]{64}$`},
	} {
		if !regexp.MustCompile(c.pattern).MatchString(c.value) {
			t.Errorf("%s %q does not match %s", c.name, c.value, c.pattern)
		}
	}
	seconds, err := strconv.ParseInt(a.genTime, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age < 0 || age > time.Minute {
		t.Errorf("gen_time %q is not the time now", a.genTime)
	}
	if a.lotNumber == b.lotNumber || a.passToken == b.passToken || a.captchaOutput == b.captchaOutput {
		t.Error("two proofs share a value")
	}
}

// The servers of the comparison are right before they are fast.
func TestSidecarAnswersAsTheProviderSays(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go serveLean(listener, provider()) //nolint:errcheck // it ends with the listener
	guard := sidecar{asking.Asker{Client: http.DefaultClient, Endpoint: "http://" + listener.Addr().String()}}
	request := func(withProof bool) *http.Request {
		text := load{path: "/login", withProof: withProof}.request()
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		withProof bool
		status    int
	}{{true, http.StatusOK}, {false, http.StatusForbidden}} {
		answer := httptest.NewRecorder()
		guard.ServeHTTP(answer, request(c.withProof))
		if answer.Code != c.status {
			t.Errorf("proof %v: status %d, want %d", c.withProof, answer.Code, c.status)
		}
	}
}

func TestProviderRefusesAWrongSignature(t *testing.T) {
	_, answer := provider()("/validate?captcha_id="+asking.CaptchaID,
		[]byte("lot_number=0123456789abcdef&captcha_output=a&pass_token=b&gen_time=1&sign_token="+asking.Sign("another")))
	if !strings.Contains(answer, `"sign_token error"`) {
		t.Errorf("got %s", answer)
	}
}

func TestAWrongStatusFailsTheLoad(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "overloaded", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	_, err := load{path: "/login", withProof: true, status: http.StatusOK, requests: 20, connections: 4}.run(t.Context(), server.Listener.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "503 Service Unavailable: overloaded\n:20") {
		t.Errorf("got %v", err)
	}
}

// TestProcessorTime: the numbers are those behind the name, which may look like
// more of them.
func TestProcessorTime(t *testing.T) {
	got, err := parseStat("4242 (a b) S 1 2) S 1 4242 4242 0 -1 4194304 1 2 3 4 150 50 7 8 20 0 1 0 100")
	if want := 2 * time.Second; err != nil || got != want {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if _, err := parseStat("1 (x) S 1"); err == nil {
		t.Error("a line without the numbers is taken")
	}
}
