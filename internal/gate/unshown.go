package gate

import (
	"net/http"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddycaptcha/caddycaptcha/internal/request"
)

// unshown counts the calls by scripts of the site's own pages that were refused
// since anybody was last shown the captcha. Where many are and nobody was, the
// pages do not have our script: people get an error of the application's, and
// no captcha.
type unshown struct{ calls atomic.Int32 }

// manyUnshown is so many that no one person's impatience explains it, and so
// few that the operator hears of it while trying the config.
const manyUnshown = 10

// note counts a refused request, and tells the operator when it was the last of
// many.
func (u *unshown) note(g *Gate, r *http.Request, d Decision) {
	if g.issuer == nil || !d.Outcome.Curable || !isCall(r) {
		return
	}
	if u.calls.Add(1) == manyUnshown {
		g.alarm.Warn("the pages' scripts make calls that are refused, and nobody opens the captcha: let captcha_inject cover the page that people open first, too, and see the README on single-page applications",
			zap.String("policy", g.Policy), zap.String("path", r.URL.Path))
	}
}

// shown notes that somebody is shown the captcha.
func (u *unshown) shown() {
	if u.calls.Load() != 0 { // no write to share in the ordinary case
		u.calls.Store(0)
	}
}

// isCall reports whether a browser says that a script of a page of the same
// origin made the request.
func isCall(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Mode") {
	case "cors", "same-origin":
		return r.Header.Get("Sec-Fetch-Dest") == "empty" && request.IsFromOwnPage(r)
	}
	return false
}
