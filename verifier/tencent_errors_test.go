package verifier

import (
	"fmt"
	"strings"
	"testing"
)

func TestTencentCaptchaCodes(t *testing.T) {
	judge := newTencent(t, "", 0).judge
	known := map[int]Result{
		1: Passed, 8: Expired, 9: Replayed, 26: Unknown,
		0: Rejected, 6: Rejected, 7: Rejected, 10: Rejected, 11: Rejected, 12: Rejected, 13: Rejected, 15: Rejected,
		16: Rejected, 17: Rejected, 18: Rejected, 19: Rejected, 20: Rejected, 21: Rejected, 22: Rejected, 23: Rejected,
		24: Rejected, 25: Rejected, 100: Rejected, 104: Rejected,
	}
	for code := -2; code < 130; code++ {
		result, documented := known[code]
		reason := fmt.Sprintf("captcha_code_%d", code)
		switch {
		case !documented:
			result, reason = Rejected, "captcha_code_other"
		case result == Passed:
			reason = ""
		case result == Unknown:
			reason = ReasonService
		}
		expectJudged(t, judge, response(fmt.Sprintf(`"CaptchaCode":%d,"CaptchaMsg":"OK","EvilLevel":0`, code)), result, reason)
	}
}

func TestTencentErrors(t *testing.T) {
	v := newTencent(t, "", 0)
	for _, c := range []struct {
		code    string
		result  Result
		reason  string
		advises string // what the advice names
	}{
		{"InternalError", Unknown, ReasonService, ""},
		{"InternalError.UnknownError", Unknown, ReasonService, ""},
		{"ServiceUnavailable", Unknown, ReasonService, ""},
		{"ResourceUnavailable", Unknown, ReasonService, ""},
		{"ResourceUnavailable.Any", Unknown, ReasonService, ""},
		{"FailedOperation", Unknown, ReasonService, ""},

		{"RequestLimitExceeded", Overloaded, ReasonRateLimited, ""},
		{"RequestLimitExceeded.IPLimitExceeded", Overloaded, ReasonRateLimited, ""},
		{"RequestLimitExceeded.UinLimitExceeded", Overloaded, ReasonRateLimited, ""},
		{"RequestLimitExceeded.GlobalRegionUinLimitExceeded", Overloaded, ReasonRateLimited, ""},
		{"LimitExceeded", Overloaded, ReasonRateLimited, ""},

		{"AuthFailure.SecretIdNotFound", Misconfigured, "AuthFailure.SecretIdNotFound", "secret_id is not known"},
		{"AuthFailure.InvalidSecretId", Misconfigured, "AuthFailure.InvalidSecretId", "secret_id is not known"},
		{"AuthFailure.SignatureFailure", Misconfigured, "AuthFailure.SignatureFailure", "secret_key"},
		{"AuthFailure.SignatureExpire", Misconfigured, "AuthFailure.SignatureExpire", "clock"},
		{"AuthFailure.TokenFailure", Misconfigured, "AuthFailure.TokenFailure", "temporary"},
		{"AuthFailure.MFAFailure", Misconfigured, "AuthFailure.MFAFailure", "secret_id"},
		{"AuthFailure.UnauthorizedOperation", Misconfigured, "AuthFailure.UnauthorizedOperation", "QcloudCaptchaFullAccess"},
		{"AuthFailure.InvalidAuthorization", Misconfigured, "AuthFailure", "secret_id and secret_key"},
		{"AuthFailure", Misconfigured, "AuthFailure", "secret_id and secret_key"},
		{"AuthFailure.New", Misconfigured, "AuthFailure", "secret_id and secret_key"},
		{"UnauthorizedOperation", Misconfigured, "UnauthorizedOperation", "QcloudCaptchaFullAccess"},
		{"UnauthorizedOperation.ErrAuth", Misconfigured, "UnauthorizedOperation", "captcha_app_id"},
		{"UnauthorizedOperation.Unauthorized", Misconfigured, "UnauthorizedOperation.Unauthorized", "arrears"},
		{"IpInBlacklist", Misconfigured, "IpInBlacklist", "address"},
		{"IpNotInWhitelist", Misconfigured, "IpNotInWhitelist", "address"},
		{"ActionOffline", Misconfigured, "ActionOffline", "endpoint"},
		{"InvalidAction", Misconfigured, "InvalidAction", "endpoint"},
		{"NoSuchProduct", Misconfigured, "NoSuchProduct", "endpoint"},
		{"NoSuchVersion", Misconfigured, "NoSuchVersion", "endpoint"},
		{"UnsupportedProtocol", Misconfigured, "UnsupportedProtocol", "endpoint"},
		{"UnsupportedRegion", Misconfigured, "UnsupportedRegion", "site"},
		{"InvalidParameter", Misconfigured, "InvalidParameter", "captcha_app_id"},
		{"InvalidParameter.Any", Misconfigured, "InvalidParameter", "app_secret_key"},
		{"InvalidParameterValue", Misconfigured, "InvalidParameterValue", "captcha_app_id"},
		{"InvalidRequest", Misconfigured, "InvalidRequest", "captcha_app_id"},
		{"MissingParameter", Misconfigured, "MissingParameter", "captcha_app_id"},
		{"UnknownParameter", Misconfigured, "UnknownParameter", "captcha_app_id"},

		{"DryRunOperation", Rejected, "error_other", ""},
		{"RequestSizeLimitExceeded", Rejected, "error_other", ""},
		{"ResourceInUse", Rejected, "error_other", ""},
		{"ResourceNotFound", Rejected, "error_other", ""},
		{"UnsupportedOperation", Rejected, "error_other", ""},
		{"AuthFailures", Rejected, "error_other", ""},
		{"authfailure", Rejected, "error_other", ""},
		{"My.AuthFailure", Rejected, "error_other", ""},
		{"InternalErrors", Rejected, "error_other", ""},
		{"", Rejected, "error_other", ""},
	} {
		answer := response(`"Error":{"Code":"` + c.code + `","Message":"InternalError"}`)
		expectJudged(t, v.judge, answer, c.result, c.reason)
		if advice := judged([]byte(answer), v.judge).Advice; !strings.Contains(advice, c.advises) {
			t.Errorf("the advice on %s does not name %s: %s", c.code, c.advises, advice)
		}
	}
}

func TestACaptchaAppIDInPlaceOfASecretIDIsRecognized(t *testing.T) {
	v := newTencent(t, "", 0)
	v.signer.secretID = appID
	for _, code := range []string{"AuthFailure.SecretIdNotFound", "AuthFailure.InvalidSecretId"} {
		verdict := judged([]byte(response(`"Error":{"Code":"`+code+`","Message":""}`)), v.judge)
		expect(t, verdict, Misconfigured, code)
		if !strings.Contains(verdict.Advice, "looks like a CaptchaAppId") {
			t.Errorf("the advice on %s is %s", code, verdict.Advice)
		}
	}
}
