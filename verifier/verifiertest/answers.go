package verifiertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// bodies is a service whose answers can be set.
type bodies struct {
	url  string
	body atomic.Pointer[string]
}

func newBodies(t testing.TB) *bodies {
	b := new(bodies)
	b.url = serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, *b.body.Load()) })
	return b
}

// judge returns a function that returns the verdict on a body.
func (s *suite) judge(t *testing.T, c call) func(body string) verifier.Verdict {
	service := newBodies(t)
	v := s.at(t, service.url, forever)
	return func(body string) verifier.Verdict {
		t.Helper()
		service.body.Store(&body)
		return made(t, func() verifier.Verdict { return c.do(t.Context(), v) })
	}
}

func (s *suite) testAnswers(t *testing.T, c call) {
	if len(c.Answers) < 2 || c.Answers[0].Result != verifier.Passed {
		t.Fatal("the subject needs an answer that passes, and then some that do not")
	}
	judge := s.judge(t, c)
	for _, answer := range c.Answers {
		verdict := judge(answer.Body)
		if verdict.Result != answer.Result || verdict.Reason != answer.Reason {
			t.Errorf("%s is %v %q (%v), want %v %q", answer.Body, verdict.Result, verdict.Reason, verdict.Err, answer.Result, answer.Reason)
		}
	}
}

// What is not one JSON object is not the protocol's answer.
func (s *suite) testBodies(t *testing.T, c call) {
	judge, pass := s.judge(t, c), c.Answers[0].Body
	others := map[string]string{
		"empty": "", "HTML": "<!doctype html><title>success</title>", "text": "success", "null": "null", "true": "true",
		"a number": "1", "an empty object": "{}", "an array": "[" + pass + "]", "two documents": pass + pass,
		"trailing garbage": pass + "x", "a byte mark": "\ufeff" + pass, "as text": string(encode(pass)),
		"inside another": `{"data":` + pass + "}",
	}
	for end := range pass {
		others[fmt.Sprintf("cut after %d bytes", end)] = pass[:end]
	}
	for name, body := range others {
		if verdict := judge(body); verdict.Result != verifier.Unknown || verdict.Reason != verifier.ReasonAnswer {
			t.Errorf("%s: %v %q", name, verdict.Result, verdict.Reason)
		}
	}
}

// No answer passes with a member missing, of another type or there twice, but
// for what is listed as harmless.
func (s *suite) testMutations(t *testing.T, c call) {
	judge := s.judge(t, c)
	for _, answer := range c.Answers {
		tried, used := 0, make(map[string]Change)
		mutate(decode(t, answer.Body), "", func(m mutation) {
			tried++
			text := encode(m.answer)
			verdict := judge(string(text))
			harmless := answer.Harmless[m.path]&m.change != 0
			switch {
			case m.change == 0 && verdict.Reason != verifier.ReasonAnswer:
				t.Errorf("%s is there twice, and the verdict %v %q: %s", m.path, verdict.Result, verdict.Reason, text)
			case harmless && answer.Result == verifier.Passed && verdict.Result != verifier.Passed:
				t.Errorf("a harmless change of %s makes it %v %q: %s", m.path, verdict.Result, verdict.Reason, text)
			case !harmless && verdict.Result == verifier.Passed:
				t.Errorf("a change of %s passes: %s", m.path, text)
			}
			used[m.path] |= m.change
		})
		if tried < 20 {
			t.Errorf("only %d changes of %s were tried", tried, answer.Body)
		}
		for path := range answer.Harmless {
			if used[path] == 0 {
				t.Errorf("%s is listed as harmless, and %s has no such member", path, answer.Body)
			}
		}
	}
}

// members are the members of a JSON object in their order. Unlike a map they
// can hold one twice.
type members []member

type member struct {
	name  string
	value any // members, or what encoding/json decodes to
}

// decode decodes an answer.
func decode(t testing.TB, answer string) members {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(answer))
	decoder.UseNumber()
	object, ok := decodeNext(t, decoder).(members)
	if !ok {
		t.Fatalf("%s is no JSON object", answer)
	}
	return object
}

func decodeNext(t testing.TB, decoder *json.Decoder) any {
	t.Helper()
	token := nextToken(t, decoder)
	switch token {
	case json.Delim('{'):
		all := members{}
		for decoder.More() {
			name, _ := nextToken(t, decoder).(string)
			all = append(all, member{name, decodeNext(t, decoder)})
		}
		nextToken(t, decoder)
		return all
	case json.Delim('['):
		all := []any{}
		for decoder.More() {
			all = append(all, decodeNext(t, decoder))
		}
		nextToken(t, decoder)
		return all
	}
	return token
}

func nextToken(t testing.TB, decoder *json.Decoder) json.Token {
	t.Helper()
	token, err := decoder.Token()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// MarshalJSON encodes the members in their order.
func (m members) MarshalJSON() ([]byte, error) {
	var parts []string
	for _, one := range m {
		parts = append(parts, string(encode(one.name))+":"+string(encode(one.value)))
	}
	return []byte("{" + strings.Join(parts, ",") + "}"), nil
}

// encode encodes what was decoded, which cannot fail.
func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

// mutation is an answer that differs from another in one member.
type mutation struct {
	path   string
	change Change // 0: the member is there twice
	answer members
}

// mutate visits what differs from m in one member, at any depth.
func mutate(m members, path string, visit func(mutation)) {
	for i, one := range m {
		at := path + one.name
		replaced := func(others ...member) members { return slices.Replace(slices.Clone(m), i, i+1, others...) }
		visit(mutation{at, Removed, replaced()})
		for _, value := range []any{nil, true, false, json.Number("0"), json.Number("1"), json.Number("1.5"), "", "1", "success", []any{}, []any{one.value}, members{}, members{one}} {
			change := Retyped
			if value == nil {
				change = Null
			}
			if fmt.Sprintf("%T", value) != fmt.Sprintf("%T", one.value) {
				visit(mutation{at, change, replaced(member{one.name, value})})
			}
		}
		for _, name := range []string{one.name, strings.ToUpper(one.name), strings.ToLower(one.name)} {
			visit(mutation{at, 0, replaced(one, member{name, one.value})})
			visit(mutation{at, 0, replaced(member{name, "x"}, one)})
			visit(mutation{at, 0, replaced(one, member{name, nil})})
		}
		if inner, ok := one.value.(members); ok {
			mutate(inner, at+".", func(m mutation) {
				visit(mutation{m.path, m.change, replaced(member{one.name, m.answer})})
			})
		}
	}
}
