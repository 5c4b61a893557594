package response

import (
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// isPrivate reports whether the lines of a Cache-Control keep every shared
// cache from storing the answer, and leave no cache a reason to see that
// differently. What stands behind something malformed may be read by nobody.
func isPrivate(lines []string) bool {
	said, shares, readable := !storing(lines), false, true
	for _, line := range lines {
		for line != "" {
			var d directive
			d, line = cutDirective(line)
			readable = readable && !d.malformed
			said = said || readable && d.is("private")
			shares = shares || d.shares()
		}
	}
	return said && !shares
}

// makePrivate returns a Cache-Control for this client only that says what else
// the lines do. private comes first, so that no reader misses it behind
// something that it cannot read.
func makePrivate(lines []string) string {
	var kept []string
	if storing(lines) {
		kept = append(kept, "private")
	}
	for _, line := range lines {
		for line != "" {
			var d directive
			d, line = cutDirective(line)
			if d.text != "" && !d.is("private") && !d.shares() {
				kept = append(kept, d.text)
			}
		}
	}
	return strings.Join(kept, ", ")
}

// storing reports whether the lines let a cache store the answer. no-store does
// not, unless must-understand makes caches pass over it (RFC 9111, section
// 5.2.2.3).
func storing(lines []string) bool {
	noStore, mustUnderstand, readable := false, false, true
	for _, line := range lines {
		for line != "" {
			var d directive
			d, line = cutDirective(line)
			readable = readable && !d.malformed
			noStore = noStore || readable && d.is("no-store")
			mustUnderstand = mustUnderstand || d.named("must-understand")
		}
	}
	return !noStore || mustUnderstand
}

// directive is an element of a Cache-Control.
type directive struct {
	text      string // as it stands there
	name      string
	argument  bool
	malformed bool
}

// is reports whether the directive has that name and no argument.
func (d directive) is(name string) bool { return d.named(name) && !d.argument && !d.malformed }

func (d directive) named(name string) bool { return strings.EqualFold(d.name, name) }

// shares reports whether the directive lets a shared cache store the answer.
// With an argument, private is about the fields that it names and no others.
// What is malformed is read as the most generous cache might.
func (d directive) shares() bool {
	if d.malformed {
		text := strings.ToLower(d.text)
		return strings.Contains(text, "public") || strings.Contains(text, "s-maxage")
	}
	return d.named("public") || d.named("s-maxage") || d.named("private") && d.argument
}

// cutDirective cuts the first element from a list (RFC 9110, section 5.6.1).
func cutDirective(list string) (d directive, rest string) {
	end, quoted := 0, false
scan:
	for ; end < len(list); end++ {
		switch list[end] {
		case '"':
			quoted = !quoted
		case '\\':
			if quoted {
				end++ // the next byte is quoted by itself
			}
		case ',':
			if !quoted {
				rest = list[end+1:]
				break scan
			}
		}
	}
	d.text = textproto.TrimString(list[:min(end, len(list))])
	var argument string
	d.name, argument, d.argument = strings.Cut(d.text, "=")
	d.malformed = d.text != "" && !isToken(d.name) || d.argument && !isToken(argument) && !isQuoted(argument)
	return d, rest
}

func isToken(s string) bool { return s != "" && httpguts.ValidHeaderFieldName(s) }

// isQuoted reports whether s is one quoted string.
func isQuoted(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		switch s[i] {
		case '"':
			return false
		case '\\':
			i++
			if i == len(s)-1 {
				return false // quotes the quote that would end it
			}
		}
	}
	return true
}
