package harness

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// Altcha is the provider's name of proofs of work.
const Altcha = "altcha"

// SolveAltcha does the work that the answer of the endpoint challenge asks for,
// as ALTCHA's library does it.
func SolveAltcha(t *testing.T, challenge string) url.Values {
	t.Helper()
	var widget struct {
		Challenge struct {
			Parameters json.RawMessage `json:"parameters"`
			Signature  string          `json:"signature"`
		} `json:"challenge"`
	}
	var parameters struct {
		Nonce, Salt, KeyPrefix string
		Cost, KeyLength        int
	}
	if err := json.Unmarshal([]byte(challenge), &widget); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(widget.Challenge.Parameters, &parameters); err != nil {
		t.Fatalf("%v: %s", err, challenge)
	}
	nonce, _ := hex.DecodeString(parameters.Nonce)
	salt, _ := hex.DecodeString(parameters.Salt)
	for counter := range uint32(1000) {
		key, err := pbkdf2.Key(sha256.New, string(binary.BigEndian.AppendUint32(nonce, counter)), salt, parameters.Cost, parameters.KeyLength)
		if err != nil {
			t.Fatal(err)
		}
		if text := hex.EncodeToString(key); strings.HasPrefix(text, parameters.KeyPrefix) {
			payload, _ := json.Marshal(map[string]any{
				"challenge": widget.Challenge,
				"solution":  map[string]any{"counter": counter, "derivedKey": text, "time": 12.5},
			})
			return url.Values{"altcha": {base64.StdEncoding.EncodeToString(payload)}}
		}
	}
	t.Fatalf("there is no solution: %s", challenge)
	return nil
}
