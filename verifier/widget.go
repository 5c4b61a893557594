package verifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

// widget is what every challenge says: whose widget a page is to show, where
// its script is, and the options that the operator gives it.
type widget struct {
	Provider string                     `json:"provider"`
	Script   string                     `json:"script"`
	Options  map[string]json.RawMessage `json:"widget,omitempty"`
}

// widgetOptions are the operator's options of a widget, and those that are not
// theirs to set.
type widgetOptions struct {
	to  *map[string]json.RawMessage
	own []string
}

// unmarshal reads the line "widget <name> <value>". The value is read as JSON,
// and as text where it is none.
func (o widgetOptions) unmarshal(d *caddyfile.Dispenser) error {
	arguments := d.RemainingArgs()
	if len(arguments) != 2 || arguments[0] == "" {
		return d.Err("widget takes a name and a value, such as hideClose true (a value with spaces or commas in it goes into backquotes)")
	}
	name, value := arguments[0], json.RawMessage(arguments[1])
	if !json.Valid(value) {
		value, _ = json.Marshal(arguments[1]) // a string always is
	}
	if _, twice := (*o.to)[name]; twice {
		return d.Errf("widget %s is given twice", name)
	}
	if *o.to == nil {
		*o.to = make(map[string]json.RawMessage)
	}
	(*o.to)[name] = value
	if err := o.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// check finds options that this module sets itself.
func (o widgetOptions) check() error {
	for name := range *o.to {
		if slices.Contains(o.own, name) || name == "__proto__" {
			return fmt.Errorf("widget %s: this option is set by the module itself: leave it out", name)
		}
	}
	return nil
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
// a script that is not the provider's own, and others: who serves that may
// serve all that it loads, as a private deployment does.
//
// The sources of the providers have no scheme. They mean https on a page that
// came over https, and on one that came over http also the http that some
// widgets choose there.
func (s script) sources(providers map[string][]string, others ...string) map[string][]string {
	if s.origin != "" {
		others = append(others, s.origin)
	}
	slices.Sort(others)
	others = slices.Compact(others)
	all := maps.Clone(providers)
	for directive, sources := range all {
		all[directive] = slices.Concat(sources, others)
	}
	return all
}

// geetestHosts returns the sources of a widget whose service is not GeeTest's
// own, def: a private deployment, or Alibaba Cloud's, which has a second host.
// They come with the hosts that the widget's options name.
func geetestHosts(service, def string, options map[string]json.RawMessage) []string {
	var hosts []string
	if u, err := url.Parse(service); err == nil && service != def && only(u.Hostname(), isHostCharacter) {
		hosts = append(hosts, u.Scheme+"://"+u.Host)
		if name, ok := strings.CutPrefix(u.Host, "captcha."); ok && name == "alicaptcha.com" {
			hosts = append(hosts, "https://captchabak."+name)
		}
	}
	for _, option := range []string{"apiServers", "staticServers", "api_server", "api_server_v3", "static_servers"} {
		var named []string
		if json.Unmarshal(options[option], &named) != nil {
			var one string
			if json.Unmarshal(options[option], &one) != nil {
				continue
			}
			named = []string{one}
		}
		for _, host := range named {
			host, _, _ = strings.Cut(host, "/")
			if only(strings.ReplaceAll(host, ":", ""), isHostCharacter) && host != "" {
				hosts = append(hosts, host)
			}
		}
	}
	return hosts
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
		"worker-src":  {"blob:"},
	}
}
