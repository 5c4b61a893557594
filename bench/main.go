// Command bench measures what the captcha handler costs and what it saves over
// a forward_auth sidecar. Run it by run.sh; README.md says what is compared.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/caddycaptcha/caddycaptcha/bench/asking"
)

const usage = "usage: bench run [-caddy FILE] [-limit FILE] [-redis FILE] [-rounds N] [-requests N] [-connections N] | app | provider [DELAY] | sidecar default|tuned"

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "run":
		makeRoom()
		return runCommand(args[1:])
	case "app":
		return serveShared(app)
	case "provider":
		answer, delay := provider(), time.Duration(0)
		if len(args) > 1 {
			var err error
			if delay, err = time.ParseDuration(args[1]); err != nil {
				return err
			}
		}
		return serveShared(func(target string, body []byte) (contentType, text string) {
			time.Sleep(delay)
			return answer(target, body)
		})
	case "sidecar":
		client := http.DefaultClient
		if len(args) > 1 && args[1] == "tuned" {
			client = asking.TunedClient()
		}
		return serve(sidecar{asking.Asker{Client: client, Endpoint: "http://127.0.0.1:" + os.Getenv("PROVIDER_PORT")}})
	}
	return errors.New(usage)
}

// serveShared is serve for what all set-ups share.
func serveShared(answer func(target string, body []byte) (contentType, text string)) error {
	makeRoom()
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		return err
	}
	return serveLean(listener, answer)
}

// makeRoom keeps the garbage collector of this process out of the measurement.
// It is for what all set-ups share: application, provider and load. Caddy and
// the sidecars run with Go's default.
func makeRoom() {
	debug.SetGCPercent(1000)
}

func runCommand(args []string) error {
	var o options
	flags := flag.NewFlagSet("bench run", flag.ExitOnError)
	flags.StringVar(&o.caddy, "caddy", "caddy", "Caddy with the captcha module")
	flags.StringVar(&o.limit, "limit", "limit", "Caddy with the directive of limit/")
	flags.StringVar(&o.redis, "redis", "redis-server", "Redis server")
	flags.IntVar(&o.rounds, "rounds", 7, "rounds; each measures every set-up once")
	flags.IntVar(&o.requests, "requests", 20000, "requests per set-up and round")
	flags.IntVar(&o.connections, "connections", 32, "keep-alive connections of the load generator")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.rounds < 1 || o.requests < 1 || o.connections < 1 {
		return errors.New("rounds, requests and connections must be above 0")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return run(ctx, o)
}

// serve answers on the loopback port that the environment names. run ends the
// process.
func serve(handler http.Handler) error {
	server := http.Server{
		Addr:              "127.0.0.1:" + os.Getenv("PORT"),
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
	}
	return server.ListenAndServe()
}
