package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// status returns a fault that can be told from others by its status.
func status(code int) Fault {
	return Fault{Kind: Respond, Status: code}
}

// statuses calls bypass_status.php n times.
func statuses(sim *Simulator, n int) string {
	var got []string
	for range n {
		got = append(got, fmt.Sprint(do(sim, http.MethodGet, V3BypassPath, "", "").Code))
	}
	return strings.Join(got, " ")
}

func TestFaultsHitTheCallsTheyAreSetFor(t *testing.T) {
	sim, _ := newTestSimulator(t)
	sim.Fail(status(501))
	sim.Fail(Fault{Path: V3BypassPath, Kind: Respond, Status: 502})
	sim.FailNext(2, status(503))
	sim.FailNext(1, Fault{Path: V4ValidatePath, Kind: Respond, Status: 504})
	sim.FailNext(1, status(505))
	if got, want := statuses(sim, 5), "503 503 505 502 502"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	for _, want := range []int{504, 501} {
		if got := do(sim, http.MethodGet, V4ValidatePath, "", "").Code; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	sim.FailNext(1, status(503))
	sim.Heal()
	if got, want := statuses(sim, 2), "200 200"; got != want {
		t.Fatalf("healed: got %s, want %s", got, want)
	}
}

func TestFailReplacesTheStandingFaultOfThePath(t *testing.T) {
	sim, _ := newTestSimulator(t)
	sim.Fail(status(501))
	sim.Fail(status(502))
	if got, want := statuses(sim, 2), "502 502"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestRespondSendsWhatItIsTold(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for name, test := range map[string]struct {
		fault          Fault
		status         int
		location, body string
	}{
		"empty":       {Fault{Kind: Respond}, 200, "", ""},
		"status":      {Fault{Kind: Respond, Status: 429}, 429, "", ""},
		"wrong JSON":  {Fault{Kind: Respond, Body: `{"seccode":false`}, 200, "", `{"seccode":false`},
		"redirect":    {Fault{Kind: Respond, Status: 307, Location: "http://169.254.169.254/"}, 307, "http://169.254.169.254/", ""},
		"error page":  {Fault{Kind: Respond, Status: 502, Body: "<h1>Bad Gateway</h1>"}, 502, "", "<h1>Bad Gateway</h1>"},
		"for a while": {Fault{Kind: Respond, Delay: time.Nanosecond, Status: 500}, 500, "", ""},
	} {
		sim.FailNext(1, test.fault)
		w := do(sim, http.MethodGet, V3BypassPath, "", "")
		if w.Code != test.status || w.Header().Get("Location") != test.location || w.Body.String() != test.body {
			t.Errorf("%s: got %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
}

func TestFaultsAreSetOverHTTP(t *testing.T) {
	sim, _ := newTestSimulator(t)
	set := func(target, body string) {
		t.Helper()
		if w := do(sim, http.MethodPost, target, formType, body); w.Code != http.StatusNoContent {
			t.Fatalf("POST %s %s: %d %s", target, body, w.Code, w.Body)
		}
	}
	set("/fault", "kind=respond&status=503&times=2")
	set("/fault?kind=respond&status=307&location=http://127.0.0.1:1/&body=x&path=/v1/bypass_status.php&delay=1ns", "")
	if got, want := statuses(sim, 4), "503 503 307 307"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	w := do(sim, http.MethodGet, V3BypassPath, "", "")
	if w.Header().Get("Location") != "http://127.0.0.1:1/" || w.Body.String() != "x" {
		t.Fatalf("got %v %s", w.Header(), w.Body)
	}
	if w := do(sim, http.MethodDelete, "/fault", "", ""); w.Code != http.StatusNoContent {
		t.Fatalf("DELETE /fault: %d", w.Code)
	}
	if got, want := statuses(sim, 1), "200"; got != want {
		t.Fatalf("healed: got %s, want %s", got, want)
	}
	if n := sim.Calls(); n != sim.Calls(V3BypassPath) {
		t.Fatal("calls of /fault are counted as calls of a provider")
	}
}

// nonsense are faults that make no sense, with the error they get.
var nonsense = map[string]struct {
	fault       Fault
	query, want string
}{
	"kind":             {Fault{Kind: "explode"}, "kind=explode", "kind must be"},
	"path":             {Fault{Path: "/solve/tencent"}, "path=/solve/tencent", "path must be"},
	"status too low":   {Fault{Kind: Respond, Status: 101}, "kind=respond&status=101", "status must be"},
	"status too high":  {Fault{Kind: Respond, Status: 600}, "kind=respond&status=600", "status must be"},
	"status of reset":  {Fault{Kind: Reset, Status: 503}, "kind=reset&status=503", "need the kind respond"},
	"body of nothing":  {Fault{Body: "x"}, "body=x", "need the kind respond"},
	"location of 200":  {Fault{Kind: Respond, Location: "/"}, "kind=respond&location=/", "location needs"},
	"negative delay":   {Fault{Delay: -1}, "delay=-1ns", "delay must be"},
	"too long a delay": {Fault{Delay: time.Hour}, "delay=1h", "delay must be"},
}

func TestFaultsThatMakeNoSenseAreRefused(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for name, test := range nonsense {
		for function, set := range map[string]func(){
			"Fail":     func() { sim.Fail(test.fault) },
			"FailNext": func() { sim.FailNext(1, test.fault) },
		} {
			if got := panicText(set); !strings.Contains(got, test.want) {
				t.Errorf("%s: %s panics with %q, want %q", name, function, got, test.want)
			}
		}
		if w := do(sim, http.MethodPost, "/fault?"+test.query, "", ""); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: over HTTP: %d %s, want %q", name, w.Code, w.Body, test.want)
		}
	}
	if got := panicText(func() { sim.FailNext(0, Fault{}) }); !strings.Contains(got, "no calls") {
		t.Errorf("FailNext(0) panics with %q", got)
	}
	for _, query := range []string{"times=0", "times=x", "delay=3", "status=ok", "timess=1", "times=1&times=2"} {
		if w := do(sim, http.MethodPost, "/fault?"+query, "", ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
	if got, want := statuses(sim, 1), "200"; got != want {
		t.Fatalf("a refused fault was set: got %s", got)
	}
}

func panicText(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return ""
}

func TestTheFaultScriptIsBounded(t *testing.T) {
	sim, _ := newTestSimulator(t)
	for range maxScripted {
		sim.FailNext(1, status(503))
	}
	if w := do(sim, http.MethodPost, "/fault?kind=reset&times=1", "", ""); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "too many") {
		t.Fatalf("one too many: %d %s", w.Code, w.Body)
	}
}
