//go:build apps

// Package pocketbase is PocketBase, from its Go module.
package pocketbase

import (
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

const (
	version = "v0.36.8"
	email   = app.Name + "@example.com"
)

// App is PocketBase with a superuser.
var App = app.App{
	Name:    "pocketbase",
	Title:   "PocketBase",
	Version: func(*testing.T) string { return version + " (Go)" },
	Start:   start,
	Page:    "/_/ /api/collections/*/auth-with-password*",
	Login: func(p *app.Person, password string) {
		p.Open("/_/")
		p.Fill("input[type=email]", email)
		p.Fill("input[type=password]", password)
		p.Click("form [type=submit]")
	},
	Welcome: `location.hash.includes("collection=_pb_users_auth_") && document.body.innerText.includes("No records found")`,
	Refusal: `document.body?.innerText.includes("Invalid login credentials")`,
	Journeys: []app.Journey{
		{Name: "save settings", Do: func(p *app.Person) {
			p.Open("/_/#/settings")
			p.Until(`document.body.innerText.includes("Application name")`)
			p.Fill(".page-wrapper form input[type=text]:not([readonly])", "Something")
			p.Click(".page-wrapper form .btn-expanded")
			p.Until(`document.querySelector(".toasts-wrapper")?.innerText.includes("Successfully saved")`)
		}},
		{Name: "export", Do: func(p *app.Person) {
			p.Open("/_/#/settings/export-collections")
			p.Until(`document.body.innerText.includes('"listRule"')`)
		}},
	},
	Aside:     `/_/(assets|images|fonts)/|/api/health`,
	Technique: "`fetch`, POST `/api/collections/*/auth-with-password`, from a single-page application at `/_/`; a token in local storage",
	Doors:     "`/api/collections/*/request-otp` and `auth-with-oauth2` log in as well, for programs, too: exempt those that solve no captcha",
}

func start(t *testing.T, dir, _ string) string {
	t.Helper()
	program := app.Install(t, "github.com/pocketbase/pocketbase/examples/base@"+version, "base")
	data := "--dir=" + filepath.Join(dir, "data")
	app.Run(t, dir, program, "superuser", "upsert", email, app.Password, data)
	address := "127.0.0.1:" + app.FreePort(t)
	app.Serve(t, dir, address, nil, program, "serve", "--http="+address, data)
	return address
}
