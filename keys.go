package caddycaptcha

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddycaptcha/caddycaptcha/internal/clearance"
	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

// masterKey is where the key is kept that signs clearances when none is
// configured. All nodes that share Caddy's storage share it.
const masterKey = "captcha/keys/master"

// storageTimeout bounds the wait for Caddy's storage and its lock.
const storageTimeout = 30 * time.Second

// provisionKeys reads the configured keys, or arranges for the one in Caddy's
// storage to be read, or made, when a policy first needs one. Storage is left
// alone until then: `caddy validate` may run as another user.
func (a *App) provisionKeys(storage certmagic.Storage) error {
	var secrets [][]byte
	for i, key := range a.Keys {
		name := fmt.Sprintf("key %d of %d", i+1, len(a.Keys))
		secret, err := setting.Expand(name, key)
		if err != nil {
			return err
		}
		if err := clearance.CheckSecret([]byte(secret)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		secrets = append(secrets, []byte(secret))
	}
	a.Keys = nil
	a.keys = clearance.NewKeys(func() ([][]byte, error) {
		if len(secrets) > 0 {
			return secrets, nil
		}
		key, err := storedKey(storage)
		if err != nil {
			return nil, fmt.Errorf("the key for clearances, %s in Caddy's storage: %w; or configure one with key in the global option captcha", masterKey, err)
		}
		return [][]byte{key}, nil
	})
	return nil
}

// storedKey returns the master key, which it makes if there is none. The lock
// lets one node make it.
func storedKey(storage certmagic.Storage) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
	defer cancel()
	key, err := loadKey(ctx, storage)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := storage.Lock(ctx, masterKey); err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	defer storage.Unlock(context.WithoutCancel(ctx), masterKey) //nolint:errcheck // a lock that is left over expires
	if key, err = loadKey(ctx, storage); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	if err := storage.Store(ctx, masterKey, []byte(hex.EncodeToString(key)+"\n")); err != nil {
		return nil, err
	}
	return key, nil
}

func loadKey(ctx context.Context, storage certmagic.Storage) ([]byte, error) {
	text, err := storage.Load(ctx, masterKey)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != 32 {
		return nil, errors.New("it is not a key; delete it, and another is made (all browsers then have to solve a captcha again)")
	}
	return key, nil
}
