package request

import (
	"maps"
	"net/http"
	"strings"
	"testing"
)

func TestRemoveUpgrade(t *testing.T) {
	for _, test := range []struct {
		name       string
		upgrade    []string
		connection []string
		allowed    []string
		removed    string
		left       []string // of Connection
	}{
		{"none", nil, []string{"keep-alive"}, nil, "", []string{"keep-alive"}},
		{"websocket", []string{"websocket"}, []string{"Upgrade"}, nil, "", []string{"Upgrade"}},
		{"websocket in any case", []string{" WebSocket "}, []string{"upgrade"}, nil, "", []string{"upgrade"}},
		{"h2c", []string{"h2c"}, []string{"Upgrade, HTTP2-Settings"}, nil, `"h2c"`, nil},
		{"h2c and more", []string{"h2c"}, []string{"keep-alive, upgrade,,TE", "Http2-Settings"}, nil, `"h2c"`, []string{"keep-alive, TE"}},
		{"a list", []string{"websocket, h2c"}, []string{"Upgrade"}, nil, `"websocket, h2c"`, nil},
		{"two lines", []string{"websocket", "h2c"}, []string{"Upgrade"}, nil, `"websocket, h2c"`, nil},
		{"websocket twice", []string{"websocket", "websocket"}, []string{"Upgrade"}, nil, `"websocket, websocket"`, nil},
		{"with a version", []string{"websocket/13"}, []string{"Upgrade"}, nil, `"websocket/13"`, nil},
		{"empty", []string{""}, []string{"Upgrade"}, nil, `""`, nil},
		{"no line", []string{}, []string{"Upgrade"}, nil, `""`, nil},
		{"without Connection", []string{"h2c"}, nil, nil, `"h2c"`, nil},
		{"allowed", []string{"TCP"}, []string{"Upgrade"}, []string{"spdy/3.1", "tcp"}, "", []string{"Upgrade"}},
		{"another is allowed", []string{"h2c"}, []string{"Upgrade"}, []string{"tcp"}, `"h2c"`, nil},
		{"not to be printed", []string{"h2c\t\x80\"" + strings.Repeat("x", 100)}, []string{"Upgrade"}, nil, `"h2c\t\x80\"` + strings.Repeat("x", maxLogged-6) + `"`, nil},
	} {
		r := &http.Request{Header: http.Header{"Accept": {"*/*"}, "Http2-Settings": {"AAMAAABkAAQAoAAAAAIAAAAA"}}}
		if test.upgrade != nil {
			r.Header["Upgrade"] = test.upgrade
		}
		if test.connection != nil {
			r.Header["Connection"] = test.connection
		}
		want := maps.Clone(r.Header)
		if test.removed != "" {
			delete(want, "Upgrade")
			delete(want, "Http2-Settings")
			delete(want, "Connection")
			if test.left != nil {
				want["Connection"] = test.left
			}
		}
		if got := RemoveUpgrade(r, test.allowed); got != test.removed {
			t.Errorf("%s: removed %s, want %s", test.name, got, test.removed)
		}
		if !maps.EqualFunc(r.Header, want, func(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }) {
			t.Errorf("%s: left %q, want %q", test.name, r.Header, want)
		}
	}
}
