package simulator

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// sealCBC and sealGCM encrypt as a site's server does.
func sealCBC(key []byte, text string) string {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	padding := 16 - len(text)%16
	plain := append([]byte(text), bytes.Repeat([]byte{byte(padding)}, padding)...)
	sealed := randomBytes(16 + len(plain))
	cipher.NewCBCEncrypter(block, sealed[:16]).CryptBlocks(sealed[16:], plain)
	return base64.StdEncoding.EncodeToString(sealed)
}

func sealGCM(key []byte, text, aad string) string {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	iv := randomBytes(12)
	return base64.StdEncoding.EncodeToString(gcm.Seal(iv, iv, []byte(text), []byte(aad)))
}

// The vectors are Tencent's own (CBC) and computed with another program (GCM).
func TestAidEncryptedVectors(t *testing.T) {
	captcha := Tencent{CaptchaAppID: "123456789", AppSecretKey: "1234567891011121314151516"}
	now := time.Unix(1710144972, 0)
	for _, test := range []struct{ encrypted, mode, aad string }{
		{"MDEyMzQ1Njc4OTAxMjM0NWvZ11atw+1uzYmoIyt5rAQVPyMK9ZDavskPw5hcayeT", "", ""},
		{"MDEyMzQ1Njc4OTAxMjM0NWvZ11atw+1uzYmoIyt5rAQVPyMK9ZDavskPw5hcayeT", "CBC", ""},
		{"MDEyMzQ1Njc4OTAxM2Z/8bOrwpERW9Y2ck0g1fjNmXU9ENU0nokJbIP07nA5maKHBGHlSBFh", "gcm", ""},
		{"MDEyMzQ1Njc4OTAxM2Z/8bOrwpERW9Y2ck0g1fjNmXU9ENU0nom67XsjSMjSra1vAVJ2ZO3h", "GCM", "dXNlcjphbGljZQ=="},
	} {
		if err := captcha.checkAid(test.encrypted, test.mode, test.aad, now); err != nil {
			t.Errorf("%s: %v", test.encrypted, err)
		}
		if err := captcha.checkAid(test.encrypted, test.mode, test.aad, now.Add(86400*time.Second)); err != nil {
			t.Errorf("at its last second: %v", err)
		}
		if err := captcha.checkAid(test.encrypted, test.mode, test.aad, now.Add(86401*time.Second)); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("after its last second: %v", err)
		}
	}
}

func TestAidEncryptedIsRefused(t *testing.T) {
	captcha := Tencent{CaptchaAppID: "123456789", AppSecretKey: "1234567891011121314151516"}
	key, other := captcha.aidKey(), Tencent{AppSecretKey: "another"}.aidKey()
	const good = "123456789&1000&60"
	for name, test := range map[string]struct{ encrypted, mode, aad, want string }{
		"missing":             {"", "", "", "missing"},
		"no base64":           {"-_-_", "", "", "not base64"},
		"too short for CBC":   {"AAAA", "", "", "not made with"},
		"too short for GCM":   {"AAAA", "gcm", "", "not made with"},
		"no whole blocks":     {base64.StdEncoding.EncodeToString(make([]byte, 40)), "", "", "not made with"},
		"other key, CBC":      {sealCBC(other, good), "", "", "aidEncrypted"},
		"other key, GCM":      {sealGCM(other, good, ""), "gcm", "", "not made with"},
		"GCM as CBC":          {sealGCM(key, good, ""), "", "", "aidEncrypted"},
		"CBC as GCM":          {sealCBC(key, good), "gcm", "", "not made with"},
		"other AAD":           {sealGCM(key, good, "alice"), "gcm", "Ym9i", "not made with"},
		"AAD no base64":       {sealGCM(key, good, "alice"), "gcm", "alice!", "aidEncryptedAad"},
		"AAD too long":        {sealGCM(key, good, ""), "gcm", strings.Repeat("YWFh", 33), "aidEncryptedAad"},
		"unknown type":        {sealCBC(key, good), "ecb", "", "neither cbc nor gcm"},
		"two values":          {sealCBC(key, "123456789&1000"), "", "", "three values"},
		"four values":         {sealCBC(key, good+"&1"), "", "", "three values"},
		"no timestamp":        {sealCBC(key, "123456789&now&60"), "", "", "no timestamp"},
		"no lifetime":         {sealCBC(key, "123456789&1000&0"), "", "", "no lifetime"},
		"more than a day":     {sealCBC(key, "123456789&1000&86401"), "", "", "no lifetime"},
		"other CaptchaAppId":  {sealCBC(key, "123456780&1000&60"), "", "", "another CaptchaAppId"},
		"from the future":     {sealGCM(key, "123456789&1031&60", ""), "gcm", "", "future"},
		"expired":             {sealGCM(key, "123456789&969&60", ""), "gcm", "", "expired"},
		"lifetime not a word": {sealGCM(key, "123456789&1000&x", ""), "gcm", "", "no lifetime"},
	} {
		if err := captcha.checkAid(test.encrypted, test.mode, test.aad, time.Unix(1030, 0)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want %q", name, err, test.want)
		}
	}
	for _, key := range []string{"k", "1234567891011121314151516", strings.Repeat("x", 32), strings.Repeat("x", 40)} {
		if got := len(Tencent{AppSecretKey: key}.aidKey()); got != 32 {
			t.Errorf("the key of %q has %d bytes", key, got)
		}
	}
}

// FuzzCheckAid shows that no bytes make the check panic, and that only what
// was made with the key is good.
func FuzzCheckAid(f *testing.F) {
	captcha := Tencent{CaptchaAppID: "123456789", AppSecretKey: "1234567891011121314151516"}
	now := time.Unix(1710144972, 0)
	f.Add([]byte("0123456789012345"), "cbc", "")
	f.Add([]byte("012345678901"), "gcm", "dXNlcjphbGljZQ==")
	f.Add(make([]byte, 32), "", "")
	f.Fuzz(func(t *testing.T, sealed []byte, mode, aad string) {
		encrypted := base64.StdEncoding.EncodeToString(sealed)
		if err := captcha.checkAid(encrypted, mode, aad, now); err == nil {
			t.Fatalf("%q of type %q is good", encrypted, mode)
		}
	})
}
