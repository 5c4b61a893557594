package harness

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddycaptcha/caddycaptcha/simulator"
)

// ProofLines is the proof as header lines.
func ProofLines(proof url.Values) string {
	var lines []string
	for name := range proof {
		lines = append(lines, parameterHeaders[name]+": "+proof.Get(name))
	}
	return strings.Join(lines, "\r\n")
}

// MadeUpToken changes a proof of GeeTest v4 into one that nobody solved.
func MadeUpToken(proof url.Values) url.Values {
	proof.Set("pass_token", strings.Repeat("0", 64))
	return proof
}

// Respond is a fault: the provider answers this.
func Respond(status int, body string) simulator.Fault {
	return simulator.Fault{Kind: simulator.Respond, Status: status, Body: body}
}

// parameterHeaders are the default headers of the parameters.
var parameterHeaders = func() map[string]string {
	headers := map[string]string{"ticket": "Captcha-Ticket", "randstr": "Captcha-Randstr", Altcha: "Captcha-Altcha"}
	for _, pair := range [][2]string{{v4Parameters, V4Headers}, {v3Param, v3Headers}} {
		parameters, names := strings.Fields(pair[0]), strings.Fields(pair[1])
		for i := range parameters {
			headers[parameters[i]] = names[i]
		}
	}
	return headers
}()

// SetHeaders puts a proof into its default headers.
func SetHeaders(header http.Header, proof url.Values) {
	for parameter := range proof {
		header.Set(parameterHeaders[parameter], proof.Get(parameter))
	}
}

// MadeUp returns a proof of the same shape as the genuine one.
func MadeUp(proof url.Values) url.Values {
	fake := maps.Clone(proof)
	for _, parameter := range []string{"lot_number", "geetest_challenge", "ticket"} {
		if fake.Has(parameter) {
			text := []byte(fake.Get(parameter))
			for i := 8; i < 24; i++ {
				text[i] = '1' + text[i]%7
			}
			fake.Set(parameter, string(text))
		}
	}
	return fake
}

// Members are the parameters of a proof, as a JSON object has them.
func Members(proof url.Values) map[string]string {
	object := make(map[string]string)
	for name := range proof {
		object[name] = proof.Get(name)
	}
	return object
}
