package verifier

import (
	"errors"
	"maps"
	"slices"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

// widget is what every challenge says: whose widget a page is to show, and
// where its script is.
type widget struct {
	Provider string `json:"provider"`
	Script   string `json:"script"`
}

// script is where browsers load the widget from. The providers' own are
// loaders, which load the rest from the hosts that the sources name; the
// providers want them loaded from where they are, too.
type script struct {
	url    string
	origin string // empty: the provider's own, whose hosts are known
}

// newScript returns the value of the option script.
func newScript(value, def string) (script, error) {
	u, err := setting.Endpoint("script", value, def)
	switch {
	case err != nil:
		return script{}, err
	case !only(u.Hostname(), isHostCharacter):
		// Anything else would end the source, or be one that means more than
		// the host, or that browsers ignore.
		return script{}, errors.New("script must have a host that a Content-Security-Policy can name: of letters, digits, hyphens and dots (an international name in its xn-- form), and not an IPv6 address")
	case u.String() == def:
		return script{url: def}, nil
	}
	return script{u.String(), u.Scheme + "://" + u.Host}, nil
}

func isHostCharacter(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '.' || c == '_'
}

// sources returns a copy of a provider's sources, and with them the origin of
// a script that is not the provider's own: who serves that may serve all that
// it loads, as a private deployment does.
//
// The sources of the providers have no scheme. They mean https on a page that
// came over https, and on one that came over http also the http that some
// widgets choose there.
func (s script) sources(providers map[string][]string) map[string][]string {
	all := maps.Clone(providers)
	for directive, sources := range all {
		all[directive] = slices.Clone(sources)
		if s.origin != "" {
			all[directive] = append(all[directive], s.origin)
		}
	}
	return all
}

// geetestSources are what the widgets of both of GeeTest's captchas need from
// the hosts, which GeeTest documents as a list for firewalls. That they are
// needed for each of these directives is what the widgets' code shows: they
// load scripts, style sheets, fonts, pictures and (for the blind) sounds from
// them, put style elements into the page, and have their pictures as data and
// blobs, too.
func geetestSources(hosts ...string) map[string][]string {
	and := func(others ...string) []string { return slices.Concat(hosts, others) }
	return map[string][]string{
		"script-src":  hosts,
		"style-src":   and("'unsafe-inline'"),
		"img-src":     and("data:", "blob:"),
		"font-src":    and("data:"),
		"connect-src": hosts,
		"frame-src":   hosts,
		"media-src":   hosts,
	}
}
