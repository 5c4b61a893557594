package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"time"
)

// The made-up account that Caddy, the sidecars and the provider look-alike
// share.
const (
	captchaID  = "0123456789abcdef0123456789abcdef"
	captchaKey = "fedcba9876543210fedcba9876543210"
)

// proof is what a solved GeeTest v4 widget yields.
type proof struct {
	lotNumber, captchaOutput, passToken, genTime string
}

// newProof makes a fresh proof in the shape of a real one.
func newProof() proof {
	var b [16 + 177 + 32]byte
	rand.Read(b[:])
	return proof{
		lotNumber:     hex.EncodeToString(b[:16]),
		captchaOutput: base64.URLEncoding.EncodeToString(b[16:193]),
		passToken:     hex.EncodeToString(b[193:]),
		genTime:       strconv.FormatInt(time.Now().Unix(), 10),
	}
}

// sign returns GeeTest v4's sign_token for a lot_number.
func sign(lotNumber string) string {
	mac := hmac.New(sha256.New, []byte(captchaKey))
	mac.Write([]byte(lotNumber))
	return hex.EncodeToString(mac.Sum(nil))
}
