//go:build apps

// Package roundcube is Roundcube, from Debian, with Dovecot and SQLite.
package roundcube

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

// App is Roundcube with a mailbox.
var App = app.App{
	Name:    "roundcube",
	Title:   "Roundcube",
	Version: app.DebianVersion("roundcube-core"),
	Debian:  []string{"roundcube-core", "roundcube-sqlite3", "dovecot-imapd", "php-cli"},
	Start:   start,
	Login: func(p *app.Person, password string) {
		p.Open("/")
		p.Fill("#rcmloginuser", app.Name)
		p.Fill("#rcmloginpwd", password)
		p.Click("#rcmloginsubmit")
	},
	Welcome: `document.querySelector("#messagelist, #layout-list") && window.rcmail?.task === "mail" && !rcmail.busy`,
	Refusal: `document.querySelector("#messagestack")?.textContent.includes("Login failed")`,
	Journeys: []app.Journey{
		{Name: "attach a file", Do: func(p *app.Person) {
			p.Open("/?_task=mail&_action=compose&_html=0")
			p.Until(`window.rcmail?.env.compose_id && document.readyState === "complete"`)
			file := filepath.Join(p.T.TempDir(), "note.txt")
			app.Write(p.T, file, "a note")
			p.Upload("input[type=file][name=\"_attachments[]\"]", file)
			p.Until(`document.querySelector("#attachment-list li:not(.uploading) .attachment-name")?.textContent === "note.txt"`)
		}},
		{Name: "save a draft", Do: func(p *app.Person) {
			p.Fill("#compose-subject", "Something")
			p.Fill("#composebody", "Some text.")
			p.Click("a.save.draft")
			p.Until(`document.querySelector("#messagestack")?.textContent.includes("Message saved")`)
			p.Until(`!rcmail.busy`)
		}},
		{Name: "find it", Do: func(p *app.Person) {
			p.Open("/?_task=mail&_mbox=Drafts")
			p.Until(`[...document.querySelectorAll("#messagelist .subject")].some((e) => e.textContent.includes("Something"))`)
		}},
	},
	Aside:     `/program/|/skins/|/plugins/|_action=(refresh|keep-alive|getunread)`,
	Technique: "native form, POST `/?_task=login`; after that jQuery's ajax, and forms in a hidden frame",
	Doors:     "none over HTTP; IMAP and SMTP take passwords, too",
}

func start(t *testing.T, dir, _ string) string {
	t.Helper()
	imap := dovecot(t, filepath.Join(dir, "dovecot"))
	config := filepath.Join(dir, "config")
	for _, name := range []string{"defaults.inc.php", "mimetypes.php"} {
		text, err := os.ReadFile(filepath.Join("/etc/roundcube", name))
		if err != nil {
			t.Fatal(err)
		}
		app.Write(t, filepath.Join(config, name), string(text))
	}
	app.Write(t, filepath.Join(dir, "temp", "empty"), "")
	app.Write(t, filepath.Join(config, "config.inc.php"), `<?php
$config['db_dsnw'] = 'sqlite:///`+filepath.Join(dir, "roundcube.sqlite")+`?mode=0600';
$config['imap_host'] = '`+imap+`'; $config['smtp_host'] = 'localhost:1'; $config['des_key'] = 'abcdefghijklmnopqrstuvwx';
$config['temp_dir'] = '`+filepath.Join(dir, "temp")+`'; $config['log_driver'] = 'stdout'; $config['plugins'] = [];
$config['username_domain'] = 'example.com'; $config['draft_autosave'] = 0; $config['drafts_mbox'] = 'Drafts'; $config['create_default_folders'] = true;
`)
	return app.PHP(t, dir, "/var/lib/roundcube/public_html", "ROUNDCUBE_CONFIG_DIR="+config)
}

// dovecot starts an IMAP server and returns its address.
func dovecot(t *testing.T, dir string) string {
	t.Helper()
	port := app.FreePort(t)
	app.Write(t, filepath.Join(dir, "users"), app.Name+"@example.com:{PLAIN}"+app.Password+"\n")
	app.Write(t, filepath.Join(dir, "mail", "empty"), "")
	app.Write(t, filepath.Join(dir, "dovecot.conf"), `base_dir = `+dir+`/run
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:`+dir+`/mail/%n
first_valid_uid = 1
passdb {
  driver = passwd-file
  args = `+dir+`/users
}
userdb {
  driver = static
  args = uid=mail gid=mail home=`+dir+`/mail/%n
}
service imap-login {
  inet_listener imap {
    port = `+port+`
  }
  inet_listener imaps {
    port = 0
  }
}
`)
	app.Give(t, filepath.Join(dir, "mail"), "mail")
	app.Give(t, filepath.Join(dir, "users"), "dovecot")
	app.Serve(t, dir, "tcp:127.0.0.1:"+port, nil, "dovecot", "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	return "localhost:" + port
}
