package cache

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddyserver/caddy/v2"
)

// redisConnections holds the connections of all live configs, so that a reload
// goes on with those that are there. The last user closes them.
var redisConnections = caddy.NewUsagePool()

// redisConnection is what leads to Redis. It connects when it is first used, and
// again by itself when a connection breaks.
type redisConnection struct {
	option rueidis.ClientOption
	live   atomic.Pointer[server]

	mu      sync.Mutex
	attempt *attempt // to connect, under way or failed
	closed  bool
}

// server is a Redis to which there is a connection.
type server struct {
	rueidis.Client
	evicts  atomic.Pointer[error] // why a claim may be evicted, or nil in it
	checked atomic.Int64          // when that was found out, in Unix nanoseconds
	asking  atomic.Bool
}

// attempt is one to connect.
type attempt struct {
	done   chan struct{}
	server *server
	err    error
	again  time.Time // when the next one may begin
}

const (
	// redisBackoff is how long nobody tries to connect after a failure.
	redisBackoff = 250 * time.Millisecond

	// policyFor is how long the word of Redis on its maxmemory-policy counts.
	policyFor = time.Minute
)

var errRedisClosed = errors.New("the connection was closed with the config that it was for")

func newRedisConnection(option rueidis.ClientOption) *redisConnection {
	option.DialCtxFn = dialRedis
	return &redisConnection{option: option}
}

// identity returns what tells connections apart: a file by what it holds, so
// that a reload takes a renewed one. It shows no credentials.
func identity(r *Redis, option rueidis.ClientOption) string {
	var ca []byte
	if r.TLS != nil {
		ca = r.TLS.ca
	}
	text, _ := json.Marshal([]any{ // of nothing that can fail
		option.InitAddress, r.Cluster, r.Master, option.Username, option.Password,
		option.Sentinel.Username, option.Sentinel.Password, r.DB, r.TLS, ca, r.Timeout,
	})
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// dialRedis connects, and keeps what the server sends within bounds.
func dialRedis(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if config != nil {
		if config.ServerName == "" {
			config = config.Clone()
			config.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(connection, config)
		ctx, cancel := context.WithTimeout(ctx, dialer.Timeout)
		defer cancel()
		if err := secure.HandshakeContext(ctx); err != nil {
			connection.Close()
			return nil, err
		}
		connection = secure
	}
	return &guarded{Conn: connection}, nil
}

// get returns the server, and waits for a connection to it if there is none.
// All who wait at the same time share one attempt.
func (c *redisConnection) get(ctx context.Context) (*server, error) {
	if live := c.live.Load(); live != nil {
		return live, nil
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errRedisClosed
	}
	a := c.attempt
	if a == nil || a.failed() && !time.Now().Before(a.again) {
		a = &attempt{done: make(chan struct{})}
		c.attempt = a
		go c.connect(a) //nolint:gosec // for all who wait, so not within the context of one
	}
	c.mu.Unlock()
	select {
	case <-a.done:
		return a.server, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *attempt) failed() bool {
	select {
	case <-a.done:
		return a.err != nil
	default:
		return false
	}
}

func (c *redisConnection) connect(a *attempt) {
	client, err := rueidis.NewClient(c.option)
	var s *server
	if err == nil {
		s = &server{Client: client}
		ctx, cancel := context.WithTimeout(context.Background(), c.option.ConnWriteTimeout)
		err = s.askPolicy(ctx)
		cancel()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		err = errRedisClosed
	}
	if err != nil {
		if client != nil {
			client.Close()
		}
		a.err, a.again = err, time.Now().Add(redisBackoff)
	} else {
		a.server = s
		c.live.Store(s)
	}
	close(a.done)
}

// Destruct closes the connections. Requests that are under way are answered
// first.
func (c *redisConnection) Destruct() error {
	c.mu.Lock()
	c.closed = true
	live := c.live.Swap(nil)
	c.mu.Unlock()
	if live != nil {
		live.Close()
	}
	return nil
}

// mayEvict returns why a claim may be evicted, as Redis said within the last
// minutes. It is asked again beside the requests.
func (s *server) mayEvict() error {
	if time.Since(time.Unix(0, s.checked.Load())) > policyFor && s.asking.CompareAndSwap(false, true) {
		go func() {
			defer s.asking.Store(false)
			ctx, cancel := context.WithTimeout(context.Background(), policyFor)
			defer cancel()
			_ = s.askPolicy(ctx) // what it was said before counts until then
		}()
	}
	return *s.evicts.Load()
}

var policyLine = regexp.MustCompile(`(?m)^maxmemory_policy:([a-z-]{1,40})\r?$`)

// askPolicy asks every server that there is. An error means that none has
// answered.
func (s *server) askPolicy(ctx context.Context) error {
	var evicts, unreachable error
	answered := 0
	for _, node := range s.Nodes() {
		text, err := node.Do(ctx, node.B().Info().Section("memory").Build()).ToString()
		refused, isRedis := rueidis.IsRedisErr(err)
		switch {
		case isRedis && refused != nil:
			answered++
			evicts = fmt.Errorf("Redis does not tell its maxmemory-policy (%w): let the user call INFO, or see to it that the policy is noeviction and write eviction_ok in replay_cache redis", describe(err)) //nolint:staticcheck // a name
			continue
		case err != nil:
			unreachable = err
			continue
		}
		answered++
		found := policyLine.FindStringSubmatch(text)
		switch {
		case found == nil:
			evicts = errors.New("Redis does not tell its maxmemory-policy: see to it that it is noeviction and write eviction_ok in replay_cache redis") //nolint:staticcheck // a name
		case found[1] != "noeviction":
			evicts = fmt.Errorf("the maxmemory-policy of Redis is %s, with which it may forget that a proof was used: set it to noeviction, or write eviction_ok in replay_cache redis", found[1])
		}
	}
	if answered == 0 {
		return unreachable
	}
	s.evicts.Store(&evicts)
	s.checked.Store(time.Now().UnixNano())
	return nil
}

var errorCode = regexp.MustCompile(`^[A-Z]{2,20}\b`)

// describe returns the error without what a server may have written into it: it
// could repeat a key or a value.
func describe(err error) error {
	if answer, ok := rueidis.IsRedisErr(err); ok {
		if code := errorCode.FindString(answer.Error()); code != "" {
			return fmt.Errorf("Redis answers %s", code) //nolint:staticcheck // a name
		}
		return errors.New("Redis answers with an error") //nolint:staticcheck // a name
	}
	if rueidis.IsParseErr(err) {
		return errStrange
	}
	return err
}
