// Package setting turns the text of a configuration option into its value.
package setting

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"github.com/caddyserver/caddy/v2"
)

// Expand replaces Caddy's global placeholders ({env.NAME}, {file./path}) in
// the value of option. An empty value, an unset variable, a missing file and
// any placeholder that is not global are errors that name the option and
// never the expanded text.
func Expand(option, value string) (string, error) {
	if value == "" {
		return "", fmt.Errorf("%s is required", option)
	}
	expanded, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w; set the variable or file that it names: {env.NAME} and {file./path/to/secret} work here, with a slash or dot in the file's name because Caddy takes {file.name} for something else", option, err)
	}
	switch {
	case strings.TrimSpace(expanded) == "":
		return "", fmt.Errorf("%s is empty after its placeholders were replaced", option)
	case strings.TrimSpace(expanded) != expanded, strings.ContainsFunc(expanded, unicode.IsControl):
		return "", fmt.Errorf("%s begins or ends with white space, or holds a line break or another control character; remove it from the variable or file", option)
	}
	return expanded, nil
}

// Endpoint expands and checks the URL of an option; an empty value means def.
// The scheme must be https, so that keys do not travel in clear, except to a
// loopback address.
func Endpoint(option, value, def string) (*url.URL, error) {
	if value == "" {
		value = def
	}
	value, err := Expand(option, value)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		// The error would quote the URL, which may hold an expanded secret.
		return nil, fmt.Errorf("%s is not a URL such as %s", option, def)
	case u.Host == "" || u.Opaque != "":
		return nil, fmt.Errorf("%s must be a URL such as %s", option, def)
	case u.User != nil:
		return nil, fmt.Errorf("%s must not hold a user name or password", option)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%s must not have a query or fragment", option)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("%s must be an https URL (http is allowed for a loopback address only)", option)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
