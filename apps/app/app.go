//go:build apps

// Package app is what the applications under apps have in common: how each is
// installed and started, and what a person does with it.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
)

// Name and the passwords are those of the person whom every application knows.
const (
	Name     = "alice"
	Password = "correct horse 7!"
	Wrong    = "wrong horse 7!"
)

// An App is a real application, unmodified.
type App struct {
	// Name is that of its folder, Title what it is called.
	Name, Title string

	// Example is the name of its Caddyfile under examples; the default is Name.
	Example string

	// Version returns which version is installed.
	Version func(t *testing.T) string

	// Debian are the packages to install for it.
	Debian []string

	// NPM is the package of npm, if it comes from there. Its folder has a
	// package.json.
	NPM string

	// Start starts it with the person in it, and returns its address, as
	// host:port. dir is its own; site is the URL at which people will find it,
	// for those applications that have to know. It ends with the test.
	Start func(t *testing.T, dir, site string) string

	// Page are the paths of the captcha that comes on a page before
	// the application's, if that of the example will not do: a script's login
	// needs the captcha before.
	Page string

	// Login opens the login and sends it. What comes next is for Welcome, with
	// the right password, or else Refusal, which are JavaScript expressions.
	Login            func(p *Person, password string)
	Welcome, Refusal string

	// Journeys are what it is for.
	Journeys []Journey

	// Aside is what it requests at times of its own, as a regular expression of
	// method and path: not to be compared.
	Aside string

	// Complaints are parts of what the browser reports about the application
	// itself at times, with the captcha or without.
	Complaints []string

	// Technique and Doors are for the table: how it logs in, and what else has
	// to be protected or exempted.
	Technique, Doors string
}

// Caddyfile is the name of its file under examples.
func (a *App) Caddyfile() string { return cmp.Or(a.Example, a.Name) + ".Caddyfile" }

// Journey is something a person does when logged in.
type Journey struct {
	Name string
	Do   func(p *Person)
}

// FreePort returns a port of the loopback interface that nobody has.
func FreePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// Node returns the directory of the application's package of npm, installed.
func (a *App) Node(t *testing.T) string {
	t.Helper()
	testenv.NodeModules(t, a.Name)
	dir, err := filepath.Abs(filepath.Join(a.Name, "node_modules", a.NPM))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// NodeVersion returns the version of that package.
func NodeVersion(a *App) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		return Run(t, a.Node(t), "node", "-p", "require('./package.json').version") + " (npm)"
	}
}

// Run runs a program to its end, in dir.
func Run(t *testing.T, dir string, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...) // what cleans up comes after it
	command.Dir = dir
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}

// Serve starts a server, which ends with the test, and waits until it answers
// at the address: of HTTP, or "tcp:" and one of another protocol, or the path
// of a socket. environment is added to ours.
func Serve(t *testing.T, dir, address string, environment []string, name string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(name)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(name, args...) //nolint:gosec,noctx // ends below
	command.Dir, command.Stdout, command.Stderr = dir, log, log
	command.Env = append(os.Environ(), environment...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		log.Close()
		if t.Failed() {
			output, _ := os.ReadFile(log.Name())
			t.Logf("the last of what %s says: %s", name, output[max(0, len(output)-2000):])
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for !answers(ctx, address) {
		select {
		case <-ended:
			err = errors.New("it has ended")
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(50 * time.Millisecond):
			continue
		}
		output, _ := os.ReadFile(log.Name())
		t.Fatalf("waiting for %s: %v\n%s", name, err, output)
	}
}

func answers(ctx context.Context, address string) bool {
	if !strings.Contains(address, ":") { // a socket's file
		_, err := os.Stat(address)
		return err == nil
	}
	if address, other := strings.CutPrefix(address, "tcp:"); other {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return false
		}
		connection.Close()
		return true
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+address+"/", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return true
}

// Copy copies a directory to a new one, and what its links lead to. Links that
// lead nowhere are left out.
func Copy(t *testing.T, from, to string) {
	t.Helper()
	Run(t, "", "sh", "-c", `mkdir -p "$1" && cd "$0" && find -L . \( -type f -o -type d \) -print0 | tar --dereference --no-recursion --null --files-from=- -cf - | tar -C "$1" -xf -`, from, to)
}

// Write writes a file of the application's.
func Write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Give makes a user of the system the owner of a directory of the test's, and
// lets everybody go there.
func Give(t *testing.T, dir, user string) {
	t.Helper()
	Run(t, "", "chown", "-R", user, dir)
	for up := filepath.Dir(dir); up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil { //nolint:gosec // it holds a test's files
			t.Fatal(err)
		}
	}
}

// Install installs a program from a module of Go, version and all, and returns
// its path. go names it after its package's directory. It is built once.
func Install(t *testing.T, program, name string) string {
	t.Helper()
	_, version, _ := strings.Cut(program, "@")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(cache, "caddycaptcha-apps", version)
	file := filepath.Join(bin, name)
	if _, err := os.Stat(file); err != nil {
		t.Logf("building %s", program)
		Run(t, "", "env", "GOBIN="+bin, "go", "install", program)
	}
	return file
}

// DebianVersion returns the version of an installed package.
func DebianVersion(name string) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		version := Run(t, "", "dpkg-query", "-W", "-f", "${Version}", name)
		version, _, _ = strings.Cut(version, "+")
		_, after, found := strings.Cut(version, ":")
		if found {
			version = after
		}
		return fmt.Sprintf("%s (Debian)", version)
	}
}
