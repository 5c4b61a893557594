//go:build apps

// Package nodered is Node-RED, from npm.
package nodered

import (
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

// App is Node-RED with a user.
var App = app.App{
	Name:  "nodered",
	Title: "Node-RED",
	NPM:   "node-red",
	Page:  "/ /auth/token",
	Login: func(p *app.Person, password string) {
		p.Open("/")
		p.Fill("#node-dialog-login-username", app.Name)
		p.Fill("#node-dialog-login-password", password)
		p.Click("#node-dialog-login-submit")
	},
	Welcome: `window.RED?.nodes?.getWorkspaceOrder?.().length && document.querySelector("#red-ui-header-button-deploy")?.offsetHeight && !document.querySelector("#red-ui-loading-progress")?.offsetHeight`,
	Refusal: `document.querySelector("#node-dialog-login-failed")?.offsetHeight`,
	Journeys: []app.Journey{
		{Name: "deploy", Do: func(p *app.Person) {
			p.Evaluate(`RED.nodes.import([{ id: "Something", type: "comment", z: RED.workspaces.active(), name: "note", x: 100, y: 100, wires: [] }]); RED.nodes.dirty(true)`)
			p.Click("#red-ui-header-button-deploy")
			p.Until(`!RED.nodes.dirty()`)
		}},
		{Name: "open it again", Do: func(p *app.Person) {
			p.Open("/")
			p.Until(`window.RED?.nodes?.node("Something")?.name === "note"`)
		}},
	},
	Aside:      `/comms|/settings/user|/debug/`,
	Complaints: []string{"WebSocket"},
	Technique:  "jQuery's ajax, POST `/auth/token`; a token in local storage",
	Doors:      "the endpoints of your flows (HTTP in) and the admin API with a token",
}

func init() {
	App.Version = app.NodeVersion(&App)
	App.Start = start
}

func start(t *testing.T, dir, _ string) string {
	t.Helper()
	modules := filepath.Dir(App.Node(t))
	hash := app.Run(t, modules, "node", "-p", "require('bcryptjs').hashSync(process.argv[1], 4)", app.Password)
	app.Write(t, filepath.Join(dir, "settings.js"), `module.exports = {
	adminAuth: { type: "credentials", users: [{ username: "`+app.Name+`", password: "`+hash+`", permissions: "*" }] },
	uiHost: "127.0.0.1", telemetry: { enabled: false, updateNotification: false }, editorTheme: { tours: false, palette: { catalogues: [] } },
	externalModules: { palette: { allowInstall: false } }, flowFile: "flows.json", credentialSecret: "secret", logging: { console: { level: "warn" } },
};
`)
	app.Write(t, filepath.Join(dir, "flows.json"), `[{ "id": "tab1", "type": "tab", "label": "Flow 1" }]`)
	port := app.FreePort(t)
	app.Serve(t, dir, "127.0.0.1:"+port, []string{"HOME=" + dir}, "node", filepath.Join(modules, "node-red", "red.js"),
		"--userDir", dir, "--settings", filepath.Join(dir, "settings.js"), "--port", port)
	return "127.0.0.1:" + port
}
