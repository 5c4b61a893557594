package readings_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// reporter collects the names of the logins that a request runs.
type reporter struct{ ran []string }

// compare runs the logins of a reading of the path.
func (l *reporter) compare(reading, path string) {
	if path == "/login" {
		l.ran = append(l.ran, reading+":exact")
	}
	if path == "/login" || strings.HasPrefix(path, "/login/") {
		l.ran = append(l.ran, reading+":under")
	}
	if strings.HasPrefix(path, "/login") {
		l.ran = append(l.ran, reading+":begins")
	}
	if strings.ToLower(path) == "/login" {
		l.ran = append(l.ran, reading+":fold")
	}
}

// request adds what the method, query and host say.
func (l *reporter) request(r *http.Request) {
	l.ran = append(l.ran, "method:"+strings.ToUpper(r.Method))
	if override := r.Header.Get("X-HTTP-Method-Override"); override != "" {
		l.ran = append(l.ran, "override:"+strings.ToUpper(override))
	}
	query := r.URL.Query() // what net/url cannot read is left out
	if query.Get("action") == "login" {
		l.ran = append(l.ran, "Query:action")
	}
	if query.Get("do_action") == "login" {
		l.ran = append(l.ran, "Query:do_action")
	}
	if method := query.Get("_method"); method != "" {
		l.ran = append(l.ran, "_method:"+strings.ToUpper(method))
	}
	host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
	if strings.TrimSuffix(host, ".") == "login.example.com" {
		l.ran = append(l.ran, "host:host")
	}
}

// answer writes the names.
func (l *reporter) answer(w http.ResponseWriter) {
	w.Header().Set("Login", strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.Join(l.ran, ", ")))
	w.Header().Set("Content-Length", "0")
}

// login is a handler of a router that was given the login's path.
func login(names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := reporter{ran: append([]string(nil), names...)}
		l.request(r)
		l.answer(w)
	}
}

// newMux routes by http.ServeMux, which cleans and redirects.
func newMux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/login", login("mux:exact", "mux:under", "mux:begins"))
	mux.Handle("/login/", login("mux:under", "mux:begins"))
	mux.Handle("/", login())
	return mux
}

// newChi routes by chi, which does not clean, and with its two ways of cleaning.
func newChi() http.Handler {
	route := func(name, whole string, use ...func(http.Handler) http.Handler) http.Handler {
		router := chi.NewRouter()
		router.Use(use...)
		router.Handle("/login", login(name+whole, name+":under", name+":begins"))
		router.Handle("/login/*", login(name+":under", name+":begins"))
		router.NotFound(login())
		return router
	}
	routers := []http.Handler{
		route("chi", ":exact"),
		route("chi cleaned", ":trimmed", middleware.CleanPath),
		route("chi stripped", ":trimmed", middleware.StripSlashes),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var l reporter
		for _, router := range routers {
			asked := names{header: http.Header{}}
			router.ServeHTTP(&asked, r.Clone(r.Context()))
			if ran := asked.header.Get("Login"); ran != "" {
				l.ran = append(l.ran, ran)
			}
		}
		l.answer(w)
	})
}

// names is a ResponseWriter that keeps the header.
type names struct{ header http.Header }

func (n *names) Header() http.Header         { return n.header }
func (n *names) WriteHeader(int)             {}
func (n *names) Write(b []byte) (int, error) { return len(b), nil }

// clean resolves dots and merges slashes but for one at the end, as ServeMux does.
func clean(name string) string {
	cleaned := path.Clean(name)
	if strings.HasSuffix(name, "/") && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned
}

// serveReadings reads the target in the ways that programs in Go do, and in
// those of servers that cannot be started here: IIS (\ is /), programs in C
// (cut at NUL), and proxies that decode once more.
func serveReadings(w http.ResponseWriter, r *http.Request) {
	var l reporter
	target, _, _ := strings.Cut(r.RequestURI, "?")
	l.compare("RequestURI", target)
	l.compare("EscapedPath", r.URL.EscapedPath())
	l.compare("Path", r.URL.Path)
	l.compare("Clean", clean(r.URL.Path))
	l.compare("lower case", strings.ToLower(r.URL.Path))
	if twice, err := url.PathUnescape(r.URL.Path); err == nil {
		l.compare("decoded twice", twice)
		l.compare("decoded twice and cleaned", clean(twice))
	}
	backslashes := strings.ReplaceAll(r.URL.Path, `\`, "/")
	l.compare("backslashes", backslashes)
	l.compare("backslashes cleaned", clean(backslashes))
	beforeNUL, _, _ := strings.Cut(r.URL.Path, "\x00")
	l.compare("cut at NUL", beforeNUL)
	segments := strings.Split(r.URL.Path, "/")
	for i := range segments {
		segments[i], _, _ = strings.Cut(segments[i], ";")
	}
	l.compare("without parameters", clean(strings.Join(segments, "/")))
	l.request(r)
	l.answer(w)
}
