package verifier

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

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

// What is expected of the options that all providers have.
const (
	expectedURL      = "an https URL, or an http one of a loopback address"
	expectedScript   = expectedURL + ", with a host that is no IPv6 address"
	expectedDuration = "a positive duration such as 5s"
)

// option is a line of a verifier's block: a name and its arguments. expected
// says what they are.
type option struct {
	name, expected string
	required       bool
	set            setters
}

// setters take the arguments of an option, one each. All arguments but the
// first may be left out.
type setters []func(argument string) bool

// take sets the arguments. It returns false if one is not what is expected.
func (ss setters) take(arguments []string) bool {
	for i, argument := range arguments {
		if !ss[i](argument) {
			return false
		}
	}
	return true
}

func serviceTo(to *string) setters {
	return urlTo(to, func(url string) error {
		_, err := setting.Endpoint("endpoint", url, url)
		return err
	})
}

func scriptTo(to *string) setters {
	return urlTo(to, func(url string) error {
		_, err := newScript(url, url)
		return err
	})
}

// urlTo takes a URL and judges it, unless its placeholders have to be expanded
// first, which waits for the config to be loaded.
func urlTo(to *string, check func(url string) error) setters {
	return setters{func(argument string) bool {
		*to = argument
		return strings.Contains(argument, "{") || check(argument) == nil
	}}
}

const required = true

// unmarshal reads the block of a verifier. No error repeats an argument, since
// that may be a key.
func unmarshal(d *caddyfile.Dispenser, options []option, widget widgetOptions) error {
	d.Next() // consume the verifier's name
	verifier := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no arguments, its options go into a block", verifier)
	}
	given := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if name == "widget" && widget.to != nil {
			if err := widget.unmarshal(d); err != nil {
				return err
			}
			continue
		}
		i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
		switch {
		case i < 0:
			return d.Errf("unrecognized subdirective %q of %s; it has %s", name, verifier, names(options, widget))
		case given[name]:
			return d.Errf("%s is given twice", name)
		}
		given[name] = true
		arguments, limit := d.RemainingArgs(), len(options[i].set)
		if len(arguments) == 0 || len(arguments) > limit || slices.Contains(arguments, "") {
			number := [...]string{1: "one argument", 2: "one or two arguments"}[limit]
			return d.Errf("%s takes %s, %s (is a {$VARIABLE} empty?)", name, number, options[i].expected)
		}
		if !options[i].set.take(arguments) {
			return d.Errf("%s must be %s", name, options[i].expected)
		}
	}
	for _, o := range options {
		if o.required && !given[o.name] {
			return d.Errf("%s needs %s: %s", verifier, o.name, o.expected)
		}
	}
	return nil
}

func names(options []option, widget widgetOptions) string {
	all := make([]string, len(options))
	for i, o := range options {
		all[i] = o.name
	}
	if widget.to != nil {
		all = append(all, "widget")
	}
	return strings.Join(all, ", ")
}

func textTo(to *string) setters {
	return setters{func(argument string) bool {
		*to = argument
		return true
	}}
}

func choiceTo(to *string, allowed []string) setters {
	return setters{func(argument string) bool {
		*to = argument
		return slices.Contains(allowed, argument)
	}}
}

func durationTo(to *caddy.Duration) setters {
	return setters{func(argument string) bool {
		duration, err := caddy.ParseDuration(argument)
		*to = caddy.Duration(duration)
		return err == nil && duration > 0
	}}
}
