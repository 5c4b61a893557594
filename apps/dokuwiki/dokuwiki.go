//go:build apps

// Package dokuwiki is DokuWiki, from Debian. A login is a form whose page and
// target are the page that one is on.
package dokuwiki

import (
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

// App is DokuWiki with the built-in server of PHP.
var App = app.App{
	Name:    "dokuwiki",
	Title:   "DokuWiki",
	Version: app.DebianVersion("dokuwiki"),
	Debian:  []string{"dokuwiki", "php-cli", "php-xml"},
	Start:   start,
	Login: func(p *app.Person, password string) {
		p.Open("/doku.php?id=start&do=login")
		p.Fill("#dw__login [name=u]", app.Name)
		p.Fill("#dw__login [name=p]", password)
		p.Click("#dw__login [type=submit]")
	},
	Welcome: `document.querySelector("#dokuwiki__usertools .logout")`,
	Refusal: `document.querySelector("div.error") && document.querySelector("#dw__login")`,
	Journeys: []app.Journey{
		{Name: "save a page", Do: func(p *app.Person) {
			p.Open("/doku.php?id=Something&do=edit")
			p.Fill("#wiki__text", "====== Heading ======\nSome text.")
			p.Click("#edbtn__save")
			p.Until(`document.querySelector("h1.sectionedit1")?.textContent === "Heading"`)
		}},
		{Name: "search", Do: func(p *app.Person) {
			p.Fill("#qsearch__in", "heading")
			p.Click("#dw__search [type=submit]")
			p.Until(`document.querySelector(".search_fulltextresult, .search_results")`)
		}},
	},
	// The index is brought up to date in the background.
	Aside:     `taskrunner\.php|ajax\.php|/lib/exe/`,
	Technique: "native form, POST to the page that one is on",
	Doors:     "a login is `GET ?u=&p=`, too, on every page; `lib/exe/xmlrpc.php` takes Basic auth, and is off unless you turn it on",
}

func start(t *testing.T, dir, _ string) string {
	t.Helper()
	root := filepath.Join(dir, "dokuwiki")
	app.Copy(t, "/usr/share/dokuwiki", root)
	app.Copy(t, "/etc/dokuwiki", filepath.Join(root, "conf"))
	app.Copy(t, "/var/lib/dokuwiki/data", filepath.Join(root, "data"))
	// Debian's own paths give way to those that DokuWiki has by itself.
	app.Write(t, filepath.Join(root, "inc", "preload.php"), "<?php\n")
	app.Write(t, filepath.Join(root, "conf", "local.php"), `<?php
$conf['title'] = 'Wiki'; $conf['useacl'] = 1; $conf['superuser'] = '@admin'; $conf['savedir'] = './data'; $conf['updatecheck'] = 0;
`)
	app.Write(t, filepath.Join(root, "conf", "acl.auth.php"), "*\t@ALL\t1\n*\t@user\t8\n")
	hash := app.Run(t, dir, "php", "-r", `echo password_hash($argv[1], PASSWORD_BCRYPT);`, "--", app.Password)
	app.Write(t, filepath.Join(root, "conf", "users.auth.php"), app.Name+":"+hash+":Alice:alice@example.com:admin,user\n")
	return app.PHP(t, dir, root)
}
