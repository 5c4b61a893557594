package verifier

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The key, text and IV of Tencent's own example.
const (
	aidSecret = "1234567891011121314151516"
	aidKey    = "12345678910111213141515161234567"
	aidAppID  = "123456789"
	aidText   = "123456789&1710144972&86400"
)

var aidTime = time.Unix(1710144972, 999)

func newCipher(t testing.TB, mode, secret string, ttl time.Duration) *appIDCipher {
	t.Helper()
	c, err := newAppIDCipher(mode, secret, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAppIDsAreEncryptedAsTencentDoes(t *testing.T) {
	for _, c := range []struct{ mode, iv, want string }{
		{"cbc", "0123456789012345", "MDEyMzQ1Njc4OTAxMjM0NWvZ11atw+1uzYmoIyt5rAQVPyMK9ZDavskPw5hcayeT"},
		{"gcm", "012345678901", "MDEyMzQ1Njc4OTAxM2Z/8bOrwpERW9Y2ck0g1fjNmXU9ENU0nokJbIP07nA5maKHBGHlSBFh"},
	} {
		for _, ttl := range []time.Duration{0, 24 * time.Hour} { // one is the default
			if got := newCipher(t, c.mode, aidSecret, ttl).seal([]byte(c.iv), aidAppID, aidTime); got != c.want {
				t.Errorf("%s is\n%s, want\n%s", c.mode, got, c.want)
			}
		}
	}
	// What the widget could be given authenticated besides, which is nothing
	// here: this shows that key and layout are right with it, too.
	gcm := newCipher(t, "gcm", aidSecret, 0).gcm
	iv := []byte("012345678901")
	got := base64.StdEncoding.EncodeToString(gcm.Seal(iv, iv, []byte(aidText), []byte("user:alice")))
	if want := "MDEyMzQ1Njc4OTAxM2Z/8bOrwpERW9Y2ck0g1fjNmXU9ENU0nom67XsjSMjSra1vAVJ2ZO3h"; got != want {
		t.Errorf("gcm with additional data is\n%s, want\n%s", got, want)
	}
}

// decrypt is Tencent's side, with a key that was repeated by hand.
func decrypt(t *testing.T, mode, key, text string) (plaintext string) {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if mode == "gcm" {
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := gcm.Open(nil, data[:12], data[12:], nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(opened)
	}
	iv, data := data[:16], data[16:]
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(data, data)
	padding := int(data[len(data)-1])
	if padding < 1 || padding > 16 || !bytes.HasSuffix(data, bytes.Repeat([]byte{byte(padding)}, padding)) {
		t.Fatalf("the padding is %x", data)
	}
	return string(data[:len(data)-padding])
}

func TestEncryptedAppIDsSayWhoSinceWhenAndForHowLong(t *testing.T) {
	for _, mode := range appIDCipherModes {
		// Ids of all lengths modulo the size of a block.
		for length := 1; length <= 20; length++ {
			appID := strings.Repeat("9", length)
			got := decrypt(t, mode, aidKey, newCipher(t, mode, aidSecret, 90*time.Minute).encrypt(appID, aidTime))
			if want := appID + "&1710144972&5400"; got != want {
				t.Errorf("%s says %q, want %q", mode, got, want)
			}
		}
		for ttl, want := range map[time.Duration]string{
			time.Second: "1", 1999 * time.Millisecond: "1", 24 * time.Hour: "86400",
		} {
			got := decrypt(t, mode, aidKey, newCipher(t, mode, aidSecret, ttl).encrypt(aidAppID, aidTime))
			if want = aidAppID + "&1710144972&" + want; got != want {
				t.Errorf("%s says %q, want %q", mode, got, want)
			}
		}
	}
}

func TestAppSecretKeysAreRepeatedToTheKey(t *testing.T) {
	for secret, key := range map[string]string{
		"a":                       strings.Repeat("a", 32),
		"abc":                     strings.Repeat("abc", 10) + "ab",
		strings.Repeat("ab", 8):   strings.Repeat("ab", 16),
		strings.Repeat("c", 31):   strings.Repeat("c", 32),
		aidKey:                    aidKey,
		"äöü4567891011121314151":  "äöü4567891011121314151äöü4567891"[:32],
		"1234567891011121314":     "12345678910111213141234567891011",
		"12345678910111213141516": "12345678910111213141516123456789",
	} {
		for _, mode := range appIDCipherModes {
			got := decrypt(t, mode, key, newCipher(t, mode, secret, 0).encrypt(aidAppID, aidTime))
			if got != aidText {
				t.Errorf("with the secret %q %s says %q", secret, mode, got)
			}
		}
	}
}

func TestEachEncryptedAppIDHasAnIVOfItsOwn(t *testing.T) {
	for _, mode := range appIDCipherModes {
		c := newCipher(t, mode, aidSecret, 0)
		seen := map[string]bool{}
		for range 1000 {
			data, _ := base64.StdEncoding.DecodeString(c.encrypt(aidAppID, aidTime))
			seen[string(data[:12])] = true
		}
		if len(seen) != 1000 {
			t.Errorf("%s had %d IVs in 1000 calls", mode, len(seen))
		}
	}
}

func TestWhatCannotBeEncryptedIsALoadError(t *testing.T) {
	for _, c := range []struct {
		mode, secret string
		ttl          time.Duration
		want         string
	}{
		{"cbc", strings.Repeat("s", 33), 0, "encrypt_app_id works with an app_secret_key of up to 32 bytes"},
		{"gcm", strings.Repeat("s", 64), 0, "encrypt_app_id works with"},
		{"ecb", "s", 0, "encrypt_app_id must be one of cbc, gcm"},
		{"cbc", "s", 24*time.Hour + 1, "encrypt_app_id_ttl must be from 1s to 24h"},
		{"cbc", "s", time.Second - 1, "encrypt_app_id_ttl must be"},
		{"cbc", "s", -time.Hour, "encrypt_app_id_ttl must be"},
		{"", "s", time.Hour, "encrypt_app_id_ttl has no effect"},
	} {
		v, err := newAppIDCipher(c.mode, c.secret, c.ttl)
		if err == nil || v != nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s, %d bytes, %s: %v", c.mode, len(c.secret), c.ttl, err)
		}
	}
	// A key that is too long matters to nobody else.
	if c, err := newAppIDCipher("", strings.Repeat("s", 33), 0); c != nil || err != nil {
		t.Errorf("switched off it is %v (%v)", c, err)
	}
}

// The clock is read when the page asks, not when the configuration is loaded.
func TestTencentEncryptsTheTimeOfTheCall(t *testing.T) {
	v := provisioned(t, &Tencent{
		Site: "cn", CaptchaAppID: appID, AppSecretKey: appSecret, SecretID: secretID, SecretKey: secretKey,
		EncryptAppID: "gcm",
	})
	for _, second := range []int64{1700000000, 1700000001, 1800000000} {
		v.now = func() time.Time { return time.Unix(second, 0) }
		c, _ := v.Challenge(t.Context(), testClient, testUser)
		key := (appSecret + appSecret)[:32]
		if got, want := decrypt(t, "gcm", key, c.(tencentChallenge).AidEncrypted), appID+"&"+strconv.FormatInt(second, 10)+"&86400"; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}
