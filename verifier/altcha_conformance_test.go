package verifier_test

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/verifier"
	"github.com/caddycaptcha/caddycaptcha/verifier/verifiertest"
)

var altcha = verifiertest.Subject{
	Module: "http.captcha.verifiers.altcha",
	Options: []verifiertest.Option{
		{Name: "difficulty", Value: 3, Other: 4, Role: verifiertest.RoleVerdict},
		{Name: "ttl", Other: "20m", Role: verifiertest.RoleVerdict},
		{Name: "rate", Other: 61, Role: verifiertest.RoleRate},
		{Name: "rate_total", Other: 3001, Role: verifiertest.RoleRate},
	},
	Proof: altchaProof("9f86d081884c7d659a2feaa0c55ad015", 1),
	Now:   time.Unix(1_800_000_000, 0),
	Plausible: func(p verifier.Proof) bool {
		text, err := base64.StdEncoding.DecodeString(p[0])
		return err == nil && bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) && json.Valid(text)
	},
	Spellings: []verifier.Proof{altchaProof("9f86d081884c7d659a2feaa0c55ad015", 2)},
	Others:    []verifier.Proof{altchaProof("9f86d081884c7d659a2feaa0c55ad016", 1)},
	Solve:     solveAltcha,
}

// altchaProof has the shape of one that was issued at Now.
func altchaProof(nonce string, counter int) verifier.Proof {
	key := strings.Repeat("0123456789abcdef", 4)
	return encodeAltcha(map[string]any{
		"challenge": map[string]any{
			"parameters": map[string]any{
				"algorithm": "PBKDF2/SHA-256", "nonce": nonce, "salt": nonce, "cost": 2000, "keyLength": 32,
				"keyPrefix": key[:32], "keySignature": key, "data": map[string]any{"expires": 1_800_000_600, "difficulty": 3},
			},
			"signature": key,
		},
		"solution": map[string]any{"counter": counter, "derivedKey": key, "time": 1},
	})
}

func encodeAltcha(payload map[string]any) verifier.Proof {
	text, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	return verifier.Proof{base64.StdEncoding.EncodeToString(text)}
}

// solveAltcha does what ALTCHA's worker does.
func solveAltcha(issued any) verifier.Proof {
	text, err := json.Marshal(issued)
	if err != nil {
		panic(err)
	}
	var raw struct{ Challenge json.RawMessage }
	var challenge struct {
		Parameters struct {
			Nonce, Salt, KeyPrefix string
			Cost, KeyLength        int
		}
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		panic(err)
	}
	if err := json.Unmarshal(raw.Challenge, &challenge); err != nil {
		panic(err)
	}
	p := challenge.Parameters
	nonce, _ := hex.DecodeString(p.Nonce)
	salt, _ := hex.DecodeString(p.Salt)
	for counter := uint32(0); ; counter++ {
		key, err := pbkdf2.Key(sha256.New, string(binary.BigEndian.AppendUint32(nonce, counter)), salt, p.Cost, p.KeyLength)
		if err != nil {
			panic(err)
		}
		if derived := hex.EncodeToString(key); strings.HasPrefix(derived, p.KeyPrefix) {
			return encodeAltcha(map[string]any{"challenge": raw.Challenge, "solution": map[string]any{"counter": counter, "derivedKey": derived, "time": 1}})
		}
	}
}

func TestAltchaConforms(t *testing.T) { verifiertest.Run(t, altcha) }

func FuzzAltchaProof(f *testing.F) { verifiertest.Fuzz(f, altcha) }
