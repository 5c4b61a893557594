//go:build apps

// Package phpmyadmin is phpMyAdmin, from Debian, with MariaDB.
package phpmyadmin

import (
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

// App is phpMyAdmin with a user of the database.
var App = app.App{
	Name:    "phpmyadmin",
	Title:   "phpMyAdmin",
	Version: app.DebianVersion("phpmyadmin"),
	Debian:  []string{"phpmyadmin", "php-cli", "php-mysql", "php-xml", "php-mbstring", "mariadb-server"},
	Start:   start,
	Login: func(p *app.Person, password string) {
		p.Open("/index.php")
		p.Fill("#input_username", app.Name)
		p.Fill("#input_password", password)
		p.Click("#input_go")
	},
	Welcome: `document.querySelector("#serverinfo, #server-breadcrumb") && document.querySelector("#pma_navigation_tree .database, #pma_navigation_tree li")`,
	Refusal: `document.body?.innerText.includes("Cannot log in")`,
	Journeys: []app.Journey{
		{Name: "run a query", Do: func(p *app.Person) {
			p.Open("/index.php?route=/database/sql&db=app")
			p.Until(`document.querySelector(".CodeMirror")?.CodeMirror`)
			p.Evaluate(`document.querySelector("#sqlqueryform .CodeMirror").CodeMirror.setValue("SELECT 6*7 AS answer")`)
			p.Click("#button_submit_query")
			p.Until(`[...document.querySelectorAll(".table_results td")].some((e) => e.textContent.trim() === "42")`)
		}},
		{Name: "make a table", Do: func(p *app.Person) {
			p.Open("/index.php?route=/database/structure&db=app")
			p.Fill("#createTableMinimalForm [name=table], #createTableNameInput", "Something")
			p.Click("#createTableMinimalForm [type=submit]")
			p.Until(`document.querySelector("#field_0_1")`)
		}},
	},
	// What its pages do by themselves, a while after the last keystroke.
	Aside:     `/js/|/themes/|/favicon|route=/(lint|config/set|navigation|recent-table|version-check)`,
	Technique: "native form, POST `/index.php?route=/`; after that jQuery's ajax",
	Doors:     "a password may be in the query of a GET, too (`pma_username`, `pma_password`), and with the auth type `http` on every path",
}

func start(t *testing.T, dir, _ string) string {
	t.Helper()
	socket := app.MariaDB(t, dir)
	app.Run(t, dir, "mariadb", "--no-defaults", "--socket="+socket, "--user=root", "--execute",
		"CREATE USER "+app.Name+"@localhost IDENTIFIED BY '"+app.Password+"'; GRANT ALL ON app.* TO "+app.Name+"@localhost")
	root := filepath.Join(dir, "phpmyadmin")
	app.Copy(t, "/usr/share/phpmyadmin", root)
	// Debian's own paths give way to those below.
	app.Run(t, root, "sed", "-i", "s#/etc/phpmyadmin/config.inc.php#"+filepath.Join(root, "config.inc.php")+"#", "libraries/vendor_config.php")
	app.Write(t, filepath.Join(root, "config.inc.php"), `<?php
$cfg['blowfish_secret'] = str_repeat('a', 32);
$cfg['Servers'][1] = ['auth_type' => 'cookie', 'host' => 'localhost', 'socket' => '`+socket+`', 'connect_type' => 'socket', 'hide_db' => '^(information_schema)$'];
$cfg['TempDir'] = '`+filepath.Join(dir, "tmp")+`'; $cfg['VersionCheck'] = false; $cfg['SendErrorReports'] = 'never';
`)
	app.Write(t, filepath.Join(dir, "tmp", "empty"), "")
	return app.PHP(t, dir, root)
}
