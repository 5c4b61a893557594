package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file verifies TC3-HMAC-SHA256 signatures (Tencent Cloud API docs,
// "Signature v3"). It is written from the documents alone, not from the
// verifier's signer, so that an error in one cannot hide behind the same error
// in the other.

// authorization is a parsed Authorization header.
type authorization struct {
	secretID      string
	date          string   // YYYY-MM-DD, UTC
	service       string   // of the credential scope
	signedHeaders []string // lower case, sorted
	signature     string   // hexadecimal
}

var authorizationSyntax = regexp.MustCompile(
	`^TC3-HMAC-SHA256 Credential=([^/, ]+)/(\d{4}-\d{2}-\d{2})/([^/, ]+)/tc3_request, ` +
		`SignedHeaders=([a-z0-9-]+(?:;[a-z0-9-]+)*), ` +
		`Signature=([0-9a-f]{64})$`)

// parseAuthorization parses the value of an Authorization header. The signed
// headers must be sorted, none twice, content-type and host among them.
func parseAuthorization(value string) (authorization, error) {
	m := authorizationSyntax.FindStringSubmatch(value)
	if m == nil {
		return authorization{}, errors.New("not a TC3-HMAC-SHA256 authorization")
	}
	a := authorization{
		secretID:      m[1],
		date:          m[2],
		service:       m[3],
		signedHeaders: strings.Split(m[4], ";"),
		signature:     m[5],
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(a.signedHeaders)))
	if !slices.Equal(sorted, a.signedHeaders) {
		return authorization{}, errors.New("the signed headers are not sorted or repeat")
	}
	for _, required := range []string{"content-type", "host"} {
		if !slices.Contains(a.signedHeaders, required) {
			return authorization{}, errors.New(required + " is not signed")
		}
	}
	return a, nil
}

// canonicalRequest returns the text whose digest is signed. The path of every
// Tencent Cloud API is "/". header returns the value of a header by its
// lower-case name.
func (a authorization) canonicalRequest(method, query string, header func(name string) string, body []byte) string {
	var b strings.Builder
	b.WriteString(method + "\n/\n" + query + "\n")
	for _, name := range a.signedHeaders {
		b.WriteString(name + ":" + strings.ToLower(strings.TrimSpace(header(name))) + "\n")
	}
	b.WriteString("\n" + strings.Join(a.signedHeaders, ";") + "\n" + sha256Hex(body))
	return b.String()
}

// sign returns the signature that the canonical request ought to have.
func (a authorization) sign(secretKey, canonicalRequest string, timestamp int64) string {
	stringToSign := "TC3-HMAC-SHA256\n" +
		strconv.FormatInt(timestamp, 10) + "\n" +
		a.date + "/" + a.service + "/tc3_request\n" +
		sha256Hex([]byte(canonicalRequest))
	return hex.EncodeToString(hmacSHA256(a.signingKey(secretKey), stringToSign))
}

func (a authorization) signingKey(secretKey string) []byte {
	date := hmacSHA256([]byte("TC3"+secretKey), a.date)
	service := hmacSHA256(date, a.service)
	return hmacSHA256(service, "tc3_request")
}

// signs reports whether the authorization is one for the call and the service,
// made with the secret key at the time.
func (a authorization) signs(c Call, service, secretKey string, timestamp int64) bool {
	if a.service != service || a.date != time.Unix(timestamp, 0).UTC().Format(time.DateOnly) {
		return false
	}
	// The Go SDK signs the host with its port, the Node SDK without.
	hosts := []string{c.Host, stripPort(c.Host)}
	return slices.ContainsFunc(hosts, func(host string) bool {
		canonical := a.canonicalRequest(c.Method, "", func(name string) string {
			if name == "host" {
				return host
			}
			return c.Header.Get(name)
		}, c.Body)
		return a.sign(secretKey, canonical, timestamp) == a.signature
	})
}

func stripPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i]
	}
	return host
}

func hmacSHA256(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
