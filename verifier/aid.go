package verifier

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// appIDCipher encrypts a CaptchaAppId with the AppSecretKey, so that Tencent
// can tell a widget of its owner's pages from one that has just copied the
// CaptchaAppId, as in Tencent's "CaptchaAppid authentication upgrade guide"
// (cloud.tencent.com/document/product/1110/128489). It is safe for concurrent
// use.
type appIDCipher struct {
	mode  string
	ttl   time.Duration
	block cipher.Block
	gcm   cipher.AEAD // nil: CBC
}

var appIDCipherModes = []string{"cbc", "gcm"}

// The key is the AppSecretKey, repeated until it is long enough for AES-256.
const appIDKeySize = 32

// maxAppIDTTL is the longest that Tencent takes.
const maxAppIDTTL = 24 * time.Hour

func checkTTL(ttl time.Duration) error {
	if ttl < time.Second || ttl > maxAppIDTTL {
		return fmt.Errorf("encrypt_app_id_ttl must be from 1s to %s, which is as long as Tencent allows", maxAppIDTTL)
	}
	return nil
}

// newAppIDCipher reads the options encrypt_app_id and encrypt_app_id_ttl. It
// returns nil if the first is empty. A ttl of zero is how JSON says that it is
// not set.
func newAppIDCipher(mode, appSecret string, ttl time.Duration) (*appIDCipher, error) {
	switch {
	case mode == "" && ttl != 0:
		return nil, errors.New("encrypt_app_id_ttl has no effect without encrypt_app_id: set that to cbc or gcm, or remove both")
	case mode == "":
		return nil, nil
	case ttl == 0:
		ttl = maxAppIDTTL
	}
	if err := oneOf("encrypt_app_id", mode, appIDCipherModes); err != nil {
		return nil, err
	}
	if err := checkTTL(ttl); err != nil {
		return nil, err
	}
	if len(appSecret) > appIDKeySize {
		return nil, fmt.Errorf("encrypt_app_id works with an app_secret_key of up to %d bytes: copy that again from the captcha console, or remove encrypt_app_id", appIDKeySize)
	}
	key := make([]byte, appIDKeySize)
	for i := range key {
		key[i] = appSecret[i%len(appSecret)]
	}
	c := &appIDCipher{mode: mode, ttl: ttl}
	var err error
	if c.block, err = aes.NewCipher(key); err == nil && mode == "gcm" {
		c.gcm, err = cipher.NewGCM(c.block)
	}
	return c, err
}

// encrypt returns the widget's option aidEncrypted.
func (c *appIDCipher) encrypt(appID string, now time.Time) string {
	size := aes.BlockSize
	if c.gcm != nil {
		size = c.gcm.NonceSize()
	}
	iv := make([]byte, size)
	_, _ = rand.Read(iv) // never fails
	return c.seal(iv, appID, now)
}

// seal encrypts the CaptchaAppId, the time, and for how many seconds from then
// on that is good. The result begins with the IV, which must be a new one.
func (c *appIDCipher) seal(iv []byte, appID string, now time.Time) string {
	text := fmt.Appendf(nil, "%s&%d&%d", appID, now.Unix(), int64(c.ttl/time.Second))
	if c.gcm != nil {
		return base64.StdEncoding.EncodeToString(c.gcm.Seal(iv, iv, text, nil))
	}
	padding := aes.BlockSize - len(text)%aes.BlockSize // as in PKCS #7
	text = append(text, bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(c.block, iv).CryptBlocks(text, text)
	return base64.StdEncoding.EncodeToString(append(iv, text...))
}
