package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddycaptcha/caddycaptcha/verifier"
)

func init() { caddy.RegisterModule(new(doorbell)) }

// doorbell is somebody else's verifier, with a widget that nothing in this
// project knows: a button in the page.
type doorbell struct {
	Script string `json:"script"`
}

func (*doorbell) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.captcha.verifiers.doorbell", New: func() caddy.Module { return new(doorbell) }}
}

// UnmarshalCaddyfile takes the URL of the widget's script.
func (d *doorbell) UnmarshalCaddyfile(text *caddyfile.Dispenser) error {
	text.Next() // consume the verifier's name
	if !text.Args(&d.Script) {
		return text.ArgErr()
	}
	return nil
}

func (*doorbell) Captcha() (provider, id string) { return "doorbell", "1" }

func (*doorbell) Service() string { return "https://example.com" }

func (*doorbell) Fingerprint() [32]byte { return sha256.Sum256([]byte("doorbell")) }

func (*doorbell) Parameters() []verifier.Parameter {
	return []verifier.Parameter{{Name: "ring", Header: "Doorbell-Ring", MaxLength: 32}}
}

func (*doorbell) Check(verifier.Proof, time.Time, time.Duration) verifier.Verdict {
	return verifier.Verdict{}
}

func (*doorbell) ReplayKey(proof verifier.Proof) string { return proof[0] }

func (*doorbell) Verify(_ context.Context, proof verifier.Proof, _ verifier.Client) verifier.Verdict {
	if strings.HasPrefix(proof[0], "ding-") {
		return verifier.Verdict{Result: verifier.Passed}
	}
	return verifier.Verdict{Result: verifier.Rejected, Reason: "no"}
}

func (d *doorbell) Challenge(context.Context, verifier.Client, string) (any, verifier.Verdict) {
	return map[string]string{"provider": "doorbell", "script": d.Script, "label": "Ring"}, verifier.Verdict{}
}

func (d *doorbell) Sources() map[string][]string {
	u, err := url.Parse(d.Script)
	if err != nil {
		return nil
	}
	return map[string][]string{"script-src": {u.Scheme + "://" + u.Host}}
}

func (*doorbell) Adapter() string {
	return `self.captchaAdapter = {
	provider: "Doorbell",
	proof: ["ring"],
	loaded: () => typeof self.Doorbell === "function",
	make(challenge, page, on) {
		const bell = new self.Doorbell(page.box, challenge.label, (ring) => on.proof({ ring }));
		on.made(bell);
		on.ready();
	},
};`
}

// TestAStrangersWidget: a verifier of another repository brings its widget
// along, to the page and to the dialog.
func TestAStrangersWidget(t *testing.T) {
	script := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, `self.Doorbell = class {
	constructor(box, label, rung) {
		this.button = document.createElement("button");
		this.button.textContent = label;
		this.button.id = "ring";
		this.button.onclick = () => rung("ding-" + Date.now());
		box.append(this.button);
	}
	destroy() { this.button.remove(); }
};`)
	}))
	t.Cleanup(script.Close)
	for place, where := range places {
		t.Run(place, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.reload(w.verifier(setup{}), "verifier doorbell "+script.URL+"/bell.js")
			p := newPerson(t)
			p.open(w.url + where.path)
			where.arrive(p).click("#ring")
			p.arrives(where.arrived)
			p.sound()
		})
	}
}
