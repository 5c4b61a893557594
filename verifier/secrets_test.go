package verifier

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
	"time"
)

// secrets are what no verdict may hold: the keys, what is derived from them,
// and the parts of the proof.
func (s subject) secrets() []string {
	return slices.Concat(s.proof, []string{
		testUser, v3Key, v4Key, signToken(v4Key, v4Proof[0]), appSecret, secretID, secretKey,
	})
}

func (s subject) expectNoSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range s.secrets() {
		if strings.Contains(text, secret) {
			t.Errorf("%s: %q holds %q", where, text, secret)
		}
	}
	if strings.Contains(text, "http://") || strings.Contains(text, "https://") {
		t.Errorf("%s: %q holds a URL", where, text)
	}
}

// A provider that turns on us can answer with all that we sent it, in any part
// of an answer.
func TestVerdictsRepeatNothingThatWasSent(t *testing.T) {
	echoes := map[string]string{
		"status line":   "%[1]s\r\n\r\n",
		"version":       "HTTP/%[1]s 200 OK\r\n\r\n",
		"status code":   "HTTP/1.1 %[1]s\r\n\r\n",
		"status text":   "HTTP/1.1 500 %[1]s\r\n\r\n",
		"header":        "HTTP/1.1 200 OK\r\n%[1]s\r\n\r\n",
		"header name":   "HTTP/1.1 200 OK\r\n%[1]s: a\r\n\r\n",
		"length":        "HTTP/1.1 200 OK\r\nContent-Length: %[1]s\r\n\r\n",
		"encoding":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: %[1]s\r\n\r\n",
		"location":      "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/%[1]s\r\nContent-Length: 0\r\n\r\n",
		"cookie":        "HTTP/1.1 403 Forbidden\r\nSet-Cookie: %[1]s\r\nContent-Length: 0\r\n\r\n",
		"chunk":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%[1]s\r\n",
		"trailer":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n%[1]s\r\n",
		"body":          "HTTP/1.1 200 OK\r\n\r\n%[1]s",
		"broken JSON":   "HTTP/1.1 200 OK\r\n\r\n{\"%[1]s",
		"member name":   "HTTP/1.1 200 OK\r\n\r\n{\"%[1]s\":1}",
		"v4 status":     "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"%[1]s\"}",
		"v4 result":     "HTTP/1.1 200 OK\r\n\r\n{\"result\":\"%[1]s\"}",
		"v4 reason":     "HTTP/1.1 200 OK\r\n\r\n{\"result\":\"fail\",\"reason\":\"%[1]s\"}",
		"v4 code":       "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"error\",\"code\":\"%[1]s\"}",
		"v4 message":    "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"error\",\"code\":\"-50000\",\"msg\":\"%[1]s\"}",
		"v4 lot_number": "HTTP/1.1 200 OK\r\n\r\n{\"result\":\"success\",\"captcha_args\":{\"lot_number\":\"%[1]s\"}}",
		"v3 challenge":  "HTTP/1.1 200 OK\r\n\r\n{\"challenge\":\"%[1]s\"}",
		"v3 seccode":    "HTTP/1.1 200 OK\r\n\r\n{\"seccode\":\"%[1]s\"}",
		"Error.Code":    "HTTP/1.1 200 OK\r\n\r\n{\"Response\":{\"Error\":{\"Code\":\"%[1]s\"}}}",
		"Error.Code 2":  "HTTP/1.1 200 OK\r\n\r\n{\"Response\":{\"Error\":{\"Code\":\"AuthFailure.%[1]s\"}}}",
		"Error.Message": "HTTP/1.1 200 OK\r\n\r\n{\"Response\":{\"Error\":{\"Code\":\"InternalError\",\"Message\":\"%[1]s\"}}}",
		"CaptchaMsg":    "HTTP/1.1 200 OK\r\n\r\n{\"Response\":{\"CaptchaCode\":15,\"CaptchaMsg\":\"%[1]s\"}}",
	}
	for name, format := range echoes {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, s subject) {
				address := listening(t, func(conn net.Conn) {
					r, err := http.ReadRequest(bufio.NewReader(conn))
					if err != nil {
						t.Error(err)
						return
					}
					// All of it in one line, and the parts of the proof as
					// they are instead of in their encodings.
					dump, _ := httputil.DumpRequest(r, true)
					sent := strings.NewReplacer("\r\n", " ", `"`, "'").Replace(string(dump) + strings.Join(s.secrets(), " "))
					_, _ = fmt.Fprintf(conn, format, sent)
				})
				verdict := s.verify(t, "http://"+address, forever)
				if verdict.Result == Passed {
					t.Errorf("it passed: %+v", verdict)
				}
				s.expectNoSecret(t, name, fmt.Sprintf("%+v %#v", verdict, verdict))
			})
		})
	}
}

func TestVerdictsOnUnreachableProvidersHoldNoSecret(t *testing.T) {
	silent := listening(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	closing := listening(t, func(net.Conn) {})
	for _, endpoint := range []string{"http://" + silent, "https://" + silent, "http://" + closing, "https://" + closing} {
		forEach(t, func(t *testing.T, s subject) {
			verdict := s.verify(t, endpoint, brief)
			if verdict.Result != Unknown {
				t.Errorf("%s: %+v", endpoint, verdict)
			}
			s.expectNoSecret(t, endpoint, fmt.Sprintf("%+v %#v", verdict, verdict))
		})
	}
}

func TestVerdictsOfLocalChecksHoldNoSecret(t *testing.T) {
	forEach(t, func(t *testing.T, s subject) {
		v := s.new(t, "", 0)
		for i := range s.proof {
			for _, value := range []string{"", s.proof[i] + " ", s.proof[i] + "x", "terror_" + s.proof[i]} {
				verdict := v.Check(with(s.proof, i, value), time.Now(), time.Minute)
				s.expectNoSecret(t, "Check", fmt.Sprintf("%+v", verdict))
			}
		}
	})
}
