package verifier

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxAnswer is the longest answer that is read. Genuine ones are far below
// 1 KiB.
const maxAnswer = 64 << 10

// The reasons of a call that brought no verdict. All but the last are Unknown.
const (
	reasonTimeout     = "timeout"      // no whole answer within the timeout
	reasonConnection  = "connection"   // no connection, or it broke
	reasonTLS         = "tls"          // no trusted TLS connection
	reasonHTTPStatus  = "http_status"  // a status other than 200 and 429
	reasonAnswer      = "answer"       // status 200, but not the protocol's answer
	reasonService     = "service"      // the provider says that its service failed
	reasonRateLimited = "rate_limited" // the provider limits our rate: Overloaded
)

// transport carries all calls to all providers. There is one for the process,
// so that connections survive a reload of the configuration.
//
// It is used without an http.Client, so it follows no redirect and keeps no
// cookie. It retries a call only if nothing of it was written: that is what
// net/http does with a POST that has no Idempotency-Key. It ignores the proxies
// of the environment, because keys go where the configuration says and nowhere
// else. And it speaks HTTP/1.1 only: over HTTP/2 all calls to a provider would
// share one connection, and that one stalling would stall every verification.
var transport = &http.Transport{
	DialContext:            dialer.DialContext,
	DialTLSContext:         dialTLS,
	Protocols:              http1(),
	DisableCompression:     true,
	MaxResponseHeaderBytes: 64 << 10,

	// The captcha handlers bound how many calls run at once, and by that how
	// many connections there are. The 30 s are less than the 60 s for which
	// Tencent keeps an idle one, so that few calls meet a closed connection.
	MaxIdleConnsPerHost: 4096,
	IdleConnTimeout:     30 * time.Second,
}

var (
	dialer           = &net.Dialer{Timeout: 2 * time.Second}
	handshakeTimeout = 3 * time.Second
	tlsConfig        = &tls.Config{MinVersion: tls.VersionTLS12}
)

func http1() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return protocols
}

// handshakeError is a failed TLS handshake. That http.Transport's own one
// cannot be told from other failures is why there is dialTLS.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

func dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	config := tlsConfig.Clone()
	config.ServerName = host
	secure := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, handshakeError{err}
	}
	return secure, nil
}

// statusError is the status of an answer that is not 200 (OK).
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("HTTP status %d", int(e)) }

var (
	errTimeout  = errors.New("no answer within the timeout")
	errBroken   = errors.New("the connection was closed, or what came over it was not HTTP")
	errTooLarge = fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
)

// ask posts body to a provider and lets judge decide on its answer, which is a
// JSON object. It returns within the timeout.
func ask(ctx context.Context, timeout time.Duration, endpoint string, header http.Header, body []byte, judge func(answer object) Verdict) Verdict {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := post(ctx, endpoint, header, body)
	if err != nil {
		return failure(ctx, err)
	}
	return judged(answer, judge)
}

// askForm is ask with a form for a body: names and values in turn.
func askForm(ctx context.Context, timeout time.Duration, endpoint string, form []string, judge func(answer object) Verdict) Verdict {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	return ask(ctx, timeout, endpoint, header, encodeForm(form), judge)
}

// encodeForm is url.Values.Encode for names that are plain words, without the
// map.
func encodeForm(form []string) []byte {
	body := make([]byte, 0, 1024)
	for i := 0; i < len(form); i += 2 {
		if i > 0 {
			body = append(body, '&')
		}
		body = append(body, form[i]...)
		body = append(body, '=')
		body = append(body, url.QueryEscape(form[i+1])...)
	}
	return body
}

// judged decodes the body of an answer and lets judge decide on it.
func judged(answer []byte, judge func(answer object) Verdict) Verdict {
	decoded, err := parseObject(answer)
	if err != nil {
		return Verdict{Reason: reasonAnswer, Err: err}
	}
	return judge(decoded)
}

func post(ctx context.Context, endpoint string, header http.Header, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, statusError(response.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = errTooLarge
	}
	return answer, err
}

// failure is the verdict on a call that brought no answer. Its Err is one of
// the kinds whose text is known to be harmless; any other could quote what
// came over the connection, and so our own request.
func failure(ctx context.Context, err error) Verdict {
	var (
		status    statusError
		network   net.Error
		handshake handshakeError
		operation *net.OpError
	)
	switch {
	case errors.As(err, &status):
		if status == http.StatusTooManyRequests {
			return Verdict{Result: Overloaded, Reason: reasonRateLimited}
		}
		return Verdict{Reason: reasonHTTPStatus, Err: status}
	case errors.Is(err, errTooLarge):
		return Verdict{Reason: reasonAnswer, Err: errTooLarge}
	case ctx.Err() != nil, errors.As(err, &network) && network.Timeout():
		return Verdict{Reason: reasonTimeout, Err: errTimeout}
	case errors.As(err, &handshake):
		return Verdict{Reason: reasonTLS, Err: handshake}
	case errors.As(err, &operation):
		return Verdict{Reason: reasonConnection, Err: operation}
	}
	return Verdict{Reason: reasonConnection, Err: errBroken}
}
