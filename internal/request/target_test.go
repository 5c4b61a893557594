package request

import (
	"net/http"
	"testing"
)

// TestIsTarget: it goes by what the client sent.
func TestIsTarget(t *testing.T) {
	for request, want := range map[string]bool{
		"GET /":                    true,
		"GET /login":               true,
		"GET //x/login":            true,
		"GET http://x/login":       true,
		"GET http://x":             true,
		"GET x://y/login":          true,
		"GET http:/login":          true,
		"OPTIONS *":                true,
		"CONNECT a.example:443":    true,
		"GET x:http://x/login":     false,
		"POST http:login":          false,
		`GET http:\\x\login`:       false,
		"GET x:":                   false,
		"GET x:?y":                 false,
		"connect a.example:443":    false,
		"GET *":                    false,
		"POST *":                   false,
		"CONNECT /login":           false,
		"CONNECT a.example/login":  false,
		"CONNECT a.example:443/":   false,
		"CONNECT http://x/login":   false,
		"OPTIONS http:*":           false,
		"OPTIONS x:http://x/login": false,
	} {
		r, err := parseRequest(request)
		if err != nil {
			if want {
				t.Errorf("%s: %v", request, err)
			}
			continue // net/http refuses it
		}
		r.URL.Opaque, r.URL.Path, r.Method = "", "/", "GET" // a rewrite makes no target of it
		if got := IsTarget(r); got != want {
			t.Errorf("%s: %t, want %t", request, got, want)
		}
	}
}

// TestExtendedConnect: only for a websocket, as HTTP/2 and HTTP/3 say it.
func TestExtendedConnect(t *testing.T) {
	for _, test := range []struct {
		major    int
		proto    string
		field    string
		target   string
		want     bool
		protocol string
	}{
		{2, "HTTP/2.0", "websocket", "/chat", true, "websocket"},
		{2, "HTTP/2.0", "connect-udp", "/chat", false, "connect-udp"},
		{2, "HTTP/2.0", "WebSocket", "/chat", false, "WebSocket"},
		{2, "HTTP/2.0", "", "/chat", false, ""},
		{3, "websocket", "", "/chat", true, "websocket"},
		{3, "connect-ip", "", "/chat", false, "connect-ip"},
		{3, "HTTP/3.0", "", "/chat", false, ""},
		{3, "HTTP/3.0", "websocket", "/chat", false, ""},
		{1, "HTTP/1.1", "websocket", "/chat", false, ""},
		{2, "HTTP/2.0", "websocket", "x:y", false, "websocket"},
	} {
		r := &http.Request{Method: "CONNECT", ProtoMajor: test.major, Proto: test.proto, URL: parseTarget(test.target), Header: http.Header{}}
		if test.target == "x:y" {
			r.URL.Opaque, r.URL.Path = "y", ""
		}
		if test.field != "" {
			r.Header[":protocol"] = []string{test.field}
		}
		r = serve(r)
		if got := IsTarget(r); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
		if got := protocol(r); got != test.protocol {
			t.Errorf("%+v: protocol %q", test, got)
		}
	}
}

// TestExtendedConnectIsReadAsGet: an application serves it as the GET that it
// is over HTTP/1.
func TestExtendedConnectIsReadAsGet(t *testing.T) {
	m := kinds(t)["method GET"]
	r := &http.Request{Method: "CONNECT", ProtoMajor: 3, Proto: "websocket", URL: parseTarget("/chat"), Header: http.Header{}}
	if !mustMatch(t, m, serve(r)) {
		t.Error("not matched")
	}
	r.Proto = "HTTP/3.0"
	if mustMatch(t, m, serve(r)) {
		t.Error("a plain CONNECT is matched")
	}
}
