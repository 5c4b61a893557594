package simulator

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// maxAidLifetime is the longest that an aidEncrypted may be good for (Tencent
// Captcha docs, "CaptchaAppid authentication").
const maxAidLifetime = 86400

// checkAid checks the aidEncrypted that a widget was given: that it was made
// with the AppSecretKey, for this CaptchaAppId, and is of use now (Tencent
// Captcha docs, "CaptchaAppid authentication"). Aad is as the widget sends it,
// base64.
func (c Tencent) checkAid(encrypted, mode, aad string, now time.Time) error {
	if encrypted == "" {
		return errors.New("aidEncrypted is missing")
	}
	sealed, err := base64.StdEncoding.DecodeString(encrypted)
	if err != nil {
		return errors.New("aidEncrypted is not base64")
	}
	block, err := aes.NewCipher(c.aidKey())
	if err != nil {
		return err
	}
	var plain []byte
	switch strings.ToLower(mode) {
	case "", "cbc":
		plain, err = openCBC(block, sealed)
	case "gcm":
		plain, err = openGCM(block, sealed, aad)
	default:
		return errors.New("aidEncryptedType is neither cbc nor gcm")
	}
	if err != nil {
		return err
	}
	return c.checkAidText(string(plain), now)
}

// checkAidText checks CaptchaAppId&timestamp&lifetime.
func (c Tencent) checkAidText(text string, now time.Time) error {
	parts := strings.Split(text, "&")
	if len(parts) != 3 {
		return errors.New("aidEncrypted does not hold three values")
	}
	issued, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return errors.New("aidEncrypted holds no timestamp")
	}
	lifetime, err := strconv.ParseInt(parts[2], 10, 64)
	switch {
	case err != nil || lifetime < 1 || lifetime > maxAidLifetime:
		return errors.New("aidEncrypted holds no lifetime of up to a day")
	case parts[0] != c.CaptchaAppID:
		return errors.New("aidEncrypted is of another CaptchaAppId")
	case issued > now.Unix():
		return errors.New("aidEncrypted is from the future")
	case now.Unix()-issued > lifetime:
		return errors.New("aidEncrypted has expired")
	}
	return nil
}

// aidKey is the AppSecretKey, repeated up to 32 bytes.
func (c Tencent) aidKey() []byte {
	return []byte(strings.Repeat(c.AppSecretKey, 32/len(c.AppSecretKey)+1)[:32])
}

var errAidKey = errors.New("aidEncrypted was not made with the AppSecretKey")

// openCBC decrypts IV and ciphertext, padded as in PKCS #7.
func openCBC(block cipher.Block, sealed []byte) ([]byte, error) {
	if len(sealed) < 2*aes.BlockSize || len(sealed)%aes.BlockSize != 0 {
		return nil, errAidKey
	}
	plain := make([]byte, len(sealed)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, sealed[:aes.BlockSize]).CryptBlocks(plain, sealed[aes.BlockSize:])
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, errAidKey
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			return nil, errAidKey
		}
	}
	return plain[:len(plain)-padding], nil
}

// openGCM decrypts IV, ciphertext and tag. That they follow each other without
// more ado is an assumption: the readable part of the document does not say.
func openGCM(block cipher.Block, sealed []byte, aad string) ([]byte, error) {
	additional, err := base64.StdEncoding.DecodeString(aad)
	if err != nil || len(aad) > 128 {
		return nil, errors.New("aidEncryptedAad is not base64 of up to 128 characters")
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	if len(sealed) < gcm.NonceSize() {
		return nil, errAidKey
	}
	plain, err := gcm.Open(nil, sealed[:gcm.NonceSize()], sealed[gcm.NonceSize():], additional)
	if err != nil {
		return nil, errAidKey
	}
	return plain, nil
}
