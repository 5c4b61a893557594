//go:build apps

// Package miniflux is Miniflux, a reader of feeds, from its Go module, with
// PostgreSQL from Debian.
package miniflux

import (
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

const version = "v2.3.5"

// App is Miniflux with an administrator.
var App = app.App{
	Name:    "miniflux",
	Title:   "Miniflux",
	Version: func(*testing.T) string { return version + " (Go)" },
	Debian:  []string{"postgresql"},
	Start:   start,
	Login: func(p *app.Person, password string) {
		p.Open("/")
		p.Fill("#form-username", app.Name)
		p.Fill("#form-password", password)
		p.Click("form [type=submit]")
	},
	Welcome: `document.querySelector('[href$="/logout"], [action$="/logout"]')`,
	Refusal: `document.querySelector(".alert-error")`,
	Journeys: []app.Journey{
		{Name: "make a category", Do: func(p *app.Person) {
			p.Open("/category/create")
			p.Fill("#form-title", "Something")
			p.Click("main form [type=submit]")
			p.Until(`location.pathname === "/categories" && document.body.innerText.includes("Something")`)
		}},
		{Name: "search", Do: func(p *app.Person) {
			p.Open("/search?q=nothing")
			p.Until(`document.querySelector("main .alert")`)
		}},
	},
	// Chromium about a page that one leaves in the middle of its animation.
	Complaints: []string{"ViewTransition opt-in disabled"},
	Technique:  "native form, POST `/login`",
	Doors:      "`/v1/*` takes Basic auth and API tokens, `/fever/*` and `/reader/*` logins of their own: close what you do not use, exempt the rest",
}

func start(t *testing.T, dir, site string) string {
	t.Helper()
	socket := app.PostgreSQL(t, dir)
	address := "127.0.0.1:" + app.FreePort(t)
	app.Serve(t, dir, address, []string{
		"DATABASE_URL=host=" + socket + " user=app dbname=app sslmode=disable", "LISTEN_ADDR=" + address, "BASE_URL=" + site, "RUN_MIGRATIONS=1",
		"CREATE_ADMIN=1", "ADMIN_USERNAME=" + app.Name, "ADMIN_PASSWORD=" + app.Password, "DISABLE_SCHEDULER_SERVICE=1",
	}, app.Install(t, "miniflux.app/v2@"+version, "miniflux.app"))
	return address
}
