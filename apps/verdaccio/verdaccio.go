//go:build apps

// Package verdaccio is Verdaccio, a registry for npm, from npm.
package verdaccio

import (
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

// App is Verdaccio with a package in it.
var App = app.App{
	Name:  "verdaccio",
	Title: "Verdaccio",
	NPM:   "verdaccio",
	Page:  "/ /-/verdaccio/sec/login",
	Login: func(p *app.Person, password string) {
		p.Open("/")
		p.Click(`[data-testid="header--button-login"]`)
		p.Fill("#login--dialog-username", app.Name)
		p.Fill("#login--dialog-password", password)
		p.Click("#login--dialog-button-submit")
	},
	Welcome: `document.querySelector('[data-testid="logInDialogIcon"], #header--button-account')`,
	Refusal: `document.querySelector('[data-testid="error"]') || document.body.innerText.includes("Unable to sign in")`,
	Journeys: []app.Journey{
		{Name: "search", Do: func(p *app.Person) {
			p.Fill(`input[type="text"]`, "hello")
			p.Until(`[...document.querySelectorAll('[role="option"]')].some((e) => e.textContent.includes("hello"))`)
		}},
		{Name: "look at a package", Do: func(p *app.Person) {
			p.Open("/-/web/detail/hello")
			p.Until(`document.body.innerText.includes("A package")`)
		}},
	},
	Aside:     `/-/verdaccio/data/search`,
	Technique: "`fetch`, POST `/-/verdaccio/sec/login`; a token in local storage",
	Doors:     "`npm login` is PUT `/-/user/*`, and npm itself uses tokens: exempt `/-/npm/*` and packages, whose clients solve no captcha",
}

func init() {
	App.Version = app.NodeVersion(&App)
	App.Start = start
}

func start(t *testing.T, dir, _ string) string {
	t.Helper()
	modules := filepath.Dir(App.Node(t))
	hash := app.Run(t, modules, "node", "-p", "require('bcryptjs').hashSync(process.argv[1], 4)", app.Password)
	app.Write(t, filepath.Join(dir, "htpasswd"), app.Name+":"+hash+":\n")
	app.Write(t, filepath.Join(dir, "config.yaml"), `storage: ./storage
auth:
  htpasswd:
    file: ./htpasswd
uplinks: {}
packages:
  "**":
    access: $all
    publish: $authenticated
web:
  title: Packages
userRateLimit: { windowMs: 1000, max: 1000 }
log: { type: stdout, format: pretty, level: warn }
`)
	app.Write(t, filepath.Join(dir, "storage", ".verdaccio-db.json"), `{"list":["hello"],"secret":"0123456789abcdef0123456789abcdef"}`)
	app.Write(t, filepath.Join(dir, "storage", "hello", "package.json"), `{
	"name": "hello", "_id": "hello", "_rev": "1-1", "readme": "A package", "dist-tags": { "latest": "1.0.0" }, "users": {}, "_uplinks": {}, "_attachments": {},
	"time": { "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "1.0.0": "2026-01-01T00:00:00.000Z" },
	"_distfiles": {}, "versions": { "1.0.0": { "name": "hello", "version": "1.0.0", "description": "A package", "readme": "A package", "_id": "hello@1.0.0", "dependencies": {},
		"dist": { "shasum": "2d5b4b5e0d9a0f3cb5a4c6d5a8f1d1b0e1a2b3c4", "tarball": "http://localhost/hello/-/hello-1.0.0.tgz" } } }
}`)
	port := app.FreePort(t)
	app.Serve(t, dir, "127.0.0.1:"+port, []string{"HOME=" + dir}, "node", filepath.Join(modules, "verdaccio", "bin", "verdaccio"),
		"--config", filepath.Join(dir, "config.yaml"), "--listen", "127.0.0.1:"+port)
	return "127.0.0.1:" + port
}
