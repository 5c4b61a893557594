package readings_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const corpus = "testdata/corpus"

// finding is a request that once ran a login of a server through the gate of a
// kind, or was thought to. As a line it is the three, quoted.
type finding struct {
	kind, server string
	request      request
}

func (f finding) String() string {
	return fmt.Sprintf("%q %q %+q", f.kind, f.server, f.request.String())
}

func parseFinding(line string) (f finding, err error) {
	var words []string
	for rest := line; rest != ""; rest = strings.TrimLeft(rest, " ") {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return f, fmt.Errorf("%s: %w", line, err)
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return f, fmt.Errorf("%s: %w", line, err)
		}
		words, rest = append(words, word), rest[len(quoted):]
	}
	if len(words) != 3 {
		return f, fmt.Errorf("%s: not a kind, a server and a request", line)
	}
	r, ok := parseRequest(expand(words[2]))
	if !ok {
		return f, fmt.Errorf("%s: no request", line)
	}
	return finding{words[0], words[1], r}, nil
}

// expand writes out {10001 x &}, which stands for so many of what follows.
func expand(text string) string {
	before, rest, ok := strings.Cut(text, "{")
	repeated, after, ok2 := strings.Cut(rest, "}")
	number, what, ok3 := strings.Cut(repeated, " x ")
	n, err := strconv.Atoi(number)
	if !ok || !ok2 || !ok3 || err != nil {
		return text
	}
	return before + strings.Repeat(what, n) + expand(after)
}

// readCorpus returns the findings of a file, which may be missing.
func readCorpus(t *testing.T, name string) (findings []finding) {
	t.Helper()
	file, err := os.Open(filepath.Join(corpus, name))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f, err := parseFinding(line)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		findings = append(findings, f)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return findings
}

// addFinding appends a finding to the corpus.
func addFinding(f finding) error {
	file, err := os.OpenFile(filepath.Join(corpus, "found.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // a file of the sources
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, f)
	return errors.Join(err, file.Close())
}

// TestCorpus replays what was found before: it still runs its login when the
// server is asked directly, and does not through the gate.
func TestCorpus(t *testing.T) {
	replay(t, []string{"known.txt", "found.txt"}, func(f finding, logins []string) {
		if len(logins) > 0 {
			t.Errorf("%s ran %s", f, strings.Join(logins, ", "))
		}
	})
}

// TestOpen replays what is known to get through. What does no longer has to
// move to known.txt.
func TestOpen(t *testing.T) {
	replay(t, []string{"open.txt"}, func(f finding, logins []string) {
		if len(logins) == 0 {
			t.Errorf("%s no longer gets through: move it from open.txt to known.txt", f)
		}
	})
}

// replay sends the findings of files through their gates and checks what ran.
func replay(t *testing.T, files []string, check func(finding, []string)) {
	r := newRun(t)
	w := r.newWorker()
	defer w.close()
	replayed := 0
	for _, file := range files {
		for _, f := range readCorpus(t, file) {
			i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == f.kind })
			if i < 0 {
				t.Errorf("%s: no such kind of matcher", f)
				continue
			}
			j := slices.IndexFunc(r.servers, func(s *server) bool { return s.name == f.server })
			if j < 0 {
				continue // left out, as was said
			}
			k, s := kinds[i], r.servers[j]
			arrived := r.gates.evaluate(k.bare(), f.request)
			if arrived == nil || k.needs.met(w.ask(*arrived, []*server{s})[s]) == nil {
				t.Errorf("%s runs no login when %s is asked directly", f, s.name)
			}
			check(f, w.passes(k, s, f.request))
			replayed++
		}
	}
	t.Logf("%d findings replayed", replayed)
}
