package verifier

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

const defaultTimeout = 5 * time.Second

// text is an option with placeholders and where its value goes.
type text struct {
	option, value string
	to            *string
}

// expand replaces the placeholders of required options.
func expand(options ...text) error {
	for _, o := range options {
		value, err := setting.Expand(o.option, o.value)
		if err != nil {
			return err
		}
		*o.to = value
	}
	return nil
}

// timeoutOrDefault returns the value of the option timeout. Zero is how JSON
// says that it is not set.
func timeoutOrDefault(timeout caddy.Duration) (time.Duration, error) {
	switch {
	case timeout == 0:
		return defaultTimeout, nil
	case timeout < 0:
		return 0, fmt.Errorf("timeout must be positive; leave it out for %s", defaultTimeout)
	}
	return time.Duration(timeout), nil
}

// oneOf returns an error unless the value of option is one of allowed.
func oneOf(option, value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s must be one of %s", option, strings.Join(allowed, ", "))
}

// fingerprint is a digest over parts, each with its length before it, so that
// no two lists of parts are the same bytes.
func fingerprint(parts ...string) (sum [32]byte) {
	var data []byte
	for _, part := range parts {
		data = binary.BigEndian.AppendUint64(data, uint64(len(part)))
		data = append(data, part...)
	}
	return sha256.Sum256(data)
}
