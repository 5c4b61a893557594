//go:build apps

// Package lab is a small application of our own, once for each of the ways in
// which pages log in without a form that the browser sends: with the real
// libraries, unmodified, from npm.
package lab

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
)

// Apps returns the application with each library.
func Apps() []*app.App {
	return []*app.App{
		lab("react", "React", "`fetch`, from a view that a click opens"),
		lab("vue", "Vue and axios", "`XMLHttpRequest`, with a timeout of a minute"),
		lab("zone", "Angular's zone.js", "`fetch` and `XMLHttpRequest` that another library has wrapped already"),
		lab("jquery", "jQuery", "`XMLHttpRequest`"),
		lab("uppy", "Uppy", "`XMLHttpRequest` with progress"),
		lab("turbo", "Turbo", "a form that the library sends by `fetch`, on a page that it has put into the first"),
		lab("htmx2", "htmx 2", "a form that the library sends by `XMLHttpRequest`, on a boosted page"),
		lab("htmx4", "htmx 4", "a form that the library sends by `fetch`, on a boosted page"),
		lab("unpoly", "Unpoly", "a form that the library sends by `XMLHttpRequest`, on a page of which it has put a part into the first"),
	}
}

func lab(name, title, technique string) *app.App {
	return &app.App{
		Name:    "lab-" + name,
		Title:   title,
		Example: "single-page",
		Version: func(t *testing.T) string { return version(t, name) },
		Start:   func(t *testing.T, _, _ string) string { return start(t, name) },
		Page:    "/ /login*", // the views are not pages
		Login: func(p *app.Person, password string) {
			p.Open("/")
			p.Click("#to-login")
			p.Fill("#name", app.Name)
			p.Fill("#password", password)
			p.Click("#login")
		},
		Welcome: `document.querySelector("#welcome")?.textContent.includes("` + app.Name + `")`,
		Refusal: `document.querySelector("#message")?.textContent.includes("Wrong password")`,
		Journeys: []app.Journey{
			{Name: "save", Do: func(p *app.Person) {
				p.Fill("#note", "Something")
				p.Click("#save")
				p.Until(`document.querySelector("#saved")?.textContent.includes("Something")`)
			}},
			{Name: "upload", Do: func(p *app.Person) {
				file := filepath.Join(p.T.TempDir(), "note.txt")
				app.Write(p.T, file, strings.Repeat("a note\n", 10_000))
				p.Upload("#file", file)
				p.Click("#upload")
				p.Until(`document.querySelector("#uploaded")?.textContent.includes("70000")`)
			}},
		},
		Aside:     `/lib/`,
		Technique: technique + "; POST `/login`",
		Doors:     "",
	}
}

// packages are the libraries' packages of npm, for the table.
var packages = map[string][]string{
	"react": {"react"}, "vue": {"vue", "axios"}, "zone": {"zone.js"}, "jquery": {"jquery"}, "uppy": {"uppy"},
	"turbo": {"@hotwired/turbo"}, "htmx2": {"htmx2"}, "htmx4": {"htmx4"}, "unpoly": {"unpoly"},
}

func version(t *testing.T, name string) string {
	testenv.NodeModules(t, "lab")
	versions := make([]string, 0, len(packages[name]))
	for _, of := range packages[name] {
		versions = append(versions, app.Run(t, filepath.Join("lab", "node_modules", of), "node", "-p", "require('./package.json').version"))
	}
	return strings.Join(versions, " and ") + " (npm)"
}

//go:embed pages
var pages embed.FS

var templates = template.Must(template.ParseFS(pages, "pages/*.html"))

// commonJS are modules that browsers can run only in a function of their own.
var commonJS = map[string]string{
	"react.js":            "react/cjs/react.production.js",
	"scheduler.js":        "scheduler/cjs/scheduler.production.js",
	"react-dom.js":        "react-dom/cjs/react-dom.production.js",
	"react-dom-client.js": "react-dom/cjs/react-dom-client.production.js",
}

func start(t *testing.T, name string) (address string) {
	mux := http.NewServeMux()
	mux.Handle("GET /lib/", http.StripPrefix("/lib/", http.FileServer(http.Dir(filepath.Join("lab", "node_modules")))))
	for file, path := range commonJS {
		mux.HandleFunc("GET /lib/commonjs/"+file, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprintf(w, "modules[%q] = (module, exports, require) => {", strings.TrimSuffix(strings.Replace(file, "-dom-client", "-dom/client", 1), ".js"))
			http.ServeFile(noHeader{w}, r, filepath.Join("lab", "node_modules", path))
			fmt.Fprint(w, "};")
		})
	}
	page := func(w http.ResponseWriter, status int, view string, data any) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		if err := templates.ExecuteTemplate(w, name+".html", map[string]any{"View": view, "Data": data}); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if user(r) != "" {
			page(w, http.StatusOK, "home", user(r))
			return
		}
		page(w, http.StatusOK, "start", nil)
	})
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { page(w, http.StatusOK, "login", "") })
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		in := input(r)
		right := in["name"] == app.Name && in["password"] == app.Password
		if right {
			http.SetCookie(w, &http.Cookie{Name: "user", Value: app.Name, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}) //nolint:gosec // over http
		}
		switch html := strings.Contains(r.Header.Get("Accept"), "text/html") || r.Header.Get("Hx-Request") != "" || r.Header.Get("X-Up-Version") != ""; {
		case html && right:
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case html:
			page(w, http.StatusUnprocessableEntity, "login", "Wrong password")
		case right:
			answer(w, http.StatusOK, map[string]any{"name": app.Name})
		default:
			answer(w, http.StatusUnauthorized, map[string]any{"error": "Wrong password"})
		}
	})
	mux.HandleFunc("POST /notes", member(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string]any{"saved": input(r)["note"]})
	}))
	mux.HandleFunc("POST /files", member(func(w http.ResponseWriter, r *http.Request) {
		file, _, err := r.FormFile("file")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		size, _ := io.Copy(io.Discard, file)
		answer(w, http.StatusOK, map[string]any{"size": size, "url": "/files/1"})
	}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// noHeader is for a file that is a part of an answer.
type noHeader struct{ http.ResponseWriter }

func (noHeader) Header() http.Header { return http.Header{} }
func (noHeader) WriteHeader(int)     {}

func user(r *http.Request) string {
	cookie, err := r.Cookie("user")
	if err != nil {
		return ""
	}
	return cookie.Value
}

func member(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if user(r) == "" {
			answer(w, http.StatusUnauthorized, map[string]any{"error": "Log in first"})
			return
		}
		next(w, r)
	}
}

func input(r *http.Request) map[string]string {
	in := make(map[string]string)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		_ = json.NewDecoder(r.Body).Decode(&in)
		return in
	}
	_ = r.ParseMultipartForm(1 << 20)
	for name := range r.PostForm {
		in[name] = r.PostFormValue(name)
	}
	return in
}

func answer(w http.ResponseWriter, status int, data any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(data)
}
