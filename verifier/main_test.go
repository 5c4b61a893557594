package verifier

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddycaptcha/caddycaptcha/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// What the subjects are configured with. The GeeTest pairs are those that
// GeeTest's own demos publish.
const (
	v4ID  = "647f5ed2ed8acb4be36784e01556bb71"
	v4Key = "b09a7aafbfd83f73b35a9b530d0337bf"
	v3ID  = "c9c4facd1a6feeb80802222cbb74ca8e"
	v3Key = "e4e298788aa8c768397639deb9b249a9"

	appID     = "199999164"
	appSecret = "E4kwK9AcXQMHkktiItyMEyQPn"
	secretID  = "AKIDEXAMPLE"
	secretKey = "SKEXAMPLE"
)

// A proof for each provider. The v4 one was made at proofTime.
var (
	v4Proof = Proof{
		"4dc3cfc2cdff448cad8d13107198d473", "Ab-_9=",
		"4b774095664ce55ad3ffe5c73b26af02430119056ec18bd5f25f21301bb19608", "1682136049",
	}
	v3Proof = Proof{
		"fa7025c83249ab263bc1f11f11ae21a5a7", "f62da4225c52b76f088bf5b6e91252ae",
		"f62da4225c52b76f088bf5b6e91252ae|jordan",
	}
	tencentProof = Proof{"tr03EXAMPLE_TICKET-0123456789ABCDEFGH*", "@Vki"}

	proofTime  = time.Unix(1682136049, 0)
	testClient = Client{IP: netip.MustParseAddr("203.0.113.7"), Type: "web"}
)

// Answers that pass.
const (
	v4Pass      = `{"status":"success","result":"success","reason":"","captcha_args":{"used_type":"slide","user_ip":"127.0.0.1","lot_number":"4dc3cfc2cdff448cad8d13107198d473","scene":"反爬虫 anti crawler","referer":"http://127.0.0.1:8077/"}}`
	v3Pass      = `{"seccode":"c6d0002491cee7bd0d495162b9a47cb7"}`
	tencentPass = `{"Response":{"CaptchaCode":1,"CaptchaMsg":"OK","EvilLevel":0,"GetCaptchaTime":0,"SubmitCaptchaTime":1700000000,"EvilBitmap":null,"DeviceRiskCategory":"301","Score":12,"RequestId":"c3f2a1d0"},"retcode":0,"retmsg":"success"}`
)

// forever is a timeout that no test waits for, brief one that some do.
const (
	forever = 5 * time.Minute
	brief   = 100 * time.Millisecond
)

func newV4(t testing.TB, endpoint string, timeout time.Duration) *GeetestV4 {
	t.Helper()
	return provisioned(t, &GeetestV4{CaptchaID: v4ID, CaptchaKey: v4Key, Endpoint: endpoint, Timeout: caddy.Duration(timeout)})
}

func newV3(t testing.TB, endpoint string, timeout time.Duration) *GeetestV3 {
	t.Helper()
	return provisioned(t, &GeetestV3{CaptchaID: v3ID, CaptchaKey: v3Key, Endpoint: endpoint, Timeout: caddy.Duration(timeout)})
}

func newTencent(t testing.TB, endpoint string, timeout time.Duration) *Tencent {
	t.Helper()
	return provisioned(t, &Tencent{
		Site: "cn", CaptchaAppID: appID, AppSecretKey: appSecret, SecretID: secretID, SecretKey: secretKey,
		Endpoint: endpoint, Timeout: caddy.Duration(timeout),
	})
}

func provisioned[V caddy.Provisioner](t testing.TB, v V) V {
	t.Helper()
	if err := v.Provision(caddy.Context{}); err != nil {
		t.Fatalf("Provision: %v", err)
	}
	return v
}

// subject is a verifier for the tests of what all of them do: a call to its
// provider.
type subject struct {
	name  string
	new   func(t testing.TB, endpoint string, timeout time.Duration) Verifier
	proof Proof
	pass  string
}

var subjects = []subject{
	{"geetest_v3", func(t testing.TB, e string, d time.Duration) Verifier { return newV3(t, e, d) }, v3Proof, v3Pass},
	{"geetest_v4", func(t testing.TB, e string, d time.Duration) Verifier { return newV4(t, e, d) }, v4Proof, v4Pass},
	{"tencent", func(t testing.TB, e string, d time.Duration) Verifier { return newTencent(t, e, d) }, tencentProof, tencentPass},
	{register, func(t testing.TB, e string, d time.Duration) Verifier { return registrar{newV3(t, e, d)} }, v3Proof, registerPass},
}

const (
	register     = "geetest_v3 register"
	registerPass = `{"challenge":"0123456789abcdef0123456789abcdef"}`
)

// registrar is a verifier whose call to its provider is the one for a
// challenge. It passes if there is one.
type registrar struct{ *GeetestV3 }

func (r registrar) Verify(ctx context.Context, _ Proof, client Client) Verdict {
	challenge, failure := r.Challenge(ctx, client, testUser)
	switch {
	case challenge == nil:
		return failure
	case failure != (Verdict{}):
		panic("a challenge came with a failure")
	}
	return Verdict{Result: Passed}
}

// testUser is what a client is told apart by.
const testUser = "a9Zk-_user"

// forEach runs test for each provider.
func forEach(t *testing.T, test func(t *testing.T, s subject)) {
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

func (s subject) verify(t *testing.T, endpoint string, timeout time.Duration) Verdict {
	t.Helper()
	return s.new(t, endpoint, timeout).Verify(t.Context(), s.proof, testClient)
}

// answering is a provider that gives one answer to everything.
func answering(t testing.TB, status int, body string) string {
	return serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

// serving returns the URL of a provider.
func serving(t testing.TB, handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// listening is a provider that need not speak HTTP. The connections are closed
// when the test ends, and each when its handler returns.
func listening(t testing.TB, handle func(net.Conn)) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			running.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return listener.Addr().String()
}

// ambiguous are the rejections that a wrong credential brings about as well.
var ambiguous = map[string]bool{"relation": true, "pass_token_error": true, "captcha_code_16": true, "captcha_code_100": true}

func expect(t *testing.T, got Verdict, result Result, reason string) {
	t.Helper()
	if got.Result != result || got.Reason != reason {
		t.Errorf("verdict is %v %q (%v), want %v %q", got.Result, got.Reason, got.Err, result, reason)
	}
	if (got.Result == Misconfigured || ambiguous[got.Reason]) != (got.Advice != "") {
		t.Errorf("verdict %v %q has the advice %q", got.Result, got.Reason, got.Advice)
	}
	if (got.Result == Unknown) != (got.Err != nil) {
		t.Errorf("verdict %v %q has the error %v", got.Result, got.Reason, got.Err)
	}
}

// expectJudged checks the verdict of one answer.
func expectJudged(t *testing.T, judge func(object) Verdict, answer string, result Result, reason string) {
	t.Helper()
	t.Run(answer[:min(len(answer), 60)], func(t *testing.T) {
		t.Helper()
		expect(t, judged([]byte(answer), judge), result, reason)
	})
}

// with returns the proof with one value changed.
func with(proof Proof, i int, value string) Proof {
	changed := append(Proof{}, proof...)
	changed[i] = value
	return changed
}

func long(n int) string { return strings.Repeat("a", n) }

// testAddr is the zero Addr for an empty text.
func testAddr(text string) netip.Addr {
	addr, _ := netip.ParseAddr(text)
	return addr
}
