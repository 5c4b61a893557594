package simulator

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"testing"
	"time"
)

func TestCallsAreCountedByPathWhateverTheirMerit(t *testing.T) {
	sim, _ := newTestSimulator(t)
	if n := sim.Calls(); n != 0 {
		t.Fatalf("%d calls before the first", n)
	}
	for _, target := range []string{V3RegisterPath, V3RegisterPath + "?gt=1", V4ValidatePath, "/", "/nothing"} {
		do(sim, http.MethodGet, target, "", "")
	}
	do(sim, http.MethodDelete, V4ValidatePath, "", "")
	for _, test := range []struct {
		paths []string
		want  int
	}{
		{[]string{V3RegisterPath}, 2},
		{[]string{V3ValidatePath}, 0},
		{[]string{V4ValidatePath}, 2},
		{[]string{TencentPath}, 1},
		{[]string{V3RegisterPath, V4ValidatePath}, 4},
		{nil, 6},
	} {
		if n := sim.Calls(test.paths...); n != test.want {
			t.Errorf("%d calls of %v, want %d", n, test.paths, test.want)
		}
	}
}

func TestLastCallIsWhatArrived(t *testing.T) {
	sim, _ := newTestSimulator(t)
	if call, ok := sim.LastCall(V4ValidatePath); ok {
		t.Fatalf("before the first: %+v", call)
	}
	post(t, sim, V4ValidatePath, url.Values{"lot_number": {"first"}})
	post(t, sim, testV4Target, url.Values{"lot_number": {"a&b=%26+c\n"}, "gen_time": {"1"}})
	want := Call{
		Method: http.MethodPost,
		Host:   "example.com",
		Path:   V4ValidatePath,
		Header: http.Header{"Content-Type": {formType}},
		Query:  url.Values{"captcha_id": {testV4.CaptchaID}},
		Form:   url.Values{"lot_number": {"a&b=%26+c\n"}, "gen_time": {"1"}},
		Body:   []byte("gen_time=1&lot_number=a%26b%3D%2526%2Bc%0A"),
	}
	got, ok := sim.LastCall(V4ValidatePath)
	if !ok || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	got.Form.Set("lot_number", "x")
	got.Header.Set("Content-Type", "x")
	if again, _ := sim.LastCall(V4ValidatePath); !reflect.DeepEqual(again, want) {
		t.Fatal("the caller changed the record")
	}
}

func TestAwaitCallsReturnsWhenTheyHaveArrived(t *testing.T) {
	sim, _ := newTestSimulator(t)
	done := make(chan error, 1)
	go func() { done <- sim.AwaitCalls(t.Context(), V3RegisterPath, 2) }()
	do(sim, http.MethodGet, V3RegisterPath, "", "")
	do(sim, http.MethodGet, V4ValidatePath, "", "")
	select {
	case err := <-done:
		t.Fatalf("returned after one (error %v)", err)
	default:
	}
	do(sim, http.MethodGet, V3RegisterPath, "", "")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gaveUp := errors.New("gave up")
	cancel(gaveUp)
	if err := sim.AwaitCalls(ctx, V3RegisterPath, 3); !errors.Is(err, gaveUp) {
		t.Fatalf("got error %v", err)
	}
}

func TestLedgerForgetsTheOldestAtItsSizeAndTheOldWithTime(t *testing.T) {
	start := time.Unix(1795237325, 0)
	l := newLedger[int]()
	l.size = 3
	known := func() (keys string) {
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			if l.get(key) != nil {
				keys += key
			}
		}
		return keys
	}
	for i, key := range []string{"a", "b", "c", "d"} {
		l.add(key, i, start.Add(time.Duration(i)*time.Second))
	}
	if got := known(); got != "bcd" {
		t.Fatalf("full: %s", got)
	}
	l.add("e", 4, start.Add(retention+2500*time.Millisecond)) // b and c are too old by then
	if got := known(); got != "de" {
		t.Fatalf("an hour later: %s", got)
	}
	if len(l.queue) != 2 {
		t.Fatalf("%d in the queue", len(l.queue))
	}
}
