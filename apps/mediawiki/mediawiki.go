//go:build apps

// Package mediawiki is MediaWiki, from Debian, with SQLite.
package mediawiki

import (
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

// App is MediaWiki with an administrator.
var App = app.App{
	Name:    "mediawiki",
	Title:   "MediaWiki",
	Version: app.DebianVersion("mediawiki"),
	Debian:  []string{"mediawiki", "php-cli", "php-sqlite3", "php-mbstring", "php-xml", "php-intl"},
	Start:   start,
	Login: func(p *app.Person, password string) {
		p.Open("/index.php?title=Special:UserLogin")
		p.Fill("#wpName1", "Alice")
		p.Fill("#wpPassword1", password)
		p.Click("#wpLoginAttempt")
	},
	Welcome: `document.querySelector("#pt-logout")`,
	Refusal: `document.querySelector(".mw-message-box-error, .errorbox")?.textContent.includes("Incorrect")`,
	Journeys: []app.Journey{
		{Name: "save a page", Do: func(p *app.Person) {
			p.Open("/index.php?title=Something&action=edit")
			p.Fill("#wpTextbox1", "== Heading ==\nSome text.")
			p.Click("#wpSave")
			p.Until(`document.querySelector("#mw-content-text h2")?.textContent.includes("Heading")`)
		}},
		{Name: "search", Do: func(p *app.Person) {
			p.Open("/index.php?title=Special:Search&search=nothing+of+the+kind")
			p.Until(`document.querySelector(".mw-search-nonefound, .searchresults")`)
		}},
	},
	Aside:     `/load\.php|/api\.php`,
	Technique: "native form, POST `/index.php?title=Special:UserLogin`",
	Doors:     "`api.php` logs in by `action=login` and `clientlogin`; `rest.php` and `api.php` take OAuth and bot passwords; accounts are made at `Special:CreateAccount`",
}

func start(t *testing.T, dir, site string) string {
	t.Helper()
	root := filepath.Join(dir, "mediawiki")
	app.Copy(t, "/usr/share/mediawiki", root)
	app.Run(t, root, "php", "maintenance/install.php", "--dbtype", "sqlite", "--dbname", "wiki", "--dbpath", filepath.Join(dir, "data"),
		"--server", site, "--scriptpath", "", "--pass", app.Password, "--confpath", root, "Wiki", "Alice")
	return app.PHP(t, dir, root)
}
