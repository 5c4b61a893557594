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

// statusError is the status of an answer that is not 200 (OK).
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("HTTP status %d", int(e)) }

var (
	errTimeout  = errors.New("no answer within the timeout")
	errBroken   = errors.New("the connection was closed, or what came over it was not HTTP")
	errTooLarge = fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
)

// api is what all calls of one method at one URL of a provider have in common.
type api struct {
	request *http.Request // never written to
	timeout time.Duration
	way     *way
	carrier http.RoundTripper // of the way
}

// probing returns the api for a probe.
func (a api) probing() api {
	a.carrier = a.way.probes
	return a
}

// message is what one call adds to the request of its api.
type message struct {
	header http.Header // in place of the api's
	query  string      // in place of that of the api's URL
	body   []byte
}

var formHeader = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// under returns the URL of a path under that of a service.
func under(service *url.URL, path string) *url.URL {
	base := *service
	if base.Path == "" {
		base.Path = "/" // or else JoinPath would make a relative path
	}
	return base.JoinPath(path)
}

func newAPI(w *way, method string, at *url.URL, header http.Header, timeout time.Duration) api {
	return api{&http.Request{Method: method, URL: at, Host: at.Host, Header: header}, timeout, w, w.calls}
}

// url is where the calls go to.
func (a api) url() string { return a.request.URL.String() }

// ask calls a provider and lets judge decide on its answer, which is a JSON
// object. It returns within the timeout.
func (a api) ask(ctx context.Context, m message, judge func(answer object) Verdict) Verdict {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	answer, err := a.call(ctx, m)
	if err != nil {
		return failure(ctx, err)
	}
	return judged(answer, judge)
}

// askForm is ask with a form for a body: names and values in turn.
func (a api) askForm(ctx context.Context, form []string, judge func(answer object) Verdict) Verdict {
	return a.ask(ctx, message{body: encodeForm(form)}, judge)
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
		body = append(body, url.QueryEscape(form[i+1])...) //nolint:gosec // they come in pairs
	}
	return body
}

// judged decodes the body of an answer and lets judge decide on it.
func judged(answer []byte, judge func(answer object) Verdict) Verdict {
	decoded, err := parseObject(answer)
	if err != nil {
		return Verdict{Reason: ReasonAnswer, Err: err}
	}
	return judge(decoded)
}

// call returns the body of an answer with status 200.
func (a api) call(ctx context.Context, m message) ([]byte, error) {
	response, err := a.carrier.RoundTrip(a.newRequest(ctx, m))
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

// newRequest returns a copy of the api's request, with the message in it. URL
// and header are shared with all other calls, unless the message brings its
// own: a RoundTripper must not write to them, and http.Transport does not.
func (a api) newRequest(ctx context.Context, m message) *http.Request {
	request := a.request.WithContext(ctx)
	if m.header != nil {
		request.Header = m.header
	}
	if m.query != "" {
		at := *request.URL
		at.RawQuery = m.query
		request.URL = &at
	}
	if body := m.body; body != nil {
		// What http.NewRequest does. Without the length the body would be
		// sent in chunks, and without GetBody a call would fail that met a
		// connection which the provider had closed.
		request.ContentLength = int64(len(body))
		request.Body = io.NopCloser(bytes.NewReader(body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return request
}

// failure is the verdict on a call that brought no answer. Its Err is one of
// the kinds whose text is known to be harmless; any other could quote what
// came over the connection, and so our own request.
func failure(ctx context.Context, err error) Verdict {
	var (
		status    statusError
		network   net.Error
		handshake handshakeError
		untrusted *tls.CertificateVerificationError
		proxy     proxyError
		operation *net.OpError
	)
	switch {
	case errors.As(err, &status):
		if status == http.StatusTooManyRequests {
			return Verdict{Result: Overloaded, Reason: ReasonRateLimited}
		}
		return Verdict{Reason: ReasonHTTPStatus, Err: status}
	case errors.Is(err, errTooLarge):
		return Verdict{Reason: ReasonAnswer, Err: errTooLarge}
	case ctx.Err() != nil, errors.As(err, &network) && network.Timeout():
		return Verdict{Reason: ReasonTimeout, Err: errTimeout}
	case errors.As(err, &handshake):
		return Verdict{Reason: ReasonTLS, Err: handshake}
	case errors.As(err, &untrusted): // behind a proxy
		return Verdict{Reason: ReasonTLS, Err: untrusted}
	case errors.As(err, &proxy):
		return Verdict{Reason: ReasonConnection, Err: proxy}
	case errors.As(err, &operation):
		return Verdict{Reason: ReasonConnection, Err: operation}
	}
	return Verdict{Reason: ReasonConnection, Err: errBroken}
}
