//go:build apps

// Package jupyter is Jupyter Notebook, from Debian.
package jupyter

import (
	"path/filepath"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/apps/app"
)

// App is Jupyter Notebook with a password.
var App = app.App{
	Name:    "jupyter",
	Title:   "Jupyter Notebook",
	Version: app.DebianVersion("jupyter-notebook"),
	Debian:  []string{"jupyter-notebook"},
	Start:   start,
	Login: func(p *app.Person, password string) {
		p.Open("/login")
		p.Fill("#password_input", password)
		p.Click("#login_submit")
	},
	Welcome: `document.querySelector("#notebook_list .list_item")`,
	Refusal: `document.querySelector(".message.error")?.textContent.includes("Invalid credentials")`,
	Journeys: []app.Journey{
		{Name: "make a text file", Do: func(p *app.Person) {
			p.Open("/edit/readme.txt")
			p.Until(`document.querySelector(".CodeMirror")?.CodeMirror?.getValue().startsWith("hello")`)
			p.Click(".CodeMirror-lines")
			p.Evaluate(`document.querySelector(".CodeMirror").CodeMirror.setValue("hello " + new Date())`)
			p.Until(`document.querySelector(".dirty-indicator-dirty")`)
			p.Click("#menubar .dropdown-toggle")
			p.Click("#save-file")
			p.Until(`document.querySelector(".dirty-indicator-clean")`)
		}},
		{Name: "go into a folder", Do: func(p *app.Person) {
			p.Open("/tree/folder")
			p.Until(`document.querySelector("#notebook_list .list_item")?.textContent.includes("..")`)
		}},
	},
	Aside:     `/api/(sessions|terminals|kernels|kernelspecs|config|nbconvert)|/api/contents|/static/|/custom/|/nbextensions/|checkpoints`,
	Technique: "native form, POST `/login`",
	Doors:     "a token in `?token=` or `Authorization` opens every path: turn tokens off by a password, as here",
}

func start(t *testing.T, dir, _ string) string {
	t.Helper()
	app.Write(t, filepath.Join(dir, "files", "readme.txt"), "hello\n")
	app.Write(t, filepath.Join(dir, "files", "folder", "inner.txt"), "inner\n")
	hash := app.Run(t, dir, "/usr/bin/python3", "-c", "import sys; from notebook.auth import passwd; print(passwd(sys.argv[1], 'sha1'))", app.Password)
	port := app.FreePort(t)
	app.Serve(t, dir, "127.0.0.1:"+port, []string{"HOME=" + dir, "JUPYTER_CONFIG_DIR=" + dir, "JUPYTER_RUNTIME_DIR=" + dir},
		"jupyter-notebook", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port="+port, "--notebook-dir="+filepath.Join(dir, "files"),
		"--NotebookApp.password="+hash, "--NotebookApp.token=", "--NotebookApp.allow_remote_access=True", "--NotebookApp.port_retries=0")
	return "127.0.0.1:" + port
}
