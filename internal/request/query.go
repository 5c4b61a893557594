package request

import (
	"net/url"
	"strings"
)

// maxPairs is how many pairs of a query net/url takes by default. It returns
// none of a query that has more, which others read all the same.
const maxPairs = 10_000

// pair is a name and value of a query.
type pair struct{ name, value string }

// readQuery adds the queries that an application may read, each as a
// well-formed one that says the same: Caddy's matchers say no, and not that
// they fail, to a query they cannot read.
func (s *sight) readQuery(v *values[string], query string) {
	if tooManyPairs(query) {
		v.full = true
		return
	}
	v.add(query)
	if !s.oddQuery(query) {
		return
	}
	for _, part := range partsOfQuery(query) {
		s.readQuery(v, part)
	}
	for _, separators := range []string{"&", "&;"} {
		pairs, wellFormed := parseQuery(query, separators)
		add := func(change func(pair) pair) {
			changed := make([]pair, len(pairs))
			same := wellFormed
			for i, p := range pairs {
				changed[i] = change(p)
				same = same && changed[i] == p
			}
			if !same {
				v.add(encodeQuery(changed))
			}
		}
		add(func(p pair) pair { return p })
		add(trimNames)
		add(trimValues)
		add(cutNULs)
		add(phpNames)
		add(lowerPair)
		add(func(p pair) pair { return lowerPair(trimValues(phpNames(cutNULs(trimNames(p))))) })
		if s.repeats {
			for _, keepLast := range []bool{false, true} {
				if once := onePerName(pairs, keepLast); len(once) < len(pairs) {
					v.add(encodeQuery(once))
				}
			}
		}
		if strings.IndexByte(query, ';') < 0 {
			return
		}
	}
}

// partsOfQuery returns what applications take for the whole query that split a
// target themselves: what is before the "#" of a fragment, or before the next
// question mark, or behind the last one.
func partsOfQuery(query string) (parts []string) {
	if before, _, found := strings.Cut(query, "#"); found {
		parts = append(parts, before)
	}
	if before, _, found := strings.Cut(query, "?"); found {
		parts = append(parts, before, query[strings.LastIndexByte(query, '?')+1:])
	}
	return parts
}

// tooManyPairs reports whether a query has more pairs than net/url takes,
// however they are separated.
func tooManyPairs(query string) bool {
	return len(query) >= maxPairs && strings.Count(query, "&")+strings.Count(query, ";") >= maxPairs
}

// oddQuery reports whether a query may have a second reading. Where it matters
// that a name comes twice, every query of several pairs may.
func (s *sight) oddQuery(query string) bool {
	for i := range len(query) {
		switch c := query[i]; {
		case c == ';', c == '%', c == '+', c == '.', c == '[', c == '#', c == '?', 'A' <= c && c <= 'Z', c >= 0x80, c == '&' && s.repeats:
			return true
		}
	}
	return len(query) >= maxPairs
}

// parseQuery returns the pairs of a query, which any of the separators part.
// It takes whatever there is: what cannot be decoded stands as it is. It also
// reports whether net/url would read the same.
func parseQuery(query, separators string) (pairs []pair, wellFormed bool) {
	pairs = make([]pair, 0, 1+strings.Count(query, "&"))
	wellFormed = true
	for query != "" {
		text := query
		if i := strings.IndexAny(query, separators); i >= 0 {
			wellFormed = wellFormed && query[i] == '&'
			text, query = query[:i], query[i+1:]
		} else {
			query = ""
		}
		if text == "" {
			continue
		}
		name, value, _ := strings.Cut(text, "=")
		name, nameOK := unescapeQuery(name)
		value, valueOK := unescapeQuery(value)
		wellFormed = wellFormed && nameOK && valueOK && strings.IndexByte(text, ';') < 0
		pairs = append(pairs, pair{name, value})
	}
	return pairs, wellFormed
}

// unescapeQuery decodes a name or value, and reports whether all of it could
// be decoded.
func unescapeQuery(text string) (string, bool) {
	if strings.IndexByte(text, '+') >= 0 {
		text = strings.ReplaceAll(text, "+", " ")
	}
	if strings.IndexByte(text, '%') < 0 {
		return text, true
	}
	_, err := url.PathUnescape(text)
	return decode(text), err == nil
}

// encodeQuery writes pairs as a well-formed query.
func encodeQuery(pairs []pair) string {
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(p.value))
	}
	return b.String()
}

// trimNames cuts the spaces that a name begins with, as PHP does.
func trimNames(p pair) pair {
	return pair{strings.TrimLeft(p.name, " "), p.value}
}

// trimValues cuts the white space around a value, as applications do that trim
// what people type.
func trimValues(p pair) pair {
	return pair{p.name, strings.Trim(p.value, " \t\n\r\v\x00")}
}

// cutNULs ends a name and its value at their first NUL.
func cutNULs(p pair) pair {
	return pair{cutNUL(p.name), cutNUL(p.value)}
}

// phpNames makes a name that PHP's variables can have: dots and spaces become
// underscores up to the bracket of an index, and so does a bracket that is
// never closed.
func phpNames(p pair) pair {
	end := strings.IndexByte(p.name, '[')
	if end < 0 {
		end = len(p.name)
	}
	name := strings.Map(func(c rune) rune {
		if c == '.' || c == ' ' {
			return '_'
		}
		return c
	}, p.name[:end])
	rest := p.name[end:]
	if rest != "" && (end == 0 || strings.IndexByte(rest, ']') < 0) {
		rest = "_" + rest[1:]
	}
	return pair{name + rest, p.value}
}

func lowerPair(p pair) pair {
	return pair{strings.ToLower(p.name), strings.ToLower(p.value)}
}

func lowerNames(p pair) pair {
	return pair{strings.ToLower(p.name), p.value}
}

// onePerName returns the pairs as an application reads them that takes the
// first, or the last, of those with one name.
func onePerName(pairs []pair, keepLast bool) []pair {
	var once []pair
	at := make(map[string]int, len(pairs))
	for _, p := range pairs {
		i, known := at[p.name]
		switch {
		case !known:
			at[p.name] = len(once)
			once = append(once, p)
		case keepLast:
			once[i] = p
		}
	}
	return once
}
