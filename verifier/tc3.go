package verifier

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// tc3 signs calls of Tencent Cloud's API with TC3-HMAC-SHA256, as in its page
// "Signature v3". It is safe for concurrent use.
type tc3 struct {
	secretID, secretKey, service string

	// today is the signing key of the last date that was asked for: it takes
	// three of the four HMACs of a signature.
	today atomic.Pointer[tc3Key]
}

type tc3Key struct {
	date string // UTC
	key  []byte
}

const tc3Algorithm = "TC3-HMAC-SHA256"

// signedHeader is a header that is part of the signature. The name is in lower
// case, and the headers of a call are in the order of their names.
type signedHeader struct{ name, value string }

// authorization returns the Authorization header of a call at the path "/",
// where all of Tencent Cloud's API is.
func (t *tc3) authorization(now time.Time, method, query string, headers []signedHeader, payload []byte) string {
	// The date has to be that of the timestamp in UTC. The local one is wrong
	// for the first hours of each day in China.
	date := now.UTC().Format(time.DateOnly)
	scope := date + "/" + t.service + "/tc3_request"
	request, names := tc3Request(method, query, headers, payload)
	toSign := strings.Join([]string{tc3Algorithm, strconv.FormatInt(now.Unix(), 10), scope, hexSHA256([]byte(request))}, "\n")
	signature := hex.EncodeToString(hmacSHA256(t.signingKey(date), toSign))
	return tc3Algorithm + " Credential=" + t.secretID + "/" + scope + ", SignedHeaders=" + names + ", Signature=" + signature
}

// tc3Request returns the canonical request and the names of its headers.
func tc3Request(method, query string, headers []signedHeader, payload []byte) (canonical, names string) {
	var lines strings.Builder
	for i, h := range headers {
		if i > 0 {
			names += ";"
		}
		names += h.name
		lines.WriteString(h.name + ":" + strings.ToLower(strings.TrimSpace(h.value)) + "\n")
	}
	return strings.Join([]string{method, "/", query, lines.String(), names, hexSHA256(payload)}, "\n"), names
}

func (t *tc3) signingKey(date string) []byte {
	if today := t.today.Load(); today != nil && today.date == date {
		return today.key
	}
	key := hmacSHA256(hmacSHA256(hmacSHA256([]byte("TC3"+t.secretKey), date), t.service), "tc3_request")
	t.today.Store(&tc3Key{date, key})
	return key
}

func hmacSHA256(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
