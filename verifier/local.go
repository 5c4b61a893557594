package verifier

import "time"

// Local is a Challenger that asks nobody: it issues its challenges itself, and
// a proof is a solution of one. It is given a [Seal] with each client, by which
// it knows what it has issued. Its Service is empty, and it cannot be down.
//
// A program can make such proofs as well as a person, at a price. So only so
// many of them pass.
type Local interface {
	Challenger

	// Lifetime is how long a challenge is good. What is spent is remembered
	// for that time and a margin.
	Lifetime() time.Duration

	// Rate is how many proofs pass in a minute: of one client (IPv4 address,
	// IPv6 /64), and of all. Prefixes and networks have as many times more as
	// they have of failures.
	Rate() (perClient, inAll int)
}

// Seal marks what a verifier issues. A mark is good for the policy, the host
// and the purpose for which it was made, on all nodes with the same keys.
type Seal interface {
	// Mark returns the mark of a text: 64 hexadecimal digits.
	Mark(text []byte) (string, error)

	// Marked reports whether mark is one that Mark has returned for the text.
	Marked(text []byte, mark string) (bool, error)
}

// Hosted is a Challenger whose widget comes from this server, and not from a
// provider's.
type Hosted interface {
	Challenger

	// Files are the scripts that browsers load of the widget, by name, such as
	// "altcha.js". The page has their URLs in page.files, by these names, and
	// the "script" of a challenge may be one of them, which is then loaded as
	// a module. A URL changes with the content, so that browsers keep what they
	// have. The names page.js, inject.js and those that begin with "page-" or
	// "widget-" are the module's own.
	Files() map[string][]byte
}
