package verifier

import (
	"errors"
	"maps"
	"slices"

	"github.com/caddycaptcha/caddycaptcha/internal/setting"
)

// The scripts that the providers tell pages to load. They are loaders, which
// load the rest from the hosts that the sources name; the providers want them
// loaded from where they are, too.
const (
	geetestV3Script   = "https://static.geetest.com/static/tools/gt.js"
	geetestV4Script   = "https://static.geetest.com/v4/gt4.js"
	tencentScript     = "https://turing.captcha.qcloud.com/TJCaptcha.js"
	tencentScriptIntl = "https://ca.turing.captcha.qcloud.com/TJNCaptcha-global.js"
)

// script is where browsers load the widget from.
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

// The sources have no scheme: they then mean https on a page that came over
// https, and on one that came over http the http as well that some widgets
// choose there.
//
// GeeTest documents the hosts, as a list for firewalls. That they are needed
// for each of these directives is what the widgets' code shows: they load
// scripts, style sheets, fonts, pictures and (for the blind) sounds from them,
// put style elements into the page, and have their pictures as data and blobs,
// too.
var (
	geetestV3Sources = geetestSources("*.geetest.com", "*.geevisit.com", "dn-staticdown.qbox.me")
	geetestV4Sources = geetestSources("*.geetest.com", "*.geevisit.com", "*.gsensebot.com", "dn-staticdown.qbox.me")
)

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

// Tencent documents no hosts. These are those that sites with a policy of
// their own list, the two sites of Tencent's told apart.
var (
	tencentSources     = tencentSourcesOf("turing.captcha.qcloud.com")
	tencentSourcesIntl = tencentSourcesOf("ca.turing.captcha.qcloud.com")
)

func tencentSourcesOf(host string) map[string][]string {
	const (
		files    = "*.captcha.gtimg.com"
		fallback = "www.tycaptcha.com"
		jQuery   = "cloudcache.tencentcs.com" // of the older scripts
		risk     = "rce.tencentrio.com"
		device   = "www.turingfraud.net"
	)
	return map[string][]string{
		"script-src":  {host, files, fallback, jQuery},
		"style-src":   {host, files, "'unsafe-inline'"},
		"img-src":     {host, files, "data:"},
		"font-src":    {host, files, "data:"},
		"connect-src": {host, files, fallback, risk, device},
		"frame-src":   {host, files, fallback},
		"worker-src":  {"blob:"},
	}
}
