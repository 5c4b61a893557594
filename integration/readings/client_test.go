package readings_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// patience is how long an answer may take before the run fails.
const patience = 30 * time.Second

// client writes requests to one address, over one connection as long as that
// is open. It is not for use by several goroutines.
type client struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

// reply is what a server answered.
type reply struct {
	status int
	header http.Header
}

// facts are the names of the logins that ran.
func (r reply) facts() facts { return parseFacts(r.header.Get("Login")) }

// ask sends the bytes of a request and reads the answer. A server that closes
// the connection without a word has status 0.
func (c *client) ask(method string, raw []byte) (reply, error) {
	for {
		fresh := c.conn == nil
		if fresh {
			conn, err := net.Dial("tcp", c.address)
			if err != nil {
				return reply{}, err
			}
			c.conn, c.reader = conn, bufio.NewReader(conn)
		}
		answer, err := c.exchange(method, raw)
		if err == nil {
			return answer, nil
		}
		c.close()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return reply{}, err
		}
		if fresh {
			return reply{}, nil
		}
	}
}

func (c *client) exchange(method string, raw []byte) (reply, error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return reply{}, err
	}
	if _, err := c.conn.Write(raw); err != nil {
		return reply{}, err
	}
	response, err := http.ReadResponse(c.reader, &http.Request{Method: strings.ToUpper(method)})
	for err == nil && response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
		response, err = http.ReadResponse(c.reader, &http.Request{Method: strings.ToUpper(method)})
	}
	if err != nil {
		return reply{}, err
	}
	if method == http.MethodConnect || response.StatusCode == http.StatusSwitchingProtocols {
		c.close()
	} else if _, err := io.Copy(io.Discard, response.Body); err != nil {
		c.close() // the answer's head is enough
	}
	response.Body.Close()
	if response.Close {
		c.close()
	}
	return reply{response.StatusCode, response.Header}, nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
