package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	sdkhttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/caddycaptcha/caddycaptcha/internal/leaktest"
	"github.com/caddycaptcha/caddycaptcha/simulator"
)

func TestMain(m *testing.M) {
	leaktest.Main(m)
}

var account = simulator.Tencent{
	CaptchaAppID: "2000000001",
	AppSecretKey: "APP-SECRET-KEY-VISIBLE",
	SecretID:     "AKIDEXAMPLE",
	SecretKey:    "SKEXAMPLE",
}

// describe makes a DescribeCaptchaResult with Tencent's official Go client and
// returns the CaptchaCode or the error's code.
func describe(t *testing.T, client *common.Client, ticket, randstr, appSecretKey string) string {
	t.Helper()
	request := sdkhttp.NewCommonRequest("captcha", "2019-07-22", "DescribeCaptchaResult")
	if err := request.SetActionParameters(map[string]any{
		"CaptchaType":  9,
		"Ticket":       ticket,
		"Randstr":      randstr,
		"UserIp":       "203.0.113.7",
		"CaptchaAppId": 2000000001,
		"AppSecretKey": appSecretKey,
	}); err != nil {
		t.Fatal(err)
	}
	response := sdkhttp.NewCommonResponse()
	if err := client.Send(request, response); err != nil {
		var refused *sdkerrors.TencentCloudSDKError
		if !errors.As(err, &refused) || refused.RequestId == "" {
			t.Fatalf("not an error from the API: %v", err)
		}
		return refused.Code
	}
	var body struct {
		Response struct {
			CaptchaCode *int
			CaptchaMsg  string
			RequestID   string `json:"RequestId"`
		}
	}
	if err := json.Unmarshal(response.GetBody(), &body); err != nil {
		t.Fatal(err)
	}
	if body.Response.CaptchaCode == nil || body.Response.CaptchaMsg == "" || body.Response.RequestID == "" {
		t.Fatalf("got %s", response.GetBody())
	}
	return strconv.Itoa(*body.Response.CaptchaCode)
}

func TestTheOfficialTencentGoClient(t *testing.T) {
	for name, test := range map[string]struct {
		configure func(*profile.HttpProfile, string)
		tls       bool
		host      string // that the simulator is to see, "" for its own
	}{
		"China site": {
			configure: func(*profile.HttpProfile, string) {},
			tls:       true,
			host:      "captcha.tencentcloudapi.com",
		},
		"international site": {
			configure: func(p *profile.HttpProfile, _ string) { p.RootDomain = "intl.tencentcloudapi.com" },
			tls:       true,
			host:      "captcha.intl.tencentcloudapi.com",
		},
		"endpoint option": {
			configure: func(p *profile.HttpProfile, address string) { p.Scheme, p.Endpoint = "HTTP", address },
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim, err := simulator.New(simulator.Config{Tencent: []simulator.Tencent{account}})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(sim)
			if test.tls {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			address := server.Listener.Addr().String()
			transport := &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, address)
				},
			}
			if test.tls {
				roots := x509.NewCertPool()
				roots.AddCert(server.Certificate())
				transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: "example.com"} // as in the certificate
			}
			defer transport.CloseIdleConnections()
			clientFor := func(secretID, secretKey string) *common.Client {
				settings := profile.NewClientProfile()
				test.configure(settings.HttpProfile, address)
				return common.NewCommonClient(common.NewCredential(secretID, secretKey), "", settings).WithHttpTransport(transport)
			}
			proof, err := sim.Solve("tencent", simulator.SolveOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ticket, randstr := proof.Get("ticket"), proof.Get("randstr")
			for _, step := range []struct{ secretID, secretKey, ticket, appSecretKey, want string }{
				{"AKIDUNKNOWN", account.SecretKey, ticket, account.AppSecretKey, "AuthFailure.SecretIdNotFound"},
				{account.SecretID, "wrong", ticket, account.AppSecretKey, "AuthFailure.SignatureFailure"},
				{account.SecretID, account.SecretKey, ticket, "wrong", "100"},
				{account.SecretID, account.SecretKey, "t03<&>*", account.AppSecretKey, "15"},
				{account.SecretID, account.SecretKey, "", account.AppSecretKey, "MissingParameter"},
				{account.SecretID, account.SecretKey, ticket, account.AppSecretKey, "1"},
				{account.SecretID, account.SecretKey, ticket, account.AppSecretKey, "9"},
			} {
				client := clientFor(step.secretID, step.secretKey)
				if got := describe(t, client, step.ticket, randstr, step.appSecretKey); got != step.want {
					t.Errorf("%+v: got %s", step, got)
				}
			}
			call, ok := sim.LastCall(simulator.TencentPath)
			if want := test.host; !ok || (want != "" && call.Host != want) || (want == "" && call.Host != address) {
				t.Errorf("the simulator was called as %q", call.Host)
			}
			if !strings.HasPrefix(call.Header.Get("X-TC-RequestClient"), "SDK_GO_") {
				t.Errorf("the client is %q", call.Header.Get("X-TC-RequestClient"))
			}
		})
	}
}
