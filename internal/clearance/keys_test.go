package clearance

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestKeysAreLoadedAtFirstUseAndOnce(t *testing.T) {
	loads := 0
	keys := NewKeys(func() ([][]byte, error) { loads++; return [][]byte{first}, nil })
	i := New(keys, byIP())
	for _, value := range []string{"", "junk", strings.Repeat("A", textSize)} {
		cookie := mustIssue(t, New(testKeys(first), byIP()), browser)
		cookie.Value = value
		if _, state, err := i.Check(headerOf(cookie), browser, testNow, nil); state != Invalid || err != nil {
			t.Error(state, err)
		}
	}
	if loads != 0 {
		t.Errorf("loaded %d times for cookies that cannot be any", loads)
	}
	for range 3 {
		mustIssue(t, i, browser)
		if _, err := keys.Derive(PurposeUserID, "signup"); err != nil {
			t.Error(err)
		}
	}
	if loads != 1 {
		t.Errorf("loaded %d times, want 1", loads)
	}
}

func TestFailedLoadIsTriedAgain(t *testing.T) {
	cookie := mustIssue(t, New(testKeys(first), byIP()), browser)
	locked := errors.New("the storage is locked")
	loads := 0
	i := New(NewKeys(func() ([][]byte, error) {
		switch loads++; loads {
		case 1, 3:
			return nil, locked
		case 2:
			return [][]byte{first}, locked
		}
		return [][]byte{first}, nil
	}), byIP())
	for n := range 3 {
		var state State
		var err error
		if n%2 == 0 {
			_, state, err = i.Check(headerOf(cookie), browser, testNow, nil)
		} else {
			_, _, err = i.Issue(browser, testNow)
		}
		if !errors.Is(err, locked) || state != Absent {
			t.Errorf("attempt %d: %v, %v", n, state, err)
		}
	}
	for range 2 {
		if _, state, err := i.Check(headerOf(cookie), browser, testNow, nil); state != Valid || err != nil {
			t.Error(state, err)
		}
	}
	if loads != 4 {
		t.Errorf("loaded %d times, want 4", loads)
	}
}

func TestPanickingLoadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loads := 0
		storage := make(chan struct{})
		keys := NewKeys(func() ([][]byte, error) {
			if loads++; loads == 1 {
				<-storage
				panic("storage")
			}
			return [][]byte{first}, nil
		})
		go func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			keys.Derive(PurposeClearance, "login")
		}()
		synctest.Wait()
		go func() { // waits for the one that panics
			if derived, err := keys.Derive(PurposeClearance, "login"); err == nil {
				t.Errorf("%d keys and no error", len(derived))
			}
		}()
		synctest.Wait()
		close(storage)
		synctest.Wait()
		if derived, err := keys.Derive(PurposeClearance, "login"); len(derived) != 1 || err != nil {
			t.Errorf("%d keys, %v", len(derived), err)
		}
	})
}

// TestParallelUsersShareALoad lets many ask while the storage takes its time.
// None of them loads again what another one loads, good or bad.
func TestParallelUsersShareALoad(t *testing.T) {
	for _, want := range []error{nil, errors.New("the storage is locked")} {
		synctest.Test(t, func(t *testing.T) {
			var loads, done atomic.Int32
			storage := make(chan struct{})
			i := New(NewKeys(func() ([][]byte, error) {
				loads.Add(1)
				<-storage
				return [][]byte{first}, want
			}), byIP())
			var users sync.WaitGroup
			for range 64 {
				users.Go(func() {
					if _, _, err := i.Issue(browser, testNow); !errors.Is(err, want) {
						t.Errorf("error %v, want %v", err, want)
					}
					done.Add(1)
				})
			}
			synctest.Wait()
			if done.Load() != 0 {
				t.Error("somebody did not wait for the key")
			}
			close(storage)
			users.Wait()
			if loads.Load() != 1 {
				t.Errorf("loaded %d times, want 1", loads.Load())
			}
		})
	}
}

func TestUselessSecrets(t *testing.T) {
	const weak = "hunter2"
	for want, secrets := range map[string][][]byte{
		"there is no key":                 {},
		"key 1 of 1: it has 0 bytes":      {nil},
		"key 2 of 2: it has 7 bytes":      {first, []byte(weak)},
		"key 1 of 2: it has 15 bytes":     {first[:15], second},
		"must have at least 16; `openssl": {[]byte(weak)},
	} {
		keys := testKeys(secrets...)
		if _, err := keys.Derive(PurposeClearance, "login"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), weak) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		if _, _, err := New(keys, byIP()).Issue(browser, testNow); err == nil {
			t.Error("issued a clearance without a good key")
		}
	}
	if err := CheckSecret(first[:16]); err != nil {
		t.Error(err)
	}
}

// TestRotation replaces keys as an operator does.
func TestRotation(t *testing.T) {
	before := mustIssue(t, New(testKeys(first), byBoth()), browser)
	during := mustIssue(t, New(testKeys(second, first), byBoth()), browser)
	foreign := mustIssue(t, New(testKeys(other), byBoth()), browser)
	for _, test := range []struct {
		name                   string
		keys                   [][]byte
		before, during, theirs State
	}{
		{"before", [][]byte{first}, Valid, Invalid, Invalid},
		{"new key announced", [][]byte{first, second}, Valid, Valid, Invalid},
		{"new key signs", [][]byte{second, first}, Valid, Valid, Invalid},
		{"old key removed", [][]byte{second}, Invalid, Valid, Invalid},
		{"one twice", [][]byte{first, first}, Valid, Invalid, Invalid},
		{"all replaced", [][]byte{other}, Invalid, Invalid, Valid},
	} {
		i := New(testKeys(test.keys...), byBoth())
		for cookie, want := range map[string]State{
			before.Value:  test.before,
			during.Value:  test.during,
			foreign.Value: test.theirs,
		} {
			expectState(t, i, cookie, want)
		}
		expectState(t, New(testKeys(test.keys[0]), byBoth()), mustIssue(t, i, browser).Value, Valid)
	}
}

// TestForeignKeyID signs with another key under the id of ours.
func TestForeignKeyID(t *testing.T) {
	i := New(testKeys(first, second), byBoth())
	keys, err := i.subkeys()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := testKeys(other).Derive(PurposeClearance, "login")
	if err != nil {
		t.Fatal(err)
	}
	genuine, _ := decode(mustIssue(t, i, browser).Value)
	for _, signer := range append(theirs, keys[1]) {
		forged := genuine // under the id of the first key
		i.sign(signer, &forged, browser)
		expectState(t, i, forged.encode(), Invalid)
	}
	// Two keys of one id are both tried.
	keys[1].id = keys[0].id
	forged := genuine
	i.sign(keys[1], &forged, browser)
	expectState(t, i, forged.encode(), Valid)
	expectState(t, i, genuine.encode(), Valid)
}

func TestDerivedKeysHaveNothingInCommon(t *testing.T) {
	text := []byte("one text for all")
	macs := make(map[[32]byte]string)
	ids := make(map[KeyID]string)
	for _, use := range [][2]string{
		{"clearance", "login"},
		{"clearance", "signup"},
		{"clearance", ""},
		{"user_id", "login"},
		{"user_id", ""},
		{"", "clearance"},
		{"", ""},
		{"clearancelogin", ""},
		{"clearancel", "ogin"},
		{"clearance\x00\x00\x00\x05login", ""},
	} {
		derived, err := testKeys(first, second, other).Derive(Purpose(use[0]), use[1])
		if err != nil {
			t.Fatal(err)
		}
		for n, key := range derived {
			if known, ok := macs[key.MAC(text)]; ok {
				t.Errorf("key %d for %q signs like one for %s", n, use, known)
			}
			if known, ok := ids[key.id]; ok {
				t.Errorf("key %d for %q has the id of one for %s", n, use, known)
			}
			macs[key.MAC(text)], ids[key.id] = strings.Join(use[:], ", "), strings.Join(use[:], ", ")
		}
	}
}

func TestMACIsTheSameForEverybody(t *testing.T) {
	derived, err := testKeys(first).Derive(PurposeUserID, "login")
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("x"), 10_000)
	want := [][32]byte{derived[0].MAC(nil), derived[0].MAC([]byte("a")), derived[0].MAC(long)}
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for range 100 {
				for n, text := range [][]byte{nil, []byte("a"), long} {
					if derived[0].MAC(text) != want[n] {
						t.Errorf("another MAC of text %d", n)
					}
				}
			}
		})
	}
	users.Wait()
}
