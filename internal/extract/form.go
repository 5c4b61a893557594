package extract

import "bytes"

// maxFields is how many fields, parts or members a body may have.
const maxFields = 1000

// searchForm reads the pairs of an application/x-www-form-urlencoded body.
func searchForm(found *proof, body prefix) {
	fields := 1
	for c := body.first; c != nil; c = c.next {
		if fields += bytes.Count(c.bytes, []byte("&")); fields > maxFields {
			found.fail(ReasonBody)
			return
		}
	}
	// A pair that lies across chunks is put together in seam, as far as it
	// matters: a name or value that is longer cannot be one of ours, even if
	// all of it is percent-encoded.
	enough := 3*found.wanted.longestName + len("=") + 3*found.wanted.longestValue + 1
	var seam []byte
	for c := body.first; c != nil && found.defect == ""; c = c.next {
		text, open := c.bytes, c.next != nil || body.truncated
		if len(seam) > 0 {
			end, none := next(text, 0, '&')
			seam = append(seam, text[:min(end, max(0, enough-len(seam)))]...)
			if none && open {
				continue
			}
			searchPairs(found, seam, false)
			seam, text = seam[:0], text[min(end+1, len(text)):]
		}
		if found.defect == "" {
			rest := searchPairs(found, text, open)
			seam = append(seam, rest[:min(len(rest), enough)]...)
		}
	}
}
