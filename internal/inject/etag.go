package inject

import "strings"

// A page with our element is another representation than the application's,
// and another one after our element has changed. Its entity tag is the
// application's with a suffix inside the quotes.

// suffixTag returns the entity tag with the suffix. Tags without quotes, which
// some applications send, get it too.
func suffixTag(tag, suffix string) string {
	if inside, quoted := strings.CutSuffix(tag, `"`); quoted {
		return inside + suffix + `"`
	}
	return tag + suffix
}

// stripTags takes the suffix from the entity tags in the values of If-Match or
// If-None-Match that have it, and says whether one had. All others stay as
// they are, or go if only ours are asked for. It returns nil if none is left.
func stripTags(values []string, suffix string, onlyOurs bool) (stripped []string, found bool) {
	var tags []string
	for _, value := range values {
		for value != "" {
			var tag string
			tag, value = cutTag(value)
			inside, quoted := strings.CutSuffix(tag, `"`)
			inside, ours := strings.CutSuffix(inside, suffix)
			switch {
			case ours && quoted:
				tags, found = append(tags, inside+`"`), true
			case ours:
				tags, found = append(tags, inside), true
			case tag != "" && !onlyOurs:
				tags = append(tags, tag)
			}
		}
	}
	if tags == nil {
		return nil, false
	}
	return []string{strings.Join(tags, ", ")}, found
}

// cutTag cuts the first element from a list of entity tags. A comma inside
// quotes does not end it.
func cutTag(list string) (tag, rest string) {
	quoted := false
	for n := range len(list) {
		switch {
		case list[n] == '"':
			quoted = !quoted
		case list[n] == ',' && !quoted:
			return strings.Trim(list[:n], " \t"), list[n+1:]
		}
	}
	return strings.Trim(list, " \t"), ""
}
