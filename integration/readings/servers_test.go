package readings_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is an application that runs and says in the header Login of each
// answer which of its logins ran (facts).
type server struct {
	name    string
	address string
	stop    func()
}

// running are the servers of this process, started once.
var running struct {
	once    sync.Once
	servers []*server
	missing []string
	err     error
}

// servers starts the servers, or returns those that run.
func servers(t *testing.T) []*server {
	t.Helper()
	running.once.Do(startServers)
	if running.err != nil {
		t.Fatal(running.err)
	}
	if len(running.missing) > 0 {
		message := "left out: " + strings.Join(running.missing, "; ")
		if os.Getenv("CI") == "true" && !testing.Short() {
			t.Fatal(message)
		}
		fmt.Fprintln(os.Stderr, "integration/readings:", message)
		running.missing = nil // said once
	}
	return running.servers
}

func startServers() {
	start := func(name string, begin func() (*server, error)) {
		if running.err != nil {
			return
		}
		s, err := begin()
		if _, ok := errors.AsType[missing](err); ok {
			running.missing = append(running.missing, name+": "+err.Error())
			return
		}
		if err != nil {
			running.err = fmt.Errorf("%s: %w", name, err)
			return
		}
		s.name = name
		running.servers = append(running.servers, s)
	}
	start("mux", func() (*server, error) { return startGo(newMux()) })
	start("chi", func() (*server, error) { return startGo(newChi()) })
	start("go", func() (*server, error) { return startGo(http.HandlerFunc(serveReadings)) })
	start("node", func() (*server, error) {
		return startProcess(`listening on (\d+)`, "", "node", "testdata/apps/node.js")
	})
	start("php", func() (*server, error) {
		return startProcess(`\(http://127\.0\.0\.1:(\d+)\) started`, "", "php", "-n", "-q",
			"-S", "127.0.0.1:0", "-t", "testdata/apps/php", "testdata/apps/php/router.php")
	})
	start("wsgiref", func() (*server, error) {
		return startProcess(`listening on (\d+)`, "", "python3", "testdata/apps/wsgi.py", "wsgiref")
	})
	start("http.server", func() (*server, error) {
		return startProcess(`listening on (\d+)`, "", "python3", "testdata/apps/wsgi.py", "http.server")
	})
	if testing.Short() {
		running.missing = append(running.missing, "tomcat: takes long to start")
	} else {
		start("tomcat", startTomcat)
	}
}

func stopServers() {
	for _, s := range running.servers {
		s.stop()
	}
}

// missing is the error of a server that is not installed.
type missing string

func (m missing) Error() string { return string(m) }

// startGo serves a handler in this process.
func startGo(handler http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(listener)
	}()
	return &server{address: listener.Addr().String(), stop: func() {
		_ = s.Close()
		<-done
	}}, nil
}

// startProcess starts a program and waits until its output says on which port
// it listens: the pattern's group.
func startProcess(pattern, folder, name string, arguments ...string) (*server, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, missing(name + " is not installed")
	}
	output, w := io.Pipe()
	command := exec.Command(path, arguments...) //nolint:gosec // the program and its arguments are ours
	command.Dir, command.Stdout, command.Stderr = folder, w, w
	if err := command.Start(); err != nil {
		return nil, err
	}
	port := make(chan string, 1)
	said := &strings.Builder{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(port)
		listens := regexp.MustCompile(pattern)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			fmt.Fprintln(said, lines.Text())
			if found := listens.FindStringSubmatch(lines.Text()); found != nil {
				port <- found[1]
				break
			}
		}
		_, _ = io.Copy(io.Discard, output)
	}()
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = command.Wait()
		w.Close()
	}()
	stop := func() {
		_ = command.Process.Kill()
		<-exited
		<-read
	}
	select {
	case number := <-port:
		if number != "" {
			return &server{address: "127.0.0.1:" + number, stop: stop}, nil
		}
	case <-exited:
	}
	stop()
	return nil, fmt.Errorf("%s ended or never said that it listens: %s", name, said)
}

// startTomcat runs Tomcat from Debian's package in a folder of its own.
func startTomcat() (*server, error) {
	home, compiler := os.Getenv("TOMCAT_HOME"), os.Getenv("TOMCAT_JDT")
	if home == "" {
		home = "/usr/share/tomcat10"
	}
	if compiler == "" {
		compiler = "/usr/share/java/eclipse-jdt-core.jar"
	}
	for _, file := range []string{home + "/bin/bootstrap.jar", compiler} {
		if _, err := os.Stat(file); err != nil {
			return nil, missing(file + " is not there (package tomcat10)")
		}
	}
	base, err := os.MkdirTemp("", "readings-tomcat-")
	if err != nil {
		return nil, err
	}
	remove := func() { os.RemoveAll(base) }
	defaults, err := os.ReadFile(home + "/etc/web.xml") // Debian's place, else the one of a download
	if err != nil {
		defaults, err = os.ReadFile(home + "/conf/web.xml")
	}
	for _, step := range []func() error{
		func() error { return err },
		func() error { return os.CopyFS(filepath.Join(base, "conf"), os.DirFS("testdata/apps/tomcat/conf")) },
		func() error { return os.WriteFile(filepath.Join(base, "conf/web.xml"), defaults, 0o600) },
		func() error {
			return os.CopyFS(filepath.Join(base, "webapps/ROOT"), os.DirFS("testdata/apps/tomcat/webapp"))
		},
		func() error { return os.Mkdir(filepath.Join(base, "temp"), 0o700) },
	} {
		if err := step(); err != nil {
			remove()
			return nil, err
		}
	}
	separator := string(os.PathListSeparator)
	s, err := startProcess(`ProtocolHandler \["http-nio-127\.0\.0\.1-auto-\d+-(\d+)"\]`, base, "java",
		"-Xmx256m", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dcatalina.home="+home, "-Dcatalina.base="+base, "-Djava.io.tmpdir="+filepath.Join(base, "temp"),
		"-cp", home+"/bin/bootstrap.jar"+separator+home+"/bin/tomcat-juli.jar"+separator+compiler,
		"org.apache.catalina.startup.Bootstrap", "start")
	if err != nil {
		remove()
		return nil, err
	}
	stop := s.stop
	s.stop = func() {
		stop()
		remove()
	}
	return s, nil
}
