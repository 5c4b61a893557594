//go:build apps

// Package cockpit is Cockpit, from Debian.
package cockpit

import (
	"os/user"
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

// name is that of a user of the system, for the time of the test.
const name = "caddycaptcha-" + app.Name

// App is Cockpit with a user of the system.
var App = app.App{
	Name:    "cockpit",
	Title:   "Cockpit",
	Version: app.DebianVersion("cockpit-ws"),
	Debian:  []string{"cockpit-ws", "cockpit-bridge", "cockpit-system"},
	Start:   start,
	Page:    "/ /cockpit/login*",
	Login: func(p *app.Person, password string) {
		p.Open("/")
		p.Fill("#login-user-input", name)
		p.Fill("#login-password-input", password)
		p.Click("#login-button")
	},
	Welcome: `document.body?.innerText.includes("Limited access") && document.title.includes("` + name + `@")`,
	Refusal: `document.querySelector("#login-error-message")?.textContent.includes("Wrong user name or password")`,
	Journeys: []app.Journey{
		{Name: "look at the users", Do: func(p *app.Person) {
			p.Open("/users")
			p.Until(`document.querySelector('iframe[name="cockpit1:localhost/users"]')?.contentDocument?.body?.innerText.includes("` + name + `")`)
		}},
		{Name: "open a terminal", Do: func(p *app.Person) {
			p.Open("/system/terminal")
			p.Until(`document.querySelector('iframe[name="cockpit1:localhost/system/terminal"]')?.contentDocument?.querySelector(".xterm-screen, .xterm-rows, .terminal canvas")`)
		}},
	},
	Aside:     `/cockpit/(@|\$|static)|/cockpit/channel/`,
	Technique: "`XMLHttpRequest`, GET `/cockpit/login` with Basic auth; all else goes over a WebSocket",
	Doors:     "the login of another host is `/cockpit+=<host>/login`, which the example matches, too",
}

func start(t *testing.T, dir, site string) string {
	t.Helper()
	if _, err := user.Lookup(name); err == nil {
		t.Fatalf("there is a user %s already", name)
	}
	app.Run(t, "", "useradd", "--create-home", "--shell", "/bin/bash", name)
	t.Cleanup(func() { app.Run(t, "", "userdel", "--force", "--remove", name) })
	app.Run(t, "", "sh", "-c", `echo "$0:$1" | chpasswd`, name, app.Password)
	app.Write(t, filepath.Join(dir, "cockpit", "cockpit.conf"), "[WebService]\nAllowUnencrypted = true\nOrigins = "+site+"\n")
	port := app.FreePort(t)
	app.Serve(t, dir, "127.0.0.1:"+port, []string{"XDG_CONFIG_DIRS=" + dir}, "/usr/lib/cockpit/cockpit-ws", "--no-tls", "--address=127.0.0.1", "--port="+port)
	return "127.0.0.1:" + port
}
