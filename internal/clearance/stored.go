package clearance

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
)

// StoredKeyName is where the key is kept in Caddy's storage that signs
// clearances when none is configured. All nodes that share the storage share it.
const StoredKeyName = "captcha/keys/master"

// storageTimeout bounds the wait for Caddy's storage and its lock.
const storageTimeout = 30 * time.Second

// StoredKey returns the key of 32 bytes in Caddy's storage, which it makes if
// there is none. The lock lets one node make it. An error is one of the
// storage, or says that what is stored is no key.
func StoredKey(storage certmagic.Storage) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
	defer cancel()
	key, err := loadKey(ctx, storage)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := storage.Lock(ctx, StoredKeyName); err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	defer storage.Unlock(context.WithoutCancel(ctx), StoredKeyName) //nolint:errcheck // a lock that is left over expires
	if key, err = loadKey(ctx, storage); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	if err := storage.Store(ctx, StoredKeyName, []byte(hex.EncodeToString(key)+"\n")); err != nil {
		return nil, err
	}
	return key, nil
}

func loadKey(ctx context.Context, storage certmagic.Storage) ([]byte, error) {
	text, err := storage.Load(ctx, StoredKeyName)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != 32 {
		return nil, errors.New("it is not a key; delete it, and another is made (all browsers then have to solve a captcha again)")
	}
	return key, nil
}
