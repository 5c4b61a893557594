package verifier

import "regexp"

// part is a Parameter and the shape of its genuine values.
type part struct {
	Parameter
	shape func(value string) bool
}

// pattern is the shape that a regular expression describes.
func pattern(expression string) func(string) bool {
	return regexp.MustCompile(expression).MatchString
}

// printable is the shape of values of which the provider documents none: ASCII
// without spaces and control characters.
func printable(value string) bool {
	return only(value, func(c byte) bool { return '!' <= c && c <= '~' })
}

// only reports whether the value consists of such characters, and of at least
// one. It takes a tenth of the time of a regular expression, which shows in
// the long values that most requests carry.
func only(value string, such func(c byte) bool) bool {
	for i := range len(value) {
		if !such(value[i]) {
			return false
		}
	}
	return value != ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// parts are what a provider's proofs consist of.
type parts []part

func (ps parts) parameters() []Parameter {
	parameters := make([]Parameter, len(ps))
	for i, p := range ps {
		parameters[i] = p.Parameter
	}
	return parameters
}

// check is Malformed, with the name of the parameter as the reason, if a value
// cannot be genuine, and the zero Verdict otherwise.
func (ps parts) check(proof Proof) Verdict {
	if len(proof) != len(ps) {
		return malformed(ReasonProof)
	}
	for i, p := range ps {
		if len(proof[i]) > p.MaxLength || !p.shape(proof[i]) {
			return malformed(p.Name)
		}
	}
	return Verdict{}
}

func malformed(name string) Verdict { return Verdict{Result: Malformed, Reason: name} }

// offline is the verdict on a proof that the widget makes by itself when it
// cannot reach its provider. Everyone can make one.
var offline = Verdict{Result: Rejected, Reason: ReasonOffline}
