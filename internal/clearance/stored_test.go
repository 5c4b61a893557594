package clearance

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/certmagic"
)

// storageOfNode names the storage to a process that TestNodesMakeOneKey starts
// as one of its nodes.
const storageOfNode = "CAPTCHA_TEST_STORAGE"

// TestNodesMakeOneKey starts nodes that share an empty storage, as processes of
// their own and all at once. They end with one key, which is the stored one.
func TestNodesMakeOneKey(t *testing.T) {
	if dir := os.Getenv(storageOfNode); dir != "" {
		getKeys(dir)
		return
	}
	const nodes = 8
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var starts []io.Closer
	outputs := make([]bytes.Buffer, nodes)
	commands := make([]*exec.Cmd, nodes)
	for i := range nodes {
		command := exec.CommandContext(t.Context(), executable, "-test.run=^TestNodesMakeOneKey$")
		command.Env = append(os.Environ(), storageOfNode+"="+dir)
		command.Stdout = &outputs[i]
		start, err := command.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		ready, err := command.StderrPipe()
		if err == nil {
			err = command.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
			t.Fatalf("node %d does not come up: %v", i, err)
		}
		starts, commands[i] = append(starts, start), command
	}
	for _, start := range starts {
		start.Close()
	}
	stored := ""
	for i, command := range commands {
		if err := command.Wait(); err != nil {
			t.Fatalf("node %d: %v\n%s", i, err, outputs[i].String())
		}
		if stored == "" {
			text, err := os.ReadFile(filepath.Join(dir, "captcha", "keys", "master"))
			if err != nil {
				t.Fatal(err)
			}
			stored = strings.TrimSpace(string(text))
		}
		if got := strings.Count(outputs[i].String(), "key "+stored+"\n"); got != keysPerNode {
			t.Errorf("of the %d times that node %d took the key, %d gave the stored one", keysPerNode, i, got)
		}
	}
}

const keysPerNode = 2

// getKeys is what a node does: it says that it is there, waits for the start
// and takes the key, for two configs at once as a reload may.
func getKeys(dir string) {
	os.Stderr.WriteString(".")    //nolint:errcheck // the other side would notice
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // it ends either way
	var configs sync.WaitGroup
	for range keysPerNode {
		configs.Go(func() {
			key, err := StoredKey(&certmagic.FileStorage{Path: dir})
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println("key " + hex.EncodeToString(key))
		})
	}
	configs.Wait()
}

// memoryStorage is a storage of one key, with faults.
type memoryStorage struct {
	certmagic.Storage
	lock sync.Mutex

	mu    sync.Mutex
	value []byte

	loadErr, storeErr, lockErr error
	stores, unlocks            atomic.Int32
}

func (s *memoryStorage) Load(context.Context, string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.loadErr != nil:
		return nil, s.loadErr
	case s.value == nil:
		return nil, fs.ErrNotExist
	}
	return s.value, nil
}

func (s *memoryStorage) Store(_ context.Context, _ string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stores.Add(1)
	if s.storeErr != nil {
		return s.storeErr
	}
	s.value = value
	return nil
}

func (s *memoryStorage) Lock(context.Context, string) error {
	if s.lockErr != nil {
		return s.lockErr
	}
	s.lock.Lock()
	return nil
}

func (s *memoryStorage) Unlock(context.Context, string) error {
	s.unlocks.Add(1)
	s.lock.Unlock()
	return nil
}

// TestOneKeyIsStored: whoever waited for the lock takes the key that is there
// by then.
func TestOneKeyIsStored(t *testing.T) {
	storage := new(memoryStorage)
	keys := make([][]byte, 16)
	var nodes sync.WaitGroup
	for i := range keys {
		nodes.Go(func() {
			var err error
			if keys[i], err = StoredKey(storage); err != nil {
				t.Error(err)
			}
		})
	}
	nodes.Wait()
	for i, key := range keys {
		if len(key) != 32 || !bytes.Equal(key, keys[0]) {
			t.Errorf("node %d has another key", i)
		}
	}
	if stores := storage.stores.Load(); stores != 1 {
		t.Errorf("the key was stored %d times", stores)
	}
	if !storage.lock.TryLock() {
		t.Error("the lock is held")
	}
}

// TestWithoutStorageThereIsNoKey: no fault of the storage makes a key that
// other nodes do not have, or leaves the lock behind.
func TestWithoutStorageThereIsNoKey(t *testing.T) {
	fault := errors.New("the storage is down")
	for name, storage := range map[string]*memoryStorage{
		"cannot be read":    {loadErr: fault},
		"cannot be written": {storeErr: fault},
		"cannot be locked":  {lockErr: fault},
	} {
		if key, err := StoredKey(storage); !errors.Is(err, fault) || key != nil {
			t.Errorf("storage that %s: key %x, error %v", name, key, err)
		}
		if storage.lockErr == nil && !storage.lock.TryLock() {
			t.Errorf("storage that %s: the lock is held", name)
		}
	}
	for _, text := range []string{"", "\n", "CANARY", strings.Repeat("0", 62), strings.Repeat("0", 66), strings.Repeat("0", 63) + "g"} {
		storage := &memoryStorage{value: []byte(text)}
		key, err := StoredKey(storage)
		if err == nil || key != nil || storage.stores.Load() != 0 {
			t.Errorf("%q is taken for a key, or replaced", text)
		} else if strings.Contains(err.Error(), "CANARY") {
			t.Errorf("the error shows what is stored: %v", err)
		}
	}
}
