package response

import (
	"net/http"
	"slices"
	"strings"
)

// Final returns the writer for an answer of our own. The answer has the fields,
// whatever the site's header directives say; everything else they say stays.
// fields is keyed by canonical names, and belongs to the writer from then on.
//
//   - A field without values is one that the answer must not have.
//   - Vary and Set-Cookie are added to the site's, but no cookie of the same
//     name as one of ours is.
//   - Cache-Control has to be among the fields. Nothing else in the answer
//     speaks about caching, and nothing describes another body than ours.
//
// Status and body are to be written at once. A header directive beyond another
// writer that surrounds w, such as the one of encode, is not overruled.
func Final(w http.ResponseWriter, fields http.Header) http.ResponseWriter {
	place := find(w, isDeferred)
	if place.above == nil {
		final(fields).apply(place.beneath.Header())
		return place.beneath
	}
	// Deferred operations may ask for the fields, so those are there before
	// them too. They change values in place, hence the clone.
	final(fields.Clone()).apply(w.Header())
	ours := &writer{rule: final(fields)}
	ours.ResponseWriter = place.beneath
	return place.put(ours)
}

// final is the rule for our own answers.
type final http.Header

func (f final) apply(header http.Header) {
	for name := range header {
		canonical := http.CanonicalHeaderKey(name)
		_, ours := f[canonical]
		if ours && !isAdded(canonical) || isForeign(canonical) || isTargeted(canonical) {
			delete(header, name)
		}
	}
	for name, values := range f {
		switch {
		case len(values) == 0: // not to be there
		case isAdded(name):
			header[name] = add(header[name], values, name == "Set-Cookie")
		default:
			header[name] = values
		}
	}
}

// isAdded tells the fields that are lists to which many may contribute.
func isAdded(name string) bool { return name == "Set-Cookie" || name == "Vary" }

// add adds ours to the lines that are there, less those that ours stand for.
func add(lines, ours []string, cookies bool) []string {
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return slices.ContainsFunc(ours, func(our string) bool {
			if cookies {
				return cookieName(line) == cookieName(our)
			}
			return line == our
		})
	})
	return append(lines, ours...)
}

func cookieName(line string) string {
	name, _, _ := strings.Cut(line, "=")
	return strings.TrimSpace(name)
}

// isForeign tells the fields that would say something about caching beside our
// Cache-Control, or about a body that is not ours. As a file to save, or with a
// refresh, nobody would see a page.
func isForeign(name string) bool {
	switch name {
	case "Age", "Etag", "Expires", "Last-Modified", "Pragma",
		"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Range", "Refresh":
		return true
	}
	return false
}
