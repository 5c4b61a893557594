package simulator

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(DemoApp{})
	httpcaddyfile.RegisterHandlerDirective("captcha_demo_app", parseDemoApp)
	httpcaddyfile.RegisterDirectiveOrder("captcha_demo_app", httpcaddyfile.Before, "respond")
}

const (
	demoCookie = "demo_session"

	// maxDemoBody is how much of a request body the demo reads, in bytes.
	maxDemoBody = 8 << 20

	// demoPolicy is what the demo sends when it is asked to be strict. It
	// knows nothing of captchas, as the rest of the demo.
	demoPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

//go:embed demo
var demoFiles embed.FS

var demoPages = template.Must(template.ParseFS(demoFiles, "demo/*.html"))

// DemoApp is the module http.handlers.captcha_demo_app: an application for
// demos and tests that knows nothing of captchas. It answers every request
// that reaches it, and shows everybody what they sent, so it is for demos only.
//
// GET /demo.js and /demo.css are its script and style. A GET of any other path
// is answered with a page of four forms, which are sent back to the same path:
// a plain one, one that a script sends with fetch, one that it sends with
// XMLHttpRequest, as JSON, and one with a file. Any other method is answered
// with what was sent: method, path, content type, fields, files and the names
// of the cookies; as JSON when the Accept header names it, else as HTML.
//
// It sets a cookie of its own, and with csp=strict in the query it sends a
// Content-Security-Policy that allows nothing but the application itself.
//
// Caddyfile syntax:
//
//	captcha_demo_app [<matcher>]
type DemoApp struct{}

// CaddyModule returns the Caddy module information.
func (DemoApp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.captcha_demo_app",
		New: func() caddy.Module { return new(DemoApp) },
	}
}

func parseDemoApp(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	helper.Next() // the directive's name
	if helper.NextArg() {
		return nil, helper.ArgErr()
	}
	if helper.NextBlock(0) {
		return nil, helper.Errf("captcha_demo_app takes no block")
	}
	return DemoApp{}, nil
}

// echo is what the demo says of a request.
type echo struct {
	Method      string              `json:"method"`
	Path        string              `json:"path"`
	ContentType string              `json:"content_type"`
	Fields      map[string][]string `json:"fields"`
	Files       []echoFile          `json:"files,omitempty"`
	Cookies     []string            `json:"cookies"`
}

type echoFile struct {
	Field  string `json:"field"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// ServeHTTP answers the request. It never calls next.
func (DemoApp) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if r.URL.Query().Get("csp") == "strict" {
		w.Header().Set("Content-Security-Policy", demoPolicy)
	}
	if _, err := r.Cookie(demoCookie); err != nil {
		http.SetCookie(w, &http.Cookie{
			Name: demoCookie, Value: randomHex(8), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return serveEcho(w, r)
	}
	switch r.URL.Path {
	case "/demo.js", "/demo.css":
		http.ServeFileFS(w, r, demoFiles, "demo"+r.URL.Path)
		return nil
	}
	return writePage(w, "page.html", r.URL.Path)
}

func serveEcho(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxDemoBody)
	got, err := readEcho(r)
	if err != nil {
		return caddyhttp.Error(http.StatusBadRequest, fmt.Errorf("reading the request body: %w", err))
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(got)
	}
	return writePage(w, "echo.html", got)
}

func readEcho(r *http.Request) (echo, error) {
	got := echo{Method: r.Method, Path: r.URL.Path, Fields: make(map[string][]string), Cookies: []string{}}
	for _, cookie := range r.Cookies() {
		got.Cookies = append(got.Cookies, cookie.Name)
	}
	slices.Sort(got.Cookies)
	got.ContentType, _, _ = mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch got.ContentType {
	case "application/json":
		var members map[string]any
		if err := json.NewDecoder(r.Body).Decode(&members); err != nil {
			return got, err
		}
		for name, value := range members {
			got.Fields[name] = []string{fmt.Sprint(value)}
		}
	case "multipart/form-data":
		if err := r.ParseMultipartForm(maxDemoBody); err != nil {
			return got, err
		}
		defer func() { _ = r.MultipartForm.RemoveAll() }()
		got.Fields = r.MultipartForm.Value
		for field, headers := range r.MultipartForm.File {
			for _, header := range headers {
				file, err := readFile(field, header)
				if err != nil {
					return got, err
				}
				got.Files = append(got.Files, file)
			}
		}
	default:
		if err := r.ParseForm(); err != nil {
			return got, err
		}
		got.Fields = r.PostForm
	}
	return got, nil
}

func readFile(field string, header *multipart.FileHeader) (echoFile, error) {
	content, err := header.Open()
	if err != nil {
		return echoFile{}, err
	}
	defer content.Close()
	digest := sha256.New()
	size, err := io.Copy(digest, content)
	return echoFile{field, header.Filename, size, hex.EncodeToString(digest.Sum(nil))}, err
}

func writePage(w http.ResponseWriter, name string, data any) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return demoPages.ExecuteTemplate(w, name, data)
}

// Interface guard
var _ caddyhttp.MiddlewareHandler = DemoApp{}
