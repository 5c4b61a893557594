package extract

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// deadlines is a response writer that notes the read deadlines that are set.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(deadline time.Time) error {
	d.set = append(d.set, deadline)
	return nil
}

// TestTheServersReadTimeoutHolds: the search gets no more time than the server
// gives the whole request, and leaves the server's deadline behind it.
func TestTheServersReadTimeoutHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for _, test := range []struct {
			readTimeout time.Duration
			want        []time.Time
		}{
			{0, []time.Time{start.Add(10 * time.Second), {}}},
			{2 * time.Second, []time.Time{start.Add(2 * time.Second), start.Add(2 * time.Second)}},
			{time.Minute, []time.Time{start.Add(10 * time.Second), start.Add(time.Minute)}},
		} {
			const body = "ticket=t&randstr=r"
			r := newRequest(body, urlEncoded, int64(len(body)))
			ctx := context.WithValue(r.Context(), caddyhttp.ServerCtxKey, &caddyhttp.Server{ReadTimeout: caddy.Duration(test.readTimeout)})
			ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{"start_time": start})
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			if _, err := New(parameters, allSources, bodyLimit).Extract(w, r.WithContext(ctx), "", 10*time.Second, nil); err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(w.set, test.want, time.Time.Equal) {
				t.Errorf("with a read timeout of %v the deadlines are %v, want %v", test.readTimeout, w.set, test.want)
			}
		}
	})
}

var _ http.ResponseWriter = (*deadlines)(nil)
