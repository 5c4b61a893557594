package verifier

import (
	"fmt"
	"slices"
	"strings"
)

// judge decides on an answer, which is one of
//
//	{"Response": {"CaptchaCode": 1, "CaptchaMsg": "OK", "EvilLevel": 0, "Score": 12, …, "RequestId": "…"}}
//	{"Response": {"Error": {"Code": "AuthFailure.SignatureFailure", "Message": "…"}, "RequestId": "…"}}
//
// The CaptchaCode alone does not decide: an invisible captcha gives malicious
// clients a ticket too and says so in EvilLevel only. Where EvilLevel is null
// or missing Tencent has not judged the client, as with a visible captcha, for
// which the CaptchaCode is all there is. A Score is not in all answers either.
func (t *Tencent) judge(answer object) Verdict {
	response, ok := answer["Response"].(object)
	if !ok {
		return unexpected("Response")
	}
	apiError, failed := response["Error"]
	captchaCode, decided := response["CaptchaCode"]
	switch {
	case failed && decided, !failed && !decided:
		return unexpected("Response")
	case failed:
		return t.judgeError(apiError)
	}
	code, ok := integer(captchaCode)
	switch {
	case !ok:
		return unexpected("CaptchaCode")
	case code != 1:
		return judgeCaptchaCode(code)
	}
	return t.judgeRisk(response)
}

// judgeRisk decides on a proof that is genuine.
func (t *Tencent) judgeRisk(response object) Verdict {
	evilLevel, judged, ok := nullableInteger(response, "EvilLevel")
	if !ok {
		return unexpected("EvilLevel")
	}
	verdict := Verdict{Result: Passed}
	score, scored, ok := nullableInteger(response, "Score")
	if ok = ok && (!scored || 0 <= score && score <= 100); ok && scored {
		verdict.Score, verdict.HasScore = int(score), true
	}
	switch {
	case judged && evilLevel == 100:
		verdict.Result, verdict.Reason = Risky, "evil_level"
	case t.MaxScore == nil:
	case !ok:
		return unexpected("Score")
	case !scored:
		return Verdict{Result: Misconfigured, Reason: "no_score", Advice: adviceNoScore}
	case verdict.Score > *t.MaxScore:
		verdict.Result, verdict.Reason = Risky, "score"
	}
	return verdict
}

const adviceNoScore = "Tencent gives this account no Score, without which max_score lets nobody through: remove max_score, or ask Tencent for scores"

// captchaCodes are the values of CaptchaCode other than 1 (passed) that
// Tencent documents or once did. Those that judgeCaptchaCode does not name
// say, for one reason or another, that the ticket is no good. That includes 16
// and 100, which a wrong captcha_app_id or app_secret_key brings about too:
// a client can have them with a ticket of another CaptchaAppId.
var captchaCodes = []int64{0, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 100, 104}

func judgeCaptchaCode(code int64) Verdict {
	verdict := Verdict{Result: Rejected, Reason: "captcha_code_other"}
	if slices.Contains(captchaCodes, code) {
		verdict.Reason = fmt.Sprintf("captcha_code_%d", code)
	}
	switch code {
	case 8: // ticket expired
		verdict.Result = Expired
	case 9: // ticket reused
		verdict.Result = Replayed
	case 16: // appid-ticket mismatch
		verdict.Advice = adviceTicket
	case 100: // appid-secretkey-ticket mismatch
		verdict.Advice = advicePair
	case 26: // system busy
		return Verdict{Reason: ReasonService, Err: serviceError{"Tencent answered with CaptchaCode 26 (internal error)", true}}
	}
	return verdict
}

// tencentError is a class of API error codes: one code, and all that begin
// with it and a dot.
type tencentError struct {
	class  string
	result Result
	advice string
}

const (
	adviceTicket    = "captcha_app_id may not be the one that the page uses: compare it with the captcha console and the page"
	advicePair      = "app_secret_key may not be the AppSecretKey of captcha_app_id, or the page uses another CaptchaAppId: compare all with the captcha console"
	adviceSecretID  = "secret_id is not known to this site: use the SecretId of an API key from Cloud Access Management (CAM), of an account of the configured site"
	adviceAppID     = "secret_id looks like a CaptchaAppId: use the SecretId of an API key from Cloud Access Management (CAM), it begins with letters"
	adviceSecretKey = "secret_key is not the key of secret_id: copy both from the same API key of Cloud Access Management (CAM)"
	adviceAllowed   = "the API key of secret_id is not allowed to call DescribeCaptchaResult: grant its user the policy QcloudCaptchaFullAccess, and check that captcha_app_id belongs to the same account"
	adviceAddress   = "the API key of secret_id is not allowed from this server's address: change its network restrictions in Cloud Access Management (CAM)"
	adviceEndpoint  = "this endpoint does not offer DescribeCaptchaResult: check site and endpoint"
	adviceCaptcha   = "Tencent refuses the parameters of the call: check captcha_app_id and app_secret_key, which are those of the captcha console"
)

// tencentErrors are the classes that say something else than that the proof is
// no good, from Tencent's page "Common error codes" and that of the action. Of
// the classes that match a code the first counts.
var tencentErrors = []tencentError{
	{"InternalError", Unknown, ""},
	{"ServiceUnavailable", Unknown, ""},
	{"ResourceUnavailable", Unknown, ""},
	{"FailedOperation", Unknown, ""},

	{"RequestLimitExceeded", Overloaded, ""},
	{"LimitExceeded", Overloaded, ""},

	{"AuthFailure.SecretIdNotFound", Misconfigured, adviceSecretID},
	{"AuthFailure.InvalidSecretId", Misconfigured, adviceSecretID},
	{"AuthFailure.SignatureFailure", Misconfigured, adviceSecretKey},
	{"AuthFailure.SignatureExpire", Misconfigured, "this server's clock is more than 5 minutes off: synchronize it (NTP)"},
	{"AuthFailure.TokenFailure", Misconfigured, "secret_id and secret_key are temporary credentials: use a permanent API key of Cloud Access Management (CAM)"},
	{"AuthFailure.MFAFailure", Misconfigured, "the API key of secret_id asks for multi-factor authentication: use one of a sub-account that does not"},
	{"AuthFailure.UnauthorizedOperation", Misconfigured, adviceAllowed},
	{"AuthFailure", Misconfigured, "Tencent refuses the signature: check secret_id and secret_key"},
	{"UnauthorizedOperation.Unauthorized", Misconfigured, "the account of secret_id has no captcha package, or it is used up or in arrears: check it in Tencent's captcha console"},
	{"UnauthorizedOperation", Misconfigured, adviceAllowed},
	{"IpInBlacklist", Misconfigured, adviceAddress},
	{"IpNotInWhitelist", Misconfigured, adviceAddress},
	{"ActionOffline", Misconfigured, adviceEndpoint},
	{"InvalidAction", Misconfigured, adviceEndpoint},
	{"NoSuchProduct", Misconfigured, adviceEndpoint},
	{"NoSuchVersion", Misconfigured, adviceEndpoint},
	{"UnsupportedProtocol", Misconfigured, adviceEndpoint},
	{"UnsupportedRegion", Misconfigured, adviceEndpoint},
	{"InvalidParameter", Misconfigured, adviceCaptcha},
	{"InvalidParameterValue", Misconfigured, adviceCaptcha},
	{"InvalidRequest", Misconfigured, adviceCaptcha},
	{"MissingParameter", Misconfigured, adviceCaptcha},
	{"UnknownParameter", Misconfigured, adviceCaptcha},
}

// judgeError decides on an Error, by its Code alone: Tencent may change the
// Message at any time.
func (t *Tencent) judgeError(apiError any) Verdict {
	members, _ := apiError.(object)
	code, ok := members["Code"].(string)
	if !ok {
		return unexpected("Error")
	}
	i := slices.IndexFunc(tencentErrors, func(e tencentError) bool {
		return code == e.class || strings.HasPrefix(code, e.class+".")
	})
	if i < 0 {
		return Verdict{Result: Rejected, Reason: "error_other"}
	}
	known := tencentErrors[i]
	verdict := Verdict{Result: known.result, Reason: known.class, Advice: known.advice}
	switch {
	case known.result == Unknown:
		down := known.class == "InternalError" || known.class == "ServiceUnavailable"
		verdict.Reason, verdict.Err = ReasonService, serviceError{"Tencent answered with the error " + known.class, down}
	case known.result == Overloaded:
		verdict.Reason = ReasonRateLimited
	case known.advice == adviceSecretID && strings.Trim(t.signer.secretID, "0123456789") == "":
		verdict.Advice = adviceAppID
	}
	return verdict
}
