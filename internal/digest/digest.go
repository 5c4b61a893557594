// Package digest hashes lists of texts.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
)

// Sum is a SHA-256 digest.
type Sum = [sha256.Size]byte

// Of returns the digest of the parts, each behind its length, so that no two
// lists of parts are hashed alike.
func Of(parts ...string) Sum {
	var buffer [512]byte // on the stack: what is hashed is seldom longer
	return of(buffer[:0], parts)
}

// With returns the digest of another digest and the parts.
func With(first Sum, parts ...string) Sum {
	var buffer [1024]byte
	return of(append(buffer[:0], first[:]...), parts)
}

func of(text []byte, parts []string) Sum {
	for _, part := range parts {
		text = Append(text, part)
	}
	return sha256.Sum256(text)
}

// Append appends a part behind its length to a text that is to be hashed. Of
// two texts made of such parts, neither is the beginning of the other.
func Append[T ~string | ~[]byte](text []byte, part T) []byte {
	text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
	return append(text, part...)
}
