package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"time"
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
