package verifiertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

// private is what nothing may hold that others get to see.
func (s *suite) private() []string {
	texts := slices.Concat(s.Proof, s.Secrets, []string{testUser, testClient.IP.String()})
	for _, o := range s.Options {
		if text, ok := o.Value.(string); ok && o.Role == RoleSecret {
			texts = append(texts, text)
		}
	}
	return texts
}

func (s *suite) expectNothingPrivate(t testing.TB, where, text string) {
	t.Helper()
	for _, private := range s.private() {
		if strings.Contains(text, private) {
			t.Errorf("%s: %q holds %q", where, text, private)
		}
	}
}

// expectDiscreet tests that a verdict tells nothing private, nor a URL, which
// may have anything in its query.
func (s *suite) expectDiscreet(t testing.TB, where string, v verifier.Verdict) {
	t.Helper()
	text := fmt.Sprintf("%+v %#v", v, v)
	s.expectNothingPrivate(t, where, text)
	if strings.Contains(text, "://") {
		t.Errorf("%s: %q holds a URL", where, text)
	}
}

// echoes are the places in an answer where a service can repeat what it got.
var echoes = map[string]string{
	"status line": "%s\r\n\r\n",
	"version":     "HTTP/%s 200 OK\r\n\r\n",
	"status code": "HTTP/1.1 %s\r\n\r\n",
	"status text": "HTTP/1.1 500 %s\r\n\r\n",
	"header":      statusLine + "%s\r\n\r\n",
	"header name": statusLine + "%s: a\r\n\r\n",
	"length":      statusLine + "Content-Length: %s\r\n\r\n",
	"encoding":    statusLine + "Transfer-Encoding: %s\r\n\r\n",
	"location":    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/%s\r\nContent-Length: 0\r\n\r\n",
	"cookie":      "HTTP/1.1 403 Forbidden\r\nSet-Cookie: %s\r\nContent-Length: 0\r\n\r\n",
	"chunk":       chunked + "%s\r\n",
	"trailer":     chunked + "2\r\n{}\r\n0\r\n%s\r\n",
	"body":        statusLine + "\r\n%s",
	"broken JSON": statusLine + "\r\n{\"%s",
	"JSON name":   statusLine + "\r\n{\"%s\":1}",
}

// A service that turns on us can answer with all that we sent it, in any part
// of an answer.
func (s *suite) testEchoes(t *testing.T, c call) {
	for name, format := range echoes {
		verdict := s.verdict(t, c, "http://"+listening(t, func(conn net.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = fmt.Fprintf(conn, format, s.sent(r))
		}), forever)
		if verdict.Result == verifier.Passed {
			t.Errorf("%s: an echo passed", name)
		}
		s.expectDiscreet(t, name, verdict)
	}
	var answer func(sent string) []byte
	v := s.at(t, serving(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(answer(s.sent(r))) }), forever)
	for _, one := range c.Answers {
		texts(decode(t, one.Body), func(replaced func(string) members) {
			answer = func(sent string) []byte { return encode(replaced(sent)) }
			s.expectDiscreet(t, string(answer("…")), made(t, func() verifier.Verdict { return c.do(t.Context(), v) }))
		})
	}
}

// sent is a request, and the private texts as they are instead of in their
// encodings, in one line.
func (s *suite) sent(r *http.Request) string {
	dump, _ := httputil.DumpRequest(r, true)
	return strings.NewReplacer("\r\n", " ", `"`, "'").Replace(string(dump) + strings.Join(s.private(), " "))
}

// texts visits each member that is a text, at any depth, with a function that
// replaces it.
func texts(m members, visit func(replaced func(string) members)) {
	for i, one := range m {
		with := func(value any) members { return slices.Replace(slices.Clone(m), i, i+1, member{one.name, value}) }
		switch value := one.value.(type) {
		case string:
			visit(func(text string) members { return with(text) })
			visit(func(text string) members { return with(value + "." + text) })
		case members:
			texts(value, func(replaced func(string) members) {
				visit(func(text string) members { return with(replaced(text)) })
			})
		}
	}
}

// testChallenge tests what a browser gets.
func (s *suite) testChallenge(t *testing.T) {
	url := answering(t, http.StatusNotFound, "")
	if s.Challenge != nil {
		url = answering(t, http.StatusOK, s.Challenge.Answers[0].Body)
	}
	v, ok := s.at(t, url, forever).(verifier.Challenger)
	if !ok {
		return // a verifier without a widget
	}
	s.issued(t, v, testClient)
	if s.Challenge == nil {
		return
	}
	for _, answer := range s.Challenge.Answers[1:] {
		v := s.at(t, answering(t, http.StatusOK, answer.Body), forever).(verifier.Challenger)
		switch challenge, failure := v.Challenge(t.Context(), testClient, testUser); {
		case challenge != nil:
			t.Errorf("%s yields the challenge %v", answer.Body, challenge)
		case failure.Result != verifier.Unknown && failure.Result != verifier.Overloaded && failure.Result != verifier.Misconfigured:
			t.Errorf("%s is the failure %v", answer.Body, failure.Result)
		}
	}
}

// issued is a challenge, and tests what holds for each.
func (s *suite) issued(t testing.TB, v verifier.Challenger, client verifier.Client) any {
	t.Helper()
	challenge, failure := v.Challenge(t.Context(), client, testUser)
	if challenge == nil || failure != (verifier.Verdict{}) {
		t.Fatalf("the challenge is %v, and the failure %+v", challenge, failure)
	}
	text, err := json.Marshal(challenge)
	if err != nil {
		t.Fatal(err)
	}
	s.expectNothingPrivate(t, "the challenge", fmt.Sprintf("%s %+v", text, challenge))
	var members struct{ Provider, Script string }
	provider, _ := v.Captcha()
	if err := json.Unmarshal(text, &members); err != nil || members.Provider != provider {
		t.Errorf("%s is no object with the provider %q (%v)", text, provider, err)
	}
	hosted := false // the script is
	if h, ok := v.(verifier.Hosted); ok {
		_, hosted = h.Files()[members.Script]
	}
	if !hosted && !strings.Contains(members.Script, "://") {
		t.Errorf("%q is neither the URL of a script nor one of the verifier's own", members.Script)
	}
	for directive, sources := range v.Sources() {
		for i := range sources {
			sources[i] = "*"
		}
		if slices.Contains(v.Sources()[directive], "*") {
			t.Errorf("the sources of %s are not the caller's", directive)
		}
	}
	if !hosted && len(v.Sources()["script-src"]) == 0 {
		t.Error("no source allows the script")
	}
	return challenge
}

// Calls that are made at once do not get in each other's way. (That the race
// detector is silent is half of it.)
func (s *suite) testConcurrency(t *testing.T, c call) {
	v := s.at(t, serving(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, c.Answers[0].Body)
	}), forever)
	key, fingerprint := v.ReplayKey(s.Proof), v.Fingerprint()
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			for range 8 {
				expect(t, c.do(t.Context(), v), verifier.Passed, "")
				if verdict := v.Check(s.Proof, s.Now, maxAge); verdict != (verifier.Verdict{}) {
					t.Errorf("the check says %+v", verdict)
				}
				if v.ReplayKey(s.Proof) != key || v.Fingerprint() != fingerprint || len(v.Parameters()) != len(s.Proof) {
					t.Error("the verifier changes")
				}
			}
		})
	}
	running.Wait()
}
