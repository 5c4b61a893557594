//go:build apps

// Package wordpress is WordPress, from Debian, with MariaDB.
package wordpress

import (
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

// App is WordPress with an administrator.
var App = app.App{
	Name:    "wordpress",
	Title:   "WordPress",
	Version: app.DebianVersion("wordpress"),
	Debian:  []string{"wordpress", "php-cli", "php-mysql", "php-xml", "php-gd", "mariadb-server"},
	Start:   start,
	Login: func(p *app.Person, password string) {
		p.Open("/wp-login.php")
		p.Until(`document.activeElement?.matches("#user_login, #user_pass")`) // its script takes the focus there a moment later
		p.Fill("#user_login", app.Name)
		p.Fill("#user_pass", password)
		p.Click("#wp-submit")
	},
	Welcome: `document.querySelector("#wpadminbar") && document.querySelector("#adminmenu")`,
	Refusal: `document.querySelector("#login_error")?.textContent.includes("password")`,
	Journeys: []app.Journey{
		{Name: "save settings", Do: func(p *app.Person) {
			p.Open("/wp-admin/options-general.php")
			p.Fill("#blogdescription", "another site")
			p.Click("#submit")
			p.Until(`document.querySelector("#setting-error-settings_updated")`)
		}},
		{Name: "add a category", Do: func(p *app.Person) {
			p.Open("/wp-admin/edit-tags.php?taxonomy=category")
			p.Fill("#tag-name", "Something")
			p.Click("#submit")
			p.Until(`[...document.querySelectorAll("#the-list .row-title")].some((e) => e.textContent === "Something")`)
		}},
	},
	// The scheduler, and what the dashboard does by itself.
	Aside:     `/wp-cron\.php|/wp-json/|/wp-admin/admin-ajax\.php|/wp-includes/|/wp-admin/(js|css|images|load)|/favicon`,
	Technique: "native form, POST `/wp-login.php`",
	Doors:     "`xmlrpc.php` takes passwords, many in one request: close it; the REST API takes application passwords",
}

func start(t *testing.T, dir, site string) string {
	t.Helper()
	socket := app.MariaDB(t, dir)
	root := filepath.Join(dir, "wordpress")
	app.Copy(t, "/usr/share/wordpress", root)
	app.Write(t, filepath.Join(root, "wp-config.php"), `<?php
define('DB_NAME', 'app'); define('DB_USER', 'app'); define('DB_PASSWORD', 'app'); define('DB_HOST', 'localhost:`+socket+`');
define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', '');
define('WP_HOME', '`+site+`'); define('WP_SITEURL', '`+site+`');
define('WP_HTTP_BLOCK_EXTERNAL', true); define('DISABLE_WP_CRON', true); define('AUTOMATIC_UPDATER_DISABLED', true);
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $name) { define($name.'_KEY', $name.'key'); define($name.'_SALT', $name.'salt'); }
$table_prefix = 'wp_';
if (!defined('ABSPATH')) define('ABSPATH', __DIR__.'/');
require_once ABSPATH.'wp-settings.php';
`)
	app.Write(t, filepath.Join(dir, "install.php"), `<?php
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = 'localhost';
require '`+root+`/wp-load.php';
require ABSPATH.'wp-admin/includes/upgrade.php';
wp_install('Site', '`+app.Name+`', 'alice@example.com', true, '', '`+app.Password+`');
`)
	app.Run(t, dir, "php", filepath.Join(dir, "install.php"))
	return app.PHP(t, dir, root)
}
