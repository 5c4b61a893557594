package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxScripted bounds how many faults may wait in the script.
const maxScripted = 100

// Kind is what a fault does to the answer.
type Kind string

// The kinds of fault.
const (
	// Answer gives the genuine answer, only later: see Delay and Hold.
	Answer Kind = ""
	// Respond gives the answer in Status, Location and Body instead of the
	// genuine one: an error status, a redirect, an empty body, wrong JSON.
	Respond Kind = "respond"
	// Stall sends nothing and keeps the connection open.
	Stall Kind = "stall"
	// StallInHeaders sends half the header section and keeps the connection
	// open. Where it cannot be had, on HTTP/2, it is Stall.
	StallInHeaders Kind = "stall_in_headers"
	// StallInBody sends the header section and half the body and keeps the
	// connection open.
	StallInBody Kind = "stall_in_body"
	// Reset closes the connection without an answer, with a TCP RST. On
	// HTTP/2 it resets the stream.
	Reset Kind = "reset"
	// Endless sends a body that does not end, as JSON that is not yet wrong.
	Endless Kind = "endless"
)

// Fault is a failure of the providers' endpoints, set with
// [Simulator.Fail] or [Simulator.FailNext]. The call is counted and recorded
// all the same. An answer that does not come, or does not end, is broken off
// when the client leaves, or else after a minute or 64 MiB.
//
// POST /fault sets one over HTTP. It takes the parameters path, kind, delay
// (such as 3s), status, location and body, and times: how many calls it hits.
// Without times it stays until DELETE /fault. Parameters may be in the URL or
// in an urlencoded body:
//
//	curl -d kind=reset localhost:9000/fault
//	curl -d kind=respond -d status=503 -d times=3 localhost:9000/fault
//	curl -X DELETE localhost:9000/fault
type Fault struct {
	// Path is the endpoint that fails, such as V4ValidatePath. Default: all
	// of the providers' endpoints.
	Path string

	// Kind is what happens. Default: Answer.
	Kind Kind

	// Delay is waited first, a minute at most. Default: 0.
	Delay time.Duration

	// Hold, if set, is waited for after Delay, until it is closed.
	Hold <-chan struct{}

	// Status is the status that Respond sends. Default: 200.
	Status int

	// Location is the Location header that Respond sends with a status 3xx.
	Location string

	// Body is the body that Respond sends, as application/json, and if it is
	// JSON, to the callback that a JSONP call names. Default: empty.
	Body string

	answer answer // what Respond sends, in the form of the endpoint's
}

func (f Fault) validate() error {
	switch f.Kind {
	case Respond:
		if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
			return errors.New("status must be from 200 to 599")
		}
		if f.Location != "" && f.Status/100 != 3 {
			return errors.New("location needs a status 3xx")
		}
	case Answer, Stall, StallInHeaders, StallInBody, Reset, Endless:
		if f.Status != 0 || f.Location != "" || f.Body != "" {
			return errors.New("status, location and body need the kind respond")
		}
	default:
		return fmt.Errorf("kind must be %s, %s, %s, %s, %s, %s, or nothing for the genuine answer", Respond, Stall, StallInHeaders, StallInBody, Reset, Endless)
	}
	if f.Path != "" && !slices.Contains(providerPaths, f.Path) {
		return fmt.Errorf("path must be one of %q, or nothing for all", providerPaths)
	}
	if f.Delay < 0 || f.Delay > maxFault {
		return fmt.Errorf("delay must be from 0 to %s", maxFault)
	}
	return nil
}

// faults holds the faults that are set.
type faults struct {
	mu       sync.Mutex
	script   []scripted       // each for some calls, first come first served
	standing map[string]Fault // by path; for the calls the script leaves
}

type scripted struct {
	Fault
	left int
}

// Fail makes all calls of the fault's path fail until Heal, in place of a
// fault that Fail set for the path before. It panics on a fault that makes no
// sense.
func (s *Simulator) Fail(fault Fault) {
	if err := s.faults.set(fault, 0); err != nil {
		panic("simulator: " + err.Error())
	}
}

// FailNext makes the next n calls of the fault's path fail, after those that
// earlier FailNext are still to hit and before any fault of Fail. It panics on
// a fault that makes no sense, and when 100 are waiting.
func (s *Simulator) FailNext(n int, fault Fault) {
	if n < 1 {
		panic("simulator: FailNext of no calls")
	}
	if err := s.faults.set(fault, n); err != nil {
		panic("simulator: " + err.Error())
	}
}

// Heal removes all faults. It does not touch calls that have met theirs.
func (s *Simulator) Heal() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.script, s.faults.standing = nil, nil
}

// set adds a fault for the next times calls, or a standing one when times is 0.
func (f *faults) set(fault Fault, times int) error {
	if err := fault.validate(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case times == 0:
		if f.standing == nil {
			f.standing = make(map[string]Fault)
		}
		f.standing[fault.Path] = fault
	case len(f.script) == maxScripted:
		return errors.New("too many faults are waiting")
	default:
		f.script = append(f.script, scripted{fault, times})
	}
	return nil
}

// next returns the fault that a call of the path meets, if any.
func (f *faults) next(path string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.script {
		fault := &f.script[i]
		if fault.Path != "" && fault.Path != path {
			continue
		}
		hit := fault.Fault
		if fault.left--; fault.left == 0 {
			f.script = append(f.script[:i:i], f.script[i+1:]...)
		}
		return hit, true
	}
	if fault, ok := f.standing[path]; ok {
		return fault, true
	}
	fault, ok := f.standing[""]
	return fault, ok
}

// serveFault serves POST and DELETE /fault.
func (s *Simulator) serveFault(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		s.Heal()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	form, ok := controlForm(w, r, "path", "kind", "delay", "status", "location", "body", "times")
	if !ok {
		return
	}
	fault := Fault{
		Path:     form.Get("path"),
		Kind:     Kind(form.Get("kind")),
		Location: form.Get("location"),
		Body:     form.Get("body"),
	}
	times := 0
	err := errors.Join(
		parse(form, "delay", &fault.Delay, time.ParseDuration),
		parse(form, "status", &fault.Status, strconv.Atoi),
		parse(form, "times", &times, positive),
	)
	if err == nil {
		err = s.faults.set(fault, times)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func positive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && n < 1 {
		err = errors.New("must be at least 1")
	}
	return n, err
}
